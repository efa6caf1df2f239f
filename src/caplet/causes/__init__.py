# SPDX-License-Identifier: Apache-2.0
"""Why a process lacks a capability, or a program does not start: a closed list, one file each.

A cause's file has everything about it: the module's docstring is its page (`caplet cause CAP102`, docs/causes/), CAUSE its
code, name, log lines, examples and the function that finds it in an Explanation. Nothing is computed again there: a cause reads
what `caplet.explain` found. `catalogue.CAUSES` lists them; `cause` has the types.
"""
