# SPDX-License-Identifier: Apache-2.0
"""The Pod API as people write it: YAML or JSON, the objects in it, where each field stands.

    source, kustomize ──bytes──▶ stream ──text of one document──▶ reader, jsontext ──data──▶ Document
    Document ──objects──▶ what has Pods ──schema──▶ checked ──decode──▶ PodSpec, Container (raw, None where unset)

`scalar` says what a plain word means to kubectl, which is neither YAML 1.1 nor 1.2; `podapi` has the names of all
fields; `places` finds lines and columns again for what something is to be said about.
"""
