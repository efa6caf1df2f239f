# SPDX-License-Identifier: Apache-2.0
"""Chains of wrappers in images: from the entrypoint to the program, with the credentials on the way; and what stays unknown."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace

import pytest

from caplet.image.program import find_program
from caplet.image.rootfs import File, Rootfs
from caplet.image.wrappers.follow import Executes, Next, Nothing, Unknown, next_argv
from caplet.image.wrappers.model import ANY, SetcapAtRunTime, Unsure
from caplet.kernel.caps import NO_CAPS, Caps
from caplet.kernel.credentials import Credentials, ThreadCaps
from caplet.kernel.execve import execve
from caplet.kernel.filecaps import FileCaps
from caplet.kernel.syscalls import CapbsetDrop, apply_all

ELF = File(b"\x7fELF" + bytes(60), 0o755)
BIND = FileCaps.parse("cap_net_bind_service=ep")
PASSWD = b"root:x:0:0:root:/root:/bin/sh\nweb:x:101:102:w:/srv:/sbin/nologin\nbroken:x\n"
GROUP = b"root:x:0:\nweb:x:102:\nextra:x:7:web,other\n"
ENV = ("PATH=/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",)
BINARIES = [
    "/bin/busybox",
    "/bin/bash",
    "/usr/bin/env",
    "/sbin/tini",
    "/usr/bin/dumb-init",
    "/usr/local/bin/gosu",
    "/sbin/su-exec",
    "/usr/bin/setpriv",
    "/usr/bin/app",
    "/usr/bin/web",
    "/sbin/capsh",
    "/usr/bin/sudo",
    "/bin/s6-svscan",
    "/usr/bin/supervisord",
    "/usr/bin/nsenter",
    "/usr/bin/unshare",
    "/usr/bin/chroot",
    "/bin/zsh",
    "/usr/bin/timeout",
    "/usr/bin/tini-static-amd64",
    "/usr/bin/catatonit",
]

STARTS_SERVER = """#!/bin/sh
# A server's entrypoint: options and configuration files mean the server, and root gives way to its user.
set -e
case "$1" in
    -*|*.conf|"") set -- web "$@" ;;
esac
if [ "$1" = web ] && [ "$(id -u)" = 0 ]; then
    chown -R web /srv || true
    exec su-exec web "$0" "$@"
fi
exec "$@"
"""
GIVES_ITSELF_A_CAPABILITY = """#!/usr/bin/dumb-init /bin/sh
set -e
ulimit -c 0
if [ "$1" = server ]; then
    shift
    set -- web server "$@"
fi
if [ "$1" = web ]; then
    if [ -z "$SKIP_SETCAP" ]; then
        setcap cap_ipc_lock=+ep $(readlink -f $(which web))
        if ! web -version >/dev/null 2>&1; then
            setcap cap_ipc_lock=-ep $(readlink -f $(which web))
        fi
    fi
    if [ "$(id -u)" = '0' ]; then
        set -- su-exec web "$@"
    fi
