# SPDX-License-Identifier: Apache-2.0
"""/proc/PID/status: the credentials of a process as the kernel shows them (proc(5), fs/proc/array.c)."""

from __future__ import annotations

from dataclasses import dataclass

from caplet.kernel.caps import Caps
from caplet.kernel.credentials import Credentials, ThreadCaps


@dataclass(frozen=True, slots=True)
class Observed:
    """What the file says of a process. It has no securebits and no AT_SECURE."""

    name: str
    state: str
    """One letter: R, S, Z, ..."""
    uid: int
    euid: int
    suid: int
    gid: int
    egid: int
    sgid: int
    groups: tuple[int, ...]
    caps: ThreadCaps
    no_new_privs: bool

    def credentials(self) -> Credentials:
        """For the model, in the user namespace that this process sees; no securebits, file ids as the effective ones."""
        return Credentials(
            uid=self.uid,
            euid=self.euid,
            suid=self.suid,
            fsuid=self.euid,
            gid=self.gid,
            egid=self.egid,
            sgid=self.sgid,
            fsgid=self.egid,
            groups=tuple(sorted(self.groups)),
            caps=self.caps,
            no_new_privs=self.no_new_privs,
        )

    def differences(self, predicted: Credentials) -> tuple[str, ...]:
        """The fields in which the model was wrong; empty when it was right."""
        pairs = {
            "uid": ((self.uid, self.euid, self.suid), (predicted.uid, predicted.euid, predicted.suid)),
            "gid": ((self.gid, self.egid, self.sgid), (predicted.gid, predicted.egid, predicted.sgid)),
            "groups": (set(self.groups), set(predicted.groups)),
            "permitted": (self.caps.permitted, predicted.caps.permitted),
            "effective": (self.caps.effective, predicted.caps.effective),
            "inheritable": (self.caps.inheritable, predicted.caps.inheritable),
            "bounding": (self.caps.bounding, predicted.caps.bounding),
            "ambient": (self.caps.ambient, predicted.caps.ambient),
            "no_new_privs": (self.no_new_privs, predicted.no_new_privs),
        }
        return tuple(name for name, (seen, expected) in pairs.items() if seen != expected)


def parse_status(text: str) -> Observed:
    """The file's text; a zombie's has the same lines."""
    fields = dict(line.split(":", 1) for line in text.splitlines() if ":" in line)
    uids = [int(word) for word in fields["Uid"].split()]
    gids = [int(word) for word in fields["Gid"].split()]

    def caps(key: str) -> Caps:
        return Caps(int(fields[key], 16))

    return Observed(
        name=fields["Name"].strip(),
        state=fields["State"].split()[0],
        uid=uids[0],
        euid=uids[1],
        suid=uids[2],
        gid=gids[0],
        egid=gids[1],
        sgid=gids[2],
        groups=tuple(int(word) for word in fields["Groups"].split()),
        caps=ThreadCaps(
            permitted=caps("CapPrm"),
            effective=caps("CapEff"),
            inheritable=caps("CapInh"),
            bounding=caps("CapBnd"),
            ambient=caps("CapAmb"),
        ),
        no_new_privs=fields["NoNewPrivs"].strip() == "1",
    )
