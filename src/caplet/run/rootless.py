# SPDX-License-Identifier: Apache-2.0
"""Root without root: an ordinary user becomes uid 0 of a user namespace that also has the ids of containers.

user_namespaces(7) lets a user map just one id, its own; a container's root and its user are two. The further ones come
from /etc/subuid and /etc/subgid (subuid(5)) through the set-user-ID programs newuidmap(1) and newgidmap(1), as with
rootless Podman: id 0 is the user, ids 1 to 65535 are the first of its range.
"""

from __future__ import annotations

import contextlib
import json
import os
import pwd
import re
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING, NoReturn

from caplet.errors import CapletError, ImageError, InvalidInput, Unavailable
from caplet.kernel.caps import Cap, Caps
from caplet.run import linux
from caplet.run.available import own_credentials

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

IDS = 65536
"""Ids 0 to 65535: all that images and Pods commonly use, and the size of the range that adduser(8) gives to a user."""

NEEDED = Caps.of(
    Cap.CHOWN,
    Cap.DAC_OVERRIDE,
    Cap.FOWNER,
    Cap.FSETID,
    Cap.KILL,
    Cap.SETGID,
    Cap.SETUID,
    Cap.SETPCAP,
    Cap.NET_ADMIN,
    Cap.SYS_CHROOT,
    Cap.SYS_ADMIN,
    Cap.MKNOD,
    Cap.SETFCAP,
)
"""What making a container takes, found by taking one away after the other."""

_ROOT_HINT = "or run it as root: sudo caplet ..."
_ERRORS: dict[str, type[CapletError]] = {
    error.__name__: error for error in (CapletError, ImageError, InvalidInput, Unavailable)
}

RESTRICTIONS = {
    "/proc/sys/user/max_user_namespaces": ("0", "sysctl -w user.max_user_namespaces=10000"),
    "/proc/sys/kernel/unprivileged_userns_clone": ("0", "sysctl -w kernel.unprivileged_userns_clone=1"),
    "/proc/sys/kernel/apparmor_restrict_unprivileged_userns": (
        "1",
        "sysctl -w kernel.apparmor_restrict_unprivileged_userns=0",
    ),
}
"""File -> the value that forbids user namespaces to users, and the remedy: upstream's limit, Debian's and Ubuntu's switches."""


def as_root(main: Callable[[], int]) -> int:
    """What `main` returns, run as root: here where we are root, else in a child in a new user namespace.

    A CapletError that it raises there is raised here.
    """
    if os.geteuid() == 0:
        check_root()
        return main()
    tools = tuple(_tool(name) for name in ("newuidmap", "newgidmap"))
    ranges = _ranges()
    (ready, we_are_ready), (mapped, we_mapped), (answer, our_answer) = os.pipe(), os.pipe(), os.pipe()
    caller = os.getpid()
    sys.stdout.flush()
    pid = os.fork()
    if pid == 0:
        for fd in (ready, we_mapped, answer):
            os.close(fd)
        _child(main, caller, we_are_ready, mapped, our_answer)
    for fd in (we_are_ready, mapped, our_answer):
        os.close(fd)
    try:
        if os.read(ready, 1):
            for tool, start, own in zip(tools, ranges, (os.getuid(), os.getgid()), strict=True):
                _map(tool, pid, own, start)
            os.write(we_mapped, b"1")
    finally:
        os.close(we_mapped)
        os.close(ready)
        with open(answer, "rb") as stream:
            said = stream.read()
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    if said:
        error = json.loads(said)
        raise _ERRORS[error["kind"]](error["message"], error["hint"])
    return code if code >= 0 else 128 - code


def check_root() -> None:
    """Unavailable where root is less than root: with capabilities taken away, or alone in its user namespace."""
    if lacking := NEEDED - own_credentials().caps.effective:
        raise Unavailable(
            f"root lacks capabilities here that a container is made with: {', '.join(lacking.names())}",
            "run it on the machine itself, or in a container that was started with --privileged",
        )
    for file in ("/proc/self/uid_map", "/proc/self/gid_map"):
        ranges = [[int(word) for word in line.split()] for line in _content(file).splitlines()]
        if ranges and not any(first <= IDS - 1 < first + count for first, _, count in ranges):
            raise Unavailable(
                f"this user namespace has no id {IDS - 1}, which a container may need ({file})",
                "map ids 0 to 65535, as `podman unshare` does where /etc/subuid has a range",
            )


