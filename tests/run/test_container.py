# SPDX-License-Identifier: Apache-2.0
"""Real containers: the kernel's sets against the model's, for every runtime; words, exit codes, probe, devices."""

from __future__ import annotations

import os
import signal
import threading
from typing import TYPE_CHECKING

import pytest
from tests.conftest import missing
from tests.run.containers import NBS, RUNTIMES, predicted, rootfs, spec

from caplet.errors import InvalidInput, Unavailable
from caplet.image.elf import read_elf
from caplet.image.layer import Entry, Kind, TarWriter
from caplet.image.rootfs import File, Rootfs
from caplet.kernel.caps import Cap, Caps
from caplet.programs.shipped import path
from caplet.run.container import RunResult, find_runtime, run_container
from caplet.run.engine import node_here, on_this_machine
from caplet.run.readback import read_probe
from caplet.runtimes.model import LinuxCapabilities, oci_names

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = [pytest.mark.root, pytest.mark.usefixtures("root")]

ROOTFS = rootfs()
NBS_CAPS = Caps.of(Cap.NET_BIND_SERVICE)


@pytest.fixture(params=RUNTIMES)
def runtime(request: pytest.FixtureRequest, tool: Callable[[str], str]) -> str:
    name: str = request.param
    if name != "embedded":
        tool(name)
    return name


@pytest.fixture
def busybox(tool: Callable[[str], str]) -> bytes:
    """A static one: test containers have no libraries."""
    with open(tool("busybox"), "rb") as program:
        if not read_elf(program).static:
            missing("a static busybox (apt install busybox-static)")
        program.seek(0)
        return program.read()


def run(
    runtime: str, *args: str, files: Rootfs = ROOTFS, probe: str | None = None, **more: object
) -> RunResult:
    return run_container(spec(*args, **more), files, runtime=runtime, probe=probe, relay=False)  # type: ignore[arg-type]


B_E_P = LinuxCapabilities.granted(NBS)
B_ONLY = LinuxCapabilities(bounding=NBS)
B_I = LinuxCapabilities(bounding=NBS, inheritable=NBS)
AMBIENT = LinuxCapabilities(NBS, NBS, NBS, NBS, NBS)
NOTHING = LinuxCapabilities()


@pytest.mark.parametrize(
    ("caps", "nnp", "file", "effective", "permitted"),
    [
        (B_E_P, False, "/plain", False, False),
        (B_E_P, True, "/plain", False, False),
        (B_E_P, False, "/ep", True, True),
        (B_E_P, True, "/ep", True, True),
        (B_E_P, True, "/p", False, True),
        (B_ONLY, False, "/ep", True, True),
        (B_ONLY, True, "/ep", False, False),
        (B_I, False, "/ep", True, True),
        (B_I, True, "/ep", False, False),
        (AMBIENT, False, "/plain", True, True),
        (AMBIENT, True, "/plain", True, True),
        (AMBIENT, True, "/ep", True, True),
        (NOTHING, True, "/plain", False, False),
        (NOTHING, True, "/p", False, False),
    ],
)
def test_the_measured_matrix(
    runtime: str, caps: LinuxCapabilities, nnp: bool, file: str, effective: bool, permitted: bool
) -> None:
    """A non-root process of each engine's sets; the expectations were measured with runc and crun before this code was."""
    wanted = spec(file, caps=caps, no_new_privileges=nnp)
    expected = predicted(wanted, ROOTFS)
    result = run_container(wanted, ROOTFS, runtime=runtime, relay=False)
    assert (result.error, result.exit_code, result.started) == ("", 0, True)
    assert result.created is not None
    assert result.observed is not None
    assert expected.after is not None
    assert result.created.differences(expected.before) == ()
    assert result.observed.differences(expected.after) == ()
    inside = read_probe(result.stdout.decode())
    assert inside.caps == expected.after.caps
    assert inside.at_secure == expected.after.at_secure
    assert (Cap.NET_BIND_SERVICE in inside.caps.effective) is effective
    assert (Cap.NET_BIND_SERVICE in inside.caps.permitted) is permitted


