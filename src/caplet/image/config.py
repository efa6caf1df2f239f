# SPDX-License-Identifier: Apache-2.0
"""The image configuration: what the image says of the process, and the layers it was made of.

OCI image-spec config.md (v1.1.1); Docker's form (moby image/spec/spec.md) has the same fields and more. The JSON is
kept as it came: a change replaces or appends single fields, everything else (Healthcheck, OnBuild, ...) stays.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from caplet.errors import InvalidInput
from caplet.image import jsontext
from caplet.image.descriptor import Digest, Platform

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

MAX_CONFIG = 8 << 20
"""8 MiB, as Docker's distribution client takes at most (moby distribution/pull_v2.go, maxConfigBytes is 4 MiB there)."""

_FIELDS = (
    "architecture",
    "os",
    "os.version",
    "os.features",
    "variant",
    "config",
    "rootfs",
    "history",
    "created",
)
_PROCESS_FIELDS = (
    "User",
    "Entrypoint",
    "Cmd",
    "Env",
    "WorkingDir",
    "Labels",
    "ExposedPorts",
    "Volumes",
    "StopSignal",
)


@dataclass(frozen=True, slots=True)
class History:
    """One line of `docker history`."""

    created_by: str
    created: str = ""
    """RFC 3339; empty: SOURCE_DATE_EPOCH where it is set, else the time of the image it is added to."""
    comment: str = ""

    def to_json(self, created: str) -> dict[str, str]:
        value = {"created": self.created or created, "created_by": self.created_by, "comment": self.comment}
        return {name: text for name, text in value.items() if text}


@dataclass(frozen=True, slots=True)
class ImageConfig:
    """A view of the configuration's JSON; see the module."""

    raw: Mapping[str, Any]
    user: str = field(init=False)
    entrypoint: tuple[str, ...] = field(init=False)
    cmd: tuple[str, ...] = field(init=False)
    env: tuple[str, ...] = field(init=False)
    working_dir: str = field(init=False)
    labels: Mapping[str, str] = field(init=False)
    platform: Platform = field(init=False)
    diff_ids: tuple[Digest, ...] = field(init=False)
    history: tuple[Mapping[str, Any], ...] = field(init=False)
    created: str = field(init=False)

    @classmethod
    def parse(cls, data: bytes, what: str = "image config") -> ImageConfig:
        return cls(jsontext.parse_object(data, what))

    def __post_init__(self) -> None:
        what = "image config"
        raw = self.raw
        jsontext.spelled(raw, _FIELDS, what)
        process = raw.get("config")
        process = {} if process is None else jsontext.as_object(process, f"{what}: config")
        jsontext.spelled(process, _PROCESS_FIELDS, f"{what}: config")
        own = {
            "user": jsontext.string(process, "User", what, ""),
            "entrypoint": jsontext.strings(process, "Entrypoint", what),
            "cmd": jsontext.strings(process, "Cmd", what),
            "env": jsontext.strings(process, "Env", what),
            "working_dir": jsontext.string(process, "WorkingDir", what, ""),
            "labels": jsontext.texts(process, "Labels", what),
            "platform": _platform(raw, what),
            "diff_ids": _diff_ids(raw, what),
            "history": jsontext.objects(raw, "history", what),
            "created": jsontext.string(raw, "created", what, ""),
        }
        for name, value in own.items():
            object.__setattr__(self, name, value)

    def encode(self) -> bytes:
        return jsontext.dump(self.raw)

    @property
    def layer_history(self) -> tuple[int, ...]:
        """Places in `history` of the steps that made a layer, in the order of the layers."""
        return tuple(place for place, step in enumerate(self.history) if step.get("empty_layer") is not True)

    def with_layer(self, diff_id: Digest, history: History) -> ImageConfig:
        """One more layer on top, with its line of history."""
        return self._with((*self.diff_ids, diff_id), [*self._steps(), history.to_json(self.stamp())])

    def with_layer_replaced(self, index: int, diff_id: Digest, history: History) -> ImageConfig:
        """Layer `index` has other content. How it was first made stays true; that it was changed is a step of its own."""
        diff_ids = (*self.diff_ids[:index], diff_id, *self.diff_ids[index + 1 :])
        step = {**history.to_json(self.stamp()), "empty_layer": True}
        return self._with(diff_ids, [*self._steps(), step])

    def _steps(self) -> list[Mapping[str, Any]]:
        """The history so far. It is optional and may be short: an entry that is not `empty_layer` for each layer keeps it true."""
        # Each has a time: umoci 0.4.7 crashes on one that has none.
        unknown = History("unknown").to_json(self.stamp())
        return [*self.history, *[unknown] * (len(self.diff_ids) - len(self.layer_history))]

    def with_process(self, **changes: object) -> ImageConfig:
        """Fields of `config` by their names in the JSON: `with_process(User="65532", Entrypoint=["/app"])`."""
        process = dict(self.raw.get("config") or {}) | changes
        return ImageConfig({**self.raw, "config": process})

    def stamp(self) -> str:
        """The time a change is dated with: never now, so that the same input gives the same digest."""
        return source_date() or self.created

    def _with(self, diff_ids: Sequence[Digest], history: Sequence[Mapping[str, Any]]) -> ImageConfig:
        raw = dict(self.raw)
        raw["rootfs"] = {**raw["rootfs"], "diff_ids": [str(one) for one in diff_ids]}
        raw["history"] = [dict(step) for step in history]
        epoch = source_date()
        if epoch:
            raw["created"] = epoch
        return ImageConfig(raw)


def source_date() -> str:
    """SOURCE_DATE_EPOCH as RFC 3339, or "" where it is not set (reproducible-builds.org/specs/source-date-epoch)."""
    text = os.environ.get("SOURCE_DATE_EPOCH", "")
    if not text:
        return ""
    import datetime as dt  # which most calls need not load

    try:
        moment = dt.datetime.fromtimestamp(int(text), tz=dt.UTC)
    except (ValueError, OverflowError, OSError):
        raise InvalidInput(f"SOURCE_DATE_EPOCH={text!r} is not a number of seconds since 1970") from None
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def _platform(raw: Mapping[str, Any], what: str) -> Platform:
    return Platform.from_json({name: raw[name] for name in _PLATFORM if name in raw}, what)


_PLATFORM = ("os", "architecture", "variant", "os.version", "os.features")


def _diff_ids(raw: Mapping[str, Any], what: str) -> tuple[Digest, ...]:
    rootfs = jsontext.as_object(raw.get("rootfs"), f"{what}: rootfs")
    jsontext.spelled(rootfs, ("type", "diff_ids"), f"{what}: rootfs")
    kind = jsontext.string(rootfs, "type", f"{what}: rootfs")
    if kind != "layers":
        raise InvalidInput(f"{what}: rootfs has the type {kind!r}, not 'layers'")
    listed = jsontext.strings(rootfs, "diff_ids", f"{what}: rootfs")
    return tuple(Digest.parse(one, f"{what}: diff_ids") for one in listed)
