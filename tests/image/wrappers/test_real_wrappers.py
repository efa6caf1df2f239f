# SPDX-License-Identifier: Apache-2.0
"""Each wrapper against itself: strace sees which calls the real program makes, and what it executes."""

from __future__ import annotations

import os
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.hostfiles import HostFiles

from caplet.image.program import find_program
from caplet.image.wrappers.follow import Executes, falls_back_to_sh, next_argv
from caplet.kernel.caps import Cap, Caps
from caplet.kernel.credentials import Credentials, Securebits, ThreadCaps
from caplet.kernel.syscalls import (
    AmbientClearAll,
    AmbientLower,
    AmbientRaise,
    CapbsetDrop,
    Capset,
    Setgid,
    Setgroups,
    SetKeepcaps,
    SetNoNewPrivs,
    Setregid,
    Setresgid,
    Setresuid,
    Setreuid,
    SetSecurebits,
    Setuid,
    Syscall,
)

if TYPE_CHECKING:
    from collections.abc import Callable

ENV = ("PATH=/usr/sbin:/usr/bin:/sbin:/bin", "SHELL=/bin/sh")
END = "/bin/true"
"""What the wrapped command line executes."""
TRACED = "execve,setuid,setgid,setresuid,setresgid,setreuid,setregid,setgroups,capset,prctl"

WRAPPED = [
    "tini -- /bin/true a",
    "tini /bin/true a -g b",
    "tini -g -v -p SIGTERM /bin/true -- -x",
    "dumb-init /bin/true -v",
    "dumb-init -c -r 15:3 --verbose -- /bin/true -- x",
    "catatonit -g /bin/true a",
    "catatonit -- /bin/true -g",
    "gosu daemon /bin/true a",
    "gosu 1234 /bin/true",
    "gosu daemon:5 /bin/true",
    "gosu 1234:mail /bin/true",
    "gosu www-data /bin/true",
    "chpst -u daemon /bin/true",
    "chpst -u daemon:bin:mail /bin/true",
    "chpst -u :1000:2000 /bin/true",
    "chpst -n 3 -o 100 /bin/true -u x",
    "s6-setuidgid daemon /bin/true",
    "s6-setuidgid 5:6 /bin/true",
    "s6-applyuidgid -u 5 -g 6 -G 7,8 /bin/true",
    "env UID=5 GID=6 GIDLIST=7 s6-applyuidgid -U /bin/true",
    "runuser -u daemon /bin/true x -p",
    "runuser -u daemon -- /bin/true",
    "setpriv --reuid=daemon --regid=6 --clear-groups /bin/true",
    "setpriv --reuid=5 --regid=60 --init-groups --inh-caps=-all /bin/true",
    "setpriv --reuid 5 --keep-groups /bin/true",
    "setpriv --reuid=daemon --init-groups /bin/true",
    "capsh --is-uid=0 --has-b=cap_chown --has-p=cap_chown --shell=/bin/true --",
    "setpriv --groups 3,1,2 /bin/true",
    "setpriv --no-new-privs --inh-caps=+net_raw,+chown,-net_raw --ambient-caps=+chown /bin/true",
    "setpriv --bounding-set=-all,+net_bind_service --securebits=+noroot,+noroot_locked /bin/true",
    "setpriv --reuid=5 --inh-caps=+net_bind_service --ambient-caps=+net_bind_service /bin/true",
    "setpriv --ruid=5 --euid=6 --rgid=7 --egid=8 --keep-groups /bin/true",
    "capsh --keep=1 --uid=5 --caps=cap_net_raw=eip --addamb=cap_net_raw --shell=/bin/true -- a",
    "capsh --caps=cap_net_raw,cap_setpcap,cap_setuid,cap_setgid=eip --user=daemon --addamb=cap_net_raw --shell=/bin/true --",
    "capsh --user=daemon --shell=/bin/true --",
    "capsh --drop=cap_net_raw,cap_chown --secbits=0x10 --shell=/bin/true --",
    "capsh --inh=cap_net_raw --gid=5 --groups=5,mail --no-new-privs --shell=/bin/true -- -c x",
    "capsh --inh=cap_net_raw --addamb=cap_net_raw --delamb=cap_net_raw --cap-uid=5 --shell=/bin/true --",
    "capsh --inh=cap_net_raw --addamb=cap_net_raw --noamb --shell=/bin/true --",
    "chroot --userspec=5:6 --groups=7,8 / /bin/true",
    "chroot --userspec=daemon / /bin/true",
    "chroot / /bin/true",
    "timeout -k 5 --signal=TERM 5 /bin/true -k",
    "nohup /bin/true",
    "nice -n 5 /bin/true -n",
    "nice --adjustment 5 /bin/true",
    "env -i -u HOME A=b /bin/true A=c",
    "env -S /bin/true -x",
    "env -S/bin/true -x",
    "stdbuf -oL -e0 /bin/true",
    "setsid /bin/true -f",
    "ionice -c3 /bin/true",
    "taskset 1 /bin/true",
    "chrt -o 0 /bin/true",
    "unshare -m -u /bin/true",
    "busybox env A=b /bin/true",
    "busybox timeout 3 /bin/true",
    "busybox chroot / /bin/true",
    "busybox setpriv --nnp /bin/true",
    "busybox start-stop-daemon -S -x /bin/true -c daemon",
    "start-stop-daemon --start --chuid daemon --exec /bin/true -- a",
    "runuser daemon -s /bin/true -c x",
    "su daemon -s /bin/true",
    "su -s /bin/true -c x - daemon",
]
"""Command lines that end in executing /bin/true."""

