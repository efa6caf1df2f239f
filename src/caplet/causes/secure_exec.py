# SPDX-License-Identifier: Apache-2.0
"""File capabilities set AT_SECURE, and the loader no longer finds a library, or the program no longer sees a variable.

## What you see

    java: error while loading shared libraries: libjli.so: cannot open shared object file: No such file or directory
    Error loading shared library libfoo.so: No such file or directory (needed by /usr/bin/app)

of a program that was given capabilities; without them it starts. Or settings in LD_LIBRARY_PATH, LD_PRELOAD, TMPDIR,
NODE_OPTIONS do nothing any more.

## Why

execve(2) of a file with capabilities by a user other than root sets AT_SECURE in the auxiliary vector (getauxval(3)):
the caller may not steer what runs with more than it has. glibc and musl then ignore LD_LIBRARY_PATH and LD_PRELOAD,
and `$ORIGIN` in the program's run path. glibc also removes such variables from the environment. Ambient capabilities
do not set it:

    AT_SECURE = the user is not root, and F(effective) is set or P'(permitted) has more than P'(ambient)

## Prove it

    readelf -d /usr/bin/java | grep -E 'NEEDED|RPATH|RUNPATH'
    LD_SHOW_AUXV=1 /bin/true | grep SECURE     # without capabilities

## Fix

1. A launcher of a few lines carries the file capability, raises it in the ambient set (prctl(2), PR_CAP_AMBIENT) and
   executes this one program: ambient capabilities do not set AT_SECURE.
2. Tell the loader where the libraries are, in the image: a file in /etc/ld.so.conf.d and `ldconfig`; on musl
   /etc/ld-musl-ARCH.path.
3. An absolute run path: `patchelf --set-rpath /opt/java/lib /opt/java/bin/java`, then set the capability again
   (writing the file clears it).
4. Take the capability away where it is not needed: `caplet strip`.

## Where

Every runtime; the rule is the kernel's and the loader's. Static programs have no loader; Go's, C's and Node's own use
of secure_getenv(3) remains.

## References

- ld.so(8), "Secure-execution mode"; security/commoncap.c, cap_bprm_creds_from_file()
- kaitoy/pcap4j#63, openhab/openhab-addons#2827, astral-sh/python-build-standalone#576
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from caplet.causes.cause import Cause, Example, Found, Log
from caplet.causes.loss import Place, found_in
from caplet.causes.words import program
from caplet.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Iterator

    from caplet.explain.explanation import Explanation, Step
    from caplet.image.secure import Lost, Secure

POD = """\
apiVersion: v1
kind: Pod
metadata: {name: java}
spec:
  containers:
  - name: java
    image: java
    env: [{name: LD_LIBRARY_PATH, value: /opt/lib}]
    securityContext:
      runAsUser: 1000
      capabilities: {drop: [ALL], add: [NET_RAW]}
"""


def _find(explanation: Explanation) -> Iterator[Found]:
    """What a program with AT_SECURE loses; and what one would lose if its file were given what it misses."""
    for step in explanation.steps:
        if step.secure is not None and (step.after is None or step.secure.starts):
            yield from _lost(step, step.secure)
    for loss in found_in(explanation, Place.PLAIN):
        if loss.caps & explanation.asked:
            yield from _would_lose(explanation, explanation.executions[-1])


def _lost(step: Step, secure: Secure) -> Iterator[Found]:
    path, gone = program(step), _gone(secure)
    if secure.fatal:
        yield CAUSE.found(f"{path} does not start: {secure.fatal}", step=step)
    elif gone is not None:
        text = f"{gone.name}, which {gone.needed_by} needs, is not found any more ({gone.found})"
        yield CAUSE.found(f"{path} does not start: {text}: {gone.why}", step=step)
    elif secure.variables:
        text = f"{path} runs with AT_SECURE: {', '.join(secure.variables)} of its environment do not count"
        yield CAUSE.found(text, step=step, weight="hint")


def _would_lose(explanation: Explanation, step: Step) -> Iterator[Found]:
    if explanation.image is None or explanation.spec is None or step.program is None:
        return
    process, path = explanation.spec.process, program(step)
    try:
        secure = explanation.image.secure(step.program.file.path, process.env, process.cwd)
    except InvalidInput:
        return  # no ELF file that could be read, so nothing is known of its libraries
    gone = _gone(secure)
    if gone is not None:
        text = f"{path} would no longer find {gone.name}: {gone.why}"
    elif secure.variables:
        text = f"{', '.join(secure.variables)} would no longer count"
    else:
        return
    yield CAUSE.found(f"if {path} were given file capabilities, {text}", step=step, weight="hint")


def _gone(secure: Secure) -> Lost | None:
    """The first library that is found nowhere any more."""
    return next((one for one in secure.lost if one.instead is None), None)


CAUSE = Cause(
    code="CAP108",
    name="secure-exec",
    summary="file capabilities set AT_SECURE: the loader ignores LD_LIBRARY_PATH and $ORIGIN, and a library is not found",
    find=_find,
    page=__doc__,
    logs=(
        Log(
            r"(?P<program>\S+): error while loading shared libraries: (?P<library>[^\s:]+)",
            "java: error while loading shared libraries: libjli.so: cannot open shared object file: No such file or directory",
        ),
        Log(
            r"error loading shared library (?P<library>[^\s:]+)",
            "Error loading shared library libfoo.so: No such file or directory (needed by /usr/bin/app)",
        ),
        Log(
            r"DST not allowed in SUID/SGID programs",
            "error while loading shared libraries: DST not allowed in SUID/SGID programs",
        ),
    ),
    examples=(
        Example(
            "LD_LIBRARY_PATH",
            POD,
            {
                "/usr/bin/app": "elf needs libfoo.so cap_net_raw=ep",
                "/opt/lib/libfoo.so": "elf library",
                "/lib/x86_64-linux-gnu/libc.so.6": "elf library",
            },
            {"Entrypoint": ["/usr/bin/app"]},
            mended=False,
        ),
    ),
)
