# SPDX-License-Identifier: Apache-2.0
"""An explanation in sentences: the verdict, why a step changes the sets, who it is, what ports it may bind."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING

from caplet.explain.explanation import Verdict
from caplet.kernel.capable import BindPort
from caplet.kernel.syscalls import Execve
from caplet.report.printable import printable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from caplet.explain.arithmetic import Arithmetic
    from caplet.explain.explanation import Explanation, Step
    from caplet.image.secure import Secure
    from caplet.report.setnames import SetNames


SHOWN_OF_DIGEST = 12
"""Hexadecimal digits, as docker shortens them."""


def verdict(explanation: Explanation, names: SetNames) -> str:
    """`inert: starts, without NET_BIND_SERVICE, which it asks for`."""
    return f"{explanation.verdict.value}: {_outcome(explanation, names)}"


def _outcome(explanation: Explanation, names: SetNames) -> str:
    match explanation.verdict:
        case Verdict.REFUSED:
            assert explanation.refused is not None
            return f"{explanation.refused.by} refuses the container: {flat(explanation.refused.message)}"
        case Verdict.FORBIDDEN:
            assert explanation.refused is not None
            return f"{explanation.refused.by} does not let the Pod in: {flat(explanation.refused.message)}"
        case Verdict.EXEC_FAILS:
            return _denied(explanation)
        case Verdict.UNKNOWN:
            return _undecided(explanation)
        case Verdict.EFFECTIVE:
            asked = names.brief(explanation.asked)
            return (
                f"starts, with {asked} in effect"
                if explanation.asked
                else "starts, and asks for no capability"
            )
        case Verdict.NOT_NEEDED:
            return f"starts without {names.brief(explanation.lost)}, and needs it for nothing here"
        case Verdict.INERT:
            return _inert(explanation, names)


def flat(text: str) -> str:
    """A message of several lines in one: it stands in a paragraph."""
    return " ".join(line.strip() for line in text.splitlines())


def _inert(explanation: Explanation, names: SetNames) -> str:
    lacking = explanation.lost - explanation.raisable
    parts = ["starts"]
    missing = [names.brief(lacking)] if lacking else []
    missing += [printable(name) for name in explanation.misnamed]
    if missing:
        parts.append(f"without {', '.join(missing)}, which it asks for in vain")
    if explanation.closed_ports:
        ports = ", ".join(f":{port}" for port in explanation.closed_ports)
        parts.append(f"and cannot bind {ports}" if missing else f"but cannot bind {ports}")
    return " ".join(parts) if len(parts) < 3 else f"{parts[0]} {parts[1]}, {parts[2]}"


def _denied(explanation: Explanation) -> str:
    step = explanation.failed
    assert step is not None
    what = "does not start" if step.program is not None else "ends on its way"
    reason = f"{step.error}: {step.reason}" if step.error else step.reason
    return f"{what}: {step_title(step)}: {reason}"


def _undecided(explanation: Explanation) -> str:
    questions = explanation.open_questions
    started = "starts; " if explanation.starts and not explanation.doubts else ""
    return f"{started}not known: {questions[0].what}" if questions else "not known"


def seen_by_users(explanation: Explanation) -> str:
    """The line in the Pod's events or log of an entrypoint that does not start; empty for everything else."""
    step = explanation.failed
    if step is None or not explanation.executions or step is not explanation.executions[0] or not step.errno:
        return ""
    node = explanation.node
    path = step.program.argv[0] if step.program is not None else ""
    if node.runtime.not_found is not None and not_found(explanation):
        assert explanation.spec is not None
        return node.runtime.not_found(path, explanation.spec.process.cwd, node.runtime_version)
    if step.program is not None and step.program.chain:
        path = os.fsdecode(step.program.chain[0].path)
    return node.runtime.exec_error(path, step.errno, node.runtime_version)


def not_found(explanation: Explanation) -> bool:
    """Whether there is no file for the entrypoint: OCI runtimes look before they make the container, and it has no log."""
    step = explanation.failed
    program = None if step is None else step.program
    return step is not None and step.errno == errno.ENOENT and program is not None and not program.chain


def step_title(step: Step) -> str:
    """`config.json`, `exec /app`, `setgroups, setgid, setuid`."""
    names = dict.fromkeys(type(call).__name__.lower() for call in step.calls if not isinstance(call, Execve))
    return step.title if step.program is not None or step.title == "config.json" else ", ".join(names)


def why(step: Step, explanation: Explanation, names: SetNames) -> str:
    """Why the sets are what they are after a step."""
    if step.after is None and (step.arithmetic is None or not step.arithmetic.missing):
        return f"{step.error}: {step.reason}" if step.error else step.reason
    if step.arithmetic is not None:
        return _of_execve(step.arithmetic, names)
    if step is explanation.steps[0]:
        return _of_config(explanation)
    return _of_calls(step)


