# SPDX-License-Identifier: Apache-2.0
"""Scripts against the shells themselves: what is read is what dash and bash execute.

Each script runs with stand-ins for the programs that it names; they write down their process id and arguments. The one with
the shell's own id is what was executed in its place.
"""

from __future__ import annotations

import os
import random
import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.hostfiles import HostFiles

from caplet.image.program import find_program
from caplet.image.wrappers.follow import Executes, Next, Nothing, Unknown, next_argv
from caplet.image.wrappers.model import Unsure
from caplet.kernel.credentials import Credentials

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SOON = 20
PROGRAMS = ["app", "other", "gosu", "su-exec", "init", "setcap", "migrate"]
STAND_IN = '#!/bin/sh\n{ printf "%s" "$$ ${0##*/}"; for a; do printf " %s" "[$a]"; done; echo; } >> "$LOG"\n'


@dataclass(frozen=True)
class Case:
    text: str
    args: tuple[str, ...] = ()
    env: dict[str, str] = field(default_factory=dict)
    expected: tuple[str, ...] | None = ()
    """What is executed; () for nothing, None where run time decides."""
    forks: bool = False
    certain: bool = True
    shells: tuple[str, ...] = ("dash", "bash")


BASH = ("bash",)
DASH = ("dash",)
ENTRYPOINT = """
set -e
if [ "${1#-}" != "$1" ] || [ "${1%.conf}" != "$1" ]; then
    set -- app "$@"
fi
if [ "$1" = 'app' -a "$(id -u)" = '0' ]; then
    find . -prune -exec true {} +
    exec gosu daemon "$0" "$@"
fi
exec "$@"
"""
FUNCTIONS = """
set -Eeo pipefail
shout() { echo "$@" >&2; }
fail() { shout "$1"; exit 1; }
is_sourced() { [ "${#FUNCNAME[@]}" -ge 2 ] && [ "${FUNCNAME[1]}" = 'source' ]; }
wants_help() {
    local arg
    for arg; do
        case "$arg" in
            -'?'|--help|-V) return 0 ;;
        esac
    done
    return 1
}
from_file() {
    local var="$1" fileVar="${1}_FILE" def="${2:-}"
    if [ "${!var:-}" ] && [ "${!fileVar:-}" ]; then
        fail "both"
    fi
    local val="$def"
    if [ "${!var:-}" ]; then
        val="${!var}"
    elif [ "${!fileVar:-}" ]; then
        val="$(< "${!fileVar}")"
    fi
    export "$var"="$val"
    unset "$fileVar"
}
main() {
    if [ "${1:0:1}" = '-' ]; then
        set -- app "$@"
    fi
    if [ "$1" = 'app' ] && ! wants_help "$@"; then
        from_file SECRET word
        declare -g DONE
        if [ -d /nowhere/data ]; then DONE=yes; fi
        if [ -z "$DONE" ]; then
            [ "$SECRET" ] || fail "no secret"
            for f in /nowhere/init.d/*; do
                case "$f" in
                    *.sh) shout "$f" ;;
                    *) : ;;
                esac
            done
        fi
        set -- "$@" --secret
    fi
    exec "$@"
}
if ! is_sourced; then
    main "$@"
fi
"""

