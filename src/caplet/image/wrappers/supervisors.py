# SPDX-License-Identifier: Apache-2.0
"""Supervisors: they start what their configuration or service directories name, as children.

s6-svscan (s6), s6-overlay's /init, runsvdir and runit (runit), supervisord. s6-overlay v3 README "Usage" and
layout/rootfs-overlay/package/admin/s6-overlay-VERSION/etc/s6-linux-init/skel/rc.init: with a CMD, /init starts the
services and then runs the CMD as a child of PID 1, with the container's credentials.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from caplet.errors import InvalidInput
from caplet.image.wrappers.model import Unknown

if TYPE_CHECKING:
    from caplet.image.program import Files
    from caplet.image.wrappers.model import Invocation, Next, Wrapper

_WHERE = {
    "s6-svscan": "the run scripts in its scan directory",
    "s6-supervise": "the run script of its service directory",
    "s6-linux-init": "the run scripts of s6",
    "runsvdir": "the run scripts in its service directory",
    "runsv": "the run script of its service directory",
    "runit": "the scripts /etc/runit/1, 2 and 3",
    "runit-init": "the scripts /etc/runit/1, 2 and 3",
    "supervisord": "the [program:...] sections of its configuration",
    "circusd": "the watchers of its configuration",
    "forego": "its Procfile",
    "honcho": "its Procfile",
    "monit": "its configuration",
}


def supervisor(run: Invocation) -> Next:
    return Unknown(
        f"{run.name} starts what {_WHERE[run.name]} say", "say with --then which of these programs is meant"
    )


def is_s6_overlay(files: Files) -> bool:
    """Whether /init is s6-overlay's: version 3 brings /package/admin, versions 1 and 2 /etc/s6/init."""
    for path in (b"/package/admin/s6-overlay/command", b"/etc/s6-overlay", b"/etc/s6/init"):
        try:
            files.resolve(path)
        except InvalidInput:
            continue
        return True
    return False


def s6_overlay_init(run: Invocation) -> Next:
    """s6-overlay's /init, whose arguments are the image's CMD."""
    if run.args:
        return run.executes(
            run.args, "s6-overlay's /init starts the CMD as a child, beside its services", forks=True
        )
    return Unknown(
        "s6-overlay's /init starts the services in /etc/s6-overlay/s6-rc.d and /etc/services.d, and there is no CMD",
        "say with --then which of these programs is meant",
    )


WRAPPERS: dict[str, Wrapper] = dict.fromkeys(_WHERE, supervisor)
