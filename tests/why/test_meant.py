# SPDX-License-Identifier: Apache-2.0
"""The words behind `caplet why`."""

from __future__ import annotations

import pytest

from caplet.errors import InvalidInput
from caplet.why.live import is_live
from caplet.why.meant import meant


@pytest.mark.parametrize(
    ("words", "what"),
    [
        ([], None),
        ([""], ""),
        (["-"], "-"),
        (["hello"], "hello"),
        (
            ["exec", "/usr/bin/ping:", "operation", "not", "permitted"],
            "exec /usr/bin/ping: operation not permitted",
        ),
        (["/usr/bin/caddy: Operation not permitted"], "/usr/bin/caddy: Operation not permitted"),
        (["pod/web"], "pod/web"),
        (["pod", "web"], "pod/web"),
        (["deployment.apps", "web"], "deployment.apps/web"),
        (["13"], "13"),
        (["pod.yaml: permission denied"], "pod.yaml: permission denied"),
    ],
)
def test_what_is_meant(words: list[str], what: str | None) -> None:
    assert meant(words) == what


@pytest.mark.parametrize(
    ("word", "hint"),
    [
        ("CAP102", "caplet cause CAP102"),
        ("cap102", "caplet cause CAP102"),
        ("exec-eperm-bounding", "caplet cause CAP102"),
        ("pod.yaml", "-f pod.yaml"),
        ("deploy/pod.yml", "-f deploy/pod.yml"),
        ("oci:caddy", "--image oci:caddy"),
        ("pod", "pod/NAME"),
    ],
)
def test_what_belongs_elsewhere_is_told_where(word: str, hint: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        meant([word])
    assert hint in caught.value.hint


@pytest.mark.parametrize("word", ["cronjob/web", "CronJob/web", "svc/web", "node/n1", "pod.apps/web"])
def test_another_kind_is_told_which_are_read(word: str) -> None:
    assert not is_live(word)
    with pytest.raises(InvalidInput, match="pod, deploy, sts, ds, rs, job"):
        meant([word])


@pytest.mark.parametrize(
    "word",
    [
        "deployment.apps/web",
        "Deployment/web",
        "deployments.v1.apps/web",
        "job.batch/web",
        "pod.v1/web",
        "Pod/web",
    ],
)
def test_spellings_of_kubectl(word: str) -> None:
    assert is_live(word)
