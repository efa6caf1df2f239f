# SPDX-License-Identifier: Apache-2.0
r"""The document of `caplet explain -o json`: everything that an explanation knows, for programs.

Its schema is explain.schema.json beside this file; docs/explain-json.md says it in prose. Text that an image or a manifest chose
is kept as it is; only bytes that are not UTF-8 are escaped as `\\xNN`, and paths carry their exact bytes in hexadecimal.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Mapping
from dataclasses import fields
from typing import TYPE_CHECKING, Any

from caplet.kernel.capable import BindPort
from caplet.kernel.filecaps import FileCaps
from caplet.kernel.namespaces import IdMap, UserNamespace
from caplet.kernel.syscalls import Execve
from caplet.report.details import notes
from caplet.report.formula import formula
from caplet.report.setnames import SetNames
from caplet.report.words import verdict, why

if TYPE_CHECKING:
    from collections.abc import Sequence

    from caplet.causes.cause import Found
    from caplet.explain.arithmetic import Arithmetic
    from caplet.explain.explanation import Explanation, Step
    from caplet.image.program import Link
    from caplet.image.secure import Secure
    from caplet.kernel.caps import Caps
    from caplet.kernel.credentials import Credentials, ThreadCaps
    from caplet.kernel.syscalls import Syscall
    from caplet.remedies.remedy import Remedy
    from caplet.report.judged import Judged
    from caplet.runtimes.node import Node

SCHEMA_VERSION = 1
"""Grows when a field changes its meaning or goes, not when one comes."""

SETS = ("permitted", "effective", "inheritable", "bounding", "ambient")


def document(judged: Sequence[Judged]) -> dict[str, Any]:
    """One entry for each container on each node, in the order given."""
    return {"schemaVersion": SCHEMA_VERSION, "explanations": [_plain(_judged(one)) for one in judged]}


def _judged(judged: Judged) -> dict[str, Any]:
    explanation = judged.explanation
    names = SetNames.of(explanation.node)
    return {
        "pod": _pod(explanation),
        "container": {
            "name": explanation.container.name,
            "kind": explanation.container.kind,
            "path": list(explanation.container.path),
        },
        "image": _image(explanation),
        "node": _node(explanation.node),
        "verdict": explanation.verdict.value,
        "summary": verdict(explanation, names).partition(": ")[2],
        "starts": explanation.starts,
        "refused": None
        if explanation.refused is None
        else {
            "by": explanation.refused.by,
            "message": explanation.refused.message,
            "admission": explanation.forbidden,
        },
        "request": _request(explanation),
        "capabilities": {
            "asked": {"add": list(explanation.asked_names), **_caps(explanation.asked)},
            "held": _caps(explanation.held),
            "lost": _caps(explanation.lost),
            "raisable": _caps(explanation.raisable),
            "notNeeded": _caps(explanation.needless & explanation.asked),
            "ignored": list(explanation.ignored),
        },
        "steps": [_step(step, explanation, names) for step in explanation.steps],
        "causes": [_cause(found, explanation) for found in judged.causes],
        "ports": [_port(explanation, port) for port in explanation.ports],
        "unprivilegedPortStart": {"value": explanation.port_start, "why": explanation.port_start_why or None},
        "remedies": [_remedy(remedy) for remedy in judged.remedies],
        "doubts": [
            {"what": doubt.what, "decidedBy": doubt.decided_by} for doubt in explanation.open_questions
        ],
        "setcapAtRunTime": [
            {"line": one.line, "argv": list(one.argv), "certain": one.certain} for one in explanation.setcaps
        ],
        "notes": list(notes(explanation)),
    }


def _pod(explanation: Explanation) -> dict[str, Any]:
    pod = explanation.pod
    return {
        "apiVersion": pod.api_version or None,
        "kind": pod.kind,
        "name": pod.name,
        "namespace": pod.namespace or None,
        "source": pod.document.name,
    }


def _image(explanation: Explanation) -> dict[str, Any]:
    image = explanation.image
    return {
        "name": explanation.container.image,
        "reference": (image.reference or None) if image is not None else None,
        "digest": str(image.digest) if image is not None and image.digest is not None else None,
        "read": image is not None,
    }


def _node(node: Node) -> dict[str, Any]:
    return {
        "name": node.name,
        "platform": None if node.platform is None else node.platform.title,
        "engine": {"name": node.engine.title, "version": str(node.engine_version)},
        "runtime": {"name": node.runtime.name, "version": str(node.runtime_version)},
        "kubernetes": None if node.kubernetes is None else str(node.kubernetes),
        "linux": str(node.kernel),
        "assumed": list(node.assumed),
    }


def _request(explanation: Explanation) -> dict[str, Any] | None:
    """What was decided about the process before it is made."""
    request, spec, account = explanation.request, explanation.spec, explanation.account
    if request is None:
        return None
    return {
        "privileged": request.privileged,
        "user": None
        if account is None
        else {"uid": account.uid, "gid": account.gid, "groups": list(account.groups)},
        "noNewPrivileges": request.no_new_privs,
        "userNamespace": request.user_ns,
        "seccomp": request.seccomp if spec is None else spec.seccomp,
        "program": None if spec is None or explanation.image is None else list(spec.process.args),
    }


def _step(step: Step, explanation: Explanation, names: SetNames) -> dict[str, Any]:
    return {
        "title": step.title,
        "why": why(step, explanation, names),
        "program": None
        if step.program is None
        else {"argv": list(step.program.argv), "chain": [_link(link) for link in step.program.chain]},
        "calls": [_call(call) for call in step.calls if not isinstance(call, Execve)],
        "before": _credentials(step.before),
        "after": None if step.after is None else _credentials(step.after),
        "denied": None
        if step.after is not None
        else {
            "errno": step.errno or None,
            "name": errno.errorcode.get(step.errno),
            "reason": step.reason,
        },
        "arithmetic": None if step.arithmetic is None else _arithmetic(step.arithmetic, names),
        "secure": None if step.secure is None else _secure(step.secure),
    }


def _arithmetic(sums: Arithmetic, names: SetNames) -> dict[str, Any]:
    """F is the file's, P the thread's, as in capabilities(7)."""
    return {
        "formula": list(formula(sums, names)),
        "filePermitted": _caps(sums.file_permitted),
        "fileInheritable": _caps(sums.file_inheritable),
        "fileEffective": sums.file_effective,
        "hasFileCapabilities": sums.has_file_caps,
        "root": sums.root,
        "fromFile": _caps(sums.from_file),
        "noNewPrivilegesCut": sums.downgraded,
        "missing": _caps(sums.missing),
    }


def _secure(secure: Secure) -> dict[str, Any]:
    """What AT_SECURE changes."""
    return {
        "loader": secure.loader or None,
        "fatal": secure.fatal or None,
        "lost": [
            {
                "name": lost.name,
                "neededBy": lost.needed_by,
                "found": lost.found,
                "instead": lost.instead,
                "why": lost.why,
                "remedies": list(lost.remedies),
            }
            for lost in secure.lost
        ],
        "preload": list(secure.preload),
        "variables": list(secure.variables),
        "notes": list(secure.notes),
    }


def _link(link: Link) -> dict[str, Any]:
    caps = link.caps
    return {
        "path": os.fsdecode(link.path),
        "pathHex": link.path.hex(),
        "mode": f"{link.node.mode:04o}",
        "owner": [link.node.uid, link.node.gid],
        "capability": None
        if caps is None
        else {
            "text": str(caps) if isinstance(caps, FileCaps) else None,
            "hex": (caps.encode() if isinstance(caps, FileCaps) else caps).hex(),
        },
    }


def _call(call: Syscall) -> str:
    """`CapbsetDrop(CHOWN)`, `Capset(NET_RAW, NET_RAW, none)`: `caplet.kernel.syscalls` has what each is."""
    arguments = (_argument(getattr(call, field.name)) for field in fields(call))
    return f"{type(call).__name__}({', '.join(arguments)})"


def _argument(value: object) -> str:
    if isinstance(value, UserNamespace):
        return f"uids {_argument(value.uid_map)}, gids {_argument(value.gid_map)}"
    if isinstance(value, IdMap):
        return " ".join(f"{one.first}:{one.lower}:{one.count}" for one in value.extents)
    return "/".join(map(str, value)) or "-" if isinstance(value, tuple) else str(value)


def _credentials(cred: Credentials) -> dict[str, Any]:
    """Ids as the process itself reads them."""
    seen = cred.seen()
    return {
        "uid": [seen.uid, seen.euid, seen.suid],
        "gid": [seen.gid, seen.egid, seen.sgid],
        "groups": list(seen.groups),
        "noNewPrivileges": cred.no_new_privs,
        "atSecure": cred.at_secure,
        "securebits": f"0x{cred.securebits:02x}",
        "capabilities": _sets(cred.caps),
    }


def _sets(caps: ThreadCaps) -> dict[str, Any]:
    return {name: _caps(getattr(caps, name)) for name in SETS}


def _caps(caps: Caps) -> dict[str, Any]:
    """`hex` as /proc/PID/status writes it."""
    return {"names": list(caps.names()), "hex": f"{caps.mask:016x}"}


def _cause(found: Found, explanation: Explanation) -> dict[str, Any]:
    place = next((place for place, step in enumerate(explanation.steps) if step is found.step), None)
    return {
        "code": found.cause.code,
        "name": found.cause.name,
        "weight": found.weight,
        "summary": found.cause.summary,
        "message": found.message,
        "capabilities": _caps(found.caps),
        "step": place,
    }


def _port(explanation: Explanation, port: int) -> dict[str, Any]:
    return {"port": port, "canBind": explanation.can(BindPort(port))}


def _remedy(remedy: Remedy) -> dict[str, Any]:
    """`verdict`: what explain says of the container with it; `held`: what its process has then."""
    after = remedy.explanation
    return {
        "title": remedy.title,
        "why": remedy.why or None,
        "gives": remedy.gives.name.lower(),
        "patch": remedy.patch,
        "fragment": remedy.fragment,
        "commands": list(remedy.commands),
        "verdict": after.verdict.value,
        "held": _caps(after.held),
    }


def _plain(value: Any) -> Any:
    """The same as JSON has it: keys are text, and text is Unicode."""
    if isinstance(value, str):
        return _unicode(str(value))
    if isinstance(value, Mapping):
        return {_unicode(str(key)): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value


def _unicode(text: str) -> str:
    """What no encoding has, lone surrogates, escaped: bytes that are not UTF-8 become some."""
    if text.isascii():
        return text
    try:
        return text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    except UnicodeEncodeError:
        return text.encode("utf-8", "backslashreplace").decode()
