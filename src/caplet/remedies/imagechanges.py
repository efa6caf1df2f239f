# SPDX-License-Identifier: Apache-2.0
"""Changes of the image's files, by caplet's own verbs, with what the Pod has to allow for them."""

from __future__ import annotations

import os
import re
import shlex
from dataclasses import replace
from typing import TYPE_CHECKING

from caplet.image.interpreters import Runs, runs
from caplet.image.wrappers.model import Unsure
from caplet.kernel.caps import NO_CAPS, Cap, Caps
from caplet.kernel.filecaps import FileCaps
from caplet.remedies.podchanges import allowing
from caplet.remedies.remedy import Gives, Proposal, container_patch, with_container

if TYPE_CHECKING:
    from collections.abc import Iterator

    from caplet.explain.explanation import Explanation, Step
    from caplet.image.program import Link


def strip(explanation: Explanation) -> Iterator[Proposal]:
    """Take the attribute away: the program starts with what it has otherwise."""
    for link in _in_the_way(explanation):
        path = os.fsdecode(link.path)
        yield _image(
            explanation,
            {link.path: None},
            f"take the file capabilities of {path} away{_can_do_without(explanation)}",
            "the program starts everywhere then, and has none of them",
            Gives.LESS,
            "strip",
            path,
        )


def relax(explanation: Explanation) -> Iterator[Proposal]:
    """+ep to +p: no execve fails for it."""
    for link in _in_the_way(explanation):
        caps = link.caps
        if not isinstance(caps, FileCaps) or not caps.effective or not caps.permitted:
            continue
        path = os.fsdecode(link.path)
        yield _image(
            explanation,
            {link.path: replace(caps, effective=False).encode()},
            f"let {path} start where its capabilities are not allowed{_can_do_without(explanation)}",
            "+ep becomes +p: where they are allowed, the program must raise them itself",
            Gives.NOTHING,
            "relax",
            path,
        )


def _can_do_without(explanation: Explanation) -> str:
    """The condition of a remedy that leaves the program without what its file demands."""
    failed = explanation.failed
    if failed is None or failed.arithmetic is None or not failed.arithmetic.missing:
        return ""
    return f", if it can do without {', '.join(failed.arithmetic.missing.names())} here"


def for_every_namespace(explanation: Explanation) -> Iterator[Proposal]:
    """An attribute of revision 3 as one of revision 2, which counts in every user namespace."""
    for link in _in_the_way(explanation):
        caps = link.caps
        if not isinstance(caps, FileCaps) or not caps.rootid:
            continue
        path, everywhere = os.fsdecode(link.path), replace(caps, rootid=None)
        yield _image(
            explanation,
            {link.path: everywhere.encode()},
            f"give {path} the same capabilities for every user namespace",
            f"the attribute is for the one whose root is uid {caps.rootid}",
            Gives.PROGRAM,
            "grant",
            f"{path}={everywhere}",
        )


def grant(explanation: Explanation) -> Iterator[Proposal]:
    """Give the last program's file what is lost, and let the Pod allow it."""
    wanted = _wanted(explanation)
    last = _last(explanation)
    if not wanted or last is None or last.program is None or _is_interpreter(last):
        return
    yield from _granted(explanation, wanted, [last], Gives.PROGRAM)


def grant_the_chain(explanation: Explanation) -> Iterator[Proposal]:
    """Give it to each wrapper before the last program as well: under no_new_privs none may lose it."""
    wanted = _wanted(explanation)
    steps = explanation.executions
    if not wanted or len(steps) < 2 or any(map(_runs_scripts, steps)):
        return
    yield from _granted(explanation, wanted, list(steps), Gives.WRAPPER)


def start_directly(explanation: Explanation) -> Iterator[Proposal]:
    """The last program without the wrappers before it."""
    wanted = _wanted(explanation)
    steps = explanation.executions
    last = _last(explanation)
    if not wanted or len(steps) < 2 or last is None or last.program is None or _is_interpreter(last):
        return
    if any(step.calls for step in explanation.steps[1:]) or not all(map(_is_interpreter, steps[:-1])):
        return  # a wrapper that changes the user or its sets does more than start the program, and so does a server
    if any(isinstance(word, Unsure) for word in last.program.argv):
        return  # a word that only run time knows cannot be written down
    argv = tuple(map(_for_the_kubelet, (os.fsdecode(last.program.chain[0].path), *last.program.argv[1:])))
    container = explanation.container
    changed = replace(container, command=argv, args=())
    fields = {"command": list(argv), "args": None} if container.args else {"command": list(argv)}
    direct = replace(explanation, pod=with_container(explanation.pod, container, changed), container=changed)
    attributes, commands = _attributes(explanation, wanted, [last])
    title = f"start {os.fsdecode(last.program.chain[0].path)} itself, without what stands before it"
    if commands:
        title += ", and give it the capability"
    yield Proposal(
        title,
        "what a wrapper does besides (settings, users, signals) must not be needed",
        Gives.PROGRAM,
        direct.pod,
        changed,
        explanation.image.with_attributes(attributes)
        if explanation.image and attributes
        else explanation.image,
        then=(),
        patch=container_patch(container, fields),
        commands=commands,
    )


