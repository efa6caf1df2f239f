# SPDX-License-Identifier: Apache-2.0
"""Every combination on every engine of this machine, predicted and observed: `make verify-matrix`.

    python -m tests.verify.matrix [--record] [--only ENGINE]... [--rows NUMBER]

Prints the disagreements, the count and the versions; exit code 5 where there is a disagreement. --record keeps what was
seen as a table (`recorded`).
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from tests.verify import outcome
from tests.verify.machine import MACHINES, Machine
from tests.verify.model import disagreements
from tests.verify.recorded import Table
from tests.verify.rows import ROWS, Row, image, request_of

from caplet.run.available import own_credentials

if TYPE_CHECKING:
    from collections.abc import Sequence

    from caplet.verify.engines.interface import Session

SECONDS = 20.0
"""The probe is done in milliseconds; a loaded machine may need longer."""


def observed(machine: Machine, rows: Sequence[Row]) -> Table:
    """What the engine makes of each row."""
    with tempfile.TemporaryDirectory(prefix="caplet-matrix-") as work, machine.engine(work) as engine:
        versions = engine.versions()
        with engine.session(image()) as session:
            found = _outcomes(session, rows, machine.workers)
    return Table(
        node=versions.node,
        alone=machine.alone,
        versions=str(versions),
        kernel=os.uname().release.partition("-")[0],
        available=own_credentials().caps.bounding.mask,
        within=machine.within,
        rows=found,
    )


def _outcomes(session: Session, rows: Sequence[Row], workers: int) -> dict[str, str]:
    """Rows that make the same request are run once."""
    distinct = {request_of(row.name): row for row in rows}

    def run(row: Row) -> str:
        pod = row.pod()
        return outcome.seen(session.run(pod, pod.containers[0], SECONDS))

    if workers == 1:
        results = list(map(run, distinct.values()))
    else:
        with ThreadPoolExecutor(workers) as pool:
            results = list(pool.map(run, distinct.values()))
    found = dict(zip(distinct, results, strict=True))
    return {row.name: found[request_of(row.name)] for row in rows}


def lacking(machine: Machine) -> list[str]:
    """The tools that are not installed."""
    path = os.environ.get("PATH", os.defpath) + ":/usr/sbin:/sbin"
    return [tool for tool in machine.tools if shutil.which(tool, path=path) is None]


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--record", action="store_true")
    parser.add_argument("--only", action="append", choices=tuple(MACHINES))
    parser.add_argument("--rows", type=int, default=len(ROWS), help="only so many, evenly spread")
    asked = parser.parse_args()
    rows = ROWS[:: max(1, len(ROWS) // asked.rows)]
    total = wrong = 0
    for name in asked.only or MACHINES:
        machine = MACHINES[name]
        if missing := lacking(machine):
            print(f"{name}: not here: {', '.join(missing)}")
            continue
        start = time.monotonic()
        table = observed(machine, rows)
        seconds = time.monotonic() - start
        if asked.record:
            table.save()
        found = disagreements(table)
        print(*found, sep="\n", end="\n" if found else "")
        print(
            f"{name}: {len(table.rows)} rows, {len(found)} disagreements; {table.versions}, "
            f"Linux {table.kernel}; {seconds:.0f} s",
            flush=True,
        )
        total, wrong = total + len(table.rows), wrong + len(found)
    print(f"{total} rows, {wrong} disagreements")
    return 5 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
