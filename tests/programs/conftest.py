# SPDX-License-Identifier: Apache-2.0
"""Running a shipped program: natively, or under qemu-user where it is built for another architecture."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from caplet.programs import shipped

Command = Callable[[str, str], list[str]]


@pytest.fixture
def command(tool: Callable[[str], str]) -> Command:
    """`command("probe", "arm64")`: the argv that runs it here."""

    def argv(name: str, architecture: str) -> list[str]:
        program = str(shipped.path(name, architecture))
        if architecture == shipped.host_architecture():
            return [program]
        machine = {value: key for key, value in shipped.MACHINES.items()}[architecture]
        return [tool(f"qemu-{machine}-static"), program]

    return argv