@pytest.mark.parametrize("uid", [0, 65535])
@pytest.mark.parametrize("nnp", [False, True])
def test_a_file_whose_capability_was_dropped_does_not_start(runtime: str, uid: int, nnp: bool) -> None:
    wanted = spec("/ep", caps=(), uid=uid, no_new_privileges=nnp)
    expected = predicted(wanted, ROOTFS)
    result = run_container(wanted, ROOTFS, runtime=runtime, relay=False)
    assert (result.started, result.exit_code) == (False, 126)
    assert "operation not permitted" in result.error.lower()
    assert expected.after is None
    assert expected.reason == "the file demands NET_BIND_SERVICE, which the bounding set lacks"
    assert result.created is not None
    assert result.created.differences(expected.before) == ()


def test_root_with_the_default_capabilities(runtime: str) -> None:
    from caplet.runtimes.containerd import DEFAULT_CAPS

    wanted = spec("/plain", caps=oci_names(DEFAULT_CAPS), uid=0)
    result = run_container(wanted, ROOTFS, runtime=runtime, relay=False)
    assert result.observed is not None
    assert result.observed.caps.effective == DEFAULT_CAPS


def test_names_that_no_kernel_knows_are_ignored(runtime: str) -> None:
    result = run(runtime, "/ep", caps=(*NBS, "CAP_CAP_NET_RAW"))
    assert result.observed is not None
    assert result.observed.caps.effective == NBS_CAPS


@pytest.mark.parametrize(
    ("program", "code", "words"),
    [
        ("nope", 127, "not found in $path"),
        ("/nope", 127, "no such file or directory"),
        ("/file", 126, "permission denied"),
        ("/directory", 126, ""),
        ("/script", 127, "no such file or directory"),
        ("/broken", 126, "exec format error"),
    ],
)
def test_programs_that_cannot_be_executed(runtime: str, program: str, code: int, words: str) -> None:
    files = rootfs(
        file=File(b"x", 0o644),
        directory=File(directory=True, mode=0o755),
        script=File(b"#!/bin/sh\n", 0o755),
        broken=File(b"\x7fELF nonsense", 0o755),
    )
    result = run(runtime, program, files=files)
    assert (result.started, result.exit_code) == (False, code)
    assert words in result.error.lower()
    if program != "/broken":  # the model looks at credentials, not into ELF files
        assert predicted(spec(program), files).after is None


def test_exit_codes_and_output_pass_through(runtime: str) -> None:
    result = run(runtime, "/http-plain", sysctl={"net.ipv4.ip_unprivileged_port_start": "1024"})
    assert (result.started, result.exit_code, result.stderr) == (True, 1, b"listen :80: permission denied\n")
    result = run(runtime, "/http", "nonsense", "nonsense")
    assert (result.exit_code, result.stdout) == (2, b"")


@pytest.mark.parametrize(
    ("program", "start", "answers"),
    [
        ("/http", "1024", True),
        ("/http-plain", "1024", False),
        ("/http-plain", "0", True),
        ("/http-plain", "80", True),
    ],
)
def test_the_probe_asks_inside(runtime: str, program: str, start: str, answers: bool) -> None:
    result = run(runtime, program, probe="http://:80/", sysctl={"net.ipv4.ip_unprivileged_port_start": start})
    assert result.probe is not None
    assert result.sysctl["net.ipv4.ip_unprivileged_port_start"] == start
    assert (result.probe.status, result.probe.body) == ((200, b"ok\n") if answers else (0, b""))
    if answers:
        assert result.at_probe is not None
        assert result.exit_code == 0
    else:
        assert result.probe.error == "the container ended before it answered"


def test_the_probe_gives_up_in_time(runtime: str) -> None:
    result = run_container(
        spec("/http", ":8080"), ROOTFS, runtime=runtime, probe="http://:80/", timeout=0.3, relay=False
    )
    assert result.probe is not None
    assert result.probe.error == "no answer within 0.3 s: connection refused"


