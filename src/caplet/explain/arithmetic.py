# SPDX-License-Identifier: Apache-2.0
"""The formulas of capabilities(7) with the numbers of one execve: read off the model's own steps, not computed again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from caplet.kernel.caps import NO_CAPS, Caps
from caplet.kernel.credentials import Credentials, Denied
from caplet.kernel.execve import compare_ids, downgrade, get_file_caps, handle_privileged_root, steps

if TYPE_CHECKING:
    from caplet.kernel.credentials import Credentials
    from caplet.kernel.execve import Program
    from caplet.kernel.filecaps import FileCaps
    from caplet.kernel.versions import Kernel


@dataclass(frozen=True, slots=True)
class Arithmetic:
    """What went into P' of one execve. A set's name is that of capabilities(7): F of the file, P of the thread."""

    before: Credentials
    after: Credentials | None
    file_permitted: Caps = NO_CAPS
    file_inheritable: Caps = NO_CAPS
    file_effective: bool = False
    has_file_caps: bool = False
    """The file has an attribute that counts here."""
    root: bool = False
    """The rule of root gave what it has, not the file."""
    from_file: Caps = NO_CAPS
    """(P(inheritable) & F(inheritable)) | (F(permitted) & P(bounding)), or root's."""
    downgraded: bool = False
    """no_new_privs took away what the caller did not have: P' & P."""
    ids_changed: bool = False

    @property
    def missing(self) -> Caps:
        """What the file demands and the bounding set lacks: execve fails with EPERM where the file is effective."""
        return (
            self.file_permitted
            - self.before.caps.bounding
            - (self.before.caps.inheritable & self.file_inheritable)
        )

    def formula(self) -> str:
        """In one line, with names in place of letters."""
        old = self.before.caps
        if self.after is None:
            return f"F(permitted) = {_names(self.file_permitted)}, P(bounding) lacks {_names(self.missing)}: execve fails, EPERM"
        new = self.after.caps
        if self.root and not self.has_file_caps:
            text = "root: P' = P(bounding) | P(inheritable)"
            if self.downgraded:
                text += " & P (no_new_privs)"
            return f"{text} = {_names(new.permitted)}"
        if not self.has_file_caps:
            kept = f" | P(ambient) = {_names(new.permitted)}" if old.ambient else " = none"
            return f"no file capabilities, not root: P' = (P(inheritable) & F(inheritable)) | (F(permitted) & P(bounding)){kept}"
        parts = [f"F(permitted) {_names(self.file_permitted)} & P(bounding)"]
        if self.file_inheritable:
            parts.append(f"F(inheritable) {_names(self.file_inheritable)} & P(inheritable)")
        text = f"{' | '.join(parts)} = {_names(self.from_file)}"
        if self.root:
            text = f"root: P(bounding) | P(inheritable) = {_names(self.from_file)}"
        if self.downgraded:
            text += f"; no_new_privs: & P(permitted) {_names(old.permitted)} = {_names(new.permitted)}"
        if old.ambient and not new.ambient:
            text += "; the attribute clears ambient"
        if new.permitted and not new.effective:
            text += "; not effective until the program raises it: the file has no effective bit"
        return text


def arithmetic(cred: Credentials, program: Program, kernel: Kernel) -> Arithmetic:
    """Of an execve that the model allows, or denies in get_file_caps(). Raises Denied where another step says no."""
    last: Credentials | None = None
    from_file, has, root, downgraded, ids = NO_CAPS, False, False, False, False
    effective = False
    file: FileCaps | bytes | None = None
    state = None
    try:
        for step, state in steps(cred, program, kernel):
            if step is get_file_caps:
                has, effective, file = state.has_fcap, state.effective, state.program.caps
                from_file = state.new.caps.permitted
            elif step is handle_privileged_root:
                root = state.new.caps.permitted != from_file or (state.effective and not effective)
                from_file = state.new.caps.permitted
            elif step is compare_ids:
                ids = state.id_changed
            elif step is downgrade:
                downgraded = state.new.caps.permitted != from_file
            last = state.new
    except Denied as denied:
        innermost = _last(program)
        if state is None or isinstance(innermost.caps, bytes) or innermost.caps is None or last is None:
            raise
        failed = Arithmetic(
            cred, None, innermost.caps.permitted, innermost.caps.inheritable, innermost.caps.effective, True
        )
        if not failed.missing:
            raise denied from None
        return failed
    counts = file if has and not isinstance(file, bytes) else None
    return Arithmetic(
        cred,
        last,
        counts.permitted if counts else NO_CAPS,
        counts.inheritable if counts else NO_CAPS,
        counts.effective if counts else False,
        has,
        root,
        from_file,
        downgraded,
        ids,
    )


def _last(program: Program) -> Program:
    while program.interpreter is not None:
        program = program.interpreter
    return program


def _names(caps: Caps) -> str:
    return ",".join(caps.names()) or "none"
