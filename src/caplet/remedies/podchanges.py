# SPDX-License-Identifier: Apache-2.0
"""Changes of the Pod alone."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from caplet.errors import InvalidInput
from caplet.explain.explanation import FIRST_FREE_PORT
from caplet.image.passwd import resolve_user
from caplet.kernel.capable import PORT_START
from caplet.kernel.caps import Cap, Caps, bare
from caplet.kubernetes.podspec import Sysctl
from caplet.remedies.remedy import Gives, Proposal, container_patch, with_container

if TYPE_CHECKING:
    from collections.abc import Iterator

    from caplet.explain.explanation import Explanation
    from caplet.kubernetes.podspec import ContainerSecurityContext

SOME_USER = 65532
"""Not root, and nobody's in most images: distroless calls it nonroot."""


LONGEST_NAME = 40
"""Twice the longest capability's: what is longer is no mistyped one."""


def drop_what_is_not_needed(explanation: Explanation) -> Iterator[Proposal]:
    """Adds that nothing on this node needs."""
    needless = {cap.name for cap in explanation.needless if isinstance(cap, Cap)}
    add = explanation.asked_names
    kept = tuple(name for name in add if bare(name) not in needless)
    if kept == add or explanation.container.security_context.privileged:
        return
    yield _with(
        explanation,
        {"add": kept},
        {"capabilities": {"add": list(kept) or None}},
        f"leave {_listed(sorted(needless))} out: not needed on {explanation.node}",
        explanation.port_start_why,
        Gives.LESS,
    )


def drop_what_no_port_needs(explanation: Explanation) -> Iterator[Proposal]:
    """NET_BIND_SERVICE for ports that everybody may bind."""
    bind = Cap.NET_BIND_SERVICE
    if bind not in explanation.lost or not _names_free_ports_only(explanation):
        return
    kept = tuple(name for name in explanation.asked_names if bare(name) != bind.name)
    if kept == explanation.asked_names or explanation.container.security_context.privileged:
        return
    yield _with(
        explanation,
        {"add": kept},
        {"capabilities": {"add": list(kept) or None}},
        f"leave {bind.name} out, if the program binds no other ports than those of the manifest",
        f"none of them is below {FIRST_FREE_PORT}",
        Gives.LESS,
    )


def _names_free_ports_only(explanation: Explanation) -> bool:
    """The container's `ports` name some, and none that needs a privilege."""
    return bool(explanation.container.ports) and not explanation.ports


