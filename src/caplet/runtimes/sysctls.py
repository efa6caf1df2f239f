# SPDX-License-Identifier: Apache-2.0
"""What comes of config.json's `sysctl` where it is written: values that the kernel does not take, and namespaces that are the node's.

Which names are allowed is looked at before, by the API server and the kubelet; of values nobody reads anything but the kernel.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from caplet.runtimes.model import Refused, Since, Version
from caplet.runtimes.template import PORT_START

if TYPE_CHECKING:
    from caplet.runtimes.model import Spec

LOCAL_PORTS = "net.ipv4.ip_local_port_range"

HIGHEST_START = 32768
"""Where a new network namespace's ip_local_port_range begins: ipv4_privileged_ports() of net/ipv4/sysctl_net_ipv4.c takes no
higher one (measured with Linux 6.18: 32769 is EINVAL)."""

MAX_WORD = 20
"""proc_get_long() of kernel/sysctl.c refuses what fills its buffer, TMPBUFLEN less one."""

_WORD = re.compile(
    r"[ \t-\r]*(?P<word>-?(?:0[xX](?P<hex>[0-9a-fA-F]+)|(?P<oct>0[0-7]*)|(?P<dec>[1-9][0-9]*)))(?:[ \t\n].*)?",
    re.DOTALL,
)

CRUN_WRITES = Since(((Version(0), "write to /proc/sys/{}"), (Version(1, 9), "write to `/proc/sys/{}`")))
"""libcrun_set_sysctl of src/libcrun/linux.c."""

CRUN_HOSTS_NETWORK = Since(
    (
        (Version(0), None),
        (Version(1, 4, 2), "the sysctl `{value}` requires a new network namespace"),
        (Version(1, 7), "the sysctl `{name}` requires a new network namespace"),
    )
)
"""validate_sysctl of the same file, which names the value until 1.6; before, the node's own setting is changed."""

RUNC_WRITES = Since(
    (
        (Version(0), "write /proc/sys/{path}: invalid argument"),
        (Version(1, 2, 8), 'failed to write sysctl {name} = "{value}"'),
        (Version(1, 3), "write /proc/sys/{path}: invalid argument"),
        (Version(1, 3, 3), 'failed to write sysctl {name} = "{value}"'),
    )
)
"""libcontainer/init_linux.go writeSystemProperty; then internal/sys/sysctl_linux.go WriteSysctls, whose line goes on with a
descriptor's name and `invalid argument`."""

RUNC_HOSTS_NETWORK = Since(
    (
        (Version(0), "is not allowed in the hosts network namespace"),
        (Version(1, 0, 0, 93), "not allowed in host network namespace"),
    )
)
"""libcontainer/configs/validate/validator.go sysctl."""


def port_start_of(value: str) -> int | None:
    """Where ports begin once the value is written; None where the kernel says EINVAL.

    proc_dointvec_minmax(): the first word counts, in C's notation, and writing nothing changes nothing (measured with
    Linux 6.18: `080` is EINVAL, `0x50` and `80 90` are 80, `010` is 8).
    """
    if not value:
        return 1024
    found = _WORD.fullmatch(value)
    if found is None or len(found["word"]) > MAX_WORD:
        return None
    number = _magnitude(found["hex"], found["oct"], found["dec"])
    if number > HIGHEST_START or (number and found["word"].startswith("-")):
        return None
    return number


def _magnitude(hexadecimal: str | None, octal: str | None, decimal: str | None) -> int:
    if hexadecimal is not None:
        return int(hexadecimal, 16)
    return int(octal, 8) if octal is not None else int(decimal or "0")


def refused(spec: Spec, runtime: str, version: Version) -> Refused | None:
    """What the OCI runtime says where it cannot set one of them. gVisor's network has no such files."""
    if runtime not in {"runc", "crun"}:
        return None
    if spec.host_network:
        return _on_hosts_network(spec, runtime, version)
    value = spec.sysctl.get(PORT_START)
    if value is None or LOCAL_PORTS in spec.sysctl or port_start_of(value) is not None:
        return None
    return Refused(runtime, _not_written(PORT_START, value, runtime, version))


def _on_hosts_network(spec: Spec, runtime: str, version: Version) -> Refused | None:
    """Before anything is made (measured with runc 1.1.5, crun 1.8.1)."""
    found = next((item for item in spec.sysctl.items() if item[0].startswith("net.")), None)
    if found is None:
        return None
    name, value = found
    if runtime == "runc":
        return Refused(runtime, f'sysctl "{name}" {RUNC_HOSTS_NETWORK.at(version)}')
    message = CRUN_HOSTS_NETWORK.at(version)
    return None if message is None else Refused(runtime, message.format(name=name, value=value))


def _not_written(name: str, value: str, runtime: str, version: Version) -> str:
    """EINVAL of write(2) (measured with runc 1.1.5, crun 1.8.1)."""
    path = name.replace(".", "/")
    if runtime == "runc":
        return RUNC_WRITES.at(version).format(path=path, name=name, value=value)
    return f"{CRUN_WRITES.at(version).format(path)}: Invalid argument"
