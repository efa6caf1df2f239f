# SPDX-License-Identifier: Apache-2.0
"""A script that runs setcap(8) and has a switch for it: Vault's, OpenBao's and Consul's look at SKIP_SETCAP."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from caplet.kubernetes.podspec import EnvVar
from caplet.remedies import imagechanges
from caplet.remedies.remedy import Gives, Proposal, container_patch, with_container

if TYPE_CHECKING:
    from collections.abc import Iterator

    from caplet.explain.explanation import Explanation

SWITCH = "SKIP_SETCAP"
"""hashicorp/vault .release/docker/docker-entrypoint.sh."""

MAX_SCRIPT = 1 << 20
"""Bytes of a script that are looked through; entrypoints have a few thousand."""


def skip_setcap(explanation: Explanation) -> Iterator[Proposal]:
    """Leave setcap out; and where the program wants the capability, have it in the image."""
    if not explanation.setcaps or not _has_switch(explanation):
        return
    pod, container = explanation.pod, explanation.container
    env = (*(one for one in container.env if one.name != SWITCH), EnvVar(SWITCH, "true"))
    changed = replace(container, env=env)
    skipped = Proposal(
        "let the script skip setcap, which this user may not",
        f"it looks at {SWITCH}",
        Gives.LESS,
        with_container(pod, container, changed),
        changed,
        explanation.image,
        patch=container_patch(container, {"env": [{"name": SWITCH, "value": "true"}]}),
    )
    yield skipped
    for granted in imagechanges.grant(replace(explanation, pod=skipped.pod, container=changed)):
        if granted.patch is None:
            title = f"{granted.title}, and let the script skip setcap"
            yield replace(granted, title=title, why=skipped.why, patch=skipped.patch)


def _has_switch(explanation: Explanation) -> bool:
    if explanation.image is None:
        return False
    files = explanation.image.files
    return any(
        SWITCH.encode() in files.read(link.node, MAX_SCRIPT)
        for step in explanation.executions
        if step.program is not None
        for link in step.program.chain[:-1]
    )
