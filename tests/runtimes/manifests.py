# SPDX-License-Identifier: Apache-2.0
"""A Pod in one line: its own fields, its security context, and its container's."""

from __future__ import annotations

from typing import TYPE_CHECKING

from caplet.kubernetes.document import documents
from caplet.kubernetes.pod import the_pod

if TYPE_CHECKING:
    from caplet.kubernetes.pod import PodSpec


def pod(own: str = "{}", whole: str = "{}", spec: str = "", container: str = "") -> PodSpec:
    text = (
        f"apiVersion: v1\nkind: Pod\nmetadata: {{name: web}}\nspec:\n  {spec}\n  securityContext: {whole}\n"
        f"  containers:\n  - name: http\n    image: app\n    securityContext: {own}\n    {container}\n"
    )
    return the_pod(documents(text, "x"), "x")
