# SPDX-License-Identifier: Apache-2.0
"""The benchmark's own machinery, on images of a few files: what it makes is what it says, and its sums are right. No times."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from bench import diff, images, layout, measure, peers, report, results
from bench.__main__ import main
from bench.cases import AtMost, Ratio
from bench.measure import Sample

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


def test_a_difference_has_changes_with_parents_and_whiteouts(tmp_path: Path) -> None:
    root = tmp_path / "root"
    (root / "etc" / "deep").mkdir(parents=True)
    (root / "gone" / "inner").mkdir(parents=True)
    (root / "etc" / "same").write_text("same")
    (root / "dev").mkdir()
    before = diff.snapshot(str(root))

    (root / "etc" / "deep" / "new").write_text("new")
    (root / "dev" / "null").write_text("of the running system")
    (root / "gone" / "inner").rmdir()
    (root / "gone").rmdir()

    found = diff.difference(before, diff.snapshot(str(root)))
    assert set(found.changed) == {b"dev", b"etc", b"etc/deep", b"etc/deep/new"}
    assert found.whiteouts == (b".wh.gone",)


def test_a_layer_carries_links_modes_and_whiteouts(tmp_path: Path, tool: Callable[[str], str]) -> None:
    root = tmp_path / "root"
    root.mkdir()
    (root / "program").write_text("x")
    (root / "program").chmod(0o4755)
    os.link(root / "program", root / "second")
    layer = str(tmp_path / "layer.tar")
    diff.write_tar(str(root), diff.Difference((b"program", b"second"), (b"a/.wh.gone",)), layer)
    listing = subprocess.run(
        [tool("tar"), "--list", "--verbose", "--file", layer], check=True, capture_output=True, text=True
    ).stdout.splitlines()
    assert [line.split()[0] for line in listing] == ["-rwsr-xr-x", "hrwsr-xr-x", "-rw-r--r--"]
    assert listing[2].endswith("a/.wh.gone")


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A work directory whose `tiny` image has one file of a few bytes."""

    def tars(scratch: str) -> Iterator[str]:
        path = os.path.join(scratch, "server")
        with open(path, "wb") as file:
            file.write(b"\x7fELF not really")
        os.chmod(path, 0o4755)
        layer = os.path.join(scratch, "0.tar")
        diff.write_tar(scratch, diff.Difference((b"server",), ()), layer)
        yield layer

    monkeypatch.setitem(images.RECIPES, "tiny", images.Recipe(tars, "server", 0))
    return str(tmp_path / "work")


def test_facts_of_an_image(work: str, tool: Callable[[str], str]) -> None:
    for program in ("gzip", "zstd", "tar"):
        tool(program)
    image = images.make("tiny", work)
    assert (image.entries, image.program_size) == (1, 15)
    assert images.make("tiny", work) == image, "the second time it comes from the work directory"
    for kind in images.COMPRESSIONS:
        blob = os.path.join(images.layout_of(work, "tiny", kind), image.layers[0].blobs[kind])
        assert os.path.getsize(blob) == image.compressed(kind)


def test_skopeo_reads_what_we_make(work: str, tool: Callable[[str], str]) -> None:
    images.make("tiny", work)
    for kind in images.COMPRESSIONS:
        source = f"oci:{images.layout_of(work, 'tiny', kind)}:latest"
        said = subprocess.run([tool("skopeo"), "inspect", source], check=True, capture_output=True)
        assert len(json.loads(said.stdout)["Layers"]) == 1


def test_a_sample_counts_children_and_dirtied_pages(tmp_path: Path) -> None:
    target = tmp_path / "out"
    script = f"(head -c 3000000 /dev/zero > {target}; :); echo said"
    sample, output = measure.run(("sh", "-euc", script), dict(os.environ))
    assert output == b"said\n"
    assert sample.wall > 0
    assert sample.peak > 0
    if os.stat(tmp_path).st_dev != os.stat("/dev/shm").st_dev:  # pages of a tmpfs are never written
        assert sample.written >= 3_000_000


