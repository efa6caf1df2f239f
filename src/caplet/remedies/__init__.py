# SPDX-License-Identifier: Apache-2.0
"""What would make a container work: each remedy tried on the model before it is named.

    Explanation ──proposals──▶ another Pod, another image ──explain──▶ kept where the container then works

`podchanges`, `imagechanges` and `skipsetcap` propose, `remedies` tries and orders: what gives least comes first. Nothing is proposed that gives
more than the container asks for or its program's file demands: no privilege escalation, no root, no capability besides.
"""