CASES = {
    "exec arguments": Case('exec "$@"', ("app", "a b", ""), expected=("app", "a b", "")),
    "no arguments": Case('exec "$@"'),
    "exec with words": Case("exec app -x 'a  b' c\\ d \"$1\"", ("z",), expected=("app", "-x", "a  b", "c d", "z")),
    "last command": Case("app 1\n", expected=("app", "1"), forks=True),
    "before housekeeping": Case("app 1\nrm -f /nowhere/x\n", expected=("app", "1"), forks=True),
    "comments and continued lines": Case("# exec other\nexec \\\n  app \\\n  1 # 2", expected=("app", "1")),
    "variables of the environment": Case('exec "$WHAT" $ARGS', env={"WHAT": "app", "ARGS": "1  2"}, expected=("app", "1", "2")),
    "unset variables": Case('exec app "$NONE" $NONE "${NONE-x}" "${NONE:+y}"', expected=("app", "", "x", "")),
    "default": Case('exec "${WHAT:-app}" "${1:-2}"', expected=("app", "2")),
    "assigned default": Case(': "${WHAT:=app}"\nexec "$WHAT"', expected=("app",)),
    "error where unset": Case('exec app "${NONE:?missing}"'),
    "prefix and suffix": Case(
        "x=a/b.c.d; exec app ${x#*/} ${x##*.} ${x%.*} ${x%%.*} ${#x}", expected=("app", "b.c.d", "d", "a/b.c", "a/b", "7")
    ),
    "an entrypoint as another user": Case(ENTRYPOINT, ("--port", "1"), expected=None),
    "an entrypoint, another command": Case(ENTRYPOINT, ("other", "-x"), expected=("other", "-x")),
    "functions": Case(FUNCTIONS, ("--flag",), expected=("app", "--flag", "--secret"), shells=BASH),
    "functions, help": Case(FUNCTIONS, ("app", "--help"), expected=("app", "--help"), shells=BASH),
    "functions, other": Case(FUNCTIONS, ("other",), expected=("other",), shells=BASH),
    "case": Case('case "$1" in\n -*) set -- app "$@";;\n a|b) exec other;;\nesac\nexec "$@"', ("-v",), expected=("app", "-v")),
    "case of alternatives": Case('case "$1" in (a|b) exec other "$1";; *) exec app;; esac', ("b",), expected=("other", "b")),
    "case with brackets": Case('case "$1" in [!a-c]*) exec app;; [a-c]?) exec other;; esac', ("bz",), expected=("other",)),
    "while shift": Case(
        'while [ $# -gt 0 ]; do case "$1" in --) shift; break;; -a) A=$2; shift 2;; *) break;; esac; done\nexec app "$A" "$@"',
        ("-a", "1", "--", "x"),
        expected=("app", "1", "x"),
    ),
    "for": Case('for i in 1 2 3; do set -- "$@" "$i"; [ $i = 2 ] && break; done; exec app "$@"', expected=("app", "1", "2")),
    "for of parameters": Case('for a; do last=$a; done; exec app "$last"', ("x", "y"), expected=("app", "y")),
    "until": Case('n=x; until [ "$n" = xxx ]; do n=x$n; done; exec app $n', expected=("app", "xxx")),
    "endless": Case("while true; do app 1; exit 0; done", expected=("app", "1"), forks=True),
    "and, or": Case('[ -n "$1" ] && exec app || exec other', expected=("other",)),
    "negated": Case("if ! [ 1 = 2 ]; then exec app; fi; exec other", expected=("app",)),
    "elif": Case('if [ "$1" = a ]; then exec other; elif [ "$1" = b ]; then exec app b; else exec app c; fi', ("b",), expected=("app", "b")),
    "tests": Case('if [ \\( "$1" = a -o "$1" = b \\) -a ! "$2" = c ]; then exec app; fi; exec other', ("b", "d"), expected=("app",)),
    "numbers": Case("if [ 07 -eq 7 ] && [ 3 -gt 2 ] && [ 2 -le 2 ]; then exec app; fi; exec other", expected=("app",)),
    "both ways the same": Case("if [ -e /nowhere/x ]; then A=1; else A=2; fi; exec app", expected=("app",)),
    "one way ends": Case("if [ ! -e / ]; then echo no >&2; exit 1; fi; exec app", expected=("app",)),
    "one way does nothing": Case("if [ -e / ]; then exec app; fi", expected=("app",), certain=False),
    "two ways": Case("if [ -e / ]; then exec app 1; else exec other 2; fi", expected=None),
    "subshell": Case("(exec other)\nexec app", expected=("app",)),
    "pipe": Case("exec app 1 | cat\n", expected=("app", "1"), forks=True),
    "background": Case("migrate &\nwait\nexec app", expected=("app",)),
    "only in the background": Case("app 1 &\nwait", expected=("app", "1"), forks=True),
    "substitution": Case('exec app "$(basename /a/b.c .c)" "$(dirname /a/b)" `echo x`', expected=("app", "b", "/a", "x")),
    "nested substitution": Case('exec app "$(basename "$(dirname "/a/b c/d")")"', expected=("app", "b c")),
    "here-document": Case("cat <<EOF >/dev/null\nexec other\n$(true) `true`\nEOF\nexec app", expected=("app",)),
    "here-document with tabs": Case("if true; then\n\tcat <<-'E' >/dev/null\n\t\texec other\n\tE\n\texec app\nfi", expected=("app",)),
    "redirections": Case('exec 3>&1 >/dev/null 2>&1\nexec app 2>/dev/null <"/dev/null" 1', expected=("app", "1")),
    "eval": Case('x="exec app"; eval "$x" 1', expected=("app", "1")),
    "export and unset": Case('export WHAT=app; unset NONE; exec "$WHAT"', env={"NONE": "1"}, expected=("app",)),
    "set -e": Case("set -e\nfalse\nexec app"),
    "set -e in a condition": Case("set -e\nfalse || true\nif false; then :; fi\nexec app", expected=("app",)),
    "exit": Case("exit 0\nexec app\n(((("),
    "function": Case('start() { shift; exec app "$@"; }\nstart 1 2', expected=("app", "2")),
    "return": Case("f() { [ $1 = 1 ] && return 0; return 1; }\nif f 2; then exec other; fi\nexec app", expected=("app",)),
    "local": Case('x=1; f() { local x=2; y=$x; }; f; exec app "$x" "$y"', expected=("app", "1", "2")),
    "command": Case("command -v app >/dev/null && exec app\nexec other", expected=("app",)),
    "command that is missing": Case("if command -v nowhere >/dev/null 2>&1; then exec other; fi\nexec app", expected=("app",)),
    "quotes": Case("exec app 'a'\"b\"c\\'d \"e\\\"f\" \"\\$x\" '$x'", expected=("app", "abc'd", 'e"f', "$x", "$x")),
    "a word of its own": Case('exec app x"$@"y', ("1", "2 3"), expected=("app", "x1", "2 3y")),
    "empty parameters": Case('exec app "$@" "$*" $@', expected=("app", "")),
    "all in one": Case('exec app "$*"', ("1", "2"), expected=("app", "1 2")),
    "two brackets": Case("if [[ $1 == a* && ! ( -z $1 || $1 < a ) ]]; then exec app; fi; exec other", ("ab",), expected=("app",), shells=BASH),
    "arrays": Case('a=(app "1 2"); a+=(3); exec "${a[@]}" "${#a[@]}" "${a[1]}"', expected=("app", "1 2", "3", "3", "1 2"), shells=BASH),
    "substrings": Case('exec app "${1:0:1}" "${1:1}" "${1: -1}" "${@:2}"', ("abc", "x", "y"), expected=("app", "a", "bc", "c", "x", "y"), shells=BASH),
    "replaced": Case('exec app "${1/b/X}" "${1//b/Y}" "${1^^}" "${1,}"', ("bab",), expected=("app", "Xab", "YaY", "BAB", "bab"), shells=BASH),
    "arithmetic": Case("if (( $# > 1 )); then exec app; fi; exec other", ("1", "2"), expected=("app",), shells=BASH),
    "function keyword": Case("function f { exec app; }\nf", expected=("app",), shells=BASH),
    "process substitution": Case("exec > >(cat >/dev/null)\nexec app", expected=("app",), shells=BASH),
    "assigned for a function": Case("f() { exec $X; }; X=app f", expected=("app",)),
    "assigned for eval": Case("X=app eval 'exec $X'", expected=("app",)),
    "a directory that is missing": Case("cd /nowhere; exec bin/true", expected=None),
    "a directory that is needed": Case("cd /nowhere || exec other; exec app", expected=None),
    "a directory": Case("cd /usr || exec other; exec app", expected=("app",)),
    "a file for a directory": Case("cd /etc/passwd && exec other; exec app", expected=("app",)),
    "set -e and the last of a list": Case("set -e; true && false; exec app"),
    "set -e and the first of a list": Case("set -e; false && true; exec app", expected=("app",)),
    "set -e and a subshell": Case("set -e; (false); exec app"),
    "set -e and a subshell in a list": Case("set -e; (false) || (exit 0); exec app", expected=("app",)),
    "set -e and a pipe": Case("set -e; true | false; exec app"),
    "set -e and a negated pipe": Case("set -e; ! true | false; ! true; exec app", expected=("app",)),
    "set -e and a substitution": Case("set -e; X=$(false); exec app"),
    "set -e and a substitution among words": Case('set -e; : "$(false)"; exec app', expected=("app",)),
    "pipefail": Case("set -eo pipefail; false | true; exec app", shells=BASH),
    "pipefail alone": Case("set -o pipefail; false | true && exec other; exec app", expected=("app",), shells=BASH),
    "pipefail in dash": Case("set -euo pipefail; exec app", expected=None, shells=DASH),
    "pipefail where there is": Case("(set -o pipefail 2>/dev/null) && exec other; exec app", expected=("app",), shells=DASH),
    "set -u": Case("set -u; exec app $NONE"),
    "set -u with defaults": Case('set -u; exec app "${NONE:-1}" "$@" ${NONE+x}', expected=("app", "1")),
    "set -u in a list of cases": Case("set -u; case $NONE in *) exec other;; esac; exec app"),
    "two brackets in dash": Case("[[ a = a ]] && exec other; exec app", expected=("app",), shells=DASH),
    "two brackets and set -e in dash": Case("set -e; [[ a = a ]]; exec app", shells=DASH),
    "the status of a loop": Case("set -e; for i in 1; do [ $i = 2 ] && break; done; (for i in 1; do [ $i = 2 ] && break; done); exec app"),
    "the status of a while": Case("f() { while [ $# -gt 0 ]; do shift; [ $# = 5 ] && break; done; }; f 1 && exec other; exec app", expected=("app",)),
    "missing settings": Case(". /nowhere/settings; exec app", expected=("app",), certain=False),
    "started for its output": Case("X=$(app 1)", expected=("app", "1"), forks=True),
    "command and a function of the name": Case("app() { command app 1; }; app", expected=("app", "1"), forks=True),
    "arguments that are split": Case("exec $@", ("app 1", "", "2"), expected=("app", "1", "2")),
    "ansi-c": Case("exec app $'a\\tb' $\"c\"", expected=("app", "a\tb", "c"), shells=BASH),
}  # fmt: skip


