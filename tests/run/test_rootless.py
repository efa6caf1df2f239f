# SPDX-License-Identifier: Apache-2.0
"""as_root(): an ordinary user becomes root of a user namespace, or is told what is missing."""

from __future__ import annotations

import os
import subprocess
import sys
import traceback
from typing import TYPE_CHECKING

import pytest

from caplet.cli import demo as demo_cli
from caplet.errors import CapletError, InvalidInput, Unavailable
from caplet.kernel.caps import Cap
from caplet.programs import shipped
from caplet.run import linux, rootless
from caplet.run.rootless import as_root

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = [pytest.mark.usefixtures("root"), pytest.mark.root]

UID = 12345


def as_user(work: Callable[[], object], tmp_path: Path, subids: str = "tester:1000000:65536\n") -> str:
    """What `work` says, done in a child that is an ordinary user with this /etc/subuid, seen by nobody else."""
    (tmp_path / "passwd").write_text(f"root:x:0:0::/:/bin/sh\ntester:x:{UID}:{UID}::/:/bin/sh\n")
    (tmp_path / "subids").write_text(subids)
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(reader)
        try:
            linux.unshare(linux.CLONE_NEWNS)
            linux.make_private("/")
            linux.bind(str(tmp_path / "passwd"), "/etc/passwd")
            for file in ("/etc/subuid", "/etc/subgid"):
                linux.bind(str(tmp_path / "subids"), file)
            os.setgroups([])
            os.setresgid(UID, UID, UID)
            os.setresuid(UID, UID, UID)
            said = str(work())
        except CapletError as error:
            said = f"{type(error).__name__}: {error.message} / {error.hint}"
        except BaseException:  # noqa: BLE001  # a forked child must not return into pytest
            said = traceback.format_exc()
        os.write(writer, said.encode())
        os._exit(0)
    os.close(writer)
    with open(reader, "rb") as stream:
        said_there = stream.read().decode()
    os.waitpid(pid, 0)
    return said_there


def test_root_stays_where_it_is() -> None:
    assert as_root(os.getpid) == os.getpid()


@pytest.mark.parametrize("cap", [cap.name for cap in rootless.NEEDED if isinstance(cap, Cap)])
def test_a_root_that_lacks_a_needed_capability_is_told_which(
    cap: str, tool: Callable[[str], str], tmp_path: Path
) -> None:
    """Each is really needed: without the check the demo would end otherwise than it must."""
    argv = [tool("setpriv"), f"--bounding-set=-{cap.lower()}", sys.executable, "-m", "caplet", "demo"]
    done = subprocess.run(argv, capture_output=True, text=True, check=False, cwd=tmp_path)
    said = f"caplet: root lacks capabilities here that a container is made with: {cap}\n"
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(said)
    script = "import sys\nfrom caplet.cli.demo import tell\nsys.exit(tell())"
    unchecked = [*argv[:2], sys.executable, "-c", script]
    assert subprocess.run(unchecked, capture_output=True, check=False, cwd=tmp_path).returncode != 0


def test_a_root_that_is_alone_in_its_namespace_is_told_so(tool: Callable[[str], str]) -> None:
    argv = [tool("unshare"), "--user", "--map-root-user", sys.executable, "-m", "caplet", "demo"]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert "this user namespace has no id 65535" in done.stderr


def test_a_user_becomes_root_with_the_ids_of_a_container(tool: Callable[[str], str], tmp_path: Path) -> None:
    tool("newuidmap")

    def look() -> int:
        with open("/proc/self/uid_map", "rb") as id_map:
            numbers = [int(word) for word in id_map.read().split()]
        assert numbers == [0, UID, 1, 1, 1000000, 65535]
        assert (os.getresuid(), os.getresgid(), os.getgroups()) == ((0, 0, 0), (0, 0, 0), [])
        os.setresuid(65535, 65535, 65535)
        return 42

    assert as_user(lambda: as_root(look), tmp_path) == "42"