IN_CI = frozenset(["tini", "dumb-init", "gosu", "setpriv", "capsh", "runuser", "chroot", "busybox", "su"])
"""What `.ci/run` installs, beside what every Debian has; the others are judged where they are at hand."""


@dataclass(frozen=True, slots=True)
class Traced:
    calls: tuple[Syscall, ...]
    argv: tuple[str, ...]


@pytest.mark.parametrize("line", WRAPPED)
def test_the_real_program_does_the_same(
    line: str, tool: Callable[[str], str], root: None, tmp_path: Path
) -> None:
    argv = line.split()
    for name in [argv[0], *(word for word in argv if word.startswith("s6-"))]:
        if name in IN_CI:
            tool(name)
        elif not any(os.access(f"{place}/{name}", os.X_OK) for place in PLACES):
            pytest.skip(f"needs {name}")
    traced = trace(tool("strace"), argv, tmp_path / "log")
    if "su" in argv[0] or "runuser" in argv[0]:  # modules of PAM become the user for a moment
        kept = tuple(call for call in traced.calls if not isinstance(call, (Setreuid, Setregid)))
        traced = Traced(kept, (END, *traced.argv[1:]))  # and argv[0] of a shell is its base name
    assert follow(argv, credentials()) == traced


SCRIPTS = ["tini -s --", "dumb-init", "catatonit", "setpriv --nnp", "env", "timeout 5", "busybox env", "gosu 0",
    "s6-setuidgid root", "chpst -u root", "sh -c", "bash -c", "dash -c", "busybox sh -c"]  # fmt: skip


@pytest.mark.parametrize("line", SCRIPTS)
def test_a_script_without_a_first_line(line: str, tmp_path: Path) -> None:
    argv = line.split()
    if not any(os.access(f"{place}/{argv[0]}", os.X_OK) for place in PLACES):
        pytest.skip(f"needs {argv[0]}")
    script = tmp_path / "script"
    script.write_text("echo started\n")
    script.chmod(0o755)
    real = subprocess.run([*argv, str(script)], capture_output=True, timeout=20, check=False)
    files = HostFiles()
    found = falls_back_to_sh(find_program(files, argv, ENV), files)
    assert found == (real.stdout == b"started\n")


PLACES = ["/usr/sbin", "/usr/bin", "/sbin", "/bin"]


def credentials() -> Credentials:
    """What this process holds, with full permitted and effective sets."""
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    status = dict(line.split(":\t", 1) for line in lines if ":\t" in line)
    caps = ThreadCaps(
        **{
            name: Caps(int(status[key], 16))
            for name, key in [
                ("permitted", "CapPrm"),
                ("effective", "CapEff"),
                ("inheritable", "CapInh"),
                ("bounding", "CapBnd"),
                ("ambient", "CapAmb"),
            ]
        }
    )
    return Credentials.of_user(0, 0, tuple(map(int, status["Groups"].split())), caps)


