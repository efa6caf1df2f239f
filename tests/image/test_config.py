# SPDX-License-Identifier: Apache-2.0
"""The configuration's fields are read strictly and changed without losing the others."""

from __future__ import annotations

from typing import Any

import pytest

from caplet.errors import InvalidInput
from caplet.image import jsontext
from caplet.image.config import History, ImageConfig, source_date
from caplet.image.descriptor import Digest

A, B, C = (Digest("sha256", one * 64) for one in "abc")


def raw(**more: Any) -> dict[str, Any]:
    return {
        "zzz": {"kept": True},
        "created": "2020-01-02T03:04:05.123456789Z",
        "architecture": "arm64",
        "variant": "v8",
        "os": "linux",
        "config": {
            "Healthcheck": {"Test": ["NONE"]},
            "User": "1:2",
            "Cmd": ["a"],
            "Entrypoint": None,
            "Env": ["A=b"],
        },
        "rootfs": {"type": "layers", "diff_ids": [str(A), str(B)], "more": 1},
        "history": [{"created_by": "one"}, {"created_by": "ENV", "empty_layer": True}, {"created_by": "two"}],
        "container_config": {"Image": "sha256:x"},
    } | more


def test_fields() -> None:
    config = ImageConfig(raw())
    assert (config.user, config.cmd, config.entrypoint, config.env) == ("1:2", ("a",), (), ("A=b",))
    assert (config.working_dir, config.labels, str(config.platform)) == ("", {}, "linux/arm64/v8")
    assert config.diff_ids == (A, B)
    assert config.layer_history == (0, 2)


def test_a_layer_is_appended_and_nothing_else_changes() -> None:
    config = ImageConfig(raw()).with_layer(C, History("caplet grant", comment="why"))
    expected = raw()
    expected["rootfs"]["diff_ids"].append(str(C))
    expected["history"].append(
        {"created": "2020-01-02T03:04:05.123456789Z", "created_by": "caplet grant", "comment": "why"}
    )
    assert jsontext.dump(config.raw) == jsontext.dump(expected), "values and their order"
    assert len(config.layer_history) == len(config.diff_ids)


def test_a_layer_is_replaced_in_a_step_of_its_own() -> None:
    config = ImageConfig(raw()).with_layer_replaced(0, C, History("caplet grant --rewrite"))
    assert config.diff_ids == (C, B)
    assert config.history[:3] == ImageConfig(raw()).history
    assert config.history[3]["empty_layer"] is True
    assert len(config.layer_history) == 2


@pytest.mark.parametrize("history", [None, [], [{"created_by": "one"}]], ids=["null", "none", "short"])
def test_a_short_history_is_filled_up(history: object) -> None:
    config = ImageConfig(raw(history=history)).with_layer(C, History("grant"))
    assert len(config.layer_history) == len(config.diff_ids) == 3


def test_process_fields_keep_their_neighbours() -> None:
    config = ImageConfig(raw()).with_process(User="65532", Entrypoint=["/app"])
    assert (config.user, config.entrypoint, config.cmd) == ("65532", ("/app",), ("a",))
    assert config.raw["config"]["Healthcheck"] == {"Test": ["NONE"]}


def test_source_date_epoch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "86400")
    config = ImageConfig(raw()).with_layer(C, History("grant"))
    assert config.created == config.history[-1]["created"] == "1970-01-02T00:00:00Z"
    assert config.history[0] == {"created_by": "one"}


@pytest.mark.parametrize("text", ["x", "1.5", "9" * 40, "-" + "9" * 40])
def test_source_date_epoch_refused(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", text)
    with pytest.raises(InvalidInput, match="SOURCE_DATE_EPOCH"):
        source_date()


BAD: dict[str, dict[str, Any]] = {
    "no rootfs": {"rootfs": None},
    "rootfs of another type": {"rootfs": {"type": "layers+base", "diff_ids": []}},
    "diff_ids is a text": {"rootfs": {"type": "layers", "diff_ids": str(A)}},
    "a diff_id is no digest": {"rootfs": {"type": "layers", "diff_ids": ["sha256:../../x"]}},
    "config is a list": {"config": []},
    "User is a number": {"config": {"User": 65532}},
    "Entrypoint is a text": {"config": {"Entrypoint": "/app"}},
    "Env holds a number": {"config": {"Env": [1]}},
    "Labels is a list": {"config": {"Labels": ["a"]}},
    "entrypoint beside Entrypoint": {"config": {"entrypoint": ["/a"], "Entrypoint": ["/b"]}},
    "Rootfs beside rootfs": {"Rootfs": {}},
    "history holds a text": {"history": ["one"]},
    "created is a number": {"created": 0},
    "architecture is a list": {"architecture": []},
}


@pytest.mark.parametrize("change", BAD.values(), ids=BAD)
def test_refused(change: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput, match="image config"):
        ImageConfig(raw(**change))
