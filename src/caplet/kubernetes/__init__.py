# SPDX-License-Identifier: Apache-2.0
"""The Pod API as people write it: YAML text, the objects in it, where each field stands.

    text ──document──▶ data with positions ──pod──▶ PodSpec, Container (raw fields, None where unset)

`scalar` says what a plain word means to kubectl, which is neither YAML 1.1 nor 1.2.
"""