def follow(argv: list[str], cred: Credentials) -> Traced:
    """Step by step until /bin/true."""
    files = HostFiles()
    calls: list[Syscall] = []
    step = Executes(tuple(argv), env=ENV)
    for _ in range(5):
        program = find_program(files, step.argv, step.env, step.working_dir)
        following = next_argv(program, step.argv, step.env, files, cred, step.working_dir)
        if not isinstance(following, Executes):
            break
        step = following
        calls += step.calls
    return Traced(tuple(map(plain, calls)), step.argv)


def plain(call: Syscall) -> Syscall:
    """As the kernel keeps it."""
    return Setgroups(tuple(sorted(set(call.groups)))) if isinstance(call, Setgroups) else call


def trace(strace: str, argv: list[str], log: Path) -> Traced:
    """The calls of the process that executes /bin/true in the end, and of those before it."""
    subprocess.run(
        [strace, "-f", "-qq", "-s", "200", "-o", log, "-e", f"trace={TRACED}", "-e", "signal=none", *argv],
        env={"PATH": ENV[0].removeprefix("PATH="), "SHELL": "/bin/sh"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=20,
        check=False,
    )
    lines = [re.match(r"(\d+) +(\w+)\((.*)\) += 0$", line) for line in log.read_text().splitlines()]
    seen = [(match[1], match[2], match[3]) for match in lines if match is not None]
    end = next((pid for pid, name, text in seen if name == "execve" and text.startswith(f'"{END}"')), None)
    assert end is not None, log.read_text()
    calls: list[Syscall] = []
    for pid, name, text in seen:
        if name == "execve" and text.startswith(f'"{END}"'):
            arguments = text.split(", ", 1)[1].rsplit("]", 1)[0]
            return Traced(tuple(calls), tuple(re.findall(r'"((?:[^"\\]|\\.)*)"', arguments)))
        if pid in (seen[0][0], end) and (call := parsed(name, text)) is not None:
            calls.append(call)
    raise AssertionError(log.read_text())


def parsed(name: str, text: str) -> Syscall | None:
    """One line of strace."""
    numbers = [int(one) for one in re.findall(r"-?\b\d+\b", text)] if "CAP" not in text else []
    simple = {
        "setuid": Setuid, "setgid": Setgid, "setreuid": Setreuid, "setregid": Setregid,
        "setresuid": Setresuid, "setresgid": Setresgid,
    }  # fmt: skip
    if name in simple:
        return simple[name](*numbers)  # type: ignore[no-any-return]
    if name == "setgroups":
        return Setgroups(tuple(sorted(set(numbers[1:]))))
    if name == "capset":
        found = dict(re.findall(r"(effective|permitted|inheritable)=([^,}]*)", text))
        return Capset(**{key: caps(value) for key, value in found.items()})
    option, *rest = text.split(", ")
    match option:
        case "PR_CAPBSET_DROP":
            return CapbsetDrop(Cap[rest[0].removeprefix("CAP_")])
        case "PR_SET_KEEPCAPS":
            return SetKeepcaps(rest[0] == "1")
        case "PR_SET_NO_NEW_PRIVS":
            return SetNoNewPrivs()
        case "PR_SET_SECUREBITS":
            return SetSecurebits(sum(Securebits[one.removeprefix("SECBIT_")] for one in rest[0].split("|")))
        case "PR_CAP_AMBIENT" if rest[0] == "PR_CAP_AMBIENT_CLEAR_ALL":
            return AmbientClearAll()
        case "PR_CAP_AMBIENT" if rest[0] in ("PR_CAP_AMBIENT_RAISE", "PR_CAP_AMBIENT_LOWER"):
            cap = Cap[rest[1].removeprefix("CAP_")]
            return AmbientRaise(cap) if rest[0].endswith("RAISE") else AmbientLower(cap)
    return None


def caps(text: str) -> Caps:
    return Caps.of(*(Cap[one.removeprefix("1<<CAP_")] for one in text.split("|") if one != "0"))
