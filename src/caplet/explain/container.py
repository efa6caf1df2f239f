# SPDX-License-Identifier: Apache-2.0
"""explain(): from a container and its image, on a node, to what its process holds."""

from __future__ import annotations

import functools
from dataclasses import replace
from typing import TYPE_CHECKING

from caplet.errors import InvalidInput
from caplet.explain.execution import Execution
from caplet.explain.explanation import Doubt, Explanation, Step, Verdict
from caplet.image.config import ImageConfig
from caplet.image.passwd import User, resolve_user
from caplet.kernel.capable import PORT_START, BindPort
from caplet.kernel.caps import Caps
from caplet.kernel.credentials import Credentials, Denied, ThreadCaps
from caplet.kernel.namespaces import INITIAL, UserNamespace
from caplet.kernel.syscalls import SetnsUser, apply_all
from caplet.runtimes import apiserver, sysctls
from caplet.runtimes.model import Refused
from caplet.runtimes.ports import port_start

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from caplet.explain.facts import ImageFacts
    from caplet.kernel.syscalls import Syscall
    from caplet.kernel.versions import Kernel
    from caplet.kubernetes.pod import Container, PodSpec
    from caplet.runtimes.model import SecurityContext, Spec
    from caplet.runtimes.node import Node

UNREACHABLE = ImageConfig(
    {
        "os": "linux",
        "architecture": "amd64",
        "config": {"Entrypoint": ["?"]},
        "rootfs": {"type": "layers", "diff_ids": []},
    }
)
"""Stands for the configuration of an image that could not be reached."""


def explain(
    pod: PodSpec,
    container: Container,
    image: ImageFacts | None,
    node: Node,
    then: Sequence[tuple[str, ...]] = (),
    every: Caps | None = None,
    default_caps: Caps | None = None,
    edited: Callable[[Spec], Spec] | None = None,
) -> Explanation:
    """What becomes of the container. Whoever refuses it, a program that does not start, and what is not known are values.

    `image` None: it could not be reached, and only what is certain without it is said. `then`: the arguments of
    programs that the last one which is known executes, one after the other. `every`: the capabilities that engine and
    OCI runtime have themselves; None: all of the node's kernel. `default_caps`: what the engine's configuration names
    in place of its own defaults. `edited`: what happens to config.json between engine and OCI runtime.
    """
    every = Caps.all(node.kernel.last_cap) if every is None else every
    base = Explanation(pod, container, node, image, tuple(then))
    admitted = node.admit(pod, container)
    if isinstance(admitted, Refused):
        return replace(base, refused=admitted, forbidden=admitted.by != apiserver.NAME)
    base = replace(base, admitted=admitted.container, notes=admitted.changes)
    container = admitted.container
    config = UNREACHABLE if image is None else image.config
    request = node.request(pod, container, config.user)
    if isinstance(request, Refused):
        return _without_image(base, request) if image is None else replace(base, refused=request)
    base = replace(base, request=request)
    account = _account(node, request, image)
    if isinstance(account, Refused):
        return replace(base, refused=account)
    try:
        spec = node.spec(pod, container, request, config, account, every, default_caps)
    except InvalidInput as error:  # the image names no program
        spec = Refused(node.engine.title, error.message)
    if isinstance(spec, Refused):
        return replace(base, refused=spec)
    spec = spec if edited is None else edited(spec)
    start, why = port_start(node, pod, spec)
    base = replace(
        base,
        spec=spec,
        account=account,
        ignored=node.runtime.ignored(spec.process.capabilities, node.runtime_version),
        port_start=start,
        port_start_why=why,
    )
    return _run(base, spec, node, every)


def _without_image(base: Explanation, refused: Refused) -> Explanation:
    """What the kubelet says of an image that is not known is no answer."""
    return replace(
        base,
        doubts=(
            Doubt("the image, and so the user that it names", "an image that can be read: --image NAME=REF"),
        ),
        notes=(f"{refused.by} would refuse it if the image named no user: {refused.message}",),
    )


def _account(node: Node, request: SecurityContext, image: ImageFacts | None) -> User | Refused:
    """The user as the engine finds it in the image's /etc/passwd."""
    text = node.engine.user_string(request, "" if image is None else image.config.user)
    if isinstance(text, Refused):
        return text
    if image is None:
        uid = request.run_as_user or 0
        return User(uid, request.run_as_group or 0, (request.run_as_group or 0,))
    found = image.accounts.get(text)
    if found is None:
        try:
            found = resolve_user(image.files, text)
        except InvalidInput as error:
            found = error
        image.accounts[text] = found
    return Refused(node.engine.title, found.message) if isinstance(found, InvalidInput) else found


def _run(base: Explanation, spec: Spec, node: Node, every: Caps) -> Explanation:
    not_set = sysctls.refused(spec, node.runtime.name, node.runtime_version)
    if not_set is not None:
        return replace(base, refused=not_set)
    calls = node.runtime.system_calls(spec.process, every, node.runtime_version)
    if isinstance(calls, Refused):
        return replace(base, refused=calls)
    before = Credentials(caps=ThreadCaps.root(every))
    try:
        created = _created(before, _entered(spec, calls), node.kernel)
    except Denied as denied:
        said = f"unable to start the container process: {denied.strerror}"
        return replace(base, refused=Refused(node.runtime.name, said))
    first = Step("config.json", before, created, calls)
    if base.image is None:
        unreached = Doubt("the image, and so its program", "an image that can be read: --image NAME=REF")
        return replace(base, steps=(first,), doubts=(unreached,))
    asks = bool(base.asked or base.asked_names or base.ports)
    execution = Execution(base.image, spec, node, base.pod, base.container, [first], asks)
    execution.follow(base.then)
    followed = replace(
        base,
        steps=tuple(execution.steps),
        doubts=tuple(execution.doubts),
        notes=(*base.notes, *execution.notes),
        setcaps=tuple(execution.setcaps),
    )
    return _with_nodes_ports(followed)


def _with_nodes_ports(followed: Explanation) -> Explanation:
    """Where nothing else decides, the node does of a port that it may or may not give to everyone."""
    if followed.verdict is not Verdict.EFFECTIVE:
        return followed
    open_ = [str(port) for port in followed.ports if followed.can(BindPort(port)) is None]
    if not open_:
        return followed
    return replace(
        followed,
        doubts=(
            Doubt(
                f"whether port {', '.join(open_)} can be bound: hostNetwork, so the node's own {PORT_START} counts",
                f"`sysctl {PORT_START}` on the node",
            ),
        ),
    )


def _entered(spec: Spec, calls: tuple[Syscall, ...]) -> tuple[Syscall, ...]:
    """The runtime's calls in the container's user namespace, where it has one."""
    if spec.user_ns is None:
        return calls
    ids = spec.user_ns.ids
    return (SetnsUser(UserNamespace(INITIAL, 0, ids, ids)), *calls)


@functools.lru_cache(maxsize=4096)
def _created(before: Credentials, calls: tuple[Syscall, ...], kernel: Kernel) -> Credentials:
    """Some fifty calls make it; containers of one kind share it."""
    return apply_all(before, calls, kernel)
