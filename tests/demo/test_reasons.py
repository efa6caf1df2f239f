# SPDX-License-Identifier: Apache-2.0
"""The reasons are computed: each changes with the values that it is about."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from caplet.demo.reasons import why
from caplet.explain.explanation import Step
from caplet.image.program import find_program
from caplet.image.rootfs import File, Rootfs
from caplet.kernel.caps import NO_CAPS, Caps
from caplet.kernel.credentials import Credentials, Denied, ThreadCaps
from caplet.kernel.execve import execve
from caplet.kernel.filecaps import FileCaps

if TYPE_CHECKING:
    from caplet.image.program import Program

BIND = Caps.parse("NET_BIND_SERVICE")
BOTH = Caps.parse("NET_BIND_SERVICE,NET_RAW")
FORMULA = "P'(permitted) = (P(inheritable) & F(inheritable)) | (F(permitted) & P(bounding)) | P'(ambient)"


def process(
    permitted: Caps = NO_CAPS,
    bounding: Caps = NO_CAPS,
    inheritable: Caps = NO_CAPS,
    no_new_privs: bool = True,
) -> Credentials:
    caps = ThreadCaps(permitted=permitted, effective=permitted, inheritable=inheritable, bounding=bounding)
    return replace(Credentials.of_user(9, 9, caps=caps), no_new_privs=no_new_privs)


def program(file: str | None) -> Program:
    caps = FileCaps.parse(file).encode() if file else None
    return find_program(Rootfs.of({"/app": File(b"\x7fELF", mode=0o755, caps=caps)}), ["/app"])


def predicted(before: Credentials, file: str | None) -> Step:
    found = program(file)
    try:
        return Step("exec", before, execve(before, found.for_kernel()), program=found)
    except Denied as denied:
        return Step(
            "exec", before, None, program=found, errno=denied.errno or 0, reason=denied.strerror or ""
        )


def reasons(before: Credentials, file: str | None, port: int = 80, start: int = 1024) -> list[str]:
    return why(predicted(before, file), port, start)


EXPECTED = {
    "no file capabilities": (
        reasons(process(BIND, BIND), None),
        [
            "the file carries no capabilities",
            FORMULA,
            "              = (none & none) | (none & NET_BIND_SERVICE) | none = none",
            "port 80 is below 1024: bind(2) asks for NET_BIND_SERVICE in the effective set, which has none",
        ],
    ),
    "file capabilities": (
        reasons(process(BIND, BIND), "cap_net_bind_service=ep"),
        [
            "the file carries cap_net_bind_service=ep",
            FORMULA,
            "              = (none & none) | (NET_BIND_SERVICE & NET_BIND_SERVICE) | none = NET_BIND_SERVICE",
            "no_new_privs takes nothing of it: P(permitted) had NET_BIND_SERVICE before",
            "port 80 is below 1024: bind(2) asks for NET_BIND_SERVICE in the effective set, which has it",
        ],
    ),
    "bounding only, under no_new_privs": (
        reasons(process(bounding=BIND), "cap_net_bind_service=ep"),
        [
            "the file carries cap_net_bind_service=ep",
            FORMULA,
            "              = (none & none) | (NET_BIND_SERVICE & NET_BIND_SERVICE) | none = NET_BIND_SERVICE",
            "no_new_privs takes NET_BIND_SERVICE, which was not permitted before",
            "port 80 is below 1024: bind(2) asks for NET_BIND_SERVICE in the effective set, which has none",
        ],
    ),
    "not in the bounding set": (
        reasons(process(), "cap_net_bind_service=ep"),
        [
            "F(permitted) & P(bounding) = NET_BIND_SERVICE & none = none",
            "the file's effective bit is set: it starts with all of F(permitted) or not at all",
            "execve(2): the file demands NET_BIND_SERVICE, which the bounding set lacks",
        ],
    ),
    "half of it in the bounding set": (
        reasons(process(BIND, BIND), "cap_net_bind_service,cap_net_raw=ep"),
        [
            "F(permitted) & P(bounding) = NET_BIND_SERVICE,NET_RAW & NET_BIND_SERVICE = NET_BIND_SERVICE",
            "the file's effective bit is set: it starts with all of F(permitted) or not at all",
            "execve(2): the file demands NET_RAW, which the bounding set lacks",
        ],
    ),
    "permitted only": (
        reasons(process(BIND, BIND, no_new_privs=False), "cap_net_bind_service=p"),
        [
            "the file carries cap_net_bind_service=p",
            FORMULA,
            "              = (none & none) | (NET_BIND_SERVICE & NET_BIND_SERVICE) | none = NET_BIND_SERVICE",
            "port 80 is below 1024: bind(2) asks for NET_BIND_SERVICE in the effective set, which has none",
        ],
    ),
    "inheritable": (
        reasons(process(BOTH, BOTH, inheritable=BOTH, no_new_privs=False), "cap_net_raw=ei"),
        [
            "the file carries cap_net_raw=ei",
            FORMULA,
            "              = (NET_BIND_SERVICE,NET_RAW & NET_RAW) | (none & NET_BIND_SERVICE,NET_RAW) | none = NET_RAW",
            "port 80 is below 1024: bind(2) asks for NET_BIND_SERVICE in the effective set, which has NET_RAW",
        ],
    ),
    "a port that is free to all": (
        reasons(process(), None, port=8080)[-1:],
        ["port 8080 is not below 1024: it needs no capability"],
    ),
}


@pytest.mark.parametrize(("computed", "expected"), EXPECTED.values(), ids=list(EXPECTED))
def test_the_reason(computed: list[str], expected: list[str]) -> None:
    assert computed == expected


def test_the_formula_gives_the_models_permitted_set() -> None:
    """What stands behind the last `=` is what execve made, but for what no_new_privs took."""
    for file in ("cap_net_raw=p", "cap_net_raw=ei", "cap_net_bind_service,cap_net_raw=eip", "=", None):
        step = predicted(process(BOTH, BOTH, inheritable=BOTH, no_new_privs=False), file)
        assert step.after is not None
        line = next(line for line in why(step, 80, 1024) if line.startswith("   "))
        assert line.rpartition(" = ")[2] == str(step.after.caps.permitted)


def test_a_denial_that_is_not_about_capabilities_says_its_own_reason() -> None:
    step = Step(
        "exec", process(), None, program=program(None), errno=13, reason="the file is on a noexec mount"
    )
    assert why(step, 80, 1024) == ["execve(2): the file is on a noexec mount"]
