# SPDX-License-Identifier: Apache-2.0
"""What AT_SECURE takes from a program: predicted from the image, and judged by the loaders themselves in a root of their own."""

from __future__ import annotations

import os
import shutil
import struct
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from caplet.errors import InvalidInput
from caplet.image.loader import Through
from caplet.image.rootfs import File, Rootfs
from caplet.image.secure import GLIBC_REMOVES, MUSL_IGNORES, Secure, lost_when_secure

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

NOBODY = 65534
NET_RAW = bytes.fromhex("0100000200200000000000000000000000000000")
"""cap_net_raw=ep: what makes execve set AT_SECURE."""

LOADERS = {
    "glibc": ("gcc", ["/lib64/ld-linux-x86-64.so.2", "/lib/x86_64-linux-gnu/libc.so.6"]),
    "musl": ("musl-gcc", ["/lib/ld-musl-x86_64.so.1"]),
}
ONLY_X86_64 = pytest.mark.skipif(
    os.uname().machine != "x86_64", reason="the loaders' paths are those of x86-64"
)


@dataclass
class Tree:
    """A root directory with one C library, and the same files as `Files`."""

    root: Path
    libc: str
    compiler: str
    programs: list[str] = field(default_factory=list)

    def build(self, path: str, source: str, *flags: str) -> None:
        target = self.root / path.lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        argv = [self.compiler, "-x", "c", "-", "-x", "none", "-o", str(target), *flags]
        subprocess.run(argv, input=source.encode(), check=True, capture_output=True)

    def library(self, path: str, answer: int, *flags: str, needs: str = "", function: str = "a") -> None:
        """A library whose function returns `answer`, or what the library `needs` returns."""
        called = f"int b(void); int {function}(void) {{ return b(); }}" if needs else ""
        source = called or f"int {function}(void) {{ return {answer}; }}"
        needed = [self._host(needs)] if needs else []
        self.build(
            path, source, "-shared", "-fPIC", f"-Wl,-soname,{path.rpartition('/')[2]}", *needed, *flags
        )

    def program(self, path: str, library: str, *flags: str, dtags: str = "--enable-new-dtags") -> None:
        source = "int a(void); int main(void) { return a(); }"
        links = ["-Wl,--allow-shlib-undefined", f"-Wl,{dtags}", self._host(library)]
        self.build(path, source, *links, *flags)
        self.programs.append(path)

    def _host(self, path: str) -> str:
        return str(self.root / path.lstrip("/"))

    def write(self, path: str, data: bytes) -> None:
        target = self.root / path.lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data)

    def files(self) -> Rootfs:
        found: dict[str | bytes, File | bytes] = {}
        for path in sorted(self.root.rglob("*")):
            name = "/" + str(path.relative_to(self.root))
            if name.startswith("/proc"):
                continue
            if path.is_dir():
                found[name] = File(directory=True, mode=0o755)
            else:
                found[name] = File(path.read_bytes(), 0o755)
        return Rootfs.of(found)

    def run(self, path: str, env: dict[str, str], working_dir: str = "/", *, secure: bool) -> tuple[int, str]:
        """(exit code, what it wrote) as user nobody."""
        program = str(self.root / path.lstrip("/"))
        link = self.root / "proc/self/exe"  # what the loaders ask for $ORIGIN
        link.parent.mkdir(parents=True, exist_ok=True)
        link.unlink(missing_ok=True)
        link.symlink_to(path)
        if secure:
            os.setxattr(program, "security.capability", NET_RAW)

        def enter() -> None:
            os.chroot(self.root)
            os.chdir(working_dir)
            os.setgroups([])
            os.setgid(NOBODY)
            os.setuid(NOBODY)

        done = subprocess.run(
            [path], env=env, preexec_fn=enter, capture_output=True, text=True, check=False, executable=path
        )
        if secure:
            os.removexattr(program, "security.capability")
        return done.returncode, done.stderr + done.stdout


