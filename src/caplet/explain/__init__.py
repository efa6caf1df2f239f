# SPDX-License-Identifier: Apache-2.0
"""What becomes of one container, from its YAML to its process: the value that everything else reads.

    PodSpec + ImageFacts + Node ──container.explain──▶ Explanation: who refuses, or each step with the five sets before and after

`explanation` has the types, `execution` follows the programs, `arithmetic` fills capabilities(7)'s formulas with this
container's numbers. Nothing here says why something is lost or what would mend it: `caplet.causes` and `caplet.remedies` read
that off the Explanation. Pure: an image's files come in as `ImageFacts.files`.
"""