def _of_execve(sums: Arithmetic, names: SetNames) -> str:
    """In the short letters of capabilities(7): Pi for P(inheritable), Fp for F(permitted), Bnd and Amb."""
    old = sums.before.caps
    if sums.after is None:
        return f"EPERM: the file demands {names.brief(sums.missing)}, and Bnd lacks it"
    new = sums.after.caps
    after = names.brief(new.permitted, none="none")
    if sums.root:
        text = "root: P' = Pi | Bnd"
        text += (
            f", of which no_new_privs leaves what old P has = {after}" if sums.downgraded else f" = {after}"
        )
    elif not sums.has_file_caps:
        text = f"no file capabilities, not root: P' = (Pi & Fi) | (Fp & Bnd) | Amb = {after}"
    elif sums.downgraded:
        text = f"no_new_privs: ((Pi & Fi) | (Fp & Bnd)) & old P = {after}"
    else:
        text = f"P' = (Pi & Fi) | (Fp & Bnd) = {after}"
    if new.permitted - new.effective:
        text += "; not effective: the file has no effective bit"
    if old.ambient - new.ambient:
        text += "; its attribute clears Amb" if sums.has_file_caps else "; Amb is cleared"
    if sums.after.euid != sums.before.euid:
        text += f"; set-user-ID: uid {sums.before.seen().euid} -> {sums.after.seen().euid}"
    return text


def _of_config(explanation: Explanation) -> str:
    """What was asked for: `drop ALL, add NET_BIND_SERVICE; uid 65535; no_new_privs`."""
    context, spec = (explanation.admitted or explanation.container).security_context, explanation.spec
    engine = explanation.node.engine.title
    words = []
    if context.privileged:
        words.append("privileged")
    else:
        lists = [
            f"{verb} {', '.join(given)}"
            for verb, given in (("drop", context.drop), ("add", context.add))
            if given
        ]
        words.append(", ".join(lists) or f"{engine}'s defaults")
    if spec is not None and spec.process.no_new_privileges:
        words.append("no_new_privs")
    if spec is not None and spec.user_ns is not None:
        words.append("in a user namespace of its own")
    return "; ".join(words)


def _of_calls(step: Step) -> str:
    """What a program does before it executes the next."""
    if step.after is None or step.after.euid == step.before.euid:
        return "called by the program above"
    return f"called by the program above: uid {step.before.seen().euid} -> {step.after.seen().euid}"


def ports(explanation: Explanation, *, who: bool = True) -> tuple[str, ...]:
    """Of each privileged port that the container names, whether it can be bound: another question than the capability.

    `who`: say as well who decides where unprivileged ports start.
    """
    if explanation.final is None:
        return ()
    why = explanation.port_start_why if who else ""
    alike: dict[str, list[str]] = {}
    for port in explanation.ports:
        alike.setdefault(_port(explanation, port), []).append(f":{port}")
    return tuple(
        f"{', '.join(those)} {answer}{f' ({why})' if why else ''}" for answer, those in alike.items()
    )


def _port(explanation: Explanation, port: int) -> str:
    may = explanation.can(BindPort(port))
    answer = {True: "can be bound", False: "cannot be bound", None: "not known whether it can be bound"}[may]
    if explanation.port_start is not None and explanation.port_start <= port:
        start = explanation.port_start
        reason = f"ports from {start} on need no capability" if start else "no port needs a capability"
    elif may:
        reason = "NET_BIND_SERVICE is effective"
    elif explanation.port_start is not None:
        reason = f"ports below {explanation.port_start} need NET_BIND_SERVICE in effect"
    else:
        reason = "the first port that needs no capability is not known"
    return f"{answer}: {reason}"


def identity(explanation: Explanation) -> str:
    """`uid 65535`, as the container sees it."""
    if explanation.account is not None:
        return f"uid {explanation.account.uid}"
    request = explanation.request
    return f"uid {request.run_as_user}" if request is not None and request.run_as_user is not None else ""


def image_name(explanation: Explanation) -> str:
    """Its reference, and the head of its digest where that does not say it."""
    image = explanation.image
    name = (image.reference if image is not None else "") or explanation.container.image or "(none)"
    if image is None or image.digest is None:
        return name
    algorithm, _, value = str(image.digest).partition(":")
    return name if value in name else f"{name} ({algorithm}:{value[:SHOWN_OF_DIGEST]})"


def title(explanation: Explanation) -> str:
    """`deployment/web`, with its namespace where it names one."""
    pod = explanation.pod
    namespace = f"{pod.namespace}/" if pod.namespace else ""
    return f"{namespace}{pod.kind.lower()}/{pod.name or '-'}"


def container_title(explanation: Explanation) -> str:
    """`container web`, `init container setup`, `sidecar proxy`."""
    kind = {"container": "container", "init": "init container", "ephemeral": "ephemeral container"}
    return f"{kind.get(explanation.container.kind, explanation.container.kind)} {explanation.container.name}"


def secure(explanation: Explanation) -> tuple[str, ...]:
    """What AT_SECURE takes from the programs: libraries, variables."""
    every = (text for step in explanation.steps if step.secure is not None for text in _secure(step.secure))
    return tuple(dict.fromkeys(every))


def _secure(found: Secure) -> Iterator[str]:
    if found.fatal:
        yield found.fatal
    for lost in found.lost:
        instead = f"{lost.instead} instead" if lost.instead else "not found"
        text = f"{lost.name}, which {lost.needed_by} needs ({lost.found} without AT_SECURE): {instead}: {lost.why}"
        yield f"{text}. In the image's build: {', or '.join(lost.remedies)}" if lost.remedies else text
    if found.preload:
        yield f"not preloaded: {', '.join(found.preload)}"
    if found.variables:
        yield f"the program does not see {', '.join(found.variables)}"
    yield from found.notes
