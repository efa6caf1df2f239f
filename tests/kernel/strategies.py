"""Random values for properties."""

from __future__ import annotations

from hypothesis import strategies as st

from caplet.kernel.caps import Cap, Caps
from caplet.kernel.captext import Sets
from caplet.kernel.credentials import Credentials, ThreadCaps
from caplet.kernel.execve import Program
from caplet.kernel.filecaps import FileCaps

masks = st.one_of(
    st.sampled_from((0, (1 << 41) - 1, (1 << 64) - 1)),
    st.integers(0, (1 << 64) - 1),
    st.sets(st.sampled_from(list(Cap)), max_size=4).map(lambda caps: Caps.of(*caps).mask),
)
caps = masks.map(Caps)
known_caps = caps.map(lambda caps: caps & Caps.all())
sets = st.builds(Sets, caps, caps, caps)
file_caps = st.builds(
    FileCaps,
    caps,
    caps,
    st.booleans(),
    st.none() | st.integers(0, 0xFFFFFFFF),
    st.sampled_from((0, 2, 0x800000, 0xFFFFFE)),
)

ids = st.sampled_from((0, 1, 1000, 65535))


@st.composite
def thread_caps(draw: st.DrawFn) -> ThreadCaps:
    """Five sets that a thread can have: pE within pP, pA within pP and pI."""
    permitted, inheritable = draw(known_caps), draw(known_caps)
    effective, ambient = draw(known_caps) & permitted, draw(known_caps) & permitted & inheritable
    return ThreadCaps(permitted, effective, inheritable, draw(known_caps), ambient)


credentials = st.builds(
    Credentials,
    uid=ids, euid=ids, suid=ids, fsuid=ids, gid=ids, egid=ids, sgid=ids, fsgid=ids,
    groups=st.lists(ids, max_size=3).map(sorted).map(tuple),
    caps=thread_caps(),
    securebits=st.integers(0, 0xFFF),
    no_new_privs=st.booleans(),
)  # fmt: skip

programs = st.builds(
    Program,
    caps=st.none() | file_caps | st.binary(max_size=30),
    mode=st.sampled_from((0o755, 0o4755, 0o2755, 0o6755, 0o700, 0o644)),
    uid=ids,
    gid=ids,
    nosuid=st.booleans(),
)
