# SPDX-License-Identifier: Apache-2.0
"""Our Spec beside the config.json that the real engine wrote for the same Pod and image: the engine's own word, set by set."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
from tests.conftest import missing
from tests.layouts import Layout, directory, file, tar
from tests.runtimes.recording import TOOLS, recording

from caplet.image.image import Image, open_image
from caplet.image.passwd import resolve_user
from caplet.image.rootfs import Rootfs
from caplet.kernel.caps import Caps
from caplet.kubernetes.document import documents
from caplet.kubernetes.pod import the_pod
from caplet.programs.shipped import path
from caplet.run.available import own_credentials
from caplet.runtimes.model import Refused, Spec, oci_names
from caplet.runtimes.node import parse
from caplet.runtimes.template import PORT_START

if TYPE_CHECKING:
    from collections.abc import Iterator

    from caplet.kubernetes.pod import PodSpec
    from caplet.verify.engines.interface import RealEngine, Session
    from caplet.verify.seen import Seen

pytestmark = [pytest.mark.e2e, pytest.mark.root]

PASSWD = b"root:x:0:0::/root:/bin/sh\napp:x:1000:50::/home/app:/bin/sh\ntoor:x:0:0::/root:/bin/sh\n"
GROUP = b"root:x:0:\nstaff:x:50:\naudio:x:29:app\nvideo:x:44:app,other\n"
ARGS = ("/probe", "/probe")


class Row(NamedTuple):
    """What differs from the plainest Pod."""

    own: dict[str, Any]
    whole: dict[str, Any]
    user: str = ""
    labels: dict[str, str] | None = None

    @property
    def image(self) -> str:
        """Rows of the same share an image."""
        return json.dumps([self.user, self.labels])


STRICT = {
    "runAsUser": 65535,
    "allowPrivilegeEscalation": False,
    "readOnlyRootFilesystem": True,
    "capabilities": {"drop": ["ALL"], "add": ["NET_BIND_SERVICE"]},
}
SHARED = {"/dev/shm"}
"""A bind mount of what the Pod's containers share: with the options of that one."""

ROWS = {
    "plain": Row({}, {}),
    "strict": Row(STRICT, {}),
    "non-root by default": Row({"runAsUser": 7}, {}),
    "lower case": Row({"runAsUser": 7, "capabilities": {"drop": ["all"], "add": ["net_raw"]}}, {}),
    "prefixed": Row({"capabilities": {"drop": ["ALL"], "add": ["CAP_NET_RAW"]}}, {}),
    "all but one": Row({"runAsUser": 7, "capabilities": {"drop": ["CHOWN"], "add": ["ALL"]}}, {}),
    "drop of the default": Row({"capabilities": {"drop": ["CHOWN", "KILL"]}}, {}),
    "both": Row({"capabilities": {"drop": ["NET_RAW"], "add": ["NET_RAW"]}}, {}),
    "all both": Row({"capabilities": {"drop": ["ALL"], "add": ["ALL"]}}, {}),
    "unknown": Row({"capabilities": {"add": ["NET_BIND"]}}, {}),
    "empty name added": Row({"capabilities": {"add": [""], "drop": ["ALL"]}}, {}),
    "empty name dropped": Row({"capabilities": {"drop": [""]}}, {}),
    "privileged": Row({"privileged": True}, {}),
    "privileged, non-root": Row({"privileged": True, "runAsUser": 7, "capabilities": {"add": ["CHOWN"], "drop": ["KILL"]}}, {}),
    "user by name": Row({}, {}, "app"),
    "user and group": Row({}, {}, "1000:44"),
    "user not in the file": Row({}, {}, "4711"),
    "another name of root": Row({"capabilities": {"add": ["NET_ADMIN"]}}, {}, "toor"),
    "the Pod's user and group": Row({}, {"runAsUser": 1000, "runAsGroup": 33}, "app:audio"),
    "groups": Row({"runAsUser": 1000}, {"fsGroup": 2000, "supplementalGroups": [3000, 29]}),
    "sysctl": Row({"runAsUser": 7}, {"sysctls": [{"name": "net.ipv4.ip_unprivileged_port_start", "value": "80"}]}),
    "label": Row({"runAsUser": 7}, {}, labels={"io.containers.capabilities": "CHOWN,KILL"}),
    "label that wants more": Row({}, {}, labels={"io.containers.capabilities": "CHOWN,SYS_ADMIN"}),
}  # fmt: skip


def pod(name: str) -> PodSpec:
    row = ROWS[name]
    container = {
        "name": "c",
        "image": "i",
        "command": ARGS,
        "securityContext": row.own,
        "workingDir": "/etc",
        "env": [{"name": "ROW", "value": name}],
    }
    manifest = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "p"},
        "spec": {"containers": [container], "securityContext": row.whole},
    }
    return the_pod(documents(json.dumps(manifest), "p"), "p")


def image(row: Row, work: str) -> Image:
    files = [
        directory("etc"),
        file("etc/passwd", PASSWD, 0o644),
        file("etc/group", GROUP, 0o644),
        file("probe", path("probe").read_bytes()),
    ]
    layout = Layout(tempfile.mkdtemp(dir=work))
    config = {"User": row.user, "Labels": row.labels or {}, "Env": ["PATH=/bin", "A=1"]}
    layout.image([tar(files)], config=config)
    opened = open_image(f"oci:{layout.path}")
    assert isinstance(opened, Image)
    return opened