def test_this_machines_network_is_untouched() -> None:
    """Port 80 inside is another than port 80 here, and the sysctl of a container is its own."""
    before = _sysctl()
    run("embedded", "/http", probe="http://:80/", sysctl={"net.ipv4.ip_unprivileged_port_start": "77"})
    assert _sysctl() == before


def _sysctl() -> str:
    with open("/proc/sys/net/ipv4/ip_unprivileged_port_start", encoding="ascii") as file:
        return file.read()


@pytest.mark.parametrize(
    "sysctl",
    [
        {"kernel.hostname": "x"},
        {"vm.swappiness": "1"},
        {"net/../../vm": "1"},
        {"kernel.shm_rmid_forced": "no"},
    ],
)
def test_sysctls_of_the_machine_are_refused(sysctl: dict[str, str]) -> None:
    with pytest.raises(InvalidInput, match="sysctl"):
        run("embedded", "/plain", sysctl=sysctl)


class _Devices:
    """A layer with /busybox-like nothing: just nodes of real devices of any machine."""

    def chunks(self) -> Iterator[bytes]:
        written = bytearray()
        tar = TarWriter(written.extend)
        tar.add(Entry(b"kmsg", Kind.CHAR, 0o666, devmajor=1, devminor=11))
        tar.add(Entry(b"loop", Kind.BLOCK, 0o666, devmajor=7, devminor=0))
        tar.add(Entry(b"zero", Kind.CHAR, 0o666, devmajor=1, devminor=5))
        probe = path("probe").read_bytes()
        tar.add(Entry(b"plain", Kind.FILE, 0o755, size=len(probe)), [probe])
        tar.close()
        yield bytes(written)


SHELL = """
for node in /kmsg /loop; do if busybox head -c 1 $node; then echo "read $node"; fi; done
busybox mknod /tmp/kmsg c 1 11 && busybox head -c 1 /tmp/kmsg && echo "read /tmp/kmsg"
busybox mknod /dev/loop b 7 0 && echo "made /dev/loop"
busybox mknod /tmp/fifo p && echo fifo
busybox head -c 4 /dev/zero | busybox wc -c
echo gone > /dev/null && echo null
busybox chown 5 /dev/null && echo chowned
"""


@pytest.mark.parametrize("readonly", [False, True])
def test_no_device_of_this_machine_can_be_opened(runtime: str, readonly: bool, busybox: bytes) -> None:
    """As root with CAP_MKNOD: neither nodes that the image brings nor new ones, on any file system of the container."""
    from caplet.runtimes.containerd import DEFAULT_CAPS
    from caplet.runtimes.model import Mount

    shell = _Bytes(File(busybox, 0o755), b"busybox")
    files = Rootfs([_Devices(), shell])
    before = os.stat("/dev/null")
    wanted = spec(
        "/busybox",
        "sh",
        "-c",
        SHELL,
        caps=oci_names(DEFAULT_CAPS),
        uid=0,
        readonly=readonly,
        no_new_privileges=False,
    )
    from dataclasses import replace

    wanted = replace(wanted, mounts=(*wanted.mounts, Mount("/tmp", "tmpfs", "tmpfs", ("mode=1777",))))
    result = run_container(wanted, files, runtime=runtime, relay=False)
    assert result.stdout.split() == [b"fifo", b"4", b"null", b"chowned"], result
    after = os.stat("/dev/null")
    assert (after.st_uid, after.st_mode) == (before.st_uid, before.st_mode)


class _Bytes:
    """A layer of one file."""

    def __init__(self, file: File, name: bytes) -> None:
        self._file, self._name = file, name

    def chunks(self) -> Iterator[bytes]:
        written = bytearray()
        tar = TarWriter(written.extend)
        self._file.add_to(tar, self._name)
        tar.close()
        yield bytes(written)