def _for_the_kubelet(word: str) -> str:
    """The word that the kubelet makes this one of: it expands `$(NAME)` and `$$`, kubelet/third_party expansion.Expand."""
    return re.sub(r"\$(?=[$(])", "$$", word)


def _wanted(explanation: Explanation) -> Caps:
    """What the last program lacks."""
    if explanation.container.security_context.privileged or len(explanation.asked) > MOST_ASKED:
        return NO_CAPS  # nobody says which one is meant
    ports = Caps.of(Cap.NET_BIND_SERVICE) if explanation.closed_ports else NO_CAPS
    return (explanation.lost | ports) if explanation.starts else NO_CAPS


MOST_ASKED = 8
"""Capabilities that are asked for by name; more are `ALL`, and no file should carry that."""


def _granted(explanation: Explanation, wanted: Caps, steps: list[Step], gives: Gives) -> Iterator[Proposal]:
    attributes, commands = _attributes(explanation, wanted, steps)
    if not attributes or explanation.image is None:
        return
    paths = ", ".join(os.fsdecode(path) for path in attributes)
    bounding = explanation.created.caps.bounding if explanation.created else NO_CAPS
    allowed = explanation
    title, why = f"give {paths} the capability {', '.join(wanted.names())}", ""
    if wanted <= bounding:
        yield Proposal(
            title,
            why,
            gives,
            allowed.pod,
            allowed.container,
            explanation.image.with_attributes(attributes),
            commands=commands,
        )
        return
    lacking = wanted - bounding
    with_add = allowing(explanation, lacking, f"{title}, and allow it in the Pod", why, Gives.CONTAINER)
    yield replace(with_add, image=explanation.image.with_attributes(attributes), commands=commands)


def _attributes(
    explanation: Explanation, wanted: Caps, steps: list[Step]
) -> tuple[dict[bytes, bytes | None], tuple[str, ...]]:
    """What each program's file would carry, and the command that does it. None for files that have it already."""
    attributes: dict[bytes, bytes | None] = {}
    words: list[str] = []
    for step in steps:
        assert step.program is not None
        link = step.program.file
        old = link.caps if isinstance(link.caps, FileCaps) else None
        permitted = wanted | (old.permitted if old else NO_CAPS)
        if old is not None and old.effective and not old.rootid and wanted <= old.permitted:
            continue
        new = FileCaps(permitted, old.inheritable if old else NO_CAPS, effective=True)
        attributes[link.path] = new.encode()
        words.append(f"{os.fsdecode(link.path)}={','.join(permitted.names())}")
    if not words:
        return {}, ()
    return attributes, (_command("grant", explanation, words),)


def _image(
    explanation: Explanation,
    attributes: dict[bytes, bytes | None],
    title: str,
    why: str,
    gives: Gives,
    verb: str,
    path: str,
) -> Proposal:
    assert explanation.image is not None
    return Proposal(
        title,
        why,
        gives,
        explanation.pod,
        explanation.container,
        explanation.image.with_attributes(attributes),
        commands=(_command(verb, explanation, [path]),),
    )


def _command(verb: str, explanation: Explanation, words: list[str]) -> str:
    image = explanation.image
    reference = (image.reference if image else "") or explanation.container.image or "IMAGE"
    return " ".join(["caplet", verb, shlex.quote(reference), "-o", "oci:OUT", *map(shlex.quote, words)])


def _in_the_way(explanation: Explanation) -> list[Link]:
    """The file whose attribute makes execve fail, or takes away what would be ambient."""
    step = explanation.failed
    if step is None and explanation.lost:
        step = next(
            (
                one
                for one in explanation.executions
                if one.before.caps.ambient and one.arithmetic is not None and one.arithmetic.has_file_caps
            ),
            None,
        )
    if step is None or step.program is None or not step.program.chain:
        return []
    link = step.program.file
    return [] if link.caps is None else [link]


def _last(explanation: Explanation) -> Step | None:
    return explanation.executions[-1] if explanation.executions else None


def _is_interpreter(step: Step) -> bool:
    """What it does itself is to run something else: a shell, an interpreter, an init."""
    return _runs_scripts(step) or step.program is None or runs(step.program.file.path) is not None


def _runs_scripts(step: Step) -> bool:
    """A capability on a shell or an interpreter is one for every script."""
    program = step.program
    return program is None or len(program.chain) > 1 or runs(program.file.path) is Runs.SCRIPTS
