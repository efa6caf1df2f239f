# SPDX-License-Identifier: Apache-2.0
"""Command lines as getopt(3) and getopt_long(3) read them: short options in one word, long ones abbreviated.

glibc moves operands behind options unless the option string begins with `+` or POSIXLY_CORRECT is set; musl's getopt()
does not, its getopt_long() does. A wrapper that leaves this to the library takes options out of the command that it
should execute: `tini app -v`.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from caplet.image.wrappers.model import Fails, Undecided, sure

DECIDE = "say with --then which program it starts"


@dataclass(frozen=True, slots=True)
class Options:
    """The options that a program knows."""

    short: str = ""
    """As for getopt(3): `a` is a flag, `b:` takes a value, `c::` one that is in the same word or missing."""
    long: tuple[str, ...] = ()
    """`name`, `name=` with a value, `name=?` with one that may be missing."""
    permute: bool = False
    """Options are looked for behind operands, too."""
    operands: bool = field(default=True)
    """False: a word without a dash is an error."""


@dataclass(frozen=True, slots=True)
class Parsed:
    options: tuple[tuple[str, str | None], ...]
    """(`-x` or `--name`, value) in their order."""
    operands: tuple[str, ...]

    def last(self, *names: str) -> str | None:
        """The value of the last of these options."""
        return next((value for name, value in reversed(self.options) if name in names), None)

    def has(self, *names: str) -> bool:
        return any(name in names for name, _ in self.options)


def parse(name: str, args: tuple[str, ...], known: Options) -> Parsed:
    """Raises Fails for a command line that the program would refuse."""
    found: list[tuple[str, str | None]] = []
    operands: list[str] = []
    index = 0
    while index < len(args):
        word = args[index]
        if not word.startswith("-") or word == "-":
            if not known.permute:
                break
            operands.append(word)
            index += 1
            continue
        sure(word, f"an option of {name}")
        index += 1
        if word == "--":
            break
        if word.startswith("--"):
            index = _long(name, word[2:], args, index, known, found)
        else:
            index = _short(name, word[1:], args, index, known, found)
    return Parsed(tuple(found), (*operands, *args[index:]))


def _long(
    name: str,
    word: str,
    args: tuple[str, ...],
    index: int,
    known: Options,
    found: list[tuple[str, str | None]],
) -> int:
    written, equals, value = word.partition("=")
    option = _unabbreviated(name, written, known.long)
    full = option.rstrip("?").rstrip("=")
    if option.endswith("="):
        if not equals:
            if index == len(args):
                raise Fails(f"{name}: option --{full} needs a value")
            value, index = args[index], index + 1
        found.append((f"--{full}", value))
    elif option.endswith("?"):
        found.append((f"--{full}", value if equals else None))
    elif equals:
        raise Fails(f"{name}: option --{full} takes no value")
    else:
        found.append((f"--{full}", None))
    return index


def _unabbreviated(name: str, written: str, known: tuple[str, ...]) -> str:
    names = {option.rstrip("?").rstrip("="): option for option in known}
    if written in names:
        return names[written]
    matching = [option for full, option in names.items() if full.startswith(written)]
    if len(matching) != 1 or not written:
        raise Undecided(f"{name} --{written}: an option that is not known here", DECIDE)
    return matching[0]


def _short(
    name: str,
    letters: str,
    args: tuple[str, ...],
    index: int,
    known: Options,
    found: list[tuple[str, str | None]],
) -> int:
    while letters:
        letter, letters = letters[0], letters[1:]
        place = known.short.find(letter)
        if place < 0 or letter == ":":
            raise Undecided(f"{name} -{letter}: an option that is not known here", DECIDE)
        if known.short[place + 1 : place + 3] == "::":
            found.append((f"-{letter}", letters or None))
            return index
        if known.short[place + 1 : place + 2] == ":":
            if letters:
                found.append((f"-{letter}", letters))
                return index
            if index == len(args):
                raise Fails(f"{name}: option -{letter} needs a value")
            found.append((f"-{letter}", args[index]))
            return index + 1
        found.append((f"-{letter}", None))
    return index
