# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from dataclasses import replace

from tests.explain.memory import explained, image, web

from caplet.kernel.caps import Caps
from caplet.run.status import Observed
from caplet.verify.compare import differences
from caplet.verify.seen import Seen, refusal

STRICT = (
    "runAsUser: 65532, allowPrivilegeEscalation: false, capabilities: {drop: [ALL], add: [NET_BIND_SERVICE]}"
)
GRANTED = image({"/app": "elf cap_net_bind_service=ep"}, Entrypoint=["/app"])
EXPLAINED = explained(web(STRICT), GRANTED)


def observed() -> Observed:
    """Exactly what was predicted."""
    cred = EXPLAINED.final
    assert cred is not None
    return Observed(
        name="app", state="S", uid=cred.uid, euid=cred.euid, suid=cred.suid, gid=cred.gid, egid=cred.egid, sgid=cred.sgid,
        groups=cred.groups, caps=cred.caps, no_new_privs=cred.no_new_privs,
    )  # fmt: skip


def test_the_same_is_no_difference() -> None:
    assert differences(EXPLAINED, Seen(started=True, observed=observed(), secure=True, port_start=1024)) == ()


def test_each_thing_that_differs_is_told() -> None:
    other = replace(observed(), uid=7, caps=replace(observed().caps, effective=Caps()), no_new_privs=False)
    found = differences(EXPLAINED, Seen(started=True, observed=other, secure=False, port_start=0))
    assert {one.what for one in found} == {"uid", "effective", "no_new_privs", "AT_SECURE", "first free port"}
    effective = next(one for one in found if one.what == "effective")
    assert (effective.predicted, effective.observed) == ("NET_BIND_SERVICE", "none")


def test_outcomes() -> None:
    assert [one.what for one in differences(EXPLAINED, refusal("no"))] == ["outcome"]
    fails = Seen(started=False, error="exec /app: operation not permitted")
    assert [one.predicted for one in differences(EXPLAINED, fails)] == ["starts"]
    denied = explained(web("runAsUser: 7, capabilities: {drop: [ALL]}"), GRANTED)
    assert differences(denied, fails) == ()


def test_a_wrapper_may_have_gone_on() -> None:
    facts = image(
        {"/sbin/tini": "elf", "/app": "elf cap_net_bind_service=ep"}, Entrypoint=["/sbin/tini", "--", "/app"]
    )
    loose = explained(web(STRICT.replace("allowPrivilegeEscalation: false, ", "")), facts)
    for step in loose.executions:
        cred = step.after
        assert cred is not None
        seen = replace(observed(), caps=cred.caps, no_new_privs=False)
        assert differences(loose, Seen(started=True, observed=seen)) == ()
