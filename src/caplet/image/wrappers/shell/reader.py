# SPDX-License-Identifier: Apache-2.0
"""Follows a script's commands from state to state, and both ways where a condition is undecided.

Each function takes a state, which it may change, and gives the one behind the command, or None where no way leads on:
`exec`, `exit`, an endless loop. The ways that end are collected. Of a loop whose rounds are not known, rounds are read until
nothing new comes out: each one forgets what differs, so that there are few.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, assert_never

from caplet.image.wrappers.model import Undecided, Unsure
from caplet.image.wrappers.shell import builtins
from caplet.image.wrappers.shell.conditions import DoubleBracket
from caplet.image.wrappers.shell.expand import Unset, fields, match_word, text_of, word_fields
from caplet.image.wrappers.shell.outcome import DECIDE, End, housekeeping
from caplet.image.wrappers.shell.parser import NotUnderstood, Parser
from caplet.image.wrappers.shell.state import Ran, Several, State, known, merge
from caplet.image.wrappers.shell.substitution import output
from caplet.image.wrappers.shell.syntax import (
    AndOr,
    Arithmetic,
    Assignment,
    Background,
    Case,
    Command,
    Endless,
    For,
    Function,
    If,
    Node,
    Pipeline,
    Sequence,
    Simple,
    Subshell,
    Test,
    While,
    Word,
)

if TYPE_CHECKING:
    from caplet.image.wrappers.model import Invocation

MAX_STEPS = 20_000
"""Commands that are followed: real entrypoints have some hundred lines, each read a few times."""
MAX_ROUNDS = 64
"""Rounds of a loop that are followed one by one."""
MAX_CALLS = 30
"""Functions, sourced files and eval within one another."""
MAX_ENDS = 256
MAX_NESTED = 100
"""Commands within commands that are followed, calls of functions counted: Python's stack holds some 150."""


@dataclass(slots=True)
class Loop:
    """One that is being followed: where `break` and `continue` lead."""

    broken: State | None = None
    continued: State | None = None


@dataclass(slots=True)
class Call:
    """A function or a sourced file that is being followed."""

    returned: State | None = None
    saved: dict[str, str | None] = field(default_factory=dict)
    """What `local` hid."""
    name: str = "source"
    """Of the function."""


