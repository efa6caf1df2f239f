# SPDX-License-Identifier: Apache-2.0
"""Programs that run what others wrote: a capability of theirs reaches every script, or is lost on the way to the program meant.

execve(2) looks at the file it loads. A capability of /bin/sh is one of every shell script in the image; one of
/sbin/tini is gone when tini executes the server, whose own file has none.
"""

from __future__ import annotations

import re
from enum import Enum


class Runs(Enum):
    """What such a program runs."""

    SCRIPTS = "runs scripts"
    PROGRAMS = "starts another program"


_SCRIPTS = re.compile(
    rb"(?:a|ba|rba|da|fi|k|mk|pdk|t?c|z|r|pw)?sh|nu|busybox(?:[.]\w+)?|toybox|coreutils|env|execlineb"
    rb"|(?:python|pypy|perl|ruby|php|php-fpm|php-cgi|lua|luajit|tclsh|wish|guile|erl|julia|Rscript)[0-9.]*"
    rb"|node|nodejs|bun|deno|java|dotnet|mono|beam\.smp|[gmn]?awk|sed|make|R"
)
"""Shells, interpreters and virtual machines, by the last component of the path; many have their version in it."""

_PROGRAMS = re.compile(
    rb"(?:tini|dumb-init|catatonit|gosu|su-exec)(?:[-_][\w.-]+)?|(?:docker|podman|openrc|runit)-init|systemd|s6-[\w-]+"
    rb"|runit|runsv|runsvdir|supervisord|circusd|forego|honcho|monit|with-contenv"
    rb"|setpriv|sudo|su|doas|runuser|capsh|chpst|setuidgid|envuidgid|softlimit|pgrphack|setlock|envdir"
    rb"|start-stop-daemon|nice|ionice|chrt|taskset|numactl|timeout|time|chroot|setsid|nohup|stdbuf|setarch|unshare|nsenter|xargs"
    rb"|ld[.]so|ld-linux[\w.-]*|ld-musl-[\w.-]+"
)
"""Init programs, those that change the user, and the dynamic loader called as a command."""


def runs(path: bytes) -> Runs | None:
    """What the program of that name runs; None for one that does its own work, as far as a name tells."""
    name = path.rpartition(b"/")[2]
    if _SCRIPTS.fullmatch(name):
        return Runs.SCRIPTS
    return Runs.PROGRAMS if _PROGRAMS.fullmatch(name) else None
