# SPDX-License-Identifier: Apache-2.0
"""`caplet run`: the whole way from a Pod's text to what the kernel made of it, and one clear line for what is wrong."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
from tests.layouts import NET_BIND_SERVICE, Layout, file, tar

from caplet.cli import main
from caplet.errors import CapletError, InvalidInput
from caplet.kernel.caps import Cap, Caps
from caplet.programs.shipped import path
from caplet.run.engine import node_here
from caplet.run.pod import Plan, plan
from caplet.runtimes import crun
from caplet.runtimes.model import Refused, Version

if TYPE_CHECKING:
    from pathlib import Path

POD = """\
apiVersion: v1
kind: Pod
metadata: {name: web}
spec:
  SPEC
  securityContext: POD
  containers:
  - name: http
    image: IMAGE
    MORE
    securityContext:
      runAsUser: 65535
      allowPrivilegeEscalation: false
      readOnlyRootFilesystem: true
      capabilities: {drop: [all], add: [NET_BIND_SERVICE]}
"""


@pytest.fixture(scope="module")
def layout(tmp_path_factory: pytest.TempPathFactory) -> str:
    """An image layout: `granted` and `plain` run the server, `probe` the probe, `broken` has a false attribute."""
    found = Layout(str(tmp_path_factory.mktemp("image") / "layout"))
    http, probe = path("http").read_bytes(), path("probe").read_bytes()
    caps = {"security.capability": NET_BIND_SERVICE}
    architecture = {"x86_64": "amd64", "aarch64": "arm64"}[os.uname().machine]
    passwd = file("etc/passwd", b"root:x:0:0::/root:\napp:x:1000:100::/home/app:\n", 0o644)
    group = file("etc/group", b"users:x:100:\nextra:x:200:app\n", 0o644)

    def image(
        tag: str, program: bytes, user: str = "", xattrs: dict[str, bytes] | None = None, **more: Any
    ) -> None:
        config = {"Entrypoint": ["/app"], "User": user, "Env": ["PATH=/"]}
        layer = tar([file("app", program, xattrs=xattrs or {}), passwd, group])
        found.image([layer], tag, config=config, architecture=architecture, **more)

    image("granted", http, xattrs=caps)
    image("plain", http)
    image("probe", probe, "app:0", caps)
    image("root", probe)
    image("named", probe, "app")
    found.image([tar([file("app", probe)])], "foreign", architecture="s390x")
    return found.path


def pod(image: str, spec: str = "hostname: web", whole: str = "{}", more: str = "") -> str:
    return POD.replace("IMAGE", image).replace("SPEC", spec).replace("POD", whole).replace("MORE", more)


def planned(text: str, **more: Any) -> Plan:
    found = plan(text, "pod.yaml", **more)
    assert isinstance(found, Plan)
    return found


def reference(found: Plan) -> str:
    assert found.explanation.image is not None
    return found.explanation.image.reference


class Said(NamedTuple):
    returncode: int
    stdout: str
    stderr: str


Caplet = Callable[..., Said]


@pytest.fixture
def caplet(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Caplet:
    """`caplet run` in this process; the container's output goes to the same descriptors."""

    def call(*arguments: str, stdin: str = "") -> Said:
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(stdin.encode())))
        code = main.run(["run", *arguments])
        captured = capfd.readouterr()
        return Said(code, captured.out, captured.err)

    return call


# The plan


def test_the_pods_own_image_is_used_where_it_is_on_disk(layout: str) -> None:
    found = planned(pod(f"oci:{layout}:granted"))
    assert reference(found) == f"oci:{layout}:granted"
    assert found.spec.process.args == ("/app",)
    assert found.spec.process.no_new_privileges
    assert found.spec.readonly_rootfs
    assert found.first.after is not None
    assert found.first.after.caps.effective == Caps.of(Cap.NET_BIND_SERVICE)


def test_images_may_be_given_by_container(layout: str) -> None:
    text = pod("registry.example/app")
    plain = f"oci:{layout}:plain"
    assert reference(planned(text, images={"http": plain, "": "oci:/nowhere"})) == plain
    assert reference(planned(text, images={"": plain})) == plain
    with pytest.raises(InvalidInput, match="no container 'htp'; did you mean http"):
        plan(text, "pod.yaml", images={"htp": "oci:x"})