def spell_right(explanation: Explanation) -> Iterator[Proposal]:
    """`CAP_NET_RAW` and `cap_net_raw` as Kubernetes writes it: NET_RAW."""
    own = explanation.container.security_context

    def right(names: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(bare(name) if bare(name) in Cap.__members__ else meant(name) for name in names)

    add, drop = right(own.add), right(own.drop)
    if (add, drop) == (own.add, own.drop):
        return
    lists = {name: list(value) for name, value in (("add", add), ("drop", drop)) if value}
    mistyped = [name for name, other in zip(own.add, add, strict=True) if bare(name) != other != name]
    yield _with(
        explanation,
        {"add": add, "drop": drop},
        {"capabilities": lists},
        f"write {', '.join(add)}, if that is meant"
        if mistyped
        else "write the capabilities without CAP_, in capitals",
        f"{', '.join(mistyped)}: no capability of that name"
        if mistyped
        else "containerd puts CAP_ before every name as it stands",
        Gives.NOTHING,
    )


def meant(name: str) -> str:
    """The capability whose name is nearly that; the name itself where none is."""
    import difflib

    if bare(name) == "ALL" or len(name) > LONGEST_NAME:
        return name
    near = difflib.get_close_matches(bare(name), Cap.__members__, n=1, cutoff=0.8)
    return near[0] if near else name


def not_drop_again(explanation: Explanation) -> Iterator[Proposal]:
    """A capability that stands in both lists: which one wins differs from engine to engine."""
    own = explanation.container.security_context
    both = {bare(name) for name in own.add} & {bare(name) for name in own.drop} - {"ALL"}
    if not both:
        return
    drop = tuple(name for name in own.drop if bare(name) not in both)
    yield _with(
        explanation,
        {"drop": drop},
        {"capabilities": {"add": list(own.add), "drop": list(drop) or None}},
        f"take {_listed(sorted(both))} out of drop",
        "it is in add and in drop",
        Gives.NOTHING,
    )


def number_the_user(explanation: Explanation) -> Iterator[Proposal]:
    """RunAsNonRoot can be verified of a number only."""
    refused, image = explanation.refused, explanation.image
    if refused is None or refused.by != "kubelet" or image is None or "runAsNonRoot" not in refused.message:
        return
    try:
        account = resolve_user(image.files, image.config.user)
    except InvalidInput:
        return
    uid = account.uid or SOME_USER
    whose = f"the image's {image.config.user}" if account.uid else "the image names root: any other user"
    yield _with(
        explanation,
        {"run_as_user": uid},
        {"runAsUser": uid},
        f"name the user by its number: {uid}",
        whose,
        Gives.NOTHING if account.uid else Gives.LESS,
    )


def free_ports(explanation: Explanation) -> Iterator[Proposal]:
    """Ports below 1024 without a capability: a safe sysctl, allowed by the Pod Security Standards at every level."""
    pod = explanation.pod
    wants = explanation.closed_ports or Cap.NET_BIND_SERVICE in explanation.lost
    if pod.host_network or not wants or explanation.port_start == 0 or _names_free_ports_only(explanation):
        return
    whole = pod.security_context
    sysctls = (*(one for one in whole.sysctls if one.name != PORT_START), Sysctl(PORT_START, "0"))
    changed = replace(pod, security_context=replace(whole, sysctls=sysctls))
    # The list is atomic (core/v1 types.go PodSecurityContext.Sysctls): a patch replaces the whole of it.
    listed = [{"name": one.name, "value": one.value} for one in sysctls]
    patch = {"securityContext": {"sysctls": listed}}
    yield Proposal(
        "let this Pod's processes bind every port: no capability needed",
        f"{PORT_START} is of the Pod's own network namespace",
        Gives.PORTS,
        changed,
        explanation.container,
        explanation.image,
        patch=patch,
    )


def allow_what_the_file_demands(explanation: Explanation) -> Iterator[Proposal]:
    """The bounding set lacks what the program's file demands."""
    failed = explanation.failed
    if failed is None or failed.arithmetic is None or not failed.arithmetic.missing:
        return
    missing = failed.arithmetic.missing
    yield allowing(
        explanation,
        missing,
        f"allow {_listed(missing.names())}, which the program's file demands",
        "",
        Gives.CONTAINER,
    )


def allowing(explanation: Explanation, caps: Caps, title: str, why: str, gives: Gives) -> Proposal:
    """The Pod with more in `add`, and not in `drop`."""
    own = explanation.container.security_context
    names = set(caps.names())
    kept = tuple(name for name in own.add if bare(name) not in names)
    add = (*kept, *caps.names())
    drop = tuple(name for name in own.drop if bare(name) not in names)
    lists: dict[str, Any] = {"add": list(add)}
    if drop != own.drop:
        lists["drop"] = list(drop) or None
    return _with(explanation, {"add": add, "drop": drop}, {"capabilities": lists}, title, why, gives)


def _with(
    explanation: Explanation,
    changes: dict[str, Any],
    patch: dict[str, Any],
    title: str,
    why: str,
    gives: Gives,
) -> Proposal:
    """Other fields of the container's securityContext."""
    pod, container = explanation.pod, explanation.container
    context: ContainerSecurityContext = replace(container.security_context, **changes)
    changed = replace(container, security_context=context)
    return Proposal(
        title,
        why,
        gives,
        with_container(pod, container, changed),
        changed,
        explanation.image,
        patch=container_patch(container, {"securityContext": patch}),
    )


def _listed(names: list[str] | tuple[str, ...]) -> str:
    return ", ".join(names)