@pytest.mark.usefixtures("reachable")
def test_the_demo_is_the_same_for_a_user(tool: Callable[[str], str], tmp_path: Path) -> None:
    tool("newuidmap")
    program = str(shipped.path("http"))
    demo_cli.tell()  # imports what the user may not be able to read; the prober, a child, does so for itself:
    assert "127.0.0.1".encode("idna")

    def tell() -> int:
        os.stat(program)
        return as_root(demo_cli.tell)

    assert as_user(tell, tmp_path) == "0"


def raises(error: CapletError) -> Callable[[], int]:
    def main() -> int:
        raise error

    return main


def test_an_error_inside_is_raised_outside(tool: Callable[[str], str], tmp_path: Path) -> None:
    tool("newuidmap")
    assert (
        as_user(lambda: as_root(raises(InvalidInput("no", "try yes"))), tmp_path)
        == "InvalidInput: no / try yes"
    )
    assert (
        as_user(lambda: as_root(raises(Unavailable("x" * 70_000))), tmp_path)
        == f"Unavailable: {'x' * 70_000} / "
    )
    assert as_user(lambda: as_root(lambda: 1 // 0), tmp_path).startswith("CapletError: ZeroDivisionError")


LACKING = {
    "no range": ("", 100000),
    "another user's": ("root:100000:65536\n", 165536),
    "a gap": ("root:400000:65536\nother:100000:100000\n", 200000),
    "a gap that is too short": ("root:100000:65536\nother:200000:65536\n", 265536),
    "a short one": ("tester:100000:65534\n", 165534),
    "nonsense": ("tester\ntester:\ntester:x:y\n::\n\0\n", 100000),
}


@pytest.mark.parametrize(("subids", "free"), LACKING.values(), ids=list(LACKING))
def test_without_a_range_of_ids_the_remedy_is_named(subids: str, free: int, tmp_path: Path) -> None:
    """One command for both files, with ids that nobody has: `usermod` takes what it is given, also another user's."""
    said = as_user(lambda: as_root(lambda: 0), tmp_path, subids)
    ids = f"{free}-{free + 65535}"
    assert said == (
        f"Unavailable: without root, a range of 65535 ids is needed, and /etc/subuid and /etc/subgid give user {UID} none / "
        f"sudo usermod --add-subuids {ids} --add-subgids {ids} tester, or run it as root: sudo caplet ..."
    )


def test_only_the_file_that_lacks_a_range_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    ranges = {"/etc/subuid": [(str(os.getuid()), 100000, 65536)], "/etc/subgid": [("other", 165536, 65536)]}
    monkeypatch.setattr(rootless, "_taken", lambda file: iter(ranges[file]))
    with pytest.raises(Unavailable) as caught:
        rootless._ranges()
    assert "and /etc/subgid gives user" in caught.value.message
    assert caught.value.hint.startswith("sudo usermod --add-subgids 231072-296607 ")


def test_without_newuidmap_the_package_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.which", lambda *_, **__: None)
    said = as_user(lambda: as_root(lambda: 0), tmp_path)
    assert said.startswith(
        "Unavailable: without root, newuidmap is needed, and is not installed / install it (apt"
    )


SWITCHES = {"limit": ("0", "user.max_user_namespaces=10000"), "none": ("", "cannot make a user namespace")}


@pytest.mark.parametrize("first", [True, False], ids=["at once", "afterwards, as AppArmor does"])
@pytest.mark.parametrize(("value", "said"), SWITCHES.values(), ids=list(SWITCHES))
def test_where_namespaces_are_forbidden_the_switch_is_named(
    first: bool,
    value: str,
    said: str,
    tool: Callable[[str], str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tool("newuidmap")
    real = linux.unshare

    def unshare(flags: int) -> None:
        if first or flags != linux.CLONE_NEWUSER:
            raise PermissionError(1, "Operation not permitted")
        real(flags)

    def work() -> int:
        monkeypatch.setattr(linux, "unshare", unshare)
        monkeypatch.setattr(
            rootless, "_content", lambda file: value if file.endswith("max_user_namespaces") else ""
        )
        return as_root(lambda: 0)

    told = as_user(work, tmp_path)
    assert told.startswith("Unavailable: ")
    assert said in told
    assert told.endswith("or run it as root: sudo caplet ...")
