# SPDX-License-Identifier: Apache-2.0
"""A name in `capabilities.add` or `drop` is none that the runtime knows: written with CAP_, or mistyped.

## What you see

    unknown capability "CAP_CAP_NET_RAW"
    ignoring unknown or unavailable capabilities: [CAP_CAP_NET_RAW]
    unknown capability "CAP_NET_BIND_SERVICES" to add

or nothing at all: the container runs without it.

## Why

The API server does not look at the names, the kubelet passes them on as they are. In a Pod a capability has no
prefix: NET_RAW. containerd puts `CAP_` before each name, and so makes `CAP_CAP_NET_RAW` of `CAP_NET_RAW`, which
nobody knows. CRI-O, Docker and Podman accept the prefix, and refuse names that do not exist. What an unknown name in
config.json does is the OCI runtime's affair: runc since 1.0.0-rc94 and crun until 1.28 leave it out with a warning in
their own log, crun since 1.29 and older runc do not start the container. An unknown name in `drop` drops nothing.

## Prove it

    caplet explain -f pod.yaml --image oci:DIR --on all
    grep CapBnd /proc/1/status      # inside: the bit is not there

## Fix

Write the name as Kubernetes does, in capitals and without CAP_: `add: [NET_RAW]`. Capitals matter to Pod Security
admission, not to the runtimes.

## Where

The doubled prefix: Kubernetes with containerd. Mistyped names: ignored by containerd with runc, refused elsewhere.

## References

- kubernetes/kubernetes#95613
- containerd internal/cri/opts/spec_opts.go, WithCapabilities(); opencontainers/runc 5fb831a0f; containers/crun
  2e822523
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from caplet.causes.cause import Cause, Example, Found, Log
from caplet.causes.lines import EXEC_DENIED
from caplet.causes.loss import Place, found_in
from caplet.kernel.caps import NO_CAPS, Cap, Caps, bare, nearest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from caplet.explain.explanation import Explanation

UNKNOWN = re.compile(
    r"unknown cap(?:ability)?:? [`\"](?P<name>[^`\"]*)[`\"]|\"(?P<podman>[^\"]*)\": unknown capability|failed to drop cap (?P<drop>\S*) "
)
"""What crun, runc, CRI-O, Docker and Podman say of a name."""

POD = """\
apiVersion: v1
kind: Pod
metadata: {name: ping}
spec:
  containers:
  - name: ping
    image: ping
    securityContext:
      runAsUser: 1000
      capabilities: {drop: [ALL], add: [CAP_NET_RAW]}
"""


def _find(explanation: Explanation) -> Iterator[Found]:
    if explanation.refused is not None:
        yield from _refused(explanation)
        return
    ignored = [name for name in explanation.asked_names if "CAP_" + name.upper() in explanation.ignored]
    caps = NO_CAPS
    for loss in found_in(explanation, Place.MISSPELLED):
        caps |= loss.caps
    unknown = [name for name in ignored if bare(name) not in Cap.__members__]
    if ignored:
        engine = explanation.node.engine.title
        said = ", ".join(f"{name} ({_right(name)})" for name in ignored)
        yield CAUSE.found(
            f"{engine} and {explanation.node.runtime.name} ignore {said}",
            caps,
            explanation.failed or (explanation.steps[0] if explanation.steps else None),
            "breaks" if caps or unknown else "hint",
        )
    yield from _in_vain(explanation)


def _refused(explanation: Explanation) -> Iterator[Found]:
    """A refusal for a name that is no capability's."""
    assert explanation.refused is not None
    match = UNKNOWN.search(explanation.refused.message)
    if match is None:
        return
    name = next((one for one in match.groups() if one is not None), "")
    if bare(name) in Cap.__members__:
        return  # the name is right, and too new for the engine: engine-lacks-cap
    given = next((one for one in explanation.asked_names if "CAP_" + one.upper() == name), name)
    yield CAUSE.found(f"{explanation.refused.by} refuses {name}: {_right(given)}", _meant(explanation, given))


def _meant(explanation: Explanation, name: str) -> Caps:
    """The capability that was meant, if one was."""
    return Caps.of(Cap[bare(name)]) & explanation.lost if bare(name) in Cap.__members__ else NO_CAPS


def _in_vain(explanation: Explanation) -> Iterator[Found]:
    """Names in `drop` that drop nothing."""
    if explanation.created is None:
        return
    bounding = explanation.created.caps.bounding
    added = {bare(name) for name in explanation.asked_names}
    for name in explanation.container.security_context.drop:
        cap = Cap.__members__.get(bare(name))
        kept = (
            cap in bounding and bare(name) not in added and "ALL" not in added if cap is not None else False
        )
        if kept or (cap is None and bare(name) != "ALL"):
            yield CAUSE.found(
                f"dropping {name} drops nothing: {_right(name)}",
                Caps.of(cap) if cap is not None else NO_CAPS,
                weight="hint",
            )


def _right(name: str) -> str:
    if bare(name) in Cap.__members__:
        return f"write {bare(name)}"
    if bare(name) == "ALL":
        return "write ALL"
    return f"there is no such capability{nearest(bare(name), Cap.__members__)}"


CAUSE = Cause(
    code="CAP112",
    name="bad-cap-name",
    summary="a capability's name is none that the runtime knows: written with CAP_, or mistyped",
    find=_find,
    page=__doc__,
    logs=(
        Log(r"unknown capability:? [`\"](?P<capability>[^`\"]+)", 'unknown capability "CAP_CAP_NET_RAW"'),
        Log(
            r"ignoring unknown or unavailable capabilities: \[(?P<capability>[^\]]+)",
            "ignoring unknown or unavailable capabilities: [CAP_CAP_NET_RAW]",
        ),
        Log(r"unknown cap: `(?P<capability>[^`]+)", "unknown cap: `CAP_CAP_NET_RAW`"),
        Log(r"\"(?P<capability>[^\"]+)\": unknown capability", '"CAP_NET_RAWW": unknown capability'),
        *EXEC_DENIED,
    ),
    examples=(
        Example(
            "the prefix doubled by containerd",
            POD,
            {"/bin/ping": "elf cap_net_raw=ep"},
            {"Entrypoint": ["/bin/ping"]},
            on="containerd:1.7,containerd:2.1",
        ),
        Example(
            "and refused by crun",
            POD,
            {"/bin/ping": "elf cap_net_raw=ep"},
            {"Entrypoint": ["/bin/ping"]},
            on="containerd:2.1+crun:1.29",
        ),
    ),
)
