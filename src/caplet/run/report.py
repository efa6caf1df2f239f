# SPDX-License-Identifier: Apache-2.0
"""What a run shows: the sets by name, predicted beside observed."""

from __future__ import annotations

import os
import textwrap
from typing import TYPE_CHECKING, Any

from caplet.run.because import because
from caplet.run.engine import engine_shown
from caplet.run.failure import EXIT_RUNTIME_FAILED
from caplet.run.network import PORT_START

if TYPE_CHECKING:
    from collections.abc import Iterator

    from caplet.kernel.caps import Caps
    from caplet.kernel.credentials import Credentials, ThreadCaps
    from caplet.run.container import RunResult
    from caplet.run.pod import Plan
    from caplet.run.status import Observed
    from caplet.runtimes.model import Refused

SETS = ("permitted", "effective", "inheritable", "bounding", "ambient")
WIDTH = 100

SCHEMA_VERSION = 1


def heading(plan: Plan, runtime: str) -> str:
    """`pod/web  container http  oci:app  on containerd 2.3, crun`."""
    kind = f"{plan.pod.kind.lower()}/{plan.pod.name or '-'}"
    return (
        f"{kind}  container {plan.container.name}  {plan.reference}  on {engine_shown(plan.node)}, {runtime}"
    )


def start_lines(plan: Plan, result: RunResult) -> Iterator[str]:
    """What the kernel made of the process, when its program has started or could not."""
    yield heading(plan, result.runtime)
    for note in plan.notes:
        yield f"  note: {note}"
    if PORT_START in result.sysctl:
        yield f"  unprivileged ports start at {result.sysctl[PORT_START]}"
    if result.observed is not None:
        yield f"  {_program(plan)} started; /proc/PID/status of the running process:"
        yield from _credential_lines(result.observed)
        predicted = plan.prediction.started
        if predicted is None:
            yield f"  predicted: it does not start: {plan.prediction.reason}"
        elif different := result.observed.differences(predicted):
            yield f"  predicted otherwise: {', '.join(different)}"
            yield from _credential_lines(predicted)
        else:
            yield "  as predicted"
        for line in because(plan):
            yield f"  {line}"
        return
    yield f"  {_program(plan)} did not start: {result.error}"
    if result.exit_code == EXIT_RUNTIME_FAILED and result.runtime != "embedded":
        yield "  --runtime embedded needs neither an installation nor cgroups"
    if plan.prediction.started is not None:
        yield "  predicted: it starts"
    elif plan.prediction.reason:
        yield f"  as predicted: {plan.prediction.reason}"
    if result.created is not None:
        yield "  before execve, as the runtime left the process:"
        yield from _credential_lines(result.created)


def _program(plan: Plan) -> str:
    """`exec /bin/http (cap_net_bind_service=ep)`; of a script, its interpreter too."""
    chain = plan.prediction.program.chain
    if not chain:
        return plan.spec.process.args[0]
    shown = []
    for link in chain:
        caps = link.caps
        text = "" if caps is None else f" ({caps})" if not isinstance(caps, bytes) else " (broken attribute)"
        shown.append(os.fsdecode(link.path) + text)
    return " -> ".join(shown)


def _credential_lines(cred: Observed | Credentials) -> Iterator[str]:
    groups = ",".join(map(str, cred.groups)) or "none"
    yield (
        f"    uid {cred.euid}  gid {cred.egid}  groups {groups}"
        f"  no_new_privs {'yes' if cred.no_new_privs else 'no'}"
    )
    for name in SETS:
        caps: Caps = getattr(cred.caps, name)
        text = ", ".join(caps.names()) or "none"
        yield from textwrap.wrap(
            text, WIDTH, initial_indent=f"    {name:<12} ", subsequent_indent=" " * 17, break_on_hyphens=False
        )


def probe_line(result: RunResult, url: str) -> str:
    """`probe http://:80/: 200 ok`."""
    answer = result.probe
    assert answer is not None
    if answer.error:
        return f"  probe {url}: {answer.error}"
    first = answer.body.decode("utf-8", "replace").strip().splitlines()
    return f"  probe {url}: {answer.status} {first[0] if first else ''}".rstrip()


def as_json(plan: Plan, result: RunResult) -> dict[str, Any]:
    """The whole run; docs/cli/run.md says what each field is."""
    prediction = plan.prediction
    agree = (
        not result.observed.differences(prediction.started)
        if result.observed is not None and prediction.started is not None
        else result.observed is None and prediction.started is None
    )
    return {
        "schemaVersion": SCHEMA_VERSION,
        "pod": {"kind": plan.pod.kind, "name": plan.pod.name, "container": plan.container.name},
        "image": {"reference": plan.reference, "digest": str(plan.image.digest)},
        "engine": engine_shown(plan.node),
        "runtime": result.runtime,
        "sysctl": result.sysctl,
        "program": [os.fsdecode(link.path) for link in prediction.program.chain],
        "started": result.started,
        "error": result.error or None,
        "exitCode": result.exit_code,
        "created": credentials_json(result.created),
        "observed": credentials_json(result.observed),
        "predicted": {
            "created": credentials_json(prediction.created),
            "started": credentials_json(prediction.started),
            "reason": prediction.reason or None,
        },
        "asPredicted": agree,
        "because": list(because(plan)),
        "probe": None
        if result.probe is None
        else {
            "status": result.probe.status or None,
            "body": result.probe.body.decode("utf-8", "replace"),
            "error": result.probe.error or None,
        },
        "stdout": result.stdout.decode("utf-8", "replace"),
        "stderr": result.stderr.decode("utf-8", "replace"),
        "notes": list(plan.notes),
    }


def refusal_json(refused: Refused) -> dict[str, Any]:
    return {"schemaVersion": SCHEMA_VERSION, "refused": {"by": refused.by, "message": refused.message}}


def credentials_json(cred: Observed | Credentials | None) -> dict[str, Any] | None:
    if cred is None:
        return None
    return {
        "uid": [cred.uid, cred.euid, cred.suid],
        "gid": [cred.gid, cred.egid, cred.sgid],
        "groups": list(cred.groups),
        "noNewPrivs": cred.no_new_privs,
        "capabilities": _sets_json(cred.caps),
    }


def _sets_json(caps: ThreadCaps) -> dict[str, Any]:
    sets = {name: getattr(caps, name) for name in SETS}
    return {name: {"names": list(value.names()), "hex": f"{value.mask:016x}"} for name, value in sets.items()}