class Reader:
    """One script."""

    def __init__(self, run: Invocation, name: str, label: str) -> None:
        self.run = run
        self.name = name
        """$0."""
        self.label = label
        """What messages call it."""
        self.ends: list[End] = []
        self.loops: list[Loop] = []
        self.calls: list[Call] = []
        self.assigned: dict[str, str] = {}
        """Variables of the functions that are being called: `A=x f`."""
        self.at_exit = ""
        """What `trap ... EXIT` has it run when it ends by itself."""
        self.aliases: set[str] = set()
        self.conditions = 0
        """How many conditions are being followed: failures within them end nothing (set -e)."""
        self.substituted: int | None = 0
        """How the last command substitution ended."""
        self._children: list[list[State]] = []
        """Subshells that are being followed, and the states in which they end."""
        self._steps = 0
        self._nested = 0

    # Surroundings, for expansion

    def substitute(self, command: Command, state: State) -> str:
        items = command.body.items
        self.substituted = None
        if len(items) == 1 and isinstance(items[0], Simple) and not items[0].assignments:
            found = output(fields(items[0].words, state, self), self.run, state)
            if found is not None:
                self.substituted = 0
                return found
        before, ran = state.status, state.ran
        self._child([command.body], state)
        self.substituted, state.status = state.status, before
        state.ran = tuple(one for one in state.ran if one in ran or not housekeeping(one))
        return Unsure(command.text)

    def special(self, name: str, state: State) -> str | None:
        if name in ("UID", "EUID") and name not in state.variables:
            if self.run.cred is None or self.run.name != "bash":
                return Unsure(f"${name}") if self.run.name in ("bash", "sh") else None
            seen = self.run.cred.seen()
            return str(seen.uid if name == "UID" else seen.euid)
        if name == "BASH_SOURCE":
            return self.name
        if name == "PWD" and name not in state.variables:
            return state.working_dir
        return None

    def functions(self) -> tuple[str, ...]:
        """FUNCNAME: the script is executed, so that `main` is the outermost."""
        names = tuple(frame.name for frame in reversed(self.calls))
        return (*names, "main") if names else ()

    # Scripts

    def script(self, text: str, state: State, first_line: int = 1) -> State | None:
        """Parsed as far as it is followed."""
        parser = Parser(text, first_line)
        here: State | None = state
        while here is not None:
            try:
                node = parser.next()
            except NotUnderstood as error:
                raise Undecided(f"{self.label} {error}", DECIDE) from None
            if node is None:
                return here
            here = self.follow(node, here)
        return None

    def end(
        self,
        line: int,
        state: State,
        argv: tuple[str, ...] | None = None,
        env: dict[str, str] | None = None,
        code: int | None = None,
        *,
        perhaps: bool = False,
    ) -> None:
        """A way ends here; in a subshell only the subshell does."""
        if self._children:
            state.status = code if argv is None else None
            if argv is not None:
                state.ran = (*state.ran, Ran(line, argv))
            self._children[-1].append(state)
            return
        self.ends.append(End(line, state, argv, env, code, perhaps))
        if len(self.ends) > MAX_ENDS:
            raise Undecided(f"{self.label} has more than {MAX_ENDS} ends", DECIDE)

    @property
    def dialect(self) -> str:
        """dash, bash or busybox; nothing where the file does not tell."""
        if self.run.multi_call:
            return "busybox"
        return {"dash": "dash", "bash": "bash", "rbash": "bash"}.get(self.run.name, "")

    @property
    def in_child(self) -> bool:
        return bool(self._children)

    # Commands

    def follow(self, node: Node, state: State) -> State | None:
        self._steps += 1
        if self._steps > MAX_STEPS:
            raise Undecided(f"{self.label} has too many commands to follow", DECIDE)
        if self._nested == MAX_NESTED:
            raise Undecided(f"{self.label} nests commands more than {MAX_NESTED} deep", DECIDE)
        self._nested += 1
        try:
            after = self._followed(node, state)
        except Unset:
            self.end(0, state, code=2)
            after = None
        self._nested -= 1
        return after

    def _followed(self, node: Node, state: State) -> State | None:
        match node:
            case Simple():
                return self._failed(node.line, self._simple(node, state))
            case Sequence():
                return self._sequence(node, state)
            case AndOr():
                return self._list(node, state)
            case Pipeline():
                return self._pipeline(node, state)
            case If():
                return self._if(node, state)
            case While():
                return self._while(node, state)
            case For():
                return self._for(node, state)
            case Endless():
                return self._endless(node, state)
            case Case():
                return self._case(node, state)
            case Subshell(body):
                return self._failed(0, self._child([body], state))
            case Background(command):
                return self._background(command, state)
            case Function(name, body):
                state.functions[name] = body
                state.status = 0
                return state
            case Test(line, words):
                state.status = self._double_bracket(words, state)
                return self._failed(line, state)
            case Arithmetic(text):
                builtins.arithmetic(text, state)
                return state
            case _:
                assert_never(node)

    def _failed(self, line: int, state: State | None) -> State | None:
        """`set -e`."""
        if state is not None and state.errexit and state.status and not self.conditions:
            self.end(line, state, code=state.status)
            return None
        return state

    def _sequence(self, node: Sequence, state: State) -> State | None:
        here: State | None = state
        for item in node.items:
            if here is None:
                return None
            here = self.follow(item, here)
        return here

    def _double_bracket(self, words: tuple[Word, ...], state: State) -> int | None:
        """Of `[[`, which dash takes for the name of a program."""
        if self.dialect == "dash":
            return 127
        status = _status(DoubleBracket(words, state, self).value())
        return status if self.dialect or self.run.name != "sh" else None

    def _list(self, node: AndOr, state: State) -> State | None:
        """Of `a && b` the last command alone counts for `set -e`."""
        operator, last = node.rest[-1]
        if len(node.rest) > 1:
            true, false = self._and_or(AndOr(node.first, node.rest[:-1]), state)
        else:
            true, false = self.condition(node.first, state)
        taken, left = (true, false) if operator == "&&" else (false, true)
        after = None if taken is None else self.follow(last, taken)
        if left is not None:
            left.status = 0 if operator == "||" else left.status or None
        return merge(after, left)

    def _joined(self, true: State | None, false: State | None) -> State | None:
        if true is not None:
            true.status = 0
        if false is not None and not false.status:
            false.status = None
        return merge(true, false)

    def condition(self, node: Node, state: State) -> tuple[State | None, State | None]:
        """The states where it is true, and where it is false."""
        match node:
            case AndOr():
                return self._and_or(node, state)
            case Pipeline((command,), negated):
                true, false = self.condition(command, state)
                return (false, true) if negated else (true, false)
            case Sequence(items) if items:
                here: State | None = state
                for item in items[:-1]:
                    self.conditions += 1
                    here = self.follow(item, here) if here is not None else None
                    self.conditions -= 1
                return (None, None) if here is None else self.condition(items[-1], here)
        self.conditions += 1
        after = self.follow(node, state)
        self.conditions -= 1
        if after is None:
            return None, None
        if after.status is None:
            return after, after.copy()
        return (after, None) if after.status == 0 else (None, after)

    def _and_or(self, node: AndOr, state: State) -> tuple[State | None, State | None]:
        true, false = self.condition(node.first, state)
        for operator, command in node.rest:
            if operator == "&&" and true is not None:
                true, failed = self.condition(command, true)
                false = merge(false, failed)
            elif operator == "||" and false is not None:
                mended, false = self.condition(command, false)
                true = merge(true, mended)
        return true, false

    def _pipeline(self, node: Pipeline, state: State) -> State | None:
        if len(node.commands) == 1:
            true, false = self.condition(node, state)
            return self._joined(true, false)
        state = self._child(list(node.commands), state)
        if not node.negated:
            return self._failed(0, state)
        state.status = None if state.status is None else int(not state.status)
        return state

    def _child(self, nodes: list[Node], state: State) -> State:
        """Subshells: of what they do, only what they start is kept, and how they end."""
        statuses: list[int | None] = []
        for node in nodes:
            self._children.append([])
            loops, self.loops = self.loops, []
            calls, self.calls = self.calls, []
            after = self.follow(node, state.copy())
            self.loops, self.calls = loops, calls
            every: State | None = after
            for ended in self._children.pop():
                every = merge(every, ended)
            if every is not None:
                state.ran, state.setcaps, state.notes = every.ran, every.setcaps, every.notes
            statuses.append(None if every is None else every.status)
        failed = [status for status in statuses if status] if state.pipefail else []
        state.status = failed[-1] if failed else None if state.pipefail and None in statuses else statuses[-1]
        return state

    def _background(self, node: Node, state: State) -> State:
        before = state.ran
        state = self._child([node], state)
        state.ran = tuple(ran if ran in before else replace(ran, background=True) for ran in state.ran)
        state.status = 0
        return state

    def _if(self, node: If, state: State) -> State | None:
        after: State | None = None
        remaining: State | None = state
        for condition, body in node.clauses:
            if remaining is None:
                break
            true, remaining = self.condition(condition, remaining)
            if true is not None:
                after = merge(after, self._sequence(body, true))
        if remaining is None:
            return after
        if node.otherwise is not None:
            return merge(after, self._sequence(node.otherwise, remaining))
        remaining.status = 0
        return merge(after, remaining)

    def _while(self, node: While, state: State) -> State | None:
        loop = Loop()
        self.loops.append(loop)
        left: State | None = None
        here: State | None = state
        state.status = 0
        for _ in range(MAX_ROUNDS):
            assert here is not None
            before = here.copy()
            true, false = self.condition(node.condition, here)
            if node.until:
                true, false = false, true
            if false is not None:
                false.status = before.status  # a loop's status is that of its body's last command
            left = merge(left, false)
            round_end = None if true is None else self._round(node.body, true, loop)
            if round_end is None:
                break
            undecided = false is not None
            here = merge(before.copy(), round_end) if undecided else round_end
            assert here is not None
            here.ran = tuple(dict.fromkeys(here.ran))
            if here == before:
                if left is None and loop.broken is None:
                    self.end(node.line, here)
                break
        else:
            left = self._unending(left, here)
        self.loops.pop()
        return self._behind(left, loop)

    def _round(self, body: Sequence, state: State, loop: Loop) -> State | None:
        after = self._sequence(body, state)
        after = merge(after, loop.continued)
        loop.continued = None
        return after

    def _unending(self, left: State | None, here: State | None) -> State | None:
        """More rounds than are followed: nothing is known of what they change."""
        if here is not None:
            here.forget_all()
            here.parameters, here.maybe = None, ()
        return merge(left, here)

    def _behind(self, left: State | None, loop: Loop) -> State | None:
        return merge(left, loop.broken)

    def _for(self, node: For, state: State) -> State | None:
        values = self._values(node, state)
        if values is None:
            return self._rounds(node.body, state, node.name)
        loop = Loop()
        self.loops.append(loop)
        here: State | None = state
        state.status = 0
        for value in values:
            if here is None:
                break
            here.set(node.name, value)
            here = self._round(node.body, here, loop)
        self.loops.pop()
        return self._behind(here, loop)

    def _values(self, node: For, state: State) -> list[str] | None:
        """What the variable gets in turn; None where the number is not known, or too large."""
        if node.words is None:
            values = None if state.parameters is None else list(state.parameters)
        else:
            values = [value for word in node.words for value in word_fields(word, state, self)]
        if values is None or len(values) > MAX_ROUNDS or any(isinstance(one, Several) for one in values):
            return None
        return values

    def _endless(self, node: Endless, state: State) -> State | None:
        return self._rounds(node.body, state, "")

    def _rounds(self, body: Sequence, state: State, name: str) -> State | None:
        """Any number of rounds."""
        loop = Loop()
        self.loops.append(loop)
        here = state
        here.status = 0
        for _ in range(MAX_ROUNDS):
            start = here.copy()
            if name:
                start.forget(name)
            after = self._round(body, start, loop)
            merged = merge(here.copy(), after)
            assert merged is not None
            if merged == here:
                break
            here = merged
        self.loops.pop()
        return self._behind(here, loop)

    def _case(self, node: Case, state: State) -> State | None:
        subject = text_of(node.word, state, self)
        after: State | None = None
        remaining: State | None = state
        for place, (patterns, _, end) in enumerate(node.items):
            if remaining is None:
                break
            matched = self._matches(patterns, subject, remaining)
            if matched is False:
                continue
            taken = remaining if matched else remaining.copy()
            done = self._case_body(node, place, taken)
            if end == ";;&":
                remaining = merge(done, None if matched else remaining)
                continue
            after = merge(after, done)
            if matched:
                remaining = None
        if remaining is not None:
            remaining.status = 0
        return merge(after, remaining)

    def _matches(self, patterns: tuple[object, ...], subject: str, state: State) -> bool | None:
        answer: bool | None = False
        for pattern in patterns:
            one = match_word(pattern, subject, state, self)  # type: ignore[arg-type]
            if one:
                return True
            if one is None:
                answer = None
        return answer

    def _case_body(self, node: Case, place: int, state: State) -> State | None:
        state.status = 0
        here: State | None = state
        while here is not None and place < len(node.items):
            _, body, end = node.items[place]
            here = self._sequence(body, here)
            if end != ";&":
                break
            place += 1
        return here

    # Simple commands

    def _simple(self, node: Simple, state: State) -> State | None:
        self.substituted = 0
        words = fields(node.words, state, self)
        values = [(one, self._value(one, state)) for one in node.assignments]
        if not words:
            state.status = self.substituted
            for assignment, value in values:
                self.assign(assignment, value, state)
            return state
        return builtins.command(self, node, words, {one.name: value for one, value in values}, state)

    def _value(self, assignment: Assignment, state: State) -> str:
        value = text_of(assignment.value, state, self)
        if assignment.append and assignment.array is None:
            before = state.variables.get(assignment.name, "")
            return Unsure(before + value) if not (known(before) and known(value)) else before + value
        return value

    def assign(self, assignment: Assignment, value: str, state: State) -> None:
        name = assignment.name
        if assignment.array is None:
            if assignment.subscript is not None:
                state.variables.pop(name, None)
                state.arrays[name] = None
            elif assignment.append and name in state.arrays:
                state.arrays[name] = None
            else:
                state.set(name, value)
            return
        elements: list[str] = []
        for word in assignment.array:
            elements += word_fields(word, state, self)
        before: tuple[str, ...] | None = ()
        if assignment.append:
            single = state.variables.get(name)
            before = state.arrays.get(name, () if single is None else (single,))
        state.variables.pop(name, None)
        keyed = any(re.match(r"\[.*\]=", element) for element in elements)
        state.arrays[name] = None if before is None or keyed else (*before, *elements)

    def call(self, name: str, body: Node, arguments: list[str], state: State) -> State | None:
        """A function: its own positional parameters and `local` variables."""
        if len(self.calls) > MAX_CALLS:
            raise Undecided(f"{self.label}: functions call one another without end", DECIDE)
        frame = Call(name=name)
        self.calls.append(frame)
        loops, self.loops = self.loops, []
        outer, outer_maybe = state.parameters, state.maybe
        state.parameters, state.maybe = tuple(arguments), ()
        after = merge(self.follow(body, state), frame.returned)
        self.loops = loops
        self.calls.pop()
        if after is None:
            return None
        after.parameters, after.maybe = outer, outer_maybe
        for hidden, value in frame.saved.items():
            after.unset(hidden) if value is None else after.set(hidden, value)
        return after

    def inline(self, text: str, state: State, line: int) -> State | None:
        """A sourced file: `return` ends it alone."""
        if len(self.calls) > MAX_CALLS:
            raise Undecided(f"{self.label}: files source one another without end", DECIDE)
        frame = Call()
        self.calls.append(frame)
        after = merge(self.script(text, state, line), frame.returned)
        self.calls.pop()
        return after


def _status(value: bool | None) -> int | None:
    return None if value is None else 0 if value else 1
