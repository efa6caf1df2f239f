# SPDX-License-Identifier: Apache-2.0
"""The calls of a wrapper that reads its own capability sets, changes some bits and writes them back.

What it writes depends on what it holds by then, so the calls made so far are followed through the kernel's model.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from caplet.kernel.caps import NO_CAPS, Cap, Caps
from caplet.kernel.credentials import Credentials, Denied
from caplet.kernel.syscalls import Capset, Syscall, apply

if TYPE_CHECKING:
    from collections.abc import Iterable


class Caller:
    """Makes calls. After one that is denied, the ones that would follow are left out."""

    def __init__(self, cred: Credentials) -> None:
        self.cred = cred
        self.calls: list[Syscall] = []
        self.denied = False

    def call(self, *calls: Syscall) -> None:
        for call in calls:
            if self.denied:
                return
            self.calls.append(call)
            try:
                self.cred = apply(self.cred, call)
            except Denied:
                self.denied = True

    def capset(
        self, permitted: Caps | None = None, effective: Caps | None = None, inheritable: Caps | None = None
    ) -> None:
        """Writes the sets; those that are not given stay as they are."""
        now = self.cred.caps
        self.call(
            Capset(
                permitted=now.permitted if permitted is None else permitted,
                effective=now.effective if effective is None else effective,
                inheritable=now.inheritable if inheritable is None else inheritable,
            )
        )

    def raise_effective(self, caps: Iterable[Cap], *, only: bool = False) -> None:
        """Makes those effective; `only`: and no others."""
        base = NO_CAPS if only else self.cred.caps.effective
        self.capset(effective=base | Caps.of(*caps))