@pytest.fixture
def open_directory(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """One that other users reach."""
    path = Path("/var/tmp") / f"caplet-secure-{os.getpid()}"
    path.mkdir(mode=0o755)
    path.chmod(0o755)
    yield path
    shutil.rmtree(path)


def tree(libc: str, directory: Path, tool: Callable[[str], str]) -> Tree:
    name, needed = LOADERS[libc]
    if libc == "musl" and shutil.which(name) is None:
        pytest.skip("needs musl-gcc")
    made = Tree(directory, libc, tool(name))
    for path in needed:
        made.write(path, Path(path).read_bytes())
        (directory / path.lstrip("/")).chmod(0o755)
    return made


@dataclass(frozen=True)
class Case:
    """A program that needs liba.so, which may need libb.so."""

    runpath: str = ""
    program: str = "/opt/x/bin/p"
    a: str = "/opt/x/lib/liba.so"
    b: str = ""
    b_runpath: str = ""
    """Run path of liba.so."""
    rpath: bool = False
    """DT_RPATH instead of DT_RUNPATH."""
    env: str = ""
    """LD_LIBRARY_PATH."""
    other: str = ""
    """Another liba.so, with another answer."""
    conf: str = ""
    """A directory for /etc/ld.so.conf, and ldconfig; for musl the path file."""
    flags: tuple[str, ...] = ()
    working_dir: str = "/"
    lost: tuple[str, ...] = ()
    """What must be said to be lost: a table that the loaders check, and a reader sees."""


CASES = {
    "default directory": Case(a="/usr/lib/liba.so"),
    "runpath with $ORIGIN": Case("$ORIGIN/../lib", lost=("liba.so",)),
    "runpath with ${ORIGIN}": Case("${ORIGIN}/../lib", lost=("liba.so",)),
    "rpath with $ORIGIN": Case("$ORIGIN/../lib", rpath=True, lost=("liba.so",)),
    "absolute runpath": Case("/opt/x/lib"),
    "absolute rpath": Case("/opt/x/lib", rpath=True),
    "absolute before $ORIGIN": Case("/nowhere:$ORIGIN/../lib", lost=("liba.so",)),
    "$ORIGIN before absolute": Case("$ORIGIN/../no:/opt/x/lib"),
    "below /usr/lib": Case("$ORIGIN/../lib", program="/usr/lib/x/bin/p", a="/usr/lib/x/lib/liba.so"),
    "out of /usr/lib": Case("$ORIGIN/../../../../opt/x/lib", program="/usr/lib/x/bin/p", lost=("liba.so",)),
    "into /usr/lib": Case("$ORIGIN/../../../usr/lib/y", a="/usr/lib/y/liba.so"),
    "$ORIGIN in the middle": Case("/.$ORIGIN/../lib", lost=("liba.so",)),
    "a library's own $ORIGIN": Case("/opt/x/lib", b="/opt/x/lib/libb.so", b_runpath="$ORIGIN"),
    "both with $ORIGIN": Case(
        "$ORIGIN/../lib", b="/opt/x/lib/libb.so", b_runpath="$ORIGIN", lost=("liba.so",)
    ),
    "rpath is inherited": Case(
        "$ORIGIN/../lib", b="/opt/x/lib/libb.so", rpath=True, lost=("liba.so", "libb.so")
    ),
    "absolute rpath is inherited": Case("/opt/x/lib", b="/opt/x/lib/libb.so", rpath=True),
    "LD_LIBRARY_PATH": Case(env="/opt/x/lib", lost=("liba.so",)),
    "LD_LIBRARY_PATH for a library": Case("/opt/x/lib", b="/opt/y/libb.so", env="/opt/y", lost=("libb.so",)),
    "LD_LIBRARY_PATH with $ORIGIN": Case(env="$ORIGIN/../lib", lost=("liba.so",)),
    "LD_LIBRARY_PATH before the default": Case(env="/opt/x/lib", other="/usr/lib/liba.so", lost=("liba.so",)),
    "LD_LIBRARY_PATH that is not needed": Case("/opt/x/lib", env="/opt/y"),
    "runpath behind LD_LIBRARY_PATH": Case(
        "/opt/x/lib", a="/opt/y/liba.so", env="/opt/y", other="/opt/x/lib/liba.so", lost=("liba.so",)
    ),
    "rpath before LD_LIBRARY_PATH": Case("/opt/x/lib", rpath=True, env="/opt/y", other="/opt/y/liba.so"),
    "relative runpath": Case("lib", working_dir="/opt/x"),
    "empty element": Case(":/nowhere", a="/opt/x/liba.so", working_dir="/opt/x"),
    "configured directory": Case(conf="/opt/x/lib"),
    "configured instead of $ORIGIN": Case("$ORIGIN/../lib", conf="/opt/x/lib"),
    "configured, another file": Case(
        "$ORIGIN/../lib", conf="/opt/z", other="/opt/z/liba.so", lost=("liba.so",)
    ),
    "no default directories": Case(
        "/lib/x86_64-linux-gnu:$ORIGIN/../lib",
        flags=("-Wl,-z,nodefaultlib",),
        other="/usr/lib/liba.so",
        lost=("liba.so",),
    ),
    "processor's directory": Case("/opt/x/lib", a="/opt/x/lib/glibc-hwcaps/x86-64-v2/liba.so"),
    "processor's directory by $ORIGIN": Case(
        "$ORIGIN/../lib", a="/opt/x/lib/glibc-hwcaps/x86-64-v2/liba.so", lost=("liba.so",)
    ),
    "$LIB": Case("/opt/x/$LIB", a="/opt/x/lib/x86_64-linux-gnu/liba.so"),
    "$PLATFORM": Case("/opt/x/$PLATFORM", a="/opt/x/x86_64/liba.so"),
    "java": Case(
        "$ORIGIN/../lib", program="/opt/jdk/bin/java", a="/opt/jdk/lib/libjli.so", lost=("libjli.so",)
    ),
    "java below /usr/lib/jvm": Case(
        "$ORIGIN/../lib", program="/usr/lib/jvm/jdk/bin/java", a="/usr/lib/jvm/jdk/lib/libjli.so"
    ),
}
MUSL = {
    "default directory": Case(a="/usr/lib/liba.so"),
    "runpath with $ORIGIN": CASES["runpath with $ORIGIN"],
    "rpath with ${ORIGIN}": Case("${ORIGIN}/../lib", rpath=True, lost=("liba.so",)),
    "absolute runpath": CASES["absolute runpath"],
    "absolute beside $ORIGIN": Case("/opt/x/lib:$ORIGIN/../no", lost=("liba.so",)),
    "below /usr/lib": Case(
        "$ORIGIN/../lib", program="/usr/lib/x/bin/p", a="/usr/lib/x/lib/liba.so", lost=("liba.so",)
    ),
    "a library's own $ORIGIN": CASES["a library's own $ORIGIN"],
    "runpath is inherited": Case("/opt/x/lib", b="/opt/x/lib/libb.so"),
    "runpath with $ORIGIN is inherited": Case(
        "$ORIGIN/../lib", b="/opt/x/lib/libb.so", lost=("liba.so", "libb.so")
    ),
    "LD_LIBRARY_PATH": CASES["LD_LIBRARY_PATH"],
    "LD_LIBRARY_PATH before the default": CASES["LD_LIBRARY_PATH before the default"],
    "LD_LIBRARY_PATH before runpath": Case(
        "/opt/x/lib", a="/opt/y/liba.so", env="/opt/y", other="/opt/x/lib/liba.so", lost=("liba.so",)
    ),
    "relative runpath": CASES["relative runpath"],
    "path file": Case(conf="/opt/x/lib"),
    "path file instead of $ORIGIN": Case("$ORIGIN/../lib", conf="/opt/x/lib"),
    "path file hides the default": Case(
        "$ORIGIN/../lib", conf="/nowhere", other="/usr/lib/liba.so", lost=("liba.so",)
    ),
}

USUAL, OTHER = 41, 42


def make(case: Case, made: Tree) -> dict[str, str]:
    """Builds it; returns the environment."""
    if case.b:
        made.library(case.b, USUAL, function="b")
    tags = "--disable-new-dtags" if case.rpath else "--enable-new-dtags"
    own = [f"-Wl,-rpath,{case.b_runpath}"] if case.b_runpath else []
    made.library(case.a, USUAL, *own, needs=case.b)
    run_path = [f"-Wl,-rpath,{case.runpath}"] if case.runpath else []
    made.program(case.program, case.a, *run_path, *case.flags, dtags=tags)
    if case.other:
        made.library(case.other, OTHER)
    if case.conf:
        configure(case.conf, made)
    return {"LD_LIBRARY_PATH": case.env} if case.env else {}


def configure(directory: str, made: Tree) -> None:
    if made.libc == "musl":
        made.write("/etc/ld-musl-x86_64.path", directory.encode())
        return
    made.write("/etc/ld.so.conf", directory.encode() + b"\n")
    subprocess.run(["/sbin/ldconfig", "-r", made.root], check=True, capture_output=True)


@ONLY_X86_64
@pytest.mark.parametrize("name", CASES)
def test_glibc(name: str, open_directory: Path, tool: Callable[[str], str], root: None) -> None:
    judge(CASES[name], tree("glibc", open_directory, tool))


@ONLY_X86_64
@pytest.mark.parametrize("name", MUSL)
def test_musl(name: str, open_directory: Path, tool: Callable[[str], str], root: None) -> None:
    judge(MUSL[name], tree("musl", open_directory, tool))


def judge(case: Case, made: Tree) -> None:
    env = make(case, made)
    environ = [f"{name}={value}" for name, value in env.items()]
    found = lost_when_secure(made.files(), case.program.encode(), environ, case.working_dir)
    assert (found.loader, tuple(one.name for one in found.lost)) == (made.libc, case.lost)
    assert made.run(case.program, env, case.working_dir, secure=False)[0] == USUAL
    code, said = made.run(case.program, env, case.working_dir, secure=True)
    if found.starts:
        assert code == (OTHER if found.lost else USUAL), said
        return
    assert code == 127
    assert next(one.name for one in found.lost if one.instead is None) in said
    mend(case, found, made, env)


def mend(case: Case, found: Secure, made: Tree, env: dict[str, str]) -> None:
    """The first remedy: what is lost is configured; then the program starts."""
    directories = dict.fromkeys(str(Path(os.path.normpath(one.found)).parent) for one in found.lost)
    for one in found.lost:
        assert str(Path(os.path.normpath(one.found)).parent) in one.remedies[0]
    if "nodefaultlib" in str(case.flags) or any("hwcaps" in one for one in directories):
        return
    configure("\n".join(directories), made)
    assert made.run(case.program, env, case.working_dir, secure=True)[0] == USUAL
    environ = [f"{name}={value}" for name, value in env.items()]
    again = lost_when_secure(made.files(), case.program.encode(), environ, case.working_dir)
    assert again.starts


@ONLY_X86_64
def test_origin_in_what_is_needed_is_fatal(
    open_directory: Path, tool: Callable[[str], str], root: None
) -> None:
    made = tree("glibc", open_directory, tool)
    made.build(
        "/opt/x/lib/liba.so",
        "int a(void) { return 41; }",
        "-shared",
        "-fPIC",
        "-Wl,-soname,$ORIGIN/../lib/liba.so",
    )
    made.program("/opt/x/bin/p", "/opt/x/lib/liba.so")
    found = lost_when_secure(made.files(), b"/opt/x/bin/p")
    assert not found.starts
    assert made.run("/opt/x/bin/p", {}, secure=False)[0] == USUAL
    code, said = made.run("/opt/x/bin/p", {}, secure=True)
    assert code == 127
    assert (
        said.rpartition(": ")[2].strip()
        in found.fatal
        == ("/opt/x/bin/p needs $ORIGIN/../lib/liba.so: DST not allowed in SUID/SGID programs")
    )


VARIABLES = sorted(
    GLIBC_REMOVES
    | {
        "LD_BIND_NOW", "LD_WARN", "LD_USE_LOAD_BIAS", "JAVA_TOOL_OPTIONS", "PYTHONPATH", "NODE_OPTIONS", "HOME", "TZ",
        "LANG", "PATH", "MALLOC_ARENA_MAX",
    }
)  # fmt: skip


@ONLY_X86_64
@pytest.mark.parametrize("libc", ["glibc", "musl"])
def test_variables(libc: str, open_directory: Path, tool: Callable[[str], str], root: None) -> None:
    made = tree(libc, open_directory, tool)
    source = "#include <stdio.h>\nextern char **environ;\nint main(void) { for (char **e = environ; *e; e++) puts(*e); return 0; }"
    made.build("/bin/p", source)
    env = dict.fromkeys(VARIABLES, "/x")
    said = made.run("/bin/p", env, secure=True)[1]
    seen = {line.partition("=")[0] for line in said.splitlines()}
    environ = [f"{name}={value}" for name, value in env.items()]
    found = lost_when_secure(made.files(), b"/bin/p", environ)
    if libc == "musl":
        assert seen == set(VARIABLES)
        assert set(found.variables) == MUSL_IGNORES
        return
    since_2_39 = {"GLIBC_TUNABLES"}  # before, what is in it is not acted on
    assert set(VARIABLES) - seen - since_2_39 == set(found.variables) - since_2_39


@ONLY_X86_64
@pytest.mark.parametrize("libc", ["glibc", "musl"])
def test_preload(libc: str, open_directory: Path, tool: Callable[[str], str], root: None) -> None:
    made = tree(libc, open_directory, tool)
    made.library("/usr/lib/liba.so", USUAL)
    made.library("/opt/libother.so", OTHER)
    made.library("/usr/lib/libnamed.so", OTHER)
    made.program("/bin/p", "/usr/lib/liba.so")
    for preload in ("/opt/libother.so", "libnamed.so"):
        found = lost_when_secure(made.files(), b"/bin/p", [f"LD_PRELOAD={preload}"])
        assert (found.preload, found.starts) == ((preload,), True)
        assert made.run("/bin/p", {"LD_PRELOAD": preload}, secure=False)[0] == OTHER
        assert made.run("/bin/p", {"LD_PRELOAD": preload}, secure=True)[0] == USUAL


@ONLY_X86_64
def test_a_static_program_loses_nothing(open_directory: Path, tool: Callable[[str], str]) -> None:
    made = tree("glibc", open_directory, tool)
    made.build("/bin/p", "int main(void) { return 41; }", "-static")
    assert lost_when_secure(made.files(), b"/bin/p", ["LD_LIBRARY_PATH=/x"]) == Secure()


def test_what_is_said() -> None:
    program = Path("/bin/ls").read_bytes()
    files = Rootfs.of({"/bin/p": File(program, 0o755)})
    found = lost_when_secure(files, b"/bin/p")
    assert (found.loader, found.starts) == ("unknown", True)
    assert "is missing, or not a loader that is known" in found.notes[0]


@ONLY_X86_64
def test_why_and_what_mends_it(open_directory: Path, tool: Callable[[str], str]) -> None:
    made = tree("glibc", open_directory, tool)
    make(CASES["java"], made)
    (lost,) = lost_when_secure(made.files(), b"/opt/jdk/bin/java").lost
    assert (lost.needed_by, lost.found, lost.through) == (
        "/opt/jdk/bin/java",
        "/opt/jdk/bin/../lib/libjli.so",
        Through.RUNPATH,
    )
    assert lost.why.startswith("DT_RUNPATH $ORIGIN/../lib of /opt/jdk/bin/java: under AT_SECURE glibc")
    assert lost.remedies == (
        "echo /opt/jdk/lib > /etc/ld.so.conf.d/lib.conf && ldconfig",
        "patchelf --set-rpath /opt/jdk/lib /opt/jdk/bin/java, then setcap again",
    )


def test_what_node_ignores_by_itself() -> None:
    files = Rootfs.of({"/usr/local/bin/node": File(Path("/bin/ls").read_bytes(), 0o755)})
    found = lost_when_secure(files, b"/usr/local/bin/node", ["NODE_OPTIONS=-x", "NODE_ENV=y"])
    assert "node itself ignores NODE_OPTIONS under AT_SECURE" in found.notes[-1]
    assert len(lost_when_secure(files, b"/usr/local/bin/node", ["NODE_ENV=y"]).notes) == 1


def test_what_is_no_program() -> None:
    files = Rootfs.of({"/d": File(directory=True, mode=0o755), "/text": b"hello", "/short": b"\x7fELF"})
    for path in (b"/d", b"/text", b"/short", b"/gone"):
        with pytest.raises(InvalidInput):
            lost_when_secure(files, path)


def test_broken_files_raise_invalid_input_only(tool: Callable[[str], str]) -> None:
    """Cut short at every place of the head, and with bytes flipped: said, never a traceback."""
    program = Path(tool("ls")).read_bytes()
    for data in broken(program):
        files = Rootfs.of({"/p": data, "/lib64/ld-linux-x86-64.so.2": b"\0/lib/\0/usr/lib/\0ld.so.cache\0"})
        try:
            lost_when_secure(files, b"/p", ["LD_LIBRARY_PATH=/x:$ORIGIN:/y"])
        except InvalidInput:
            continue


def broken(program: bytes) -> Iterator[bytes]:
    (table,) = struct.unpack_from("<Q", program, 32)
    for size in [*range(0, 900, 13), len(program) // 2]:
        yield program[:size]
    for place in [*range(16, 64), *range(table, table + 56 * 8, 3)]:
        for value in (0, 0x7F, 0xFF):
            yield program[:place] + bytes([value]) + program[place + 1 :]