@pytest.mark.parametrize(
    ("tag", "change", "uid", "gid", "groups"),
    [
        ("probe", "", 1000, 100, (100, 200)),
        ("named", "", 1000, 100, (100, 200)),
        ("root", "", 0, 0, (0,)),
        ("probe", "runAsUser: 7", 7, 0, (0,)),
        ("probe", "runAsUser: 1000", 1000, 100, (100, 200)),
        ("probe", "runAsUser: 7\n      runAsGroup: 8", 7, 8, (8,)),
    ],
)
def test_the_user_is_looked_up_in_the_image(
    layout: str, tag: str, change: str, uid: int, gid: int, groups: tuple[int, ...]
) -> None:
    text = pod(f"oci:{layout}:{tag}", whole="{fsGroup: 9}").replace(
        "runAsUser: 65535", change or "privileged: false"
    )
    text = text.replace("allowPrivilegeEscalation: false\n", "\n")
    user = planned(text).spec.process.user
    assert (user.uid, user.gid, user.additional_gids) == (uid, gid, tuple(sorted((*groups, 9))))


def test_the_kubelet_may_refuse(layout: str) -> None:
    text = pod(f"oci:{layout}:named", whole="{runAsNonRoot: true}").replace("runAsUser: 65535\n", "\n")
    found = plan(text, "pod.yaml")
    assert isinstance(found, Refused)
    assert found.message.startswith("container has runAsNonRoot and image has non-numeric user (app)")


def test_what_is_not_as_on_the_node_is_said(layout: str) -> None:
    spec = "hostPID: true\n  volumes: [{name: c, configMap: {name: x}}, {name: e, emptyDir: {}}]"
    more = (
        "env: [{name: S, valueFrom: {secretKeyRef: {name: a, key: b}}}]\n"
        "    volumeMounts: [{name: c, mountPath: /c}, {name: e, mountPath: /e}]"
    )
    notes = "\n".join(planned(pod(f"oci:{layout}:plain", spec, more=more)).notes)
    for word in ("hostPID", "environment variable S", "volume c (configMap)"):
        assert word in notes
    assert "volume e" not in notes
    (note,) = planned(pod(f"oci:{layout}:plain", "hostUsers: false")).notes
    assert note == "hostUsers: false: without a user namespace here"


# The command line

BAD: list[tuple[str, str, list[str], str]] = [
    ("broken-yaml", "a: [1\nb: 2", [], "pod.yaml:2: "),
    ("no-pod", "kind: Service", [], "no Pod in it"),
    ("no-container", "kind: Pod\nspec: {containers: []}", [], "no containers"),
    ("several", "kind: Pod\nspec: {containers: [{name: a}, {name: b}]}", [], "2 containers"),
    ("wrong-container", "kind: Pod\nspec: {containers: [{name: a}]}", ["--container", "b"], "no container 'b'"),
    ("no-image", "kind: Pod\nspec: {containers: [{name: a}]}", [], "container a: it names no image"),
    ("registry-image", "kind: Pod\nspec: {containers: [{name: a, image: 'x/y:1'}]}", [], "its image 'x/y:1' is in a registry"),
    ("missing-image", "kind: Pod\nspec: {containers: [{name: a}]}", ["--image", "oci:/nowhere/at/all"], "/nowhere/at/all"),
    ("wrong-reference", "kind: Pod\nspec: {containers: [{name: a}]}", ["--image", "nonsense"], "nonsense"),
    ("twice", "kind: Pod\nspec: {containers: [{name: a}]}", ["--image", "oci:a", "--image", "oci:b"], "--image oci:b: there is one"),
    ("wrong-type", "kind: Pod\nspec: {containers: 5}", [], "spec.containers: must be a list"),
    ("deep", "[" * 100_000, [], "nesting"),
    ("laughs", "a: &a [x]\n" + "".join(f"b{n}: &b{n} [{','.join(['*' + ('a' if not n else f'b{n - 1}')] * 20)}]\n" for n in range(9)), [], "excessive aliasing"),
    ("engine", "kind: Pod", ["--on", "containerd:9"], "unknown version containerd 9"),
    ("probe", "kind: Pod", ["--probe", "ftp://:80/"], "not a URL to probe: 'ftp://:80/'"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "options", "message"), [row[1:] for row in BAD], ids=[row[0] for row in BAD]
)
def test_bad_input_is_one_line_and_125(
    text: str, options: list[str], message: str, tmp_path: Path, caplet: Caplet
) -> None:
    (tmp_path / "pod.yaml").write_text(text)
    result = caplet(str(tmp_path / "pod.yaml"), *options)
    assert result.returncode == 125
    lines = result.stderr.splitlines()
    assert message in lines[0]
    assert lines[0].startswith("caplet: ")
    assert len(lines) <= 2
    assert result.stdout == ""


def test_a_file_that_is_not_there(tmp_path: Path, caplet: Caplet) -> None:
    result = caplet(str(tmp_path / "none.yaml"))
    assert result.returncode == 125
    assert (
        result.stderr
        == f"caplet: {tmp_path}/none.yaml: No such file or directory\n  name one manifest, or - for standard input\n"
    )


