# SPDX-License-Identifier: Apache-2.0
"""answer(): which cause it was, which it may be, and what would decide."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from caplet.causes.catalogue import causes_of
from caplet.causes.cause import only_the_node_tells
from caplet.kernel.caps import Cap, Caps
from caplet.why.candidate import candidates_of
from caplet.why.commandline import named_in
from caplet.why.imagealone import said_by
from caplet.why.podalone import refuted_by
from caplet.why.wording import Worth

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from caplet.causes.cause import Cause, Found
    from caplet.explain.explanation import Explanation
    from caplet.explain.facts import ImageFacts
    from caplet.image.program import Program
    from caplet.runtimes.node import Node
    from caplet.why.candidate import Candidate
    from caplet.why.clue import Clue

OF_NODE = "the node that the line comes from: --on NODE, or live: caplet why pod/NAME"

OF_PORTS = "what the container has, where the engine is configured otherwise: sysctl net.ipv4.ip_unprivileged_port_start in it"

Then = tuple[tuple[str, ...], ...]


class Explained(Protocol):
    """A container on its node, ready to be explained."""

    @property
    def name(self) -> str:
        """The container's."""
        ...

    def __call__(self, then: Then = (), ports: tuple[int, ...] = ()) -> Explanation:
        """What becomes of it where `then` follows its known programs, and it binds `ports` too."""
        ...


@dataclass(frozen=True, slots=True)
class Decided:
    """A cause that is there."""

    cause: Cause
    message: str
    container: str
    """Its name; empty where the clue alone decides and names none."""
    clues: tuple[Clue, ...]
    """Those that it answers; empty where it is there and no clue speaks of it."""
    explanation: Explanation | None = None
    """None where the wording alone decides."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What is known."""

    clues: tuple[Clue, ...]
    candidates: tuple[Candidate, ...]
    """The likeliest first."""
    decided: tuple[Decided, ...] = ()
    """Those that answer a clue first."""
    refuted: tuple[Cause, ...] = ()
    """Candidates that the Pod and the image, or the image alone, rule out."""
    facts: tuple[str, ...] = ()
    """What the image alone tells."""
    needs: tuple[str, ...] = ()
    """What would decide, where nothing is decided."""
    explanations: tuple[Explanation, ...] = ()
    assumed: bool = False
    """Nobody said which node it is."""
    impossible: Mapping[Clue, str] = field(default_factory=dict)
    """Clues that cannot come from the node, and why."""

    @property
    def node(self) -> Node | None:
        """Where the containers were judged; None where there is none."""
        return self.explanations[0].node if self.explanations else None

    @property
    def answered(self) -> tuple[Decided, ...]:
        """Those of `decided` that answer a clue."""
        return tuple(one for one in self.decided if one.clues)

    @property
    def open(self) -> tuple[Candidate, ...]:
        """Candidates that are left, each cause once, as long as none is decided; hints are none."""
        if self.answered:
            return ()
        out = {cause.code for cause in self.refuted}
        seen: dict[str, Candidate] = {}
        for one in self.candidates:
            if one.cause.code not in out and one.cause.weight == "breaks" and one.clue not in self.impossible:
                seen.setdefault(one.cause.code, one)
        return tuple(seen.values())

    @property
    def hints(self) -> tuple[Cause, ...]:
        """What is worth knowing beside `open`."""
        if not self.open:
            return ()
        return tuple(dict.fromkeys(one.cause for one in self.candidates if one.cause.weight == "hint"))