fi
exec "$@"
"""


def image(**scripts: str) -> Rootfs:
    files: dict[str | bytes, File | bytes] = dict.fromkeys(BINARIES, ELF)
    files |= {"/etc/passwd": PASSWD, "/etc/group": GROUP, "/bin/sh": File(link=b"busybox")}
    files["/usr/bin/bound"] = File(ELF.data, 0o755, caps=BIND.encode())
    files |= {f"/{name}": File(text.encode(), 0o755) for name, text in scripts.items()}
    return Rootfs.of(files)


def root() -> Credentials:
    return Credentials.of_user(0, 0, (0,), ThreadCaps.root(Caps.all()))


NOTHING_HELD = ThreadCaps()


def web(caps: ThreadCaps = NOTHING_HELD) -> Credentials:
    return Credentials.of_user(101, 102, (102,), caps)


@dataclass(frozen=True)
class Chain:
    programs: tuple[str, ...]
    """argv[0] of each."""
    last: Next
    cred: Credentials
    argv: tuple[str, ...]


def chain(files: Rootfs, *argv: str, cred: Credentials, env: tuple[str, ...] = ENV) -> Chain:
    step = Executes(tuple(argv), env=env)
    programs = []
    while True:
        program = find_program(files, step.argv, step.env, step.working_dir)
        assert program.problem is None, program.problem
        programs.append(step.argv[0])
        cred = execve(apply_all(cred, step.calls), program.for_kernel())
        following = next_argv(program, step.argv, step.env, files, cred, step.working_dir)
        if not isinstance(following, Executes):
            return Chain(tuple(programs), following, cred, step.argv)
        step = following


def step(files: Rootfs, *argv: str, cred: Credentials | None = None, env: tuple[str, ...] = ENV) -> Next:
    return next_argv(find_program(files, argv, env), argv, env, files, cred)


def test_an_entrypoint_that_gives_way_to_its_user() -> None:
    files = image(entry=STARTS_SERVER)
    found = chain(files, "tini", "--", "/entry", "--port", "80", cred=root())
    assert found.programs == ("tini", "/entry", "su-exec", "/entry", "web")
    assert found.argv == ("web", "--port", "80")
    assert (found.cred.uid, found.cred.gid, found.cred.groups) == (101, 102, (7, 102))
    assert found.cred.caps.permitted == NO_CAPS
    assert found.last == Nothing()


def test_the_same_entrypoint_as_its_user() -> None:
    found = chain(image(entry=STARTS_SERVER), "/entry", cred=web())
    assert (found.programs, found.argv) == (("/entry", "web"), ("web",))


def test_a_wrapper_loses_what_no_new_privs_does_not_give_back() -> None:
    """A plain wrapper before a file with capabilities: what ingress controllers met (STORIES: wrapper-drops-caps)."""
    bind = Caps.of(10)
    held = ThreadCaps(permitted=bind, effective=bind, bounding=bind)
    files, cred = image(), replace(web(held), no_new_privs=True)
    assert chain(files, "bound", cred=cred).cred.caps.effective == bind
    wrapped = chain(files, "dumb-init", "--", "bound", cred=cred)
    assert (wrapped.programs, wrapped.cred.caps.effective) == (("dumb-init", "bound"), NO_CAPS)


def test_ambient_capabilities_through_setpriv() -> None:
    line = "setpriv --reuid=web --regid=web --init-groups --inh-caps=+net_raw --ambient-caps=+net_raw app"
    found = chain(image(), *line.split(), cred=root())
    assert (found.cred.uid, found.cred.caps.effective) == (101, Caps.of(13))
    line = "capsh --keep=1 --user=web --inh=cap_net_raw --addamb=cap_net_raw --shell=/usr/bin/app --"
    assert chain(image(), *line.split(), cred=root()).cred.caps.effective == Caps.of(13)


def test_setcap_at_run_time_is_reported() -> None:
    files = image(entry=GIVES_ITSELF_A_CAPABILITY)
    first = step(files, "/entry", "server")
    assert isinstance(first, Executes)
    assert (first.argv, first.forks) == (("/bin/sh", "/entry", "server"), True)
    found = step(files, *first.argv, cred=web())
    assert isinstance(found, Executes)
    assert found.argv == ("web", "server")
    assert found.setcaps == (
        SetcapAtRunTime(10, ("setcap", "cap_ipc_lock=+ep", "/usr/bin/web"), certain=True),
        SetcapAtRunTime(12, ("setcap", "cap_ipc_lock=-ep", "/usr/bin/web"), certain=False),
    )
    skipped = step(files, *first.argv, cred=web(), env=(*ENV, "SKIP_SETCAP=true"))
    assert isinstance(skipped, Executes)
    assert skipped.setcaps == ()


@pytest.mark.parametrize(
    ("line", "why", "candidates"),
    [
        ("sudo -u web app", "sudo does what sudoers", ()),
        ("s6-svscan /etc/services.d", "the run scripts in its scan directory", ()),
        ("supervisord -n", "the [program:...] sections", ()),
        ("nsenter -t 1 app", "enters the namespaces", ()),
        ("unshare -Ur app", "a user namespace", ()),
        ("chroot /other app", "below another root", ()),
        ("zsh -c app", "a language of its own", ()),
        ("setpriv --reuid=5 app", "who runs it is not known", ()),
        ("capsh --user=web --", "who runs it is not known", ()),
        ("su-exec 5000 app", "who runs it is not known", ()),
        ("tini -q app", "tini -q: an option", ()),
        ("env -Z app", "env -Z: an option", ()),
        ("capsh --new=1 --", "who runs it is not known", ()),
        ("sh /gone", "a volume may have it", ()),
        ("env -S${X} app", "quotes and variables", ()),
    ],
)
def test_what_stays_unknown(line: str, why: str, candidates: tuple[object, ...]) -> None:
    found = step(image(), *line.split())
    assert isinstance(found, Unknown)
    assert why in found.why
    assert found.candidates == candidates


@pytest.mark.parametrize(
    "line",
    [
        "tini",
        "tini --version",
        "dumb-init --help",
        "catatonit -P",
        "gosu web",
        "gosu nobody-there app",
        "gosu web:nothing app",
        "su-exec ghost app",
        "setpriv --regid=5 app",
        "setpriv --reuid=5 --ruid",
        "setpriv --inh-caps=net_raw app",
        "setpriv --clear-groups --keep-groups app",
        "capsh --print",
        "capsh --caps=cap_nothing=ep --",
        "env",
        "sh -c",
        "sh /usr/bin/app",
        "sh",
        "busybox",
        "app --anything",
    ],
)
def test_what_executes_nothing(line: str) -> None:
    found = step(image(), *line.split(), cred=root())
    assert isinstance(found, Nothing)
    assert bool(found.why) == (not line.startswith(("app", "busybox")))


@pytest.mark.parametrize(
    "line",
    [
        "tini",
        "gosu web",
        "gosu nobody-there app",
        "gosu 1000:nothing app",
        "su-exec ghost app",
        "setpriv --reuid=ghost --clear-groups app",
        "setpriv --reuid=5 --regid=5 app",
        "setpriv --securebits=+keep_caps app",
        "timeout",
        "timeout bad app",
        "chroot --userspec=ghost / app",
        "setpriv --init-groups app",
        "capsh --is-uid=5 --",
        "capsh --is-gid=5 --",
        "capsh --has-i=cap_chown --",
        "capsh --has-p=cap_chown --caps= --has-p=cap_chown --",
        "capsh --has-a=cap_chown --",
        "capsh --has-no-new-privs --",
    ],
)
def test_command_lines_that_are_refused(line: str) -> None:
    found = step(image(), *line.split(), cred=root())
    assert isinstance(found, Nothing)
    assert found.fails
    assert found.why.startswith(line.split(maxsplit=1)[0])


def test_chroot_needs_its_capability() -> None:
    refused = step(image(), "chroot", "--userspec=web", "/", "app", cred=web())
    assert isinstance(refused, Nothing)
    assert "cannot change root directory" in refused.why
    assert isinstance(step(image(), "chroot", "--userspec=web", "/", "app", cred=root()), Executes)


def test_setpriv_leaves_the_bounding_set_to_those_who_may_change_it() -> None:
    found = step(image(), "setpriv", "--bounding-set=-all", "app", cred=web())
    assert isinstance(found, Executes)
    assert not any(isinstance(call, CapbsetDrop) for call in found.calls)


def test_names_that_release_files_have() -> None:
    assert isinstance(step(image(), "tini-static-amd64", "--", "app"), Executes)
    assert isinstance(step(image(), "busybox", "env", "app"), Executes)


def test_one_program_for_all_of_coreutils() -> None:
    made: dict[str | bytes, File | bytes] = {"/usr/bin/coreutils": ELF, "/bin/app": ELF}
    made["/usr/bin/env"] = File(b"#!/usr/bin/coreutils --coreutils-prog-shebang=env\n", 0o755)
    made["/entry"] = File(b"#!/usr/bin/env app\n", 0o755)
    found = step(Rootfs.of(made), "/usr/bin/env", "-i", "app", "x")
    assert isinstance(found, Executes)
    assert found.argv == ("app", "x")
    found = step(Rootfs.of(made), "/entry", "y")
    assert isinstance(found, Executes)
    assert found.argv == ("app", "/entry", "y")


OR_THE_PROGRAM = """
if [ "${1#-}" != "${1}" ] || [ -z "$(command -v "${1}")" ]; then
  set -- app "$@"