def test_a_failing_command_tells_its_last_words() -> None:
    with pytest.raises(measure.Failed) as failure:
        measure.run(("sh", "-euc", "echo first >&2; echo last >&2; exit 3"), dict(os.environ))
    assert failure.value.said == "last"


def test_listed_names_are_comparable() -> None:
    of_getcap = b"./usr/bin/ping cap_net_raw=ep\n./usr/bin/su\n"
    of_caplet = b"/usr/bin/ping cap_net_raw=ep\n/usr/bin/su mode=4755\n"
    assert peers.listed(of_getcap) == peers.listed(of_caplet) == {b"/usr/bin/ping", b"/usr/bin/su"}


OURS, OTHER = "caplet scan", "igzip -dc"


def _measured(goals: list[Ratio | AtMost]) -> results.Measured:
    samples = {
        OURS: [
            Sample(1.0, 1.0, 30_000_000, 0),
            Sample(3.0, 3.0, 40_000_000, 0),
            Sample(2.0, 2.0, 20_000_000, 0),
        ],
        OTHER: [Sample(2.0, 2.0, 1, 0), Sample(2.0, 2.0, 1, 0)],
    }
    return results.Measured(
        "scan-tiny-gzip", "scan, tiny, gzip", samples, {"buildah": "not installed"}, list(goals)
    )


@pytest.mark.parametrize(
    ("goal", "verdict"),
    [
        (Ratio(OURS, OTHER, 1.15), "reached"),
        (Ratio(OURS, OTHER, 0.9), "**missed**"),
        (AtMost(OURS, "peak", 40_000_000), "reached"),
        (AtMost(OURS, "peak", 39_999_999), "**missed**"),
        (Ratio(OURS, "buildah", 1.0), "not measured"),
    ],
    ids=["median-of-pairs", "median-of-pairs-too-slow", "largest-peak", "largest-peak-too-high", "no-other"],
)
def test_goals_are_judged(goal: Ratio | AtMost, verdict: str) -> None:
    """The pairs are 0.5 and 1.5; the third run of ours has no partner."""
    found = results.Results("", {}, [], [_measured([goal])])
    assert verdict in report.document(found)


def test_results_survive_the_file(tmp_path: Path) -> None:
    found = results.Results(
        "python -m bench", {"kernel": "Linux"}, [], [_measured([Ratio(OURS, OTHER, 1.15)])]
    )
    path = str(tmp_path / "results.json")
    results.write(found, path)
    assert results.read(path) == found


def test_a_whole_run(
    work: str, tool: Callable[[str], str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """caplet and bare decompression, each once, on the tiny image."""
    tool("igzip")
    monkeypatch.setenv("PATH", os.path.dirname(sys.executable) + os.pathsep + os.environ["PATH"])
    path = os.path.join(work, "results.json")
    arguments = ["--only", "^(start-up|(scan|grant)-tiny-gzip)$", "--ways", "igzip|python", "--rounds", "1"]
    assert main([*arguments, "--work", work, "--results", path]) == 0
    printed = capsys.readouterr().out
    assert printed == report.document(results.read(path))
    assert [case.name for case in results.read(path).cases] == [
        "start-up",
        "scan-tiny-gzip",
        "grant-tiny-gzip",
    ]


def test_a_blob_has_its_name_and_size(tmp_path: Path, tool: Callable[[str], str]) -> None:
    """As its descriptor says."""
    tool("gzip")
    tar = tmp_path / "0.tar"
    tar.write_bytes(bytes(1024))
    (descriptor,) = layout.write(str(tmp_path / "image"), "gzip", [str(tar)], {})
    blob = tmp_path / "image" / "blobs" / "sha256" / descriptor["digest"].removeprefix("sha256:")
    assert blob.stat().st_size == descriptor["size"]


def test_the_page_shows_the_results_in_the_tree() -> None:
    """`python -m bench --report bench/results.json --into docs/performance.md` would change nothing."""
    with open("docs/performance.md", encoding="utf-8") as file:
        page = file.read()
    assert page == report.with_tables(page, report.document(results.read("bench/results.json")))
