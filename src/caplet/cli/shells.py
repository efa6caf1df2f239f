# SPDX-License-Identifier: Apache-2.0
"""How bash, zsh and fish ask for completions: the script that each loads, and what passes between it and caplet.

click's own scripts (click.shell_completion) cannot serve here: in bash they complete the part after the last `:` or `=`
as if it were the word, which image references and PATH=CAPS are full of, and fish's cuts a candidate at its first comma.
So the scripts are ours and the protocol is click's: `_CAPLET_COMPLETE=bash_complete caplet`, a line for each candidate.
"""

from __future__ import annotations

import os
import re
import shlex
from typing import ClassVar

from click.shell_completion import CompletionItem, ShellComplete, add_completion_class, split_arg_string

from caplet.cli.complete import PREFIX
from caplet.cli.settings import Settings

_MARK = "\x01"
"""Stands for the cursor, so that an empty word before it is a word."""

_BASH = r"""# Completion of caplet for bash 4.4 and newer.
_caplet_completion() {
    local line kind value
    COMPREPLY=()
    while IFS=, read -r kind value; do
        case $kind in
            dir) compopt -o dirnames ;;
            file) compopt -o default ;;
            prefix) compopt -o nospace; COMPREPLY+=("$value") ;;
            plain) COMPREPLY+=("$value") ;;
        esac
    done < <(COMP_LINE=$COMP_LINE COMP_POINT=$COMP_POINT COMP_WORDBREAKS=$COMP_WORDBREAKS \
        _CAPLET_COMPLETE=bash_complete "$1" 2>/dev/null)
}
complete -o nosort -F _caplet_completion caplet
"""

_ZSH = r"""#compdef caplet
# Completion of caplet for zsh.
_caplet_completion() {
    local -a lines plain prefixes described
    local kind value help
    lines=("${(@f)$(COMP_WORDS="${words[*]}" COMP_CWORD=$((CURRENT-1)) \
        _CAPLET_COMPLETE=zsh_complete "${words[1]}" 2>/dev/null)}")
    for kind value help in "${lines[@]}"; do
        case $kind in
            dir) _path_files -/ ;;
            file) _path_files -f ;;
            prefix) prefixes+=("$value") ;;
            plain) if [[ $help == _ ]]; then plain+=("$value"); else described+=("${value//:/\\:}:$help"); fi ;;
        esac
    done
    (( ${#described} )) && _describe -V caplet described -U
    (( ${#plain} )) && compadd -U -V caplet -a plain
    (( ${#prefixes} )) && compadd -U -S '' -V caplet-begun -a prefixes
    return 0
}
if [[ $zsh_eval_context[-1] == loadautofunc ]]; then
    _caplet_completion "$@"
else
    compdef _caplet_completion caplet
fi
"""

_FISH = r"""# Completion of caplet for fish 3 and newer.
function _caplet_completion
    set -l words (commandline -opc)
    for line in (COMP_LINE=(commandline -cp | string collect) _CAPLET_COMPLETE=fish_complete $words[1] 2>/dev/null)
        set -l parts (string split -m1 , -- $line)
        switch $parts[1]
            case dir
                __fish_complete_directories $parts[2]
            case file
                __fish_complete_path $parts[2]
            case '*'
                echo $parts[2]
        end
    end
end
complete --no-files --command caplet --arguments '(_caplet_completion)'
"""


class Shell(ShellComplete):
    """What the three have in common: the words before the cursor, and candidates that are whole words."""

    def get_completion_args(self) -> tuple[list[str], str]:
        *words, last = split_arg_string(self.line() + _MARK)
        return words[1:], last.removesuffix(_MARK)

    def line(self) -> str:
        """The command line up to the cursor."""
        return os.environ.get("COMP_LINE", "")

    def get_completions(self, args: list[str], incomplete: str) -> list[CompletionItem]:
        """Of `--image=oci:` click completes the value; a shell replaces the word, option and all."""
        self.ctx_args.setdefault("obj", Settings()).words = tuple(args)
        option = re.match(r"--[a-z-]+=", incomplete)
        items = super().get_completions(args, incomplete)
        if option is None:
            return items
        return [CompletionItem(option[0] + str(one.value), one.type, one.help) for one in items]


class Bash(Shell):
    name: ClassVar[str] = "bash"
    source_template: ClassVar[str] = _BASH

    def line(self) -> str:
        line = super().line()
        return line[: int(os.environ.get("COMP_POINT", len(line)))]

    def get_completions(self, args: list[str], incomplete: str) -> list[CompletionItem]:
        """Readline replaces what follows the last of COMP_WORDBREAKS, and inserts it as it is; in quotes the whole word."""
        items = super().get_completions(args, incomplete)
        if _in_quotes(self.line()):
            return items
        breaks = re.escape("".join(set(":=@,") & set(os.environ.get("COMP_WORDBREAKS", ""))))
        begun = re.split(f"[{breaks}]", incomplete)[-1] if breaks else incomplete
        head = incomplete[: len(incomplete) - len(begun)]
        return [
            CompletionItem(_escaped(str(one.value).removeprefix(head)), one.type, one.help) for one in items
        ]

    def format_completion(self, item: CompletionItem) -> str:
        return f"{item.type},{item.value}"


class Zsh(Shell):
    name: ClassVar[str] = "zsh"
    source_template: ClassVar[str] = _ZSH

    def get_completion_args(self) -> tuple[list[str], str]:
        words = split_arg_string(os.environ.get("COMP_WORDS", ""))
        number = int(os.environ.get("COMP_CWORD", "0"))
        return words[1:number], words[number] if number < len(words) else ""

    def format_completion(self, item: CompletionItem) -> str:
        return f"{item.type}\n{item.value}\n{item.help or '_'}"


class Fish(Shell):
    name: ClassVar[str] = "fish"
    source_template: ClassVar[str] = _FISH

    def format_completion(self, item: CompletionItem) -> str:
        help_ = f"\t{item.help}" if item.help and item.type in {"plain", PREFIX} else ""
        return f"{item.type},{item.value}{help_}"


SHELLS = {one.name: one for one in (Bash, Zsh, Fish)}


def register() -> None:
    """Let click answer with ours; it finds the class by what the variable says."""
    for one in SHELLS.values():
        add_completion_class(one)


def _in_quotes(line: str) -> bool:
    try:
        shlex.split(line)
    except ValueError as error:
        return "quotation" in str(error)
    return False


def _escaped(text: str) -> str:
    return re.sub(r"([^\w@%+=:,./~-])", r"\\\1", text)
