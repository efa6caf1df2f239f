# SPDX-License-Identifier: Apache-2.0
"""The formula with its numbers is true: computed as it stands, it gives what the model of execve(2) gives."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from caplet.explain.arithmetic import arithmetic
from caplet.kernel.caps import NO_CAPS, Caps
from caplet.kernel.credentials import Credentials, ThreadCaps
from caplet.kernel.execve import Program
from caplet.kernel.filecaps import FileCaps
from caplet.kernel.versions import NEWEST
from caplet.report.formula import LONG, SHORT, formula
from caplet.report.setnames import SetNames

FEW = st.integers(0, 15).map(lambda bits: Caps(bits << 10))
"""Sets of four capabilities: all of them are written out."""
NAMES = SetNames(Caps.all())


def test_a_plain_program() -> None:
    cred = Credentials.of_user(1000, 1000, caps=ThreadCaps.root(Caps(1 << 10)))
    assert formula(arithmetic(cred, Program(), NEWEST), NAMES) == (
        "P'(permitted) = (P(inheritable) & F(inheritable)) | (F(permitted) & P(bounding)) | P'(ambient)",
        "              = (none & none) | (none & NET_BIND_SERVICE) | none",
        "              = none",
    )


@given(FEW, FEW, FEW, FEW, FEW, st.booleans(), st.booleans(), st.sampled_from([0, 1000]))
def test_is_true(
    bounding: Caps,
    permitted: Caps,
    inheritable: Caps,
    in_file: Caps,
    inherited: Caps,
    has: bool,
    no_new_privs: bool,
    uid: int,
) -> None:
    ambient = permitted & inheritable
    caps = ThreadCaps(permitted, permitted, inheritable, bounding, ambient)
    cred = Credentials(
        uid=uid,
        euid=uid,
        suid=uid,
        fsuid=uid,
        gid=5,
        egid=5,
        sgid=5,
        fsgid=5,
        caps=caps,
        no_new_privs=no_new_privs,
    )
    program = Program(caps=FileCaps(in_file, inherited, effective=False) if has else None)
    sums = arithmetic(cred, program, NEWEST)
    assert sums.after is not None
    for letters in (LONG, SHORT):
        lines = formula(sums, NAMES, letters)
        assert _value(lines[-1]) == sums.after.caps.permitted
        if not sums.downgraded:
            assert _value(lines[1]) == sums.after.caps.permitted


def _value(line: str) -> Caps:
    """`= (none & {A, B}) | C` computed with Python's own operators."""
    text = re.sub(r"\{([^}]*)\}", lambda found: found[1].replace(", ", ","), line.split("= ", 1)[1])
    expression = re.sub(r"[A-Za-z_0-9,]+", lambda found: f"Caps.parse('{found[0]}')", text)
    value = eval(expression, {"Caps": Caps})
    assert isinstance(value, Caps)
    return value | NO_CAPS