@pytest.mark.parametrize("damage", ["flipped", "truncated", "missing"])
def test_a_damaged_layer_is_refused(damage: str, tmp_path: Path, caplet: Caplet) -> None:
    image = Layout(str(tmp_path / "layout"))
    image.image([tar([file("app", path("probe").read_bytes())])], config={"Entrypoint": ["/app"]})
    blob = image.blob_path(image.manifest()["layers"][0]["digest"])
    with open(blob, "rb") as source:
        data = bytearray(source.read())
    os.unlink(blob)
    data[len(data) // 2] ^= 1
    if damage != "missing":
        with open(blob, "wb") as out:
            out.write(data[:100] if damage == "truncated" else data)
    result = caplet("-", "--image", f"oci:{image.path}", stdin=pod("x"))
    assert result.returncode == 125
    assert len(result.stderr.splitlines()) <= 2
    assert "sha256:" in result.stderr.splitlines()[0]


@pytest.mark.root
@pytest.mark.usefixtures("root")
class TestRunning:
    def test_the_story(self, layout: str, caplet: Caplet) -> None:
        """With the capability it binds; without it, only where unprivileged ports start at 0; the report says so."""
        codes = {}
        for tag in ("granted", "plain"):
            for on in ("containerd:1.7", "containerd:2.1"):
                result = caplet(
                    "-",
                    "--on",
                    on,
                    "--probe",
                    "http://:80/",
                    "--runtime",
                    "embedded",
                    stdin=pod(f"oci:{layout}:{tag}"),
                )
                codes[tag, on] = result.returncode
                assert "as predicted" in result.stderr
                assert f"unprivileged ports start at {'1024' if '1.7' in on else '0'}" in result.stderr
        assert codes == {
            ("granted", "containerd:1.7"): 0,
            ("granted", "containerd:2.1"): 0,
            ("plain", "containerd:1.7"): 1,
            ("plain", "containerd:2.1"): 0,
        }

    def test_the_report(self, layout: str, caplet: Caplet) -> None:
        result = caplet(
            "-", "--on", "containerd:1.7", "--runtime", "embedded", stdin=pod(f"oci:{layout}:probe")
        )
        assert result.returncode == 0
        assert result.stderr == (
            f"pod/web  container http  oci:{layout}:probe  on containerd 1.7, embedded\n"
            "  unprivileged ports start at 1024\n"
            "  /app (cap_net_bind_service=ep) started; /proc/PID/status of the running process:\n"
            "    uid 65535  gid 0  groups 0  no_new_privs yes\n"
            "    permitted    NET_BIND_SERVICE\n"
            "    effective    NET_BIND_SERVICE\n"
            "    inheritable  none\n"
            "    bounding     NET_BIND_SERVICE\n"
            "    ambient      none\n"
            "  as predicted\n"
        )
        assert result.stdout.startswith("uid 65535 65535 65535\n")

    def test_the_report_of_what_does_not_start(self, layout: str, caplet: Caplet) -> None:
        text = pod(f"oci:{layout}:granted").replace("add: [NET_BIND_SERVICE]", "add: []")
        result = caplet("-", "--runtime", "embedded", stdin=text)
        assert result.returncode == 126
        assert (
            "  /app (cap_net_bind_service=ep) did not start: exec /app: operation not permitted\n"
            in result.stderr
        )
        assert (
            "  as predicted: the file demands NET_BIND_SERVICE, which the bounding set lacks\n"
            in result.stderr
        )

    def test_json(self, layout: str, caplet: Caplet) -> None:
        result = caplet(
            "-",
            "-o",
            "json",
            "--runtime",
            "embedded",
            "--probe",
            "http://:80/",
            stdin=pod(f"oci:{layout}:granted"),
        )
        said = json.loads(result.stdout)
        assert result.stderr == ""
        assert said["asPredicted"] is True
        assert said["started"] is True
        assert said["probe"] == {"status": 200, "body": "ok\n", "error": None}
        assert said["observed"] == said["predicted"]["started"]
        assert said["observed"]["capabilities"]["effective"] == {
            "names": ["NET_BIND_SERVICE"],
            "hex": f"{0x400:016x}",
        }

    def test_the_kubelets_refusal(self, layout: str, caplet: Caplet) -> None:
        text = pod(f"oci:{layout}:root", whole="{runAsNonRoot: true}").replace("runAsUser: 65535\n", "\n")
        result = caplet("-", stdin=text)
        assert result.returncode == 125
        assert result.stderr == (
            "kubelet refuses the container: container has runAsNonRoot and image will run as root "
            '(pod: "web_default()", container: http)\n'
        )
        assert json.loads(caplet("-", "-o", "json", stdin=text).stdout)["refused"]["by"] == "kubelet"

    @pytest.mark.parametrize(
        ("on", "change", "who", "message"),
        [
            ("containerd", ("allowPrivilegeEscalation: false", "allowPrivilegeEscalation: false\n      privileged: true"), "API server", "cannot set `allowPrivilegeEscalation` to false and `privileged` to true"),
            ("openshift", ("hostname: web", "hostNetwork: true"), "OpenShift", "Host network is not allowed"),
            ("containerd", ("runAsUser: 65535", "runAsUser: null"), "kubelet", "runAsNonRoot"),
            ("docker", ("NET_BIND_SERVICE]", "NET_BIND_SERVICES]"), "Docker", "NET_BIND_SERVICES"),
        ],
        ids=["api-server", "platform", "kubelet", "engine"],
    )  # fmt: skip
    def test_what_is_refused_is_not_run(
        self, layout: str, caplet: Caplet, on: str, change: tuple[str, str], who: str, message: str
    ) -> None:
        text = pod(f"oci:{layout}:root", whole="{runAsNonRoot: true}").replace(*change)
        result = caplet("-", "--on", on, stdin=text)
        assert (result.returncode, result.stdout) == (125, "")
        assert result.stderr.startswith(f"{who} ")
        assert message in result.stderr

    def test_host_network_is_this_machines(self, layout: str, caplet: Caplet) -> None:
        result = caplet(
            "-", "-o", "json", "--runtime", "embedded", stdin=pod(f"oci:{layout}:probe", "hostNetwork: true")
        )
        said = json.loads(result.stdout)
        with open("/proc/sys/net/ipv4/ip_unprivileged_port_start", encoding="ascii") as file_here:
            assert said["sysctl"] == {"net.ipv4.ip_unprivileged_port_start": file_here.read().strip()}

    def test_the_pods_sysctls_win(self, layout: str, caplet: Caplet) -> None:
        whole = "{sysctls: [{name: net.ipv4.ip_unprivileged_port_start, value: '1024'}]}"
        result = caplet(
            "-",
            "--probe",
            "http://:80/",
            "--runtime",
            "embedded",
            stdin=pod(f"oci:{layout}:plain", whole=whole),
        )
        assert result.returncode == 1
        assert "listen :80: permission denied" in result.stderr

    def test_an_empty_dir_can_be_written(self, layout: str) -> None:
        spec = "volumes: [{name: e, emptyDir: {}}]"
        found = planned(
            pod(
                f"oci:{layout}:plain",
                spec,
                whole="{fsGroup: 9}",
                more="volumeMounts: [{name: e, mountPath: /data/x}]",
            )
        )
        mount = found.spec.mounts[-1]
        assert (mount.destination, mount.type, mount.options) == (
            "/data/x",
            "tmpfs",
            ("nodev", "mode=2777", "gid=9"),
        )

    def test_what_the_machine_lacks_is_said(self, layout: str, caplet: Caplet) -> None:
        """A capability outside our own bounding set is left out; the others arrive."""
        with open("/proc/self/status", encoding="ascii") as status:
            (line,) = [line for line in status if line.startswith("CapBnd")]
        lacking = Caps.all() - Caps(int(line.split()[1], 16))
        text = (
            pod(f"oci:{layout}:probe")
            .replace("add: [NET_BIND_SERVICE]", "add: [ALL]")
            .replace("drop: [all], ", "")
        )
        found = planned(text)
        assert any(str(lacking) in note for note in found.notes) is bool(lacking)
        result = caplet("-", "-o", "json", stdin=text)
        assert json.loads(result.stdout)["asPredicted"] is True


def test_what_the_oci_runtime_would_refuse_is_not_run(layout: str) -> None:
    """crun since 1.29 ends at a name that it does not know (2e822523)."""
    node = replace(node_here("containerd"), runtime=crun.RUNTIME, runtime_version=Version(1, 29, 1))
    text = pod(f"oci:{layout}:plain").replace("NET_BIND_SERVICE", "CAP_NET_RAW")
    assert plan(text, "pod.yaml", node=node) == Refused("crun", "unknown capability `CAP_CAP_NET_RAW`")


def test_a_program_of_another_architecture_is_predicted_not_to_start(
    layout: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """execve(2) ends with ENOEXEC where no emulator is registered with binfmt_misc."""
    monkeypatch.setattr("caplet.run.foreign.BINFMT_MISC", str(tmp_path / "none"))
    other = {"x86_64": "arm64", "aarch64": "amd64"}[os.uname().machine]
    image = Layout(str(tmp_path / "layout"))
    program = path("http", other).read_bytes()
    image.image([tar([file("app", program)])], config={"Entrypoint": ["/app"]})
    found = planned(pod(f"oci:{image.path}"))
    assert found.first.after is None
    assert found.first.error == "ENOEXEC"
    assert found.first.reason.startswith(f"/app is a program for {other}")
    assert planned(pod(f"oci:{layout}:plain")).first.after is not None


def test_a_foreign_platform_is_refused(layout: str) -> None:
    with pytest.raises(CapletError, match="s390x"):
        plan(pod(f"oci:{layout}:foreign"), "pod.yaml")