class Run(NamedTuple):
    """What an engine made of each row."""

    engine: RealEngine
    images: dict[str, Image]
    seen: dict[str, Seen]
    configs: list[dict[str, Any]]

    def of(self, name: str) -> list[dict[str, Any]]:
        """The config.json of the row's container; none where the engine refused it."""
        return [config for config in self.configs if f"ROW={name}" in config["process"].get("env", ())]

    def sandbox(self, config: dict[str, Any]) -> dict[str, Any]:
        """Of the Pod, where the engine makes one."""
        place = (config.get("annotations") or {}).get("io.kubernetes.cri.sandbox-id")
        for other in self.configs:
            labels = other.get("annotations") or {}
            if (
                place is not None
                and labels.get("io.kubernetes.cri.sandbox-id") == place
                and "ROW" not in str(other["process"].get("env"))
            ):
                return other
        return config


@pytest.fixture(scope="module", params=TOOLS)
def run(request: pytest.FixtureRequest) -> Iterator[Run]:
    """Every row, some at a time: most of it is waiting for the engine."""
    search = os.environ.get("PATH", os.defpath) + ":/usr/sbin:/sbin:/usr/libexec/podman:/usr/lib/podman"
    if os.geteuid() != 0:
        missing("root")
    for tool in TOOLS[request.param]:
        if shutil.which(tool, path=search) is None:
            missing(tool)
    with (
        tempfile.TemporaryDirectory(prefix="caplet-test-") as work,
        recording(request.param, work) as recorded,
        ThreadPoolExecutor(4) as pool,
    ):
        images: dict[str, Image] = {}
        sessions: dict[str, Session] = {}
        for row in ROWS.values():
            if row.image not in images:
                images[row.image] = image(row, work)
                sessions[row.image] = recorded.stack.enter_context(recorded.engine.session(images[row.image]))

        def observe(name: str) -> Seen:
            one = pod(name)
            return sessions[ROWS[name].image].run(one, one.containers[0], 20.0)

        seen = dict(zip(ROWS, pool.map(observe, ROWS), strict=True))
        yield Run(recorded.engine, images, seen, recorded.configs())


@pytest.mark.parametrize("name", ROWS)
def test_the_spec_is_the_engines(name: str, run: Run) -> None:
    predicted = predict(run.engine, pod(name), run.images[ROWS[name].image])
    if isinstance(predicted, Refused):
        assert predicted.message in run.seen[name].error
        assert run.of(name) == []
        return
    (config,) = run.of(name)
    own, its = ours(predicted), theirs(config, predicted)
    assert {key: (own[key], its[key]) for key in own if own[key] != its[key]} == {}
    sysctl = run.sandbox(config)["linux"].get("sysctl") or {}
    assert {**predicted.sysctl}.items() <= sysctl.items()
    assert (PORT_START in predicted.sysctl) is (PORT_START in sysctl)


def predict(engine: RealEngine, one: PodSpec, made: Image) -> Spec | Refused:
    versions = engine.versions()
    node = parse(versions.node.partition("+")[0])
    request = node.request(one, one.containers[0], made.config.user)
    if isinstance(request, Refused):
        return request
    user = node.engine.user_string(request, made.config.user)
    if isinstance(user, Refused):
        return user
    account = resolve_user(Rootfs(made.layers), user)
    every = own_credentials().caps.bounding
    return node.spec(
        one, one.containers[0], request, made.config, account, every=every, default_caps=versions.default_caps
    )


def ours(spec: Spec) -> dict[str, Any]:
    process = spec.process
    sets = process.capabilities
    lacking = set(oci_names(Caps.all() - own_credentials().caps.bounding))
    return {
        "capabilities": {
            field: sorted({*getattr(sets, field)} - lacking)
            for field in ("bounding", "effective", "inheritable", "permitted", "ambient")
        },
        "user": (process.user.uid, process.user.gid, sorted({*process.user.additional_gids})),
        "no_new_privileges": process.no_new_privileges,
        "cwd": process.cwd,
        "env": {"PATH=/bin", "A=1"} & set(process.env),
        "readonly": spec.readonly_rootfs,
        "seccomp": spec.seccomp != "Unconfined",
        **{
            mount.destination: (mount.type, sorted({"nosuid", "noexec", "nodev"} & set(mount.options)))
            for mount in spec.mounts
            if mount.destination not in SHARED
        },
    }


def theirs(config: dict[str, Any], spec: Spec) -> dict[str, Any]:
    process = config["process"]
    sets = process["capabilities"]
    user = process["user"]
    wanted = {mount.destination for mount in spec.mounts} - SHARED
    return {
        "capabilities": {
            field: sorted(sets.get(field) or ())
            for field in ("bounding", "effective", "inheritable", "permitted", "ambient")
        },
        "user": (user["uid"], user["gid"], sorted({*(user.get("additionalGids") or ())})),
        "no_new_privileges": process.get("noNewPrivileges", False),
        "cwd": process["cwd"],
        "env": {"PATH=/bin", "A=1"} & set(process["env"]),
        "readonly": config["root"].get("readonly", False),
        "seccomp": bool(config["linux"].get("seccomp")),
        **{
            mount["destination"]: (
                mount["type"],
                sorted({"nosuid", "noexec", "nodev"} & set(mount["options"])),
            )
            for mount in config["mounts"]
            if mount["destination"] in wanted
        },
    }
