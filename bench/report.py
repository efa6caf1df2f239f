# SPDX-License-Identifier: Apache-2.0
"""Results as Markdown tables: minimum, median, maximum, the ratio to ours round by round, and each goal's verdict."""

from __future__ import annotations

from statistics import median
from typing import TYPE_CHECKING

from bench.cases import AtMost, Goal, Ratio, Seconds

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from bench.images import Image
    from bench.measure import Sample
    from bench.results import Measured, Results

MEGABYTE = 1_000_000


def document(results: Results) -> str:
    """Everything that one run says."""
    parts = [
        _table(("", ""), [(key, value) for key, value in results.machine.items()]),
        f"Command: `{results.command}`",
        "### Images\n\n" + _images(results.images),
        "### Goals\n\n" + _goals(results.cases),
        *(f"### {case.title}\n\n{_case(case)}" for case in results.cases),
    ]
    return "\n\n".join(parts) + "\n"


BEGIN, END = "<!-- figures:", "<!-- end -->"


def with_tables(page: str, tables: str) -> str:
    """The page with these tables between its two marks."""
    before, begin, rest = page.partition(BEGIN)
    mark, _, rest = rest.partition("\n")
    _, end, after = rest.partition(END)
    return f"{before}{begin}{mark}\n\n{tables}\n{end}{after}"


def _images(images: Iterable[Image]) -> str:
    head = ("image", "layers", "entries", "unpacked MB", "gzip MB", "zstd MB", "granted file MB")
    rows = [
        (
            *(image.name, str(len(image.layers)), f"{image.entries:,}", _mb(image.unpacked)),
            *(_mb(image.compressed("gzip")), _mb(image.compressed("zstd")), _mb(image.program_size)),
        )
        for image in images
    ]
    return _table(head, rows)


def _case(case: Measured) -> str:
    head = ("way", "wall s: min / median / max", "cpu s", "peak MB", "written MB", "wall, against ours")
    ours = next(iter(case.samples.values()), [])
    rows = [(name, *_row(samples, ours)) for name, samples in case.samples.items() if samples]
    skipped = [f"Not measured: {way} ({reason})." for way, reason in case.skipped.items()]
    return "\n\n".join([_table(head, rows), *skipped])


def _row(samples: list[Sample], ours: list[Sample]) -> tuple[str, ...]:
    walls = [sample.wall for sample in samples]
    ratios = wall_ratios(samples, ours)
    return (
        " / ".join(_seconds(value) for value in (min(walls), median(walls), max(walls))),
        _seconds(median(sample.cpu for sample in samples)),
        _mb(max(sample.peak for sample in samples)),
        _mb(int(median(sample.written for sample in samples))),
        f"{median(ratios):.2f} ({min(ratios):.2f} - {max(ratios):.2f})" if ratios else "",
    )


def wall_ratios(samples: list[Sample], others: list[Sample]) -> list[float]:
    """Round by round, so that a busy minute weighs on both; ways with fewer rounds have their pairs in the first ones."""
    return [one.wall / other.wall for one, other in zip(samples, others, strict=False)]


def _taken(case: Measured, way: str, less: str) -> list[float]:
    """Seconds of wall time round by round, without those of another way."""
    walls = [one.wall for one in case.samples.get(way, [])]
    if not less:
        return walls
    return [one - other.wall for one, other in zip(walls, case.samples.get(less, []), strict=False)]


def _goals(cases: Iterable[Measured]) -> str:
    rows = [row for case in cases for goal in case.goals for row in _verdict(case, goal)]
    return _table(("case", "goal", "measured", ""), rows)


def _verdict(case: Measured, goal: Goal) -> Iterator[tuple[str, ...]]:
    samples = case.samples.get(goal.way, [])
    match goal:
        case Ratio(way, other, bound):
            ratios = wall_ratios(samples, case.samples.get(other, []))
            text, value = f"{way} at most {_times(bound)} {other}", median(ratios) if ratios else None
            said = f"{_times(value)} {other}" if value else ""
        case AtMost(way, field, bound):
            text = f"{way}: {field} at most {_mb(bound)} MB"
            value = max(getattr(sample, field) for sample in samples) if samples else None
            said = f"{_mb(int(value))} MB" if value is not None else ""
        case Seconds(way, bound, less):
            text = f"{way} at most {_seconds(bound)} s" + (f" more than {less}" if less else "")
            taken = _taken(case, way, less)
            value = median(taken) if taken else None
            said = f"{_seconds(value)} s" if value is not None else ""
    verdict = "not measured" if value is None else "reached" if value <= goal.bound else "**missed**"
    yield case.title, text, said, verdict


def _times(value: float) -> str:
    return f"1/{1 / value:.1f} of" if value < 0.5 else f"{value:.2f} x"


def _seconds(value: float) -> str:
    return f"{value:.3f}" if value < 1 else f"{value:.2f}" if value < 10 else f"{value:.1f}"


def _mb(value: int) -> str:
    return f"{value / MEGABYTE:,.1f}" if value < 100 * MEGABYTE else f"{value / MEGABYTE:,.0f}"


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [head, tuple("---" for _ in head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
