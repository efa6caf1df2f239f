# SPDX-License-Identifier: Apache-2.0
"""What this machine can give: this process's own capabilities bound those of any container it starts."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from caplet.kernel.caps import Caps
from caplet.run.status import parse_status
from caplet.runtimes import runc
from caplet.runtimes.model import oci_names

if TYPE_CHECKING:
    from caplet.run.status import Observed
    from caplet.runtimes.model import Spec


def own_credentials() -> Observed:
    with open("/proc/self/status", encoding="utf-8", errors="replace") as file:
        return parse_status(file.read())


def within(spec: Spec, available: Caps) -> tuple[Spec, Caps]:
    """The spec without capabilities that this machine cannot give, and which they are.

    A runtime could not set them: capset(2) says EPERM. Names that no kernel knows stay; they are the runtime's business.
    """
    sets = spec.process.capabilities
    missing = Caps()
    kept: dict[str, tuple[str, ...]] = {}
    for name in ("bounding", "effective", "inheritable", "permitted", "ambient"):
        asked: tuple[str, ...] = getattr(sets, name)
        lacking = runc.caps_of(asked) - available
        missing |= lacking
        kept[name] = tuple(text for text in asked if text not in oci_names(lacking))
    return replace(spec, process=replace(spec.process, capabilities=replace(sets, **kept))), missing


def spared(spec: Spec) -> Spec:
    """The spec as it is run here."""
    return within(spec, own_credentials().caps.bounding)[0]
