# SPDX-License-Identifier: Apache-2.0
"""The Pods that are explained."""

from __future__ import annotations

import itertools
import os

POD = """\
apiVersion: v1
kind: Pod
metadata: {{name: web-{number}}}
spec:
  containers:
  - name: http
    image: http
    ports: [{{containerPort: 80}}]
    securityContext:
      runAsUser: {user}
      allowPrivilegeEscalation: {escalation}
      capabilities: {{drop: [{drop}], add: [{add}]}}
"""

USERS = (0, 1000, 65532)
DROPS = ("", "ALL", "NET_RAW")
ADDS = ("", "NET_BIND_SERVICE", "NET_BIND_SERVICE, NET_RAW", "CAP_NET_BIND_SERVICE")


def pod(directory: str) -> str:
    """A file with one Pod, which works without its capability where ports are free to all."""
    path = os.path.join(directory, "pod.yaml")
    with open(path, "w", encoding="ascii") as file:
        file.write(POD.format(number=0, user=65532, escalation="false", drop="ALL", add="NET_BIND_SERVICE"))
    return path


def variants() -> str:
    """72 Pods that differ in what decides."""
    every = itertools.product(USERS, DROPS, ADDS, ("true", "false"))
    return "---\n".join(
        POD.format(number=number, user=user, drop=drop, add=add, escalation=escalation)
        for number, (user, drop, add, escalation) in enumerate(every)
    )