def answer(
    clues: Sequence[Clue],
    explained: Sequence[Explained] = (),
    image: ImageFacts | None = None,
    *,
    assumed: bool = False,
) -> Answer:
    """Choose among the candidates. `explained`: the containers, on one node; `assumed`: nobody said that it is this one.

    `image`: what there is where the Pod is not known.
    """
    candidates = candidates_of(clues)
    explanations = tuple(_reaching(one, candidates) for one in explained)
    decided = [*_found(explanations, candidates)]
    decided += _said(candidates, {one.cause for one in decided if one.clues}, explanations)
    decided.sort(key=lambda one: not one.clues)
    refuted: tuple[Cause, ...] = ()
    facts: tuple[str, ...] = ()
    known = {clue for one in decided for clue in one.clues}
    impossible = {clue: why for clue, why in _impossible(candidates, explanations) if clue not in known}
    if explanations:
        refuted = tuple(_refuted(candidates, explanations, assumed=assumed))
    elif image is not None:
        facts, refuted = said_by(image, tuple(dict.fromkeys(one.program for one in candidates)), candidates)
    needs: tuple[str, ...] = ()
    if not any(one.clues for one in decided):
        left = [one for one in candidates if one.clue not in impossible]
        told = [OF_NODE] if impossible else []
        told += [OF_PORTS for one in candidates if one.clue in impossible and one.port is not None]
        more = _needs(left, explanations, image) if left or not impossible else ()
        needs = tuple(dict.fromkeys([*told, *more]))
    return Answer(
        tuple(clues),
        candidates,
        tuple(decided),
        refuted,
        facts,
        needs,
        explanations,
        assumed,
        impossible,
    )


def _concerns(candidate: Candidate, container: str) -> bool:
    return candidate.clue.container in {"", container}


def _reaching(explained: Explained, candidates: Iterable[Candidate]) -> Explanation:
    """The container's Explanation, followed to a program and a port that its clues name where it does not come by them by itself."""
    those = [one for one in candidates if _concerns(one, explained.name)]
    ports = tuple(dict.fromkeys(one.port for one in those if one.port is not None))
    explanation = explained((), ports)
    ran = _programs(explanation)
    missing = [one.program for one in those if one.program and not _is_among(one.program, ran)]
    if not explanation.starts or not missing or _is_text(missing[-1]):
        return explanation
    args = explanation.spec.process.args if explanation.spec is not None else ()
    followed = explained((named_in(args, missing[-1]),), ports)
    last = followed.failed.program if followed.failed is not None else None
    # A program that the image does not have is another container's, or on a volume.
    return explanation if last is not None and not last.chain else followed


def _programs(explanation: Explanation) -> set[str]:
    programs = [step.program for step in explanation.executions if step.program is not None]
    return {path for one in programs for path in (one.argv[0], *_paths(one))}


def _paths(program: Program) -> Iterator[str]:
    return (link.path.decode("utf-8", "replace") for link in program.chain)


def _is_among(program: str, paths: Iterable[str]) -> bool:
    """Whether one of the paths is meant; a name without a directory means any."""
    if "/" in program:
        return program in paths
    return any(path.rpartition("/")[2] == program for path in paths)


def _is_text(program: str) -> bool:
    """Nothing that could be executed."""
    return not program.strip() or "\0" in program


def _found(explanations: Iterable[Explanation], candidates: Sequence[Candidate]) -> Iterator[Decided]:
    for explanation in explanations:
        for found in causes_of(explanation):
            clues = tuple(dict.fromkeys(one.clue for one in candidates if _answers(found, explanation, one)))
            if clues or found.weight == "breaks":
                yield Decided(found.cause, found.message, explanation.container.name, clues, explanation)


def _answers(found: Found, explanation: Explanation, candidate: Candidate) -> bool:
    """Whether the cause that was found is what the clue tells: the same container, capability and program."""
    if not _concerns(candidate, explanation.container.name) or _is_free(candidate, explanation):
        return False
    if candidate.cause is not found.cause:
        # What took the capability that the line is about is its cause, whichever it is.
        return found.weight == "breaks" and bool(candidate.about & found.caps)
    if candidate.about and found.caps and not candidate.about & found.caps:
        return False
    program = found.step.program if found.step is not None else None
    if program is None or not _is_among(candidate.program, _programs(explanation)):
        return True
    return _is_among(candidate.program, {program.argv[0], *_paths(program)})


def _is_free(candidate: Candidate, explanation: Explanation) -> bool:
    """Whether the port that was denied is free to everybody there: then no missing capability is why."""
    start = explanation.port_start
    if candidate.port is not None:
        return start is not None and start <= candidate.port
    return candidate.about == Caps.of(Cap.NET_BIND_SERVICE) and start == 0