def test_links_of_the_image_lead_nowhere_else(runtime: str, tmp_path: os.PathLike[str]) -> None:
    """/dev, /proc and /sys of the image are links to a directory of this machine: nothing appears there."""
    target = os.fspath(tmp_path)
    files = rootfs(
        dev=File(link=target.encode()),
        **{name: File(link=b"../../../.." + target.encode()) for name in ("proc", "sys")},
    )
    run(runtime, "/plain", files=files)
    assert os.listdir(target) == []


def test_standard_streams_can_be_opened_again(runtime: str, busybox: bytes) -> None:
    files = rootfs(busybox=File(busybox, 0o755))
    result = run(
        runtime,
        "/busybox",
        "sh",
        "-c",
        "echo out > /dev/stdout; echo err > /dev/stderr; /busybox cat",
        files=files,
    )
    assert (result.stdout, result.stderr, result.exit_code) == (b"out\n", b"err\n", 0)


def test_home_working_directory_and_environment(runtime: str, busybox: bytes) -> None:
    files = rootfs(
        busybox=File(busybox, 0o755),
        etc=File(directory=True, mode=0o755),
        etc__passwd=File(b"root:x:0:0::/root:\napp:x:65535:0:app:/srv/app:/bin/sh\n"),
        work=File(directory=True, mode=0o755),
    )
    result = run(
        runtime,
        "busybox",
        "sh",
        "-c",
        "echo $HOME $PWD $A; /busybox hostname",
        files=files,
        env=("PATH=/", "A=b=c"),
        cwd="/work",
    )
    assert result.stdout == b"/srv/app /work b=c\ntest\n"


def test_a_read_only_root_is_read_only(runtime: str, busybox: bytes) -> None:
    files = rootfs(busybox=File(busybox, 0o755))
    for readonly, code in ((True, 1), (False, 0)):
        result = run(
            runtime,
            "/busybox",
            "touch",
            "/x",
            files=files,
            uid=0,
            caps=("CAP_DAC_OVERRIDE",),
            readonly=readonly,
        )
        assert result.exit_code == code, result


def test_signals_of_a_thread_are_not_taken() -> None:
    """In another thread than the main one signal handlers stay as they are, and it works all the same."""
    results: list[RunResult] = []
    before = signal.getsignal(signal.SIGTERM)
    thread = threading.Thread(target=lambda: results.append(run("embedded", "/plain")))
    thread.start()
    thread.join(20)
    assert results[0].exit_code == 0
    assert signal.getsignal(signal.SIGTERM) is before


def test_an_unknown_or_missing_runtime(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InvalidInput, match="unknown runtime 'runsc'"):
        run("runsc", "/plain")
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.setattr("caplet.run.container.installed", lambda _: None)
    with pytest.raises(Unavailable, match="crun is not installed"):
        run("crun", "/plain")
    assert run_container(spec("/plain"), ROOTFS, runtime=None, relay=False).runtime == "embedded"


def test_an_image_larger_than_memory_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("caplet.run.container._free_memory", lambda: 1 << 10)
    with pytest.raises(Unavailable, match="MiB of memory"):
        run("embedded", "/plain")


def test_no_descriptor_or_process_stays() -> None:
    before = set(os.listdir("/proc/self/fd"))
    for _ in range(3):
        run("embedded", "/plain")
        with pytest.raises(InvalidInput):
            run("embedded", "/plain", sysctl={"kernel.shm_rmid_forced": "no"})
    assert set(os.listdir("/proc/self/fd")) == before
    with pytest.raises(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)


@pytest.mark.parametrize("name", ["ngnix", "/nope", "./nope", "sub/nope"])
def test_a_program_that_is_not_there_in_the_runtimes_words(runtime: str, name: str) -> None:
    """What `caplet explain` says that the event will say."""
    label, program = find_runtime(runtime)
    node = on_this_machine(node_here("containerd"), label, program)
    result = run(runtime, name)
    assert node.runtime.not_found is not None
    assert result.error.removeprefix("runc create failed: unable to start container process: ") == (
        node.runtime.not_found(name, "/", node.runtime_version)
    )
