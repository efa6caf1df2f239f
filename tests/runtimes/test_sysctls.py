# SPDX-License-Identifier: Apache-2.0
"""Values of ip_unprivileged_port_start as Linux reads them, and what the OCI runtimes say where it does not. Measured, or their sources."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from tests.runtimes.manifests import pod

from caplet.image.config import ImageConfig
from caplet.image.passwd import User as Account
from caplet.runtimes.model import Process, Refused, SecurityContext, Spec, User, Version
from caplet.runtimes.node import parse
from caplet.runtimes.sysctls import port_start_of, refused

START = "net.ipv4.ip_unprivileged_port_start"

READ = [
    ("80", 80), ("0", 0), ("1024", 1024), ("32768", 32768), ("", 1024), ("0x50", 80), ("0X50", 80), ("010", 8), ("033", 27),
    ("-0", 0), (" 80 ", 80), ("80 90", 80), ("80\t", 80), ("80\n", 80), ("\v80", 80), ("00000000000000000080", None),
    ("00000000000000000001", 1), ("000000000000000000001", None), ("080", None), ("abc", None), ("70000", None), ("-1", None),
    ("32769", None), ("65535", None), ("65536", None), ("+80", None), ("80abc", None), ("0b11", None), ("0x", None),
    (" ", None), ("80,1", None), ("80\v", None), ("-", None), ("- 1", None), ("99999999999999999999999", None), ("\u0668", None),
]  # fmt: skip

WRITES = """\
import os, sys
file = os.open("/proc/sys/net/ipv4/ip_unprivileged_port_start", os.O_RDWR)
for value in sys.argv[1:]:
    os.pwrite(file, b"1024", 0)
    try:
        os.pwrite(file, value.encode(), 0)
        print(int(os.pread(file, 9, 0)))
    except OSError as error:
        print(error.errno)
"""


@pytest.mark.parametrize(("value", "start"), READ)
def test_a_value_as_the_kernel_reads_it(value: str, start: int | None) -> None:
    assert port_start_of(value) == start


@pytest.mark.skipif(os.geteuid() != 0, reason="makes a network namespace")
def test_the_kernel_itself_reads_them_so() -> None:
    words = [sys.executable, "-c", WRITES, *(value for value, _ in READ)]
    done = subprocess.run(["unshare", "-n", *words], check=True, capture_output=True, text=True)
    assert done.stdout.split() == [str(22 if start is None else start) for _, start in READ]


@pytest.mark.parametrize(
    ("runtime", "version", "host_network", "value", "message"),
    [
        ("runc", Version(1, 1, 5), False, "080", "write /proc/sys/net/ipv4/ip_unprivileged_port_start: invalid argument"),
        ("runc", Version(1, 5, 1), False, "abc", f'failed to write sysctl {START} = "abc"'),
        ("crun", Version(1, 5), True, "0", "the sysctl `0` requires a new network namespace"),
        ("crun", Version(1, 4), True, "0", None),
        ("crun", Version(1, 8, 1), False, "080", "write to /proc/sys/net/ipv4/ip_unprivileged_port_start: Invalid argument"),
        ("crun", Version(1, 14), False, "-1", "write to `/proc/sys/net/ipv4/ip_unprivileged_port_start`: Invalid argument"),
        ("runc", Version(1, 1, 5), False, "0x50", None),
        ("runsc", Version(20260817), False, "080", None),
        ("runc", Version(1, 1, 5), True, "0", f'sysctl "{START}" not allowed in host network namespace'),
        ("crun", Version(1, 8, 1), True, "0", f"the sysctl `{START}` requires a new network namespace"),
    ],
)  # fmt: skip
def test_what_the_runtime_says(
    runtime: str, version: Version, host_network: bool, value: str, message: str | None
) -> None:
    process = Process(("/app",), User(0, 0))
    found = refused(Spec(process, host_network=host_network, sysctl={START: value}), runtime, version)
    assert (None if found is None else found.message) == message


def test_podman_itself_takes_none_beside_hostnetwork() -> None:
    """Measured with 4.3.1."""
    one = pod(whole=f"{{sysctls: [{{name: {START}, value: '0'}}]}}", spec="hostNetwork: true")
    image = ImageConfig(
        {"architecture": "amd64", "os": "linux", "config": {}, "rootfs": {"type": "layers", "diff_ids": []}}
    )
    made = parse("podman").spec(one, one.containers[0], SecurityContext(), image, Account(0, 0, (0,)))
    assert made == Refused(
        "Podman", f"sysctl {START}=0 can't be set since Network Namespace set to host: invalid argument"
    )