def _child(main: Callable[[], int], caller: int, ready: int, mapped: int, answer: int) -> NoReturn:
    code = 1
    try:
        linux.die_with_parent(caller)
        _unshare(linux.CLONE_NEWUSER)
        os.write(ready, b"1")
        if os.read(mapped, 1):
            os.setgroups([])
            os.setresgid(0, 0, 0)
            os.setresuid(0, 0, 0)
            # Ubuntu's AppArmor lets the namespace be made and then denies its root every capability.
            _unshare(linux.CLONE_NEWUTS)
            code = main()
            sys.stdout.flush()
    except CapletError as error:
        kind = type(error).__name__
        kind = kind if kind in _ERRORS else "CapletError"
        _say(answer, {"kind": kind, "message": error.message, "hint": error.hint})
    except BaseException as error:  # noqa: BLE001  # a forked child must not return into the caller's code
        _say(answer, {"kind": "CapletError", "message": f"{type(error).__name__}: {error}", "hint": ""})
    finally:
        os._exit(code)


def _say(answer: int, error: dict[str, str]) -> None:
    with contextlib.suppress(OSError):
        os.write(answer, json.dumps(error).encode())


def _unshare(namespace: int) -> None:
    try:
        linux.unshare(namespace)
    except OSError as error:
        for file, (value, remedy) in RESTRICTIONS.items():
            if _content(file) == value:
                raise Unavailable(
                    f"this machine lets only root use user namespaces: {file} is {value}",
                    f"{remedy}, {_ROOT_HINT}",
                ) from None
        raise Unavailable(f"cannot make a user namespace: {error.strerror}", _ROOT_HINT) from None


def _content(file: str) -> str:
    try:
        with open(file, encoding="ascii") as sysctl:
            return sysctl.read().strip()
    except OSError:
        return ""


def _tool(name: str) -> str:
    found = shutil.which(name, path=os.environ.get("PATH", os.defpath) + ":/usr/bin:/usr/sbin")
    if found is None:
        raise Unavailable(
            f"without root, {name} is needed, and is not installed",
            f"install it (apt install uidmap, dnf install shadow-utils), {_ROOT_HINT}",
        )
    return found


SUBORDINATE = {"/etc/subuid": "--add-subuids", "/etc/subgid": "--add-subgids"}
"""Where a user's ranges of ids stand (subuid(5)), and the option of usermod(8) that adds one."""
FIRST_SUBORDINATE = 100_000
"""SUB_UID_MIN of login.defs(5): below are the ids of users and services."""


def _ranges() -> tuple[int, int]:
    """The first user id and the first group id of a range of this user that is long enough."""
    names = {str(os.getuid())}
    with contextlib.suppress(KeyError):
        names.add(pwd.getpwuid(os.getuid()).pw_name)
    taken = {file: list(_taken(file)) for file in SUBORDINATE}
    found = {
        file: next((start for name, start, count in ranges if name in names and count >= IDS - 1), None)
        for file, ranges in taken.items()
    }
    uids, gids = found.values()
    if uids is not None and gids is not None:
        return uids, gids
    lacking = [file for file, start in found.items() if start is None]
    start = _free(taken)
    options = " ".join(f"{SUBORDINATE[file]} {start}-{start + IDS - 1}" for file in lacking)
    who = min(names, key=str.isdecimal)
    raise Unavailable(
        f"without root, a range of {IDS - 1} ids is needed, and {' and '.join(lacking)} "
        f"give{'s' if len(lacking) == 1 else ''} user {os.getuid()} none",
        f"sudo usermod {options} {who}, {_ROOT_HINT}",
    )


def _taken(file: str) -> Iterator[tuple[str, int, int]]:
    """User, first id and count of each line."""
    with contextlib.suppress(OSError), open(file, encoding="utf-8", errors="replace") as lines:
        for line in lines:
            name, _, rest = line.strip().partition(":")
            start, _, count = rest.partition(":")
            if re.fullmatch("[0-9]{1,10}", start) and re.fullmatch("[0-9]{1,10}", count):
                yield name, int(start), int(count)


def _free(taken: Mapping[str, Sequence[tuple[str, int, int]]]) -> int:
    """The first id of a range that nobody has, neither of users nor of groups, so that one range serves for both."""
    free = FIRST_SUBORDINATE
    for start, count in sorted((start, count) for ranges in taken.values() for _, start, count in ranges):
        if free + IDS <= start:
            break
        free = max(free, start + count)
    return free


def _map(tool: str, pid: int, own: int, start: int) -> None:
    """Inside: 0 is ourselves, 1 and on are the range."""
    argv = [tool, str(pid), "0", str(own), "1", "1", str(start), str(IDS - 1)]
    done = subprocess.run(argv, capture_output=True, text=True, errors="replace", check=False)
    if done.returncode != 0:
        raise Unavailable(
            f"{os.path.basename(tool)} failed: {done.stderr.strip() or done.returncode}", _ROOT_HINT
        )