fi
exec "$@"
"""
SETTINGS_AND_DIRECTORIES = """
. /settings
: "${WEB_DIR:=/srv}"
for e in "${!WEB_@}"; do
  if [[ "$e" == *_DIR ]] && [[ "${!e}" == /* ]]; then
    dir="${!e}"
    while [ "$dir" != "$(dirname "$dir")" ]; do
      dir="$(dirname "$dir")"
      if [ -d "$dir" ]; then break; fi
    done
  fi
done
exec web -DFOREGROUND "$@"
"""
HOOKS = """
if [ "$1" = web ]; then
  if find /hooks -mindepth 1 -print -quit | read v; then
    find /hooks -follow -type f | sort -V | while read -r f; do
      case "$f" in
        *.envsh) . "$f" ;;
        *.sh) "$f" ;;
      esac
    done
  fi
fi
exec "$@"
"""
SHAPES: dict[str, tuple[str, tuple[str, ...], tuple[str, ...]]] = {
    "a file for the program": (OR_THE_PROGRAM, ("x.js",), ("app", "x.js")),
    "options for the program": (OR_THE_PROGRAM, ("-e", "1"), ("app", "-e", "1")),
    "another command": (OR_THE_PROGRAM, ("web", "-x"), ("web", "-x")),
    "settings in a file, directories from variables": (
        SETTINGS_AND_DIRECTORIES,
        ("-x",),
        ("web", "-DFOREGROUND", "-x"),
    ),
    "hooks in a directory": (HOOKS, ("web",), ("web",)),
    "an init before it": ('exec tini -g -- app "$@"', ("-a",), ("tini", "-g", "--", "app", "-a")),
}


@pytest.mark.parametrize("name", SHAPES)
def test_other_shapes_of_entrypoints(name: str) -> None:
    text, args, expected = SHAPES[name]
    files = image(entry=f"#!/bin/bash\nset -e\n{text}\n", settings="export WEB_USER=web\n")
    found = step(files, "/entry", *args, cred=web())
    assert isinstance(found, Executes)
    assert (found.argv, found.certain) == (expected, True)


def test_s6_overlay_starts_the_cmd_where_there_is_one() -> None:
    files = image(init="#!/bin/sh -e\nexec /package/admin/s6-overlay/libexec/preinit\n")
    assert isinstance(step(files, "/init", "app"), Nothing | Executes)
    made: dict[str | bytes, File | bytes] = {
        "/package/admin/s6-overlay/command": File(directory=True, mode=0o755)
    }
    made |= {"/init": File(b"#!/bin/sh -e\n", 0o755), "/bin/sh": ELF, "/bin/app": ELF}
    overlay = Rootfs.of(made)
    found = step(overlay, "/init", "app", "-x")
    assert isinstance(found, Executes)
    assert (found.argv, found.forks) == (("app", "-x"), True)
    alone = step(overlay, "/init")
    assert isinstance(alone, Unknown)
    assert "/etc/services.d" in alone.why


SCRIPTS_THAT_STAY_UNKNOWN = {
    "no credentials": (
        '[ "$(id -u)" = 0 ] && exec gosu web app\nexec app',
        (("gosu", "web", "app"), ("app",)),
    ),
    "a file decides": ("if [ -f /x ]; then exec app; fi; exec web", (("app",), ("web",))),
    "computed": ('exec "$(cat /program)"', (("$(cat /program)",),)),
    "of the run time": ('exec "$HOSTNAME"', (("$HOSTNAME",),)),
    "alternatives": ('if app; then set -- web "$@"; fi\nexec "$@"', (("web", "app"), ("app",))),
    "a path of the run time": ('PATH="$(cat /path)"\nexec app', (("app",),)),
    "an element that is unset": ('a=(app 1); unset "a[1]"; exec "${a[@]}"', (("${a[@]}",),)),
    "the shell itself": ('exec "$BASH" -c app', (("$BASH", "-c", "app"),)),
    "a directory that is not in the image": ("cd /data; exec ./app", (("./app",),)),
    "syntax error": ("if true; then exec app", ()),
    "not read": ("case $1 in @(a|b)) exec app;; esac", ()),
}


@pytest.mark.parametrize("name", SCRIPTS_THAT_STAY_UNKNOWN)
def test_scripts_that_stay_unknown(name: str) -> None:
    text, candidates = SCRIPTS_THAT_STAY_UNKNOWN[name]
    found = step(image(entry=f"#!/bin/bash\n{text}\n"), "/entry", "app")
    assert isinstance(found, Unknown)
    assert found.candidates == candidates
    assert "line" in found.why
    assert "--then" in found.decide


def test_variables_of_run_time_make_their_users_unsure() -> None:
    env = (*ENV, Unsure("TOKEN=?"), "MODE=fast")
    found = step(image(entry='#!/bin/sh\nexec app "$MODE" "$TOKEN"\n'), "/entry", env=env)
    assert isinstance(found, Executes)
    assert found.argv == ("app", "fast", "?")
    assert [isinstance(word, Unsure) for word in found.argv] == [False, False, True]
    assert isinstance(next(one for one in found.env if one.startswith("TOKEN=")), Unsure)
    other = step(image(entry='#!/bin/sh\nexec gosu "$TOKEN" app\n'), "/entry", env=env)
    assert isinstance(other, Executes)
    assert isinstance(step(image(), *other.argv, cred=root()), Unknown)


@pytest.mark.parametrize("text", ["X=app sh -c 'exec $X'", "set -a; X=app; sh -c 'exec $X'", "X=app f"])
def test_variables_of_one_command_reach_it(text: str) -> None:
    files = image(entry=f"#!/bin/bash\nf() {{ sh -c 'exec $X'; }}\n{text}\n")
    assert chain(files, "/entry", cred=web()).programs == ("/entry", "sh", "app")


def test_variables_of_envfrom_are_not_taken_as_unset() -> None:
    env = (*ENV, Unsure(f"{ANY}=envFrom"))
    assert isinstance(step(image(), "sh", "-c", "exec $PROG", env=env), Unknown)
    assert isinstance(step(image(), "sh", "-c", "exec ${PROG:-app}", env=env), Unknown)
    assert isinstance(step(image(), "sh", "-c", "PROG=app; exec $PROG", env=env), Executes)
    assert isinstance(step(image(), "env", "sh", "-c", "exec app", env=env), Executes)


def test_traps_and_aliases_are_not_taken_for_nothing() -> None:
    made = image()
    assert isinstance(step(made, "sh", "-c", "trap app EXIT; true"), Unknown)
    assert isinstance(step(made, "sh", "-c", "trap app EXIT; exec web"), Executes)
    assert isinstance(step(made, "sh", "-c", "trap app TERM; true"), Nothing)
    assert isinstance(step(made, "sh", "-c", "alias web=app\nweb"), Unknown)
    assert isinstance(step(made, "bash", "-c", "alias web=app\nweb"), Executes)


def test_two_brackets_of_an_unknown_sh() -> None:
    text = "[[ a = a ]] && exec app; exec web"
    made = image()
    assert isinstance(step(made, "bash", "-c", text), Executes)
    assert isinstance(step(made, "sh", "-c", text), Executes)  # busybox has them
    unknown = Rootfs.of({"/bin/sh": ELF, "/usr/bin/app": ELF, "/usr/bin/web": ELF})
    assert isinstance(step(unknown, "sh", "-c", text), Unknown)


def test_sourced_files_are_read() -> None:
    files = image(entry="#!/bin/sh\n. /settings\n. /secrets/gone\nexec $WHAT\n", settings="WHAT=app\n")
    found = step(files, "/entry")
    assert isinstance(found, Unknown)
    files = image(entry="#!/bin/sh\n. /settings\nexec $WHAT\n", settings="WHAT=app\n")
    found = step(files, "/entry")
    assert isinstance(found, Executes)
    assert found.argv == ("app",)


HOSTILE = {
    "deep parentheses": "(" * 5000 + "exec app",
    "deep substitutions": "exec " + "$(" * 3000,
    "deep braces": "{ " * 3000,
    "deep ifs": "if true; then " * 2000,
    "deep parameters": "exec ${x:-" * 3000,
    "quotes without end": "exec 'app",
    "recursion": "f() { f; f; }; f",
    "files that source themselves": ". /entry; . /entry",
    "eval that evaluates itself": 'x=\'eval "$x"; eval "$x"\'; eval "$x"',
    "long loops": "while true; do x=$x$x$x; for i in 1 2 3; do :; done; done",
    "doubling": "x=aaaaaaaa\n" + "x=$x$x\n" * 60 + "exec app $x",
    "doubling fields": "set -- a b c d\n" + 'set -- "$@" "$@"\n' * 40 + 'exec app "$@"',
    "stars": f"case {'a' * 4000} in {'*a' * 200}b) exec web;; esac; exec app",
    "bracket": "case a in [z-a]) exec web;; [[) ;; esac; exec app",
    "branches": "if [ -e /x ]; then x=$x. ; else y=$y. ; fi\n" * 3000 + "exec app",
    "ends": "[ -e /x ] && exec app 1\n" * 3000 + "exec app",
    "functions": "".join(f"f{n}() {{ f{n + 1}; f{n + 1}; }}\n" for n in range(100)) + "f0\nexec app",
    "here-documents": "cat <<A\n" * 2000 + "exec app",
    "NUL and others": "exec app \0 \x80\n",
    "arithmetic": "exec app $((((((((((1))))))))))) ((" * 500,
    "calls from deep within": "f() { " + "if true; then " * 12 + "f; f" + "; fi" * 12 + "; }; f",
    "evals from deep within": "x='" + "{ " * 12 + 'eval "$x"' + "; }" * 12 + '\'; eval "$x"',
    "backquotes": "`" * 5000,
    "backslashes": "\\" * 5001,
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_scripts_end_soon_and_quietly(name: str) -> None:
    files = image(entry="#!/bin/bash\n" + HOSTILE[name])
    before = time.process_time()
    found = step(files, "/entry")
    assert time.process_time() - before < 5
    assert isinstance(found, Executes | Unknown | Nothing)


def test_a_huge_script_is_not_read() -> None:
    found = step(image(entry="#!/bin/sh\n" + "#\n" * (1 << 20)), "/entry")
    assert isinstance(found, Unknown)
    assert "more than are read" in found.why
