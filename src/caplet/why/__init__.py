# SPDX-License-Identifier: Apache-2.0
"""From what somebody saw to its cause: a log line names candidates, the Pod and its image choose among them.

    Clue (a line, an event, a status) ──cause.Log──▶ candidates ──Explanation──▶ the causes that are there

`answer` is the pure part, `kubectl` collects the clues of a live Pod with the user's own kubectl, reading only.
"""
