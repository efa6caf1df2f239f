# SPDX-License-Identifier: Apache-2.0
"""The Container Runtime Interface, spoken as the kubelet does: gRPC over the engine's socket.

Field numbers: kubernetes/cri-api 791729b, pkg/apis/runtime/v1/api.proto. grpcio brings the transport (HTTP/2); the
messages are made here.
"""

from __future__ import annotations

import json
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from caplet.errors import CapletError, Unavailable
from caplet.verify.engines.protobuf import Fields, fields, inner, mapping, message, number, text

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from caplet.runtimes.model import SecurityContext

ANSWER_SECONDS = 60.0

POD, CONTAINER, NODE = 0, 1, 2
"""enum NamespaceMode."""

MERGE, STRICT = 0, 1
"""enum SupplementalGroupsPolicy."""

RUNNING, EXITED = 1, 2
"""enum ContainerState."""


class Refusal(CapletError):
    """The engine's error, in its words."""


@dataclass(frozen=True, slots=True)
class Sandbox:
    """PodSandboxConfig: what differs between the Pods of a session."""

    name: str
    namespace: str
    log_directory: str
    labels: Mapping[str, str]
    cgroup_parent: str
    hostname: str = ""
    host_network: bool = False
    privileged: bool = False
    sysctls: tuple[tuple[str, str], ...] = ()

    def encoded(self) -> bytes:
        security = message({1: self._namespaces(), 6: self.privileged})
        return message(
            {
                1: message({1: self.name, 2: self.name, 3: self.namespace}),
                2: "" if self.host_network else self.hostname,
                3: self.log_directory,
                6: self.labels,
                8: message({1: self.cgroup_parent, 2: security, 3: dict(self.sysctls)}),
            }
        )

    def _namespaces(self) -> bytes:
        return namespaces(host_network=self.host_network)


def namespaces(*, host_network: bool) -> bytes:
    """NamespaceOption of a Pod that shares no process namespace."""
    return message({1: NODE if host_network else POD, 2: CONTAINER, 3: POD})


def security_context(sc: SecurityContext, *, host_network: bool) -> bytes:
    """LinuxContainerSecurityContext."""
    return message(
        {
            1: message({1: sc.add_capabilities, 2: sc.drop_capabilities}),
            2: sc.privileged,
            3: namespaces(host_network=host_network),
            5: _int64(sc.run_as_user),
            12: _int64(sc.run_as_group),
            6: sc.run_as_username,
            7: sc.readonly_rootfs,
            8: sc.supplemental_groups,
            17: STRICT if sc.supplemental_groups_policy == "Strict" else MERGE,
            11: sc.no_new_privs,
            13: sc.masked_paths,
            14: sc.readonly_paths,
        }
    )


def _int64(value: int | None) -> bytes | None:
    """Int64Value: present, also where it is 0."""
    return None if value is None else message({1: value})


@dataclass(frozen=True, slots=True)
class Wanted:
    """ContainerConfig."""

    name: str
    image: str
    command: Sequence[str]
    args: Sequence[str]
    working_dir: str
    env: Mapping[str, str]
    log_path: str
    security: bytes

    def encoded(self) -> bytes:
        return message(
            {
                1: message({1: self.name}),
                2: message({1: self.image}),
                3: self.command,
                4: self.args,
                5: self.working_dir,
                6: [message({1: name, 2: value}) for name, value in self.env.items()],
                11: self.log_path,
                15: message({2: self.security}),
            }
        )


@dataclass(frozen=True, slots=True)
class Status:
    """ContainerStatus, with the process id that the engine adds when asked to be verbose."""

    state: int
    exit_code: int
    reason: str
    message: str
    pid: int


class Client:
    """RuntimeService and ImageService of one engine."""

    def __init__(self, channel: Any) -> None:
        self._channel = channel

    def version(self) -> tuple[str, str]:
        """The engine's name and version."""
        answer = self._call("RuntimeService/Version", {})
        return text(answer, 2), text(answer, 3).removeprefix("v")

    def info(self) -> Mapping[str, Any]:
        """What the engine says of itself when asked to be verbose (containerd: its configuration)."""
        answer = mapping(self._call("RuntimeService/Status", {1: True}), 2)
        document = json.loads(answer.get("config") or "{}")
        return document if isinstance(document, dict) else {}

    def has_image(self, name: str) -> bool:
        return 1 in self._call("ImageService/ImageStatus", {1: message({1: name})})

    def run_sandbox(self, sandbox: Sandbox) -> str:
        return text(self._call("RuntimeService/RunPodSandbox", {1: sandbox.encoded()}), 1)

    def sandboxes(self, labels: Mapping[str, str]) -> list[str]:
        """Those that have these labels."""
        answer = self._call("RuntimeService/ListPodSandbox", {1: message({3: labels})})
        return [text(fields(item), 1) for item in answer.get(1, []) if isinstance(item, bytes)]

    def remove_sandbox(self, sandbox_id: str) -> None:
        """With its containers."""
        self._call("RuntimeService/StopPodSandbox", {1: sandbox_id})
        self._call("RuntimeService/RemovePodSandbox", {1: sandbox_id})

    def create(self, sandbox_id: str, sandbox: Sandbox, wanted: Wanted) -> str:
        request = {1: sandbox_id, 2: wanted.encoded(), 3: sandbox.encoded()}
        return text(self._call("RuntimeService/CreateContainer", request), 1)

    def start(self, container_id: str) -> None:
        self._call("RuntimeService/StartContainer", {1: container_id})

    def status(self, container_id: str) -> Status:
        answer = self._call("RuntimeService/ContainerStatus", {1: container_id, 2: True})
        status = inner(answer, 1)
        info = json.loads(mapping(answer, 2).get("info") or "{}")
        return Status(
            state=number(status, 3),
            exit_code=number(status, 7),
            reason=text(status, 10),
            message=text(status, 11),
            pid=int(info.get("pid", 0)),
        )

    def stop(self, container_id: str) -> None:
        """With SIGKILL at once."""
        self._call("RuntimeService/StopContainer", {1: container_id})

    def remove(self, container_id: str) -> None:
        self._call("RuntimeService/RemoveContainer", {1: container_id})

    def _call(self, method: str, request: Mapping[int, Any]) -> Fields:
        import grpc

        call = self._channel.unary_unary(
            f"/runtime.v1.{method}", request_serializer=message, response_deserializer=fields
        )
        try:
            answer: Fields = call(request, timeout=ANSWER_SECONDS)
        except grpc.RpcError as error:
            if error.code() in {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.UNIMPLEMENTED}:
                raise Unavailable(
                    f"no CRI: {error.details()}",
                    "is this the engine's CRI socket, and its CRI plugin enabled?",
                ) from error
            raise Refusal(error.details() or str(error.code())) from error
        return answer


def lacks_grpc() -> bool:
    """Whether grpcio is not installed."""
    try:
        import grpc  # noqa: F401
    except ImportError:
        return True
    return False


@contextmanager
def client(socket: str) -> Iterator[Client]:
    """Connected to the socket."""
    if lacks_grpc():
        raise Unavailable("CRI needs grpcio", "pip install 'caplet[cri]'")
    import grpc

    with grpc.insecure_channel(f"unix://{socket}") as channel:
        yield Client(channel)
