# SPDX-License-Identifier: Apache-2.0
"""`caplet why` on the command line: where it takes the clue from, exit codes, text, JSON."""

from __future__ import annotations

import io
import json
import re
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from tests.explain.memory import ELF, web
from tests.layouts import Layout, file

from caplet.cli import why
from caplet.cli.main import run
from caplet.kernel.filecaps import FileCaps

if TYPE_CHECKING:
    from collections.abc import Callable

PAGE = Path(__file__).parents[2] / "docs" / "cli" / "why.md"
CADDY = "exec /usr/bin/caddy: operation not permitted"
BIND = "listen tcp :80: bind: permission denied"
DROPPED = "runAsUser: 1000, capabilities: {drop: [ALL]}"


@pytest.fixture(autouse=True)
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An image whose caddy carries NET_BIND_SERVICE, and a Pod that does not allow it."""
    monkeypatch.chdir(tmp_path)
    attribute = FileCaps.parse("cap_net_bind_service=ep").encode()
    caddy = file("usr/bin/caddy", ELF, xattrs={"security.capability": attribute})
    Layout("image").image([[caddy]], config={"Entrypoint": ["/usr/bin/caddy", "run"]})
    Path("pod.yaml").write_text(web(DROPPED))


@pytest.fixture
def stdin(monkeypatch: pytest.MonkeyPatch) -> Callable[[bytes], None]:
    def give(data: bytes) -> None:
        monkeypatch.setattr(
            "sys.stdin", SimpleNamespace(buffer=io.BytesIO(data), isatty=lambda: False, fileno=lambda: 0)
        )

    return give


def said(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    code = run(["why", *words])
    out, err = capsys.readouterr()
    return code, out, err


def as_json(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, dict[str, Any]]:
    code, out, _ = said(capsys, *words, "-o", "json")
    return code, json.loads(out)


def test_pod_and_image_decide(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = said(capsys, CADDY, "-f", "pod.yaml", "--image", "oci:image")
    assert (code, err) == (0, "")
    first, saw, because, *rest = out.splitlines()
    assert first.startswith("CAP102 exec-eperm-bounding: ")
    assert saw == f"  saw      {CADDY}"
    assert "/usr/bin/caddy carries cap_net_bind_service=ep" in because
    assert any("caplet strip" in line for line in rest), "the least that mends it comes first"
    assert rest[-1] == "  more     caplet cause CAP102"


def test_a_log_on_standard_input(capsys: pytest.CaptureFixture[str], stdin: Callable[[bytes], None]) -> None:
    stdin(b"\xff\xfe starting\r\n" + CADDY.encode() + b"\r\n")
    code, out, _ = said(capsys, "-f", "pod.yaml", "--image", "oci:image")
    assert code == 0
    assert f"  saw      {CADDY}   (line 2)" in out.splitlines()


def test_of_an_endless_log_the_end_counts(
    capsys: pytest.CaptureFixture[str], stdin: Callable[[bytes], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(why, "MAX_LOG", 1 << 16)
    monkeypatch.setattr(why, "BLOCK", 1 << 14)
    stdin(BIND.encode() + b"\n" + b"x\n" * (1 << 17) + CADDY.encode())
    _, found = as_json(capsys, "-")
    assert [one["text"] for one in found["clues"]] == [CADDY]


def test_the_line_alone_names_candidates(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = said(capsys, CADDY)
    assert code == 4
    lines = out.splitlines()
    assert lines[:3] == [
        f"saw        {CADDY}",
        "likely",
        "  CAP102 exec-eperm-bounding: the file carries an effective capability that the Pod does not allow",
    ]
    assert lines[-1] == "to decide  its image: --image oci:DIR"


def test_the_image_alone(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = said(capsys, CADDY, "--image", "oci:image")
    assert code == 4
    assert (
        "image      /usr/bin/caddy carries cap_net_bind_service=ep: it fails with EPERM wherever the Pod does not "
        "allow NET_BIND_SERVICE (CAP102)"
    ) in out.splitlines()
    assert "--image" not in out


def test_the_pod_alone(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = said(capsys, CADDY, "-f", "pod.yaml")
    assert code == 4
    assert "to decide  the image of container http: --image http=oci:DIR" in out
    assert "is in a registry" in err


def test_a_text_that_decides(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = said(capsys, "[denied by autogke-default-linux-capabilities]")
    assert code == 0
    assert out.startswith("CAP122 platform-forbids")


def test_nothing_known(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = said(capsys, "hello")
    assert code == 4
    assert "no cause that caplet knows" in out


def test_a_lone_line_of_standard_input_has_no_number(
    capsys: pytest.CaptureFixture[str], stdin: Callable[[bytes], None]
) -> None:
    stdin(CADDY.encode() + b"\n")
    assert f"saw        {CADDY}\n" in said(capsys)[1]


def test_words_without_quotes_are_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert said(capsys, *CADDY.split()) == said(capsys, CADDY)


@pytest.mark.parametrize(
    ("line", "perhaps"),
    [
        ('mkdir() "/var/lib/nginx/body" failed (13: Permission denied)', True),
        ("open /data/db: permission denied", True),
        ("Error: EACCES: permission denied, open '/app/x'", True),
        ("connect: permission denied", False),
        ("hello", False),
    ],
)
def test_a_denied_file_is_no_matter_of_capabilities(
    capsys: pytest.CaptureFixture[str], line: str, perhaps: bool
) -> None:
    code, out, _ = said(capsys, line)
    assert code == 4
    assert ("file permissions of the image or the volume" in out) is perhaps


def test_the_node_that_is_assumed_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    _, out, _ = said(capsys, BIND, "-f", "pod.yaml")
    assert re.search(
        r"^on         containerd 1\.7\.\d+ / runc \S+, assumed: --on says another$", out, re.MULTILINE
    )
    _, found = as_json(capsys, BIND, "-f", "pod.yaml")
    assert found["nodeAssumed"]
    assert found["node"].startswith("containerd 1.7")


def test_a_line_that_the_node_cannot_have_written(capsys: pytest.CaptureFixture[str]) -> None:
    words = (BIND, "-f", "pod.yaml", "--on", "containerd:2.1")
    code, out, _ = said(capsys, *words)
    assert code == 4
    assert "this line cannot come from containerd 2.1" in out
    assert "CAP1" not in out
    code, found = as_json(capsys, *words)
    assert (code, found["nodeAssumed"], found["candidates"]) == (4, False, [])
    assert found["impossible"][0]["clue"] == BIND


def test_remedies_say_why(capsys: pytest.CaptureFixture[str]) -> None:
    words = (CADDY, "-f", "pod.yaml", "--image", "oci:image")
    _, found = as_json(capsys, *words)
    whys = [one["why"] for one in found["causes"][0]["remedies"] if one["why"]]
    assert whys
    out = said(capsys, *words)[1].splitlines()
    assert all(f"           {why}" in out for why in whys)


def test_hostile_text_is_escaped(capsys: pytest.CaptureFixture[str]) -> None:
    _, out, _ = said(capsys, f"\u202e\x07 {CADDY} \x9b2J \x1b[2J")
    assert out.isprintable() or all(char == "\n" or char.isprintable() for char in out)
    assert "\\u202e" in out


def test_json_is_pure_ascii_and_whole(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = said(capsys, f"\u202e {CADDY}", "-f", "pod.yaml", "--image", "oci:image", "-o", "json")
    found = json.loads(out)
    assert code == 0
    assert out.isascii()
    assert found["answered"] is True
    (cause,) = found["causes"]
    assert (cause["code"], cause["by"], cause["container"]) == ("CAP102", "explanation", "http")
    assert cause["remedies"]
    assert (found["candidates"], found["needs"]) == ([], [])


def test_every_field_of_the_json_is_on_the_page(capsys: pytest.CaptureFixture[str]) -> None:
    page = PAGE.read_text()

    def names(value: Any) -> set[str]:
        if isinstance(value, list):
            return set().union(*map(names, value))
        if isinstance(value, dict):
            return set(value).union(*(names(inner) for key, inner in value.items() if key != "patch"))
        return set()

    _, decided = as_json(capsys, CADDY, "-f", "pod.yaml", "--image", "oci:image")
    _, undecided = as_json(capsys, CADDY, "--image", "oci:image")
    for name in names(decided) | names(undecided):
        assert re.search(rf"[`.]{name}\b", page), name


@pytest.mark.parametrize(
    ("words", "says"),
    [
        pytest.param(["-", "-f", "-"], "Standard input is the manifest", id="standard input twice"),
        pytest.param(["pod/web", "-f", "pod.yaml"], "leave -f out", id="a live Pod and a manifest"),
        pytest.param([CADDY, "-f", "nowhere.yaml"], "nowhere.yaml", id="no such file"),
        pytest.param([CADDY, "--image", "oci:nowhere"], "nowhere", id="no such image"),
        pytest.param([CADDY, "-f", "pod.yaml", "--container", "htp"], "no container 'htp'", id="container"),
        pytest.param([CADDY, "-f", "pod.yaml", "--image", "x=oci:image"], "no container", id="image name"),
        pytest.param([CADDY, "--on", "dokcer"], "dokcer", id="node"),
        pytest.param([CADDY, "--on", "crio,docker"], "one node", id="several nodes"),
        pytest.param(["CAP102"], "caplet cause CAP102", id="a cause"),
        pytest.param(["cronjob/web"], "pod, deploy, sts, ds, rs, job", id="another kind"),
        pytest.param(["pod.yaml"], "-f pod.yaml", id="a manifest"),
        pytest.param(["", "-f", "pod.yaml"], "the log is empty", id="no text"),
        pytest.param([CADDY, "--image", "a=oci:image", "--image", "b=oci:image"], "Several", id="images"),
    ],
)
def test_wrong_usage(capsys: pytest.CaptureFixture[str], words: list[str], says: str) -> None:
    code, out, err = said(capsys, *words)
    assert (code, out) == (2, "")
    assert says in err
    assert "Traceback" not in err


def test_without_words_on_a_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", SimpleNamespace(isatty=lambda: True))
    code, _, err = said(capsys)
    assert code == 2
    assert "pod/NAME" in err


@pytest.mark.parametrize(
    "line", ["/usr/bin/caddy: Operation not permitted", "job/x failed: hello", "pod", "deployment of x"]
)
def test_a_line_with_a_slash_is_no_pod(capsys: pytest.CaptureFixture[str], line: str) -> None:
    assert "kubectl" not in said(capsys, line)[2]


def test_the_page_shows_what_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    """Each command of the page that needs no cluster, and what it prints there."""
    shown = re.findall(r"```console\n\$ caplet why ('[^']+')([^\n]*)\n(.+?)```", PAGE.read_text(), re.DOTALL)
    assert len(shown) == 3
    for text, rest, expected in shown:
        _, out, _ = said(capsys, text.strip("'"), *rest.replace("oci:caddy", "oci:image").split())
        assert out == expected.replace("oci:caddy", "oci:image")
