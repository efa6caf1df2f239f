# SPDX-License-Identifier: Apache-2.0
"""Trouble seen in the field, each row a public issue thread, as manifests and images of a few lines.

Numbers stay with their story; those that are missing were the same cause again. `saw` is what its author read. `codes` are the causes that the manifest, the image and the node decide. `fixed` is what ended it, where
that is a change that caplet does not propose: another release of the engine, another line in the image.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True)
class World:
    """A container: manifest, image, node."""

    pod: str
    files: Mapping[str, str]
    argv: tuple[str, ...]
    on: str = "containerd:1.7"
    user: str = ""
    env: tuple[str, ...] = ()
    history: tuple[str, ...] = ()
    then: tuple[tuple[str, ...], ...] = ()


@dataclass(frozen=True)
class Story:
    row: str
    source: str
    saw: str
    codes: frozenset[str]
    world: World
    remedy: str = ""
    """A remedy that must be among those named, by words of its title; empty: none has to be."""
    fixed: World | None = None
    outside: str = ""
    """Why no change of this Pod or image mends it, in words."""
    hints: frozenset[str] = field(default_factory=frozenset)


def pod(
    security: str = "",
    *,
    ports: str = "[]",
    env: str = "[]",
    whole: str = "{}",
    users: str = "",
    name: str = "app",
) -> str:
    """A Pod of one container; `security` is the inside of its securityContext, in flow style."""
    return f"""\
apiVersion: v1
kind: Pod
metadata: {{name: {name}}}
spec:
  {users}
  securityContext: {whole}
  containers:
  - name: {name}
    image: {name}
    ports: {ports}
    env: {env}
    securityContext: {{{security}}}
"""


PORT_80 = "[{containerPort: 80}]"
STRICT = "allowPrivilegeEscalation: false, capabilities: {drop: [ALL], add: [NET_BIND_SERVICE]}"
DROPPED = "allowPrivilegeEscalation: false, capabilities: {drop: [ALL]}"
NBS = "cap_net_bind_service=ep"

VAULT = """\
#!/bin/sh
set -e
if [ -z "$SKIP_SETCAP" ]; then
    setcap cap_ipc_lock=+ep /bin/vault
