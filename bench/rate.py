# SPDX-License-Identifier: Apache-2.0
"""python -m bench.rate IMAGE COUNT: explain so many containers, verdict and causes, of one image that was opened once."""

from __future__ import annotations

import itertools
import sys

from bench.manifests import variants
from caplet.causes.catalogue import causes_of
from caplet.explain.container import explain
from caplet.explain.open import open_facts
from caplet.kubernetes.document import documents
from caplet.kubernetes.pod import pods
from caplet.runtimes.node import nodes


def main(reference: str, count: int) -> None:
    image = open_facts(reference, None)
    found = pods(documents(variants(), "variants.yaml"))
    on = nodes("containerd:1.7,containerd,crio,docker,podman")
    verdicts: dict[str, int] = {}
    for pod, node in itertools.islice(itertools.cycle(itertools.product(found, on)), count):
        explanation = explain(pod, pod.containers[0], image, node)
        causes_of(explanation)
        verdicts[explanation.verdict] = verdicts.get(explanation.verdict, 0) + 1
    print(count, *(f"{name} {number}" for name, number in sorted(verdicts.items())))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
