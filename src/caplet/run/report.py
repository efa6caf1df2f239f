# SPDX-License-Identifier: Apache-2.0
"""What a run shows: the sets by name, predicted beside observed."""

from __future__ import annotations

import os
import textwrap
from typing import TYPE_CHECKING, Any

from caplet.explain.execution import titled
from caplet.run.because import because, causes, remedies, sentences
from caplet.run.engine import engine_shown
from caplet.run.failure import EXIT_RUNTIME_FAILED
from caplet.run.network import PORT_START

if TYPE_CHECKING:
    from collections.abc import Iterator

    from caplet.kernel.caps import Caps
    from caplet.kernel.credentials import Credentials, ThreadCaps
    from caplet.kubernetes.pod import Container, PodSpec
    from caplet.remedies.remedy import Remedy
    from caplet.run.container import RunResult
    from caplet.run.pod import Plan
    from caplet.run.status import Observed
    from caplet.runtimes.model import Refused

SETS = ("permitted", "effective", "inheritable", "bounding", "ambient")
WIDTH = 100

SCHEMA_VERSION = 1


def heading(plan: Plan, runtime: str) -> str:
    """`pod/web  container http  oci:app  on containerd 2.3, crun`."""
    explanation = plan.explanation
    which = container_shown(explanation.pod, explanation.container)
    return f"{which}  {_reference(plan)}  on {engine_shown(explanation.node)}, {runtime}"


def container_shown(pod: PodSpec, container: Container) -> str:
    """`pod/web  container http`."""
    return f"{pod.kind.lower()}/{pod.name or '-'}  container {container.name}"


def container_json(pod: PodSpec, container: Container) -> dict[str, str]:
    return {"kind": pod.kind, "name": pod.name, "container": container.name}


def _reference(plan: Plan) -> str:
    return "" if plan.explanation.image is None else plan.explanation.image.reference


def start_lines(plan: Plan, result: RunResult) -> Iterator[str]:
    """What the kernel made of the process, when its program has started or could not."""
    yield heading(plan, result.runtime)
    for note in plan.notes:
        yield f"  note: {note}"
    if PORT_START in result.sysctl:
        yield f"  unprivileged ports start at {result.sysctl[PORT_START]}"
    if result.observed is not None:
        yield from _started(plan, result.observed)
    else:
        yield from _not_started(plan, result)
    for line in because(plan):
        yield f"  {line}"


def _started(plan: Plan, observed: Observed) -> Iterator[str]:
    yield f"  {_program(plan)} started; /proc/PID/status of the running process:"
    yield from _credential_lines(observed)
    predicted = _seen(plan.first.after)
    if predicted is None:
        yield f"  predicted: it does not start: {plan.first.reason}"
    elif different := observed.differences(predicted):
        yield f"  predicted otherwise: {', '.join(different)}"
        yield from _credential_lines(predicted)
    else:
        yield "  as predicted"


def _not_started(plan: Plan, result: RunResult) -> Iterator[str]:
    yield f"  {_program(plan)} did not start: {result.error}"
    if result.exit_code == EXIT_RUNTIME_FAILED and result.runtime != "embedded":
        yield "  --runtime embedded needs neither an installation nor cgroups"
    if plan.first.after is not None:
        yield "  predicted: it starts"
    else:
        yield f"  as predicted: {plan.first.reason}"
    if result.created is not None:
        yield "  before execve, as the runtime left the process:"
        yield from _credential_lines(result.created)


def _program(plan: Plan) -> str:
    """`/bin/http (cap_net_bind_service=ep)`; of a script, its interpreter too."""
    assert plan.first.program is not None
    return titled(plan.first.program)


def _seen(cred: Credentials | None) -> Credentials | None:
    """As /proc shows it."""
    return None if cred is None else cred.seen()


def as_predicted(plan: Plan, result: RunResult) -> bool:
    """Whether the kernel made of the container's program what the model did."""
    predicted = _seen(plan.first.after)
    if result.observed is None or predicted is None:
        return result.observed is None and predicted is None
    return not result.observed.differences(predicted)


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
    explanation, first = plan.explanation, plan.first
    chain = () if first.program is None else first.program.chain
    return {
        "schemaVersion": SCHEMA_VERSION,
        "pod": container_json(explanation.pod, explanation.container),
        "image": {"reference": _reference(plan), "digest": str(plan.image.digest)},
        "engine": engine_shown(explanation.node),
        "runtime": result.runtime,
        "sysctl": result.sysctl,
        "program": [os.fsdecode(link.path) for link in chain],
        "started": result.started,
        "error": result.error or None,
        "exitCode": result.exit_code,
        "created": credentials_json(result.created),
        "observed": credentials_json(result.observed),
        "predicted": {
            "created": credentials_json(_seen(explanation.created)),
            "started": credentials_json(_seen(first.after)),
            "reason": first.reason or None,
        },
        "asPredicted": as_predicted(plan, result),
        "verdict": str(explanation.verdict),
        "causes": [found.cause.code for found in causes(plan)],
        "because": list(sentences(plan)),
        "remedies": [_remedy_json(remedy) for remedy in remedies(plan)],
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


def _remedy_json(remedy: Remedy) -> dict[str, Any]:
    """The fields of `remedies[]` in `caplet explain -o json`."""
    after = remedy.explanation
    return {
        "title": remedy.title,
        "why": remedy.why or None,
        "gives": remedy.gives.name.lower(),
        "patch": remedy.patch,
        "fragment": remedy.fragment,
        "commands": list(remedy.commands),
        "verdict": after.verdict.value,
        "held": _caps_json(after.held),
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
    return {name: _caps_json(value) for name, value in sets.items()}


def _caps_json(caps: Caps) -> dict[str, Any]:
    return {"names": list(caps.names()), "hex": f"{caps.mask:016x}"}