fi
exec /bin/vault "$@"
"""
OPENBAO = """\
#!/bin/sh
set -e
setcap cap_ipc_lock=+ep /bin/bao
exec /bin/bao server
"""
JAVA = {
    "/opt/java/bin/java": "elf needs libjli.so along $ORIGIN/../lib cap_net_raw=ep",
    "/opt/java/lib/libjli.so": "elf library",
}
ACCOUNTS = "root:x:0:0::/root:/bin/sh\nnonroot:x:65532:65532::/home:/bin/sh\n"
INGRESS = {
    "/usr/bin/dumb-init": "elf",
    "/nginx-ingress-controller": f"elf {NBS}",
    "/usr/bin/nginx": f"elf {NBS}",
}
CONTROLLER = {
    "/entrypoint.sh": "#!/bin/sh\nexec /usr/sbin/nginx -g 'daemon off;'\n",
    "/usr/sbin/nginx": f"elf {NBS}",
}
KUBEVIRT = World(
    pod("runAsUser: 107, runAsNonRoot: true, " + STRICT),
    {"/usr/bin/virt-launcher-monitor": f"elf {NBS}"},
    ("/usr/bin/virt-launcher-monitor",),
    on="docker:20.10",
)
HEARTBEAT = World(
    pod("runAsUser: 1000"),
    {"/usr/share/heartbeat/heartbeat": "elf cap_net_raw=ep"},
    ("/usr/share/heartbeat/heartbeat",),
    on="crio",
)


def _codes(*codes: str) -> frozenset[str]:
    return frozenset(codes)


STORIES = (
    Story(
        "1",
        "kubernetes/kubernetes#56374",
        "listen tcp :80: bind: permission denied",
        _codes("CAP101"),
        World(pod("runAsUser: 1000, " + STRICT, ports=PORT_80), {"/server": "elf"}, ("/server",)),
        remedy="bind every port",
    ),
    Story(
        "2",
        "NVIDIA/nvidia-container-toolkit#2037",
        "ibv_reg_mr failed: Cannot allocate memory",
        _codes("CAP101"),
        World(
            pod("runAsUser: 1000, capabilities: {add: [IPC_LOCK]}"),
            {
                "/usr/bin/python3": "elf needs libcudart.so",
                "/usr/local/cuda/lib64/libcudart.so": "elf library",
                "/train.py": "#!/usr/bin/python3\n",
            },
            ("/usr/bin/python3", "/train.py"),
            env=("LD_LIBRARY_PATH=/usr/local/cuda/lib64",),
        ),
        hints=_codes("CAP108", "CAP140"),
        outside="the program is an interpreter: the engine's RLIMIT_MEMLOCK is to be raised",
    ),
    Story(
        "3 runc",
        "caddyserver/caddy-docker#396",
        "exec /usr/bin/caddy: operation not permitted",
        _codes("CAP102"),
        World(
            pod("runAsUser: 1000, " + DROPPED), {"/usr/bin/caddy": f"elf {NBS}"}, ("/usr/bin/caddy", "run")
        ),
        remedy="allow NET_BIND_SERVICE",
    ),
    Story(
        "3 crun",
        "caddyserver/caddy-docker#466",
        "exec container process `/usr/bin/caddy`: Operation not permitted",
        _codes("CAP102"),
        World(
            pod("runAsUser: 1000, " + DROPPED),
            {"/usr/bin/caddy": f"elf {NBS}"},
            ("/usr/bin/caddy", "run"),
            on="crio:1.31",
        ),
        remedy="take the file capabilities of /usr/bin/caddy away",
    ),
    Story(
        "4",
        "joryirving/home-ops#10128",
        "exec /usr/local/bin/doormouse: operation not permitted",
        _codes("CAP102"),
        World(
            pod("runAsUser: 1000, runAsNonRoot: true, " + DROPPED),
            {"/usr/local/bin/doormouse": f"elf {NBS}"},
            ("/usr/local/bin/doormouse",),
        ),
        remedy="allow NET_BIND_SERVICE",
    ),
    Story(
        "4 without no_new_privs",
        "joryirving/home-ops#9800",
        "exec /usr/local/bin/doormouse: operation not permitted",
        _codes("CAP102"),
        World(
            pod("runAsUser: 1000, capabilities: {drop: [ALL]}"),
            {"/usr/local/bin/doormouse": f"elf {NBS}"},
            ("/usr/local/bin/doormouse",),
        ),
        remedy="allow NET_BIND_SERVICE",
    ),
    Story(
        "5",
        "hashicorp/vault#31919",
        "unable to set CAP_SETFCAP effective capability: Operation not permitted",
        _codes("CAP105"),
        World(
            pod("runAsUser: 100, runAsNonRoot: true, " + DROPPED),
            {"/entrypoint.sh": VAULT, "/bin/vault": "elf", "/usr/sbin/setcap": "elf"},
            ("/entrypoint.sh", "server"),
        ),
        remedy="let the script skip setcap",
        fixed=World(
            pod("runAsUser: 100, runAsNonRoot: true, " + DROPPED, env='[{name: SKIP_SETCAP, value: "true"}]'),
            {"/entrypoint.sh": VAULT, "/bin/vault": "elf", "/usr/sbin/setcap": "elf"},
            ("/entrypoint.sh", "server"),
        ),
    ),
    Story(
        "5 with IPC_LOCK",
        "bank-vaults/bank-vaults#1170",
        "unable to set CAP_SETFCAP effective capability: Operation not permitted",
        _codes("CAP105"),
        World(
            pod(
                "runAsUser: 100, allowPrivilegeEscalation: false, capabilities: {drop: [ALL], add: [IPC_LOCK]}"
            ),
            {"/entrypoint.sh": VAULT, "/bin/vault": "elf", "/usr/sbin/setcap": "elf"},
            ("/entrypoint.sh", "server"),
        ),
        hints=_codes("CAP140"),
        remedy="start /bin/vault itself",
    ),
    Story(
        "7",
        "openbao/openbao#355",
        "unable to set CAP_SETFCAP effective capability: Operation not permitted",
        _codes("CAP105"),
        World(
            pod("runAsUser: 100, capabilities: {add: [IPC_LOCK]}"),
            {"/entrypoint.sh": OPENBAO, "/bin/bao": "elf", "/usr/sbin/setcap": "elf"},
            ("/entrypoint.sh",),
        ),
        hints=_codes("CAP140"),
        remedy="start /bin/bao itself",
    ),
    Story(
        "8",
        "kubernetes/ingress-nginx#7445",
        "bind() to 0.0.0.0:80 failed (13: Permission denied)",
        _codes("CAP103"),
        World(
            pod("runAsUser: 101, " + STRICT, ports=PORT_80),
            INGRESS,
            ("/usr/bin/dumb-init", "--", "/nginx-ingress-controller"),
            then=(("/usr/bin/nginx",),),
        ),
        remedy="give /usr/bin/dumb-init the capability",
    ),
    Story(
        "10",
        "nginx/kubernetes-ingress#1933",
        "bind() to 0.0.0.0:80 failed (13: Permission denied)",
        _codes("CAP103"),
        World(pod("runAsUser: 101, " + STRICT, ports=PORT_80), CONTROLLER, ("/entrypoint.sh",)),
        remedy="start /usr/sbin/nginx itself",
    ),
    Story(
        "10 as advised",
        "helm/charts#12435",
        "",
        _codes(),
        World(
            pod("runAsUser: 101, " + STRICT.replace("false", "true"), ports=PORT_80),
            CONTROLLER,
            ("/entrypoint.sh",),
        ),
        hints=_codes("CAP130"),
        outside="it works, with more privilege than it needs",
    ),
    Story(
        "11",
        "moby/moby#45491",
        "panic: fork/exec /usr/sbin/virtqemud: errno 0",
        _codes("CAP104"),
        World(
            KUBEVIRT.pod.replace("NET_BIND_SERVICE", "SYS_NICE"),
            {"/usr/bin/virt-launcher-monitor": "elf cap_sys_nice=ep"},
            KUBEVIRT.argv,
            on="docker:20.10",
        ),
        fixed=World(
            KUBEVIRT.pod.replace("NET_BIND_SERVICE", "SYS_NICE"),
            {"/usr/bin/virt-launcher-monitor": "elf cap_sys_nice=ep"},
            KUBEVIRT.argv,
            on="docker:23.0.7",
        ),
        outside="a newer Docker",
    ),
    Story(
        "12",
        "google/gvisor#14878",
        "bind() to 0.0.0.0:80 failed (13: Permission denied)",
        _codes("CAP104"),
        World(
            pod("runAsUser: 101, " + STRICT, ports=PORT_80),
            {"/usr/sbin/nginx": f"elf {NBS}"},
            ("/usr/sbin/nginx",),
            on="containerd:1.7+runsc:20260727",
        ),
        fixed=World(
            pod("runAsUser: 101, " + STRICT, ports=PORT_80),
            {"/usr/sbin/nginx": f"elf {NBS}"},
            ("/usr/sbin/nginx",),
            on="containerd:1.7",
        ),
        remedy="bind every port",
    ),
    Story(
        "13",
        "kubernetes/kubernetes#125226",
        "Listen: listen tcp :53: bind: permission denied",
        _codes(),
        World(
            pod("runAsUser: 65532, " + STRICT, ports="[{containerPort: 53}]"),
            {"/coredns": f"elf {NBS}"},
            ("/coredns",),
        ),
        outside="only the node shows it: its copy of the image has lost the attribute, and is to be pulled again",
    ),
    Story(
        "14",
        "moby/moby#42655",
        "listen tcp :80: bind: permission denied",
        _codes("CAP107"),
        World(
            pod("runAsUser: 1000, " + STRICT, ports=PORT_80),
            {"/app": "elf"},
            ("/app",),
            history=("RUN /bin/sh -c setcap cap_net_bind_service=+ep /app && getcap /app # buildkit",),
        ),
        remedy="give /app the capability",
    ),
    Story(
        "16 chown",
        "containers/buildah#3294",
        "listen tcp :80: bind: permission denied",
        _codes("CAP107"),
        World(
            pod("runAsUser: 1000, " + STRICT, ports=PORT_80),
            {"/usr/local/bin/app": "elf"},
            ("/usr/local/bin/app",),
            history=(
                "/bin/sh -c setcap 'cap_net_bind_service=+ep' /usr/local/bin/app",
                "/bin/sh -c chown app:app /usr/local/bin/app",
            ),
        ),
        remedy="give /usr/local/bin/app the capability",
    ),
    Story(
        "16 strip",
        "wolfi-dev/os#2273",
        "ping: permission denied (are you root?)",
        _codes("CAP107"),
        World(
            pod("runAsUser: 1000, capabilities: {drop: [ALL], add: [NET_RAW]}"),
            {"/usr/bin/ping": "elf"},
            ("/usr/bin/ping", "::1"),
            history=("setcap cap_net_raw+ep /usr/bin/ping", "strip /usr/bin/ping"),
        ),
        remedy="give /usr/bin/ping the capability",
    ),
    Story(
        "17",
        "hashicorp/docker-vault#36",
        "error: exec failed: invalid argument",
        _codes("CAP109"),
        World(pod("runAsUser: 100"), {"/bin/vault": "elf 0x"}, ("/bin/vault", "server")),
        remedy="take the file capabilities of /bin/vault away",
    ),
    Story(
        "18",
        "kaitoy/pcap4j#63",
        "java: error while loading shared libraries: libjli.so: cannot open shared object file",
        _codes("CAP108"),
        World(
            pod("runAsUser: 1000, capabilities: {drop: [ALL], add: [NET_RAW]}"),
            JAVA,
            ("/opt/java/bin/java", "-jar", "x.jar"),
        ),
        fixed=World(
            pod("runAsUser: 1000, capabilities: {drop: [ALL], add: [NET_RAW]}"),
            {**JAVA, "/opt/java/bin/java": "elf needs libjli.so along /opt/java/lib cap_net_raw=ep"},
            ("/opt/java/bin/java", "-jar", "x.jar"),
        ),
        outside="the image has to tell the loader where the library is",
    ),
    Story(
        "20",
        "prometheus/node_exporter#3477",
        "perf_event_open: permission denied",
        _codes("CAP101"),
        World(
            pod(
                "runAsUser: 65534, allowPrivilegeEscalation: false, capabilities: {drop: [ALL], add: [PERFMON]}"
            ),
            {"/bin/node_exporter": "elf"},
            ("/bin/node_exporter", "--collector.perf"),
        ),
        remedy="give /bin/node_exporter the capability PERFMON",
    ),
    Story(
        "22",
        "moby/moby#43374",
        "map create: operation not permitted (MEMLOCK may be too low, consider rlimit.RemoveMemlock)",
        _codes("CAP142"),
        World(
            pod("seccompProfile: {type: RuntimeDefault}, capabilities: {drop: [ALL], add: [BPF]}"),
            {"/agent": "elf"},
            ("/agent",),
            on="containerd:1.6.8",
        ),
        fixed=World(
            pod("seccompProfile: {type: RuntimeDefault}, capabilities: {drop: [ALL], add: [BPF]}"),
            {"/agent": "elf"},
            ("/agent",),
            on="containerd:1.6.9",
        ),
        outside="a newer engine, whose profile knows the capability",
    ),
    Story(
        "23",
        "open-telemetry/opentelemetry-collector-contrib#38002",
        "open .: permission denied",
        _codes("CAP101"),
        World(
            pod("runAsUser: 10001, allowPrivilegeEscalation: true, capabilities: {add: [DAC_READ_SEARCH]}"),
            {"/otelcol-contrib": "elf"},
            ("/otelcol-contrib",),
        ),
        hints=_codes("CAP130"),
        remedy="give /otelcol-contrib the capability DAC_READ_SEARCH",
    ),
    Story(
        "23 fluentd",
        "fluent/fluentd#4213",
        "exec /usr/bin/fluentd: operation not permitted",
        _codes("CAP102"),
        World(
            pod("runAsUser: 100"), {"/usr/bin/fluentd": "elf cap_dac_read_search=ep"}, ("/usr/bin/fluentd",)
        ),
        remedy="allow DAC_READ_SEARCH",
    ),
    Story(
        "26",
        "cri-o/cri-o#3119",
        "/usr/share/heartbeat/heartbeat: Operation not permitted",
        _codes("CAP110"),
        HEARTBEAT,
        remedy="allow NET_RAW",
    ),
    Story(
        "28",
        "kubernetes/kubectl#1650",
        "CapEff:\t0000000000000000",
        _codes("CAP111"),
        World(pod("runAsUser: 1000, privileged: true"), {"/bin/debug": "elf"}, ("/bin/debug",)),
        fixed=World(
            pod("runAsUser: 1000, capabilities: {drop: [ALL], add: [SYS_PTRACE]}"),
            {"/bin/debug": "elf cap_sys_ptrace=ep"},
            ("/bin/debug",),
        ),
        outside="nobody says which capability is meant",
    ),
    Story(
        "29 refused",
        "kubernetes/kubernetes#95613",
        'unknown capability "CAP_CAP_NET_RAW"',
        _codes("CAP112"),
        World(
            pod("capabilities: {drop: [ALL], add: [CAP_NET_RAW]}"),
            {"/app": "elf"},
            ("/app",),
            on="containerd:1.5.0",
        ),
        remedy="write the capabilities without CAP_",
    ),
    Story(
        "29 ignored",
        "kubernetes/kubernetes#95613",
        "exec /app: operation not permitted",
        _codes("CAP112"),
        World(
            pod("runAsUser: 1000, capabilities: {drop: [ALL], add: [CAP_NET_RAW]}"),
            {"/app": "elf cap_net_raw=ep"},
            ("/app",),
        ),
        remedy="write the capabilities without CAP_",
    ),
    Story(
        "29 root",
        "kubernetes/kubernetes#95613",
        "ignoring unknown or unavailable capabilities: [CAP_CAP_NET_RAW]",
        _codes("CAP112"),
        World(pod("capabilities: {drop: [ALL], add: [CAP_NET_RAW]}"), {"/app": "elf"}, ("/app",)),
        remedy="write the capabilities without CAP_",
    ),
    Story(
        "30",
        "emissary-ingress/emissary#1841",
        "[Errno 1] Operation not permitted: 'envoy'",
        _codes("CAP102"),
        World(
            pod("runAsUser: 8888, " + DROPPED),
            {
                "/usr/bin/python3": "elf",
                "/ambassador/entrypoint.py": "#!/usr/bin/python3\n",
                "/usr/local/bin/envoy": f"elf {NBS}",
            },
            ("/ambassador/entrypoint.py",),
            then=(("/usr/local/bin/envoy", "-c", "x"),),
        ),
        remedy="take the file capabilities of /usr/local/bin/envoy away",
    ),
    Story(
        "32",
        "nicolaka/netshoot#163",
        "container has runAsNonRoot and image has non-numeric user (nonroot), cannot verify user is non-root",
        _codes("CAP120"),
        World(
            pod("runAsNonRoot: true, " + DROPPED),
            {"/app": "elf", "/etc/passwd": ACCOUNTS},
            ("/app",),
            user="nonroot",
        ),
        remedy="name the user by its number: 65532",
    ),
    Story(
        "34",
        "CrowdStrike/falcon-helm#310",
        "[denied by autogke-default-linux-capabilities]",
        _codes("CAP122"),
        World(pod("capabilities: {add: [SYS_ADMIN]}"), {"/app": "elf"}, ("/app",), on="gke-autopilot"),
        outside="the platform's list is the platform's",
    ),
)
"""In the order of the rows."""
