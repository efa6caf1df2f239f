# SPDX-License-Identifier: Apache-2.0
"""What became of a container, as one line of text: what was seen, and what the model says, in the same words.

exec 65535:65535:65535 0:0:0 [0] P=400 E=400 I=0 B=400 A=0 nnp secure; bind 0
exec ... ; exec EPERM; bind EACCES          the wrapper's second execve was refused
exec fails: exec /ep: operation not permitted
refused: invalid CapAdd: unknown capability: "CAP_NET_BIND_SERVICES"
"""

from __future__ import annotations

import errno
import re
from typing import TYPE_CHECKING

from tests.verify.rows import PROGRAMS, Row, error_name

from caplet.image.passwd import resolve_user
from caplet.image.program import find_program
from caplet.kernel.capable import BindPort, allowed
from caplet.kernel.caps import Caps
from caplet.kernel.credentials import Credentials, Denied, ThreadCaps
from caplet.kernel.execve import execve
from caplet.kernel.syscalls import apply_all
from caplet.runtimes.model import Refused
from caplet.verify.probed import probed

if TYPE_CHECKING:
    from caplet.image.image import Image
    from caplet.image.rootfs import Rootfs
    from caplet.runtimes.node import Node
    from caplet.verify.seen import Seen

PORT_START = "net.ipv4.ip_unprivileged_port_start"

REFUSED, FAILS = "refused: ", "exec fails: "


def state(cred: Credentials) -> str:
    caps = cred.caps
    groups = ",".join(map(str, sorted(cred.groups)))
    return (
        f"exec {cred.uid}:{cred.euid}:{cred.suid} {cred.gid}:{cred.egid}:{cred.sgid} [{groups}]"
        f" P={caps.permitted.mask:x} E={caps.effective.mask:x} I={caps.inheritable.mask:x}"
        f" B={caps.bounding.mask:x} A={caps.ambient.mask:x}"
        f"{' nnp' if cred.no_new_privs else ''}{' secure' if cred.at_secure else ''}"
        f"{f' securebits={cred.securebits:x}' if cred.securebits else ''}"
    )


def seen(one: Seen) -> str:
    """Of a container whose program is the probe, which ends with its two calls (socket, bind)."""
    if one.refused:
        return REFUSED + plain(one.error)
    if not one.started:
        return f"{FAILS}{plain(one.error)} (exit code {one.exit_code})"
    output = probed(one.stdout)
    *chain, socket, bind = output.results
    parts = [state(cred) for cred in output.executed]
    if one.observed is not None and (different := one.observed.differences(output.executed[0])):
        parts.append(f"from outside otherwise: {', '.join(different)}")
    parts += [f"exec {error_name(result)}" for result in chain]
    parts.append(f"bind {error_name(bind if socket == 3 else socket)}")
    return "; ".join(parts)


def plain(message: str) -> str:
    """Without what differs from run to run: container ids, paths of the engine's own directories."""
    return re.sub(r"[0-9a-f]{64}", "ID", re.sub(r"/(?:var/)?tmp/\S*", "PATH", message))


def predicted(row: Row, node: Node, image: Image, rootfs: Rootfs, caller: Credentials) -> str:
    """What the model says of the row on that node, where the engine has the capabilities of `caller`."""
    pod = row.pod()
    container = pod.containers[0]
    every = caller.caps.bounding
    request = node.request(pod, container, image.config.user)
    if isinstance(request, Refused):
        return REFUSED + request.message
    user = node.engine.user_string(request, image.config.user)
    if isinstance(user, Refused):
        return REFUSED + user.message
    account = resolve_user(rootfs, user)
    spec = node.engine.spec(
        pod, container, request, image.config, account, version=node.engine_version, every=every
    )
    if isinstance(spec, Refused):
        return REFUSED + spec.message
    calls = node.runtime.system_calls(spec.process, every, node.runtime_version)
    if isinstance(calls, Refused):
        return REFUSED + calls.message
    cred = apply_all(caller, calls, kernel=node.kernel)
    parts: list[str] = []
    for argv in (spec.process.args, PROGRAMS[row.program].argv[1:]):
        if not argv:
            break
        program = find_program(rootfs, argv, spec.process.env, spec.process.cwd)
        try:
            cred = execve(cred, program.for_kernel(), node.kernel)
        except Denied as denied:
            code = denied.errno or 0
            if not parts:
                return FAILS + node.runtime.exec_error(argv[0], code, node.runtime_version)
            parts.append(f"exec {errno.errorcode[code]}")
        else:
            parts.append(state(cred))
    can = allowed(cred, BindPort(80), {PORT_START: spec.sysctl.get(PORT_START, "1024")})
    parts.append(f"bind {'0' if can else 'EACCES'}")
    return "; ".join(parts)


def agree(said: str, found: str) -> bool:
    """Engines wrap the texts of others: what is predicted of a refusal must be in it."""
    for kind in (REFUSED, FAILS):
        if said.startswith(kind):
            return found.startswith(kind) and said.removeprefix(kind) in found
    return said == found


def engine_credentials(available: int) -> Credentials:
    """Root with every capability that the engine has."""
    caps = Caps(available)
    return Credentials.of_user(
        0,
        0,
        caps=ThreadCaps(permitted=caps, effective=caps, inheritable=Caps(), bounding=caps, ambient=Caps()),
    )
