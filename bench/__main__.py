# SPDX-License-Identifier: Apache-2.0
"""python -m bench: make the images, measure, write the results, print the tables."""

from __future__ import annotations

import argparse
import os
import re
import shlex
import shutil
import sys
from typing import TYPE_CHECKING

from bench import cases, images, measure, peers, report, results

if TYPE_CHECKING:
    from bench.cases import Case
    from bench.measure import Sample
    from bench.peers import Way

HERE = os.path.dirname(os.path.abspath(__file__))


def main(arguments: list[str]) -> int:
    options = _parser().parse_args(arguments)
    if options.report:
        _report(options.report, options.into)
        return 0
    chosen = [name for name in cases.names() if re.search(options.only, name)]
    if options.list:
        print("\n".join(chosen))
        return 0
    os.makedirs(options.work, exist_ok=True)
    found = results.Results(_command(arguments), results.machine(measure.floor()))
    for name in chosen:
        case = cases.case(name, options.work)
        found.cases.append(_measure(case, options))
        results.write(found, options.results)
    found.images.extend(
        images.make(name, options.work) for name in images.RECIPES if any(name in case for case in chosen)
    )
    results.write(found, options.results)
    print(report.document(found), end="")
    failed = any(reason.startswith("failed") for case in found.cases for reason in case.skipped.values())
    return 1 if failed else 0


def _command(arguments: list[str]) -> str:
    """What a reader may repeat: without this machine's directories."""
    places = {at for at, word in enumerate(arguments) if word in ("--work", "--results")}
    kept = [word for at, word in enumerate(arguments) if at not in places and at - 1 not in places]
    return shlex.join(["python", "-m", "bench", *kept])


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m bench", description="Measure caplet beside what a user would use instead."
    )
    parser.add_argument("--only", default="", metavar="REGEX", help="cases to measure (--list names them)")
    parser.add_argument(
        "--ways", default="", metavar="REGEX", help="ways to measure; the first of a case is always measured"
    )
    parser.add_argument("--rounds", type=int, default=7, help="rounds of the quick ways [%(default)s]")
    parser.add_argument("--slow-rounds", type=int, default=3, help="rounds of the slow ways [%(default)s]")
    parser.add_argument(
        "--work", default=os.path.join(HERE, "work"), help="directory of images and outputs [bench/work]"
    )
    parser.add_argument(
        "--results",
        default=os.path.join(HERE, "work", "results.json"),
        help="file to write [bench/work/results.json]",
    )
    parser.add_argument(
        "--report", metavar="FILE", help="measure nothing: print the tables of an earlier run"
    )
    parser.add_argument("--into", metavar="PAGE", help="with --report: put the tables into this page instead")
    parser.add_argument("--list", action="store_true", help="measure nothing: print the names of the cases")
    return parser


def _report(path: str, page: str | None) -> None:
    tables = report.document(results.read(path))
    if page is None:
        print(tables, end="")
        return
    with open(page, encoding="utf-8") as file:
        text = report.with_tables(file.read(), tables)
    with open(page, "w", encoding="utf-8") as file:
        file.write(text)


def _measure(case: Case, options: argparse.Namespace) -> results.Measured:
    """In turn, A B C A B C: what else the machine does in these minutes meets all of them."""
    skipped = {way.name: f"{', '.join(way.missing())} not installed" for way in case.ways if way.missing()}
    ways = [way for way in case.ways if way is case.ways[0] or re.search(options.ways, way.name)]
    samples: dict[str, list[Sample]] = {way.name: [] for way in ways if way.name not in skipped}
    found: frozenset[bytes] | None = None
    _warm(case.layout)
    for turn in range(options.rounds):
        for way in ways:
            if way.name in skipped or (way.slow and turn >= options.slow_rounds):
                continue
            try:
                sample, output = _once(way, options.work)
                if way.lists:
                    found = _agreed(way, output, found)
            except measure.Failed as failure:
                skipped[way.name] = f"failed: {failure.said}"
                _log(f"{case.name}  {way.name}  {failure}")
                continue
            samples[way.name].append(sample)
            _log(f"{case.name}  {way.name}  {sample.wall:.3f} s  {sample.peak / 1e6:.0f} MB")
    return results.Measured(case.name, case.title, samples, skipped, list(case.goals))


def _warm(layout: str) -> None:
    """Brings the image into the page cache."""
    for directory, _, names in os.walk(layout):
        for name in names:
            with open(os.path.join(directory, name), "rb", buffering=0) as file:
                while file.read(1 << 20):
                    pass


def _agreed(way: Way, output: bytes, found: frozenset[bytes] | None) -> frozenset[bytes]:
    """A way that is quick because it finds less is no peer."""
    listed = peers.listed(output)
    if found is not None and listed != found:
        differing = b" ".join(sorted(listed ^ found)[:5]).decode(errors="replace")
        raise measure.Failed(way.command, 0, f"it finds other files than the ways before it: {differing}")
    return listed


def _once(way: Way, work: str) -> tuple[Sample, bytes]:
    """One measurement, from an empty output directory and with nothing left to be written back to the disk."""
    output = os.path.join(work, "out")
    shutil.rmtree(output, ignore_errors=True)
    os.makedirs(output)
    environment = {**os.environ, "PATH": peers.search_path(), "OUT": output}
    if way.prepare:
        measure.run(("sh", "-euc", way.prepare), environment)
    os.sync()
    try:
        return measure.run(way.command, environment)
    finally:
        shutil.rmtree(output, ignore_errors=True)


def _log(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
