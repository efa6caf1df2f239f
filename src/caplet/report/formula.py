# SPDX-License-Identifier: Apache-2.0
"""capabilities(7)'s formula with the numbers of one execve, as lines that stand below one another."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from caplet.kernel.caps import NO_CAPS

if TYPE_CHECKING:
    from caplet.explain.arithmetic import Arithmetic
    from caplet.kernel.caps import Caps
    from caplet.report.setnames import SetNames


@dataclass(frozen=True, slots=True)
class Letters:
    """How the formula writes its sets."""

    permitted: str
    root: str
    """For root, whose files count as if they had every capability: capabilities(7), "Capabilities and execution of programs by root"."""
    old: str
    demanded: str


LONG = Letters(
    "P'(permitted) = (P(inheritable) & F(inheritable)) | (F(permitted) & P(bounding)) | P'(ambient)",
    "P'(permitted) = P(inheritable) | P(bounding)",
    "P(permitted)",
    "F(permitted)",
)
SHORT = Letters("P' = (Pi & Fi) | (Fp & Bnd) | Amb'", "P' = Pi | Bnd", "P", "Fp")


def formula(sums: Arithmetic, names: SetNames, letters: Letters = LONG) -> tuple[str, ...]:
    """`P'(permitted) = ...`, the same with sets in place of letters, and what comes of it."""

    def text(caps: Caps) -> str:
        shown = names.brief(caps, none="none")
        return f"{{{shown}}}" if "," in shown or "+" in shown else shown

    old = sums.before.caps
    equals = " " * letters.permitted.index("=") + "= "
    if sums.root:
        lines = [letters.root, f"{equals}{text(old.inheritable)} | {text(old.bounding)}"]
    else:
        ambient = NO_CAPS if sums.after is None else sums.after.caps.ambient
        inherited = f"({text(old.inheritable)} & {text(sums.file_inheritable)})"
        given = f"({text(sums.file_permitted)} & {text(old.bounding)})"
        lines = [letters.permitted, f"{equals}{inherited} | {given} | {text(ambient)}"]
    if sums.after is None:
        lines.append(
            f"{equals}without {text(sums.missing)}, which {letters.demanded} demands: execve fails, EPERM"
        )
        return tuple(lines)
    if sums.downgraded:
        lines.append(
            f"{equals}{text(sums.from_file)}, and no_new_privs leaves of it what {letters.old} has: {text(old.permitted)}"
        )
    lines.append(f"{equals}{text(sums.after.caps.permitted)}")
    return tuple(lines)