def _impossible(
    candidates: Iterable[Candidate], explanations: Sequence[Explanation]
) -> Iterator[tuple[Clue, str]]:
    """Each line that no container of this node can have written, and why."""
    for one in candidates:
        concerned = [those for those in explanations if _concerns(one, those.container.name)]
        if not concerned:
            continue
        there, what = concerned[0], ""
        if one.port is not None and one.about and all(_is_free(one, those) for those in concerned):
            what = f": port {one.port} is free to every user there, as {there.port_start_why}"
        elif one.execs and all(_runs(one, those) for those in concerned):
            what = f" with this Pod and this image: {one.program or 'every program'} starts there"
        if what:
            yield one.clue, f"this line cannot come from {there.node}{what}"


def _runs(candidate: Candidate, explanation: Explanation) -> bool:
    """Whether it is certain that the program starts."""
    if explanation.starts is not True or not _is_known_whole(explanation):
        return False
    return not candidate.program or _is_among(candidate.program, _programs(explanation))


def _said(
    candidates: Iterable[Candidate], known: set[Cause], explanations: Sequence[Explanation]
) -> Iterator[Decided]:
    """What the wording alone decides. What the Pod at hand shows besides is said by _found."""
    by_cause: dict[tuple[str, str], list[Candidate]] = {}
    for one in candidates:
        if one.worth is Worth.DECIDES and one.cause not in known:
            by_cause.setdefault((one.cause.code, one.clue.container), []).append(one)
    differs = "; the Pod and the image that were given do not show it: what ran differs from them"
    for (_, container), those in by_cause.items():
        concerned = [one for one in explanations if container in {"", one.container.name}]
        contradicted = bool(concerned) and all(map(_is_known_whole, concerned))
        message = "this text is written for no other reason" + (differs if contradicted else "")
        clues = tuple(dict.fromkeys(one.clue for one in those))
        yield Decided(those[0].cause, message, container, clues)


def _is_known_whole(explanation: Explanation) -> bool:
    return explanation.image is not None and not explanation.open_questions


def _refuted(
    candidates: Iterable[Candidate], explanations: Sequence[Explanation], *, assumed: bool
) -> Iterator[Cause]:
    """Those that would show in every container that the clue may be of, and do not; without its image, what the Pod rules out."""
    there = {found.cause for one in explanations for found in causes_of(one)}
    for cause in dict.fromkeys(one.cause for one in candidates):
        if cause.find is only_the_node_tells or cause in there:
            continue
        clues = [one for one in candidates if one.cause is cause]
        pairs = [
            (one, clue.about) for one in explanations for clue in clues if _concerns(clue, one.container.name)
        ]
        if pairs and all(
            _is_known_whole(one) or cause.code in refuted_by(one, about, assumed=assumed)
            for one, about in pairs
        ):
            yield cause


def _needs(
    candidates: Sequence[Candidate], explanations: Sequence[Explanation], image: ImageFacts | None
) -> Iterator[str]:
    if not candidates and not explanations:
        yield "a line of the log or of `kubectl describe pod` that says what failed"
        return
    if not explanations:
        yield "the Pod: -f pod.yaml, or live: caplet why pod/NAME"
        if image is None:
            yield "its image: --image oci:DIR"
        return
    concerned = [
        one
        for one in explanations
        if not candidates or any(_concerns(c, one.container.name) for c in candidates)
    ]
    for one in concerned:
        name = one.container.name
        if one.image is None and one.refused is None:
            yield f"the image of container {name}: --image {name}=oci:DIR"
            continue
        for doubt in one.open_questions:
            yield f"container {name}: {doubt.what}; to be decided by: {doubt.decided_by}"
    if candidates and concerned and all(map(_is_known_whole, concerned)):
        yield (
            f"the node: by the Pod, the image and {concerned[0].node} it works; "
            "getcap of the program on the node itself, or caplet verify"
        )
