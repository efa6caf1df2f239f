# SPDX-License-Identifier: Apache-2.0
"""Log lines that several causes share: the text alone does not tell them apart, the Pod and the image do."""

from __future__ import annotations

import re

from caplet.causes.cause import Log


def exec_fails(error: str, program: str) -> tuple[Log, ...]:
    """execve(2) of the container's first program fails with that errno, as strerror(3) and so each OCI runtime writes it."""
    lower, pattern = error[0].lower() + error[1:], re.escape(error)
    return (
        Log(rf"exec:? \"?(?P<program>/[^\s:\"]+)\"?: {pattern}", f"exec {program}: {lower}"),
        Log(
            rf"exec container process `(?P<program>[^`]+)`: {pattern}",
            f"exec container process `{program}`: {error}",
        ),
        Log(
            rf"exec user process caused:? \"?{pattern}",
            f"standard_init_linux.go:228: exec user process caused: {lower}",
        ),
        Log(rf"exec failed: {pattern}", f"OCI runtime exec failed: exec failed: {lower}"),
        Log(
            rf"failed to load (?P<program>/[^\s:]+): {pattern}",
            f"creating process: failed to load {program}: {lower}",
        ),
    )


EXEC_DENIED = (
    *exec_fails("Operation not permitted", "/usr/bin/caddy"),
    Log(
        r"failed to update creds with file privileges: operation not permitted",
        "creating process: failed to update creds with file privileges: operation not permitted",
    ),
)
"""The last one is gVisor's."""

EXEC_DENIED_BEHIND = (
    Log(
        r"line \d+: (?P<program>[^\s:]+): operation not permitted",
        "/entrypoint.sh: line 12: /usr/bin/caddy: Operation not permitted",
    ),
    Log(
        r"\bsh: \d+: (?:exec: )?(?P<program>[^\s:]+): operation not permitted",
        "sh: 1: caddy: Operation not permitted",
    ),
    Log(
        r"\[dumb-init\] (?P<program>[^\s:]+): operation not permitted",
        "[dumb-init] /nginx-ingress-controller: Operation not permitted",
    ),
    Log(
        r"\[FATAL +tini \(\d+\)\] exec (?P<program>\S+) failed: operation not permitted",
        "[FATAL tini (7)] exec /usr/share/heartbeat/heartbeat failed: Operation not permitted",
    ),
    Log(
        r"(?:su-exec|env): '?(?P<program>[^\s:']+)'?: operation not permitted",
        "su-exec: /usr/bin/caddy: Operation not permitted",
    ),
    Log(
        r"\[Errno 1\] operation not permitted: '(?P<program>[^']+)'",
        "PermissionError: [Errno 1] Operation not permitted: 'envoy'",
    ),
    Log(
        r"fork/exec (?P<program>/[^\s:]+): operation not permitted",
        "fork/exec /usr/sbin/virtqemud: operation not permitted",
    ),
    Log(
        r"/(?P<program>[^\s:/]+): operation not permitted$",
        "/usr/share/heartbeat/heartbeat: Operation not permitted",
    ),
)
"""The same of a program that a shell, an init or another program executes."""

BIND_DENIED = (
    Log(
        r"listen (?:tcp|udp)\d? \S*:(?P<port>\d+): bind: permission denied",
        "listen tcp :80: bind: permission denied",
    ),
    Log(r"listen \S*:(?P<port>\d+): permission denied", "listen :80: permission denied"),
    Log(
        r"bind\(\) to \S+:(?P<port>\d+) failed \(13: permission denied\)",
        "nginx: [emerg] bind() to 0.0.0.0:80 failed (13: Permission denied)",
    ),
    Log(r"bind.*permission denied", "Listen: listen tcp :53: bind: permission denied"),
    Log(
        r"permission denied.*could not bind to address \S+:(?P<port>\d+)",
        "(13)Permission denied: AH00072: make_sock: could not bind to address [::]:80",
    ),
    Log(
        r"listen EACCES:? permission denied \S*?:?(?P<port>\d+)$",
        "Error: listen EACCES: permission denied 0.0.0.0:80",
    ),
)
"""bind(2) of a port below ip_unprivileged_port_start fails with EACCES, as servers say it."""

PING_DENIED = (
    Log(r"\bping: .*(?:operation not permitted|are you root)", "ping: permission denied (are you root?)"),
    Log(r"\bping: socktype: SOCK_RAW", "ping: socktype: SOCK_RAW"),
)
"""socket(2) of SOCK_RAW without CAP_NET_RAW, as ping says it."""

MEMORY_DENIED = (
    Log(
        r"ibv_\w.*(?:ENOMEM|cannot allocate memory)",
        "ibv_reg_mr failed: Cannot allocate memory",
    ),
    Log(
        r"(?:mlock|io_uring).*(?:ENOMEM|cannot allocate memory)",
        "mlockall: Cannot allocate memory",
    ),
    Log(
        r"lock (?:jvm )?memory.*cannot allocate memory",
        "Error initializing core: Failed to lock memory: cannot allocate memory",
    ),
)
"""Locking memory beyond RLIMIT_MEMLOCK without CAP_IPC_LOCK: ENOMEM, which reads as if the machine had none."""