@pytest.fixture(scope="module")
def programs() -> Iterator[Path]:
    """A directory with the stand-ins."""
    directory = Path("/var/tmp") / f"caplet-shell-{os.getpid()}"
    directory.mkdir()
    for name in PROGRAMS:
        (directory / name).write_text(STAND_IN)
        (directory / name).chmod(0o755)
    yield directory
    shutil.rmtree(directory)


@pytest.mark.parametrize("name", CASES)
def test_what_is_read_is_executed(name: str, programs: Path, tool: Callable[[str], str]) -> None:
    case = CASES[name]
    for shell in case.shells:
        step, ran = both(tool(shell), programs, case)
        if case.expected is None:
            assert isinstance(step, (Unknown, Executes))
        elif not case.expected:
            assert isinstance(step, Nothing), step
        else:
            assert isinstance(step, Executes), step
            assert (step.argv, step.forks, step.certain) == (case.expected, case.forks, case.certain)
        agree(step, ran)


@dataclass(frozen=True)
class Ran:
    """What the shell did."""

    executed: tuple[str, ...] | None
    """In its own place."""
    children: tuple[tuple[str, ...], ...]


def both(shell: str, programs: Path, case: Case) -> tuple[Next, Ran]:
    script, log = programs / "script", programs / "log"
    script.write_text(case.text)
    log.write_text("")
    env = {"PATH": f"{programs}:/usr/sbin:/usr/bin:/sbin:/bin"} | case.env
    argv = [shell, str(script), *case.args]
    with subprocess.Popen(
        argv, env=env | {"LOG": str(log)}, cwd="/", stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as running:
        try:
            running.wait(timeout=SOON)
        except subprocess.TimeoutExpired:
            running.kill()
            return Nothing(), Ran(None, ())  # loops without end prove nothing
    environ = [f"{name}={value}" for name, value in env.items()]
    files, cred = HostFiles(), Credentials.of_user(os.geteuid(), os.getegid())
    step = next_argv(find_program(files, argv, environ), argv, environ, files, cred)
    executed, children = None, []
    for line in log.read_text().splitlines():
        pid, name, *arguments = line.split(" ", 2)
        found = (name, *arguments)
        if int(pid) == running.pid:
            executed = found
        else:
            children.append(found)
    return step, Ran(executed, tuple(children))


def written(argv: tuple[str, ...]) -> tuple[str, ...]:
    """As a stand-in writes its arguments."""
    name = argv[0].rpartition("/")[2]
    return (name, " ".join(f"[{word}]" for word in argv[1:])) if len(argv) > 1 else (name,)


def agree(step: Next, ran: Ran) -> None:
    """What is certain has happened, and what has happened is among what may."""
    match step:
        case Executes(certain=False) if ran == Ran(None, ()):
            return
        case Executes(argv, forks=False):
            assert ran.executed is not None
            assert ran.executed[0] == argv[0]
            if not any(isinstance(word, Unsure) for word in argv):
                assert ran.executed == written(argv)
        case Executes(argv):
            started = [*ran.children, *([ran.executed] if ran.executed else [])]
            assert argv[0] in [program[0] for program in started]
        case Unknown(candidates=candidates) if candidates and ran.executed is not None:
            assert ran.executed[0] in [str(argv[0]) for argv in candidates]
        case Nothing():
            assert ran == Ran(None, ())


class Writer:
    """Writes random scripts of what entrypoints are made of."""

    WORDS = ("a", "-b", "'c d'", '"$1"', "$2", '"$X"', "$Y", '"$@"', '"${1#-}"', '"${X:-e}"', "${#Y}", '"$(basename "$1")"', "$#")  # fmt: skip

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)

    def script(self) -> str:
        lines = [self.statement(3) for _ in range(self.chance.randrange(2, 7))]
        return "\n".join(
            [
                *lines,
                self.chance.choice(['exec app "$@"', "exec other x", "app y", ":", 'exec app "$X" "$Y"']),
            ]
        )

    def word(self) -> str:
        return self.chance.choice(self.WORDS)

    def words(self) -> str:
        return " ".join(self.word() for _ in range(self.chance.randrange(1, 4)))

    def condition(self) -> str:
        return self.chance.choice(
            [
                f"[ {self.quoted()} = {self.quoted()} ]",
                f"[ -n {self.quoted()} ]",
                f"[ -z {self.quoted()} -o {self.quoted()} != a ]",
                "[ -e /etc/passwd ]",
                "[ -e /nowhere ]",
                "[ $# -gt 1 ]",
                "! false",
                "f 1",
                'test "$X" = a && [ "$1" = a ]',
            ]
        )

    def quoted(self) -> str:
        return self.chance.choice(["a", '"$1"', '"$X"', '"${2%x}"', "''"])

    def statement(self, depth: int) -> str:
        simple: list[Callable[[], str]] = [
            lambda: f"X={self.chance.choice(['a', '$1', '', 'z$Y'])}",
            lambda: f"Y={self.word()}" if '"$@"' not in self.WORDS[:0] else "",
            lambda: f"set -- {self.words()}",
            lambda: "[ $# -eq 0 ] || shift",
            lambda: "migrate now",
            lambda: 'f() { [ "$1" = "$X" ]; }',
            lambda: f"export Z={self.chance.choice(['a', '$X'])}",
        ]
        if depth == 0 or self.chance.random() < 0.45:
            return self.chance.choice(simple)()
        inner = [self.statement(depth - 1) for _ in range(4)]
        return self.chance.choice(
            [
                f"if {self.condition()}; then\n{inner[0]}\n{inner[1]}\nelse\n{inner[2]}\nfi",
                f"if {self.condition()}; then {inner[0]}; elif {self.condition()}; then {inner[1]}; fi",
                f"case {self.quoted()} in\na|-*) {inner[0]} ;;\n*[x-z]) {inner[1]} ;;\n*) {inner[2]} ;;\nesac",
                f"for i in {self.words()}; do\n{inner[0]}\nX=$i\ndone",
                f"while [ $# -gt 2 ]; do shift; {inner[0]}; [ $# -gt 9 ] && break; done",
                f"{self.condition()} && X=b || Y=c",
                f"{{ {inner[0]}; }} >/dev/null",
                f"({inner[0]})",
                f"if {self.condition()}; then exec {self.chance.choice(['app', 'other', 'gosu daemon app'])} {self.words()}; fi",
            ]
        )


@pytest.mark.parametrize("shell", ["dash", "bash"])
@pytest.mark.parametrize("seed", range(60))
def test_random_scripts(shell: str, seed: int, programs: Path, tool: Callable[[str], str]) -> None:
    case = Case("f() { return 1; }\n" + Writer(seed).script(), ("a", "-b", "cx"), {"X": "a"})
    step, ran = both(tool(shell), programs, case)
    if ran.executed is None and not isinstance(step, Executes):
        return
    agree(step, ran)
