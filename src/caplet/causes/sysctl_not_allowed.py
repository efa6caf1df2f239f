# SPDX-License-Identifier: Apache-2.0
"""A sysctl of the Pod is not allowed on the node, or not beside hostNetwork.

## What you see

    forbidden sysctl: "net.ipv4.ip_unprivileged_port_start" not allowlisted
    may not be specified when 'hostNetwork' is true

The Pod fails with SysctlForbidden.

## Why

The kubelet sets only sysctls that it holds for safe, a list that grew: `net.ipv4.ip_unprivileged_port_start` is in it
from Kubernetes 1.22 on. Those of the network belong to the Pod's own network namespace; a Pod with hostNetwork has
none.

## Prove it

    kubectl describe pod POD
    kubectl version

## Fix

1. With hostNetwork: the capability instead, `caplet grant` on the program and `capabilities.add: [NET_BIND_SERVICE]`;
   or a port from 1024 on.
2. Before Kubernetes 1.22: the same, or let the node's administrator start the kubelet with
   `--allowed-unsafe-sysctls`.

## Where

Every Kubernetes.

## References

- kubernetes pkg/kubelet/sysctl/safe_sysctls.go, allowlist.go; pkg/apis/core/validation/validation.go
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from caplet.causes.cause import Cause, Example, Found, Log
from caplet.causes.words import said

if TYPE_CHECKING:
    from collections.abc import Iterator

    from caplet.explain.explanation import Explanation

POD = """\
apiVersion: v1
kind: Pod
metadata: {name: web}
spec:
  securityContext:
    sysctls: [{name: net.ipv4.ip_unprivileged_port_start, value: "0"}]
  containers:
  - name: web
    image: web
    securityContext: {runAsUser: 101}
"""
SAID = (
    "forbidden sysctl",
    "may not be specified when 'hostNetwork' is true",
    "may not be specified when 'hostIPC' is true",
)


def _find(explanation: Explanation) -> Iterator[Found]:
    refused = explanation.refused
    if refused is not None and any(text in refused.message for text in SAID):
        yield CAUSE.found(f"{refused.by} refuses a sysctl of the Pod: {said(refused)}")


CAUSE = Cause(
    code="CAP124",
    name="sysctl-not-allowed",
    summary="a sysctl of the Pod is not allowed on the node, or not beside hostNetwork",
    find=_find,
    page=__doc__,
    logs=(
        Log(
            r"forbidden sysctl: \"(?P<sysctl>[^\"]+)\"",
            'forbidden sysctl: "net.ipv4.ip_unprivileged_port_start" not allowlisted',
        ),
        Log(
            r"may not be specified when 'host(?:Network|IPC)' is true",
            "may not be specified when 'hostNetwork' is true",
        ),
    ),
    examples=(
        Example(
            "before Kubernetes 1.22",
            POD,
            {"/app": "elf"},
            {"Entrypoint": ["/app"]},
            on="containerd:1.6+kubernetes:1.21",
            mended=False,
        ),
        Example(
            "with hostNetwork",
            POD.replace("spec:\n", "spec:\n  hostNetwork: true\n", 1),
            {"/app": "elf"},
            {"Entrypoint": ["/app"]},
            mended=False,
        ),
    ),
)
