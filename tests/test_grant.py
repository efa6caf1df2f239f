# SPDX-License-Identifier: Apache-2.0
"""Grants, judged by the engines: they show the new capability, and everything else as before."""

from __future__ import annotations

import os
import tarfile
from typing import TYPE_CHECKING, Any

import pytest
from tests import engines
from tests.grant_cases import BIND, CASES, MERGED, Case
from tests.image.grants import compare
from tests.image.unpacking import Containerd
from tests.layouts import ELF, Item, Layout, attribute, directory, encode, file, symlink

from caplet.errors import CapletError, InvalidInput
from caplet.grant import Grant, grant
from caplet.image.change import Manner, Way
from caplet.image.copy import write_image
from caplet.image.image import Index, open_image
from caplet.image.validate import validate
from caplet.kernel.filecaps import FileCaps

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from caplet.image.change import Change

CAPS = FileCaps.decode(BIND)
WAYS = pytest.mark.parametrize("way", list(Way), ids=[way.value for way in Way])
PODMAN_REWRITTEN = frozenset(
    {"usr-merge", "hard-links", "parents-with-everything", "zstd-layers", "revision-3"}
)
"""Podman is the slowest reader, and a rewritten layer brings it nothing that it did not unpack before."""
NOW = 1_750_000_000_000_000_000


@pytest.fixture(scope="module")
def containerd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[engines.Containerd]:
    with engines.Containerd.started(str(tmp_path_factory.mktemp("containerd"))) as started:
        yield started


def written(work: Path, case: Case, way: Way) -> Layout:
    """A layout with the image, and what became of it under the tag `after`."""
    layout = Layout(str(work / "layout"))
    layout.image(case.made(str(work)), compression=case.compression, **case.image)
    done = granted(layout, case.path, way)
    write_image(done.after, f"oci:{layout.path}:after")
    return layout


def granted(
    layout: Layout, path: str, way: Way = Way.APPEND, tag: str = "latest", caps: FileCaps = CAPS
) -> Change:
    return grant(
        open_image(f"oci:{layout.path}:{tag}"), [Grant(caps, os.fsencode(path))], Manner("grant", way)
    )


def assert_only_capability(before: engines.Tree, after: engines.Tree, names: list[str], engine: str) -> None:
    """The times that unpacking made itself (of directories without an entry) do not count."""
    assert set(before) == set(after), engine
    for path, node in before.items():
        expected, found = node, after[path]
        if path in names:
            expected = engines.with_capability(node, BIND)
        if node.mtime > NOW or path == ".":
            expected, found = expected._replace(mtime=0), found._replace(mtime=0)
        assert found == expected, f"{engine}: {path!r}"


@pytest.mark.e2e
@pytest.mark.usefixtures("root")
@WAYS
@pytest.mark.parametrize("name", CASES)
def test_engines_show_nothing_but_the_capability(
    name: str, way: Way, tmp_path: Path, tool: Callable[[str], str], containerd: engines.Containerd
) -> None:
    for program in ("umoci", "skopeo", "podman", "ctr", "getcap"):
        tool(program)
    case = CASES[name]
    layout = written(tmp_path, case, way)
    names = list(case.names)
    work = str(tmp_path)
    assert validate(open_image(f"oci:{layout.path}:after")) == []
    engines.skopeo(layout.path, "after", f"{work}/copied")
    if case.compression != "zstd":  # umoci 0.4 has no zstd
        with engines.umoci(work, layout.path, "latest") as root:
            before = engines.tree(root)
        with engines.umoci(work, layout.path, "after") as root:
            assert_only_capability(before, engines.tree(root), names, "umoci")
            if name != "odd-names":
                listed = engines.getcap(root)
                assert {path: listed.get(f"/{path}") for path in names} == dict.fromkeys(names, str(CAPS))
    with containerd.mounted(layout.path, "latest") as root:
        before = engines.tree(root)
    with containerd.mounted(layout.path, "after") as root:
        assert_only_capability(before, engines.tree(root), names, "containerd")
    if name == "several-entries-of-one-name":
        return  # containers/storage refuses a path that comes twice
    if way is Way.REWRITE and name not in PODMAN_REWRITTEN:
        return
    with engines.podman(layout.path, "latest") as root:
        before = engines.tree(root)
    with engines.podman(layout.path, "after") as root:
        assert_only_capability(before, engines.tree(root), names, "podman")


@pytest.mark.e2e
@pytest.mark.usefixtures("root")
def test_random_grants_in_random_stacks(tmp_path: Path, tool: Callable[[str], str]) -> None:
    """A sample; `python -m tests.image.grants` goes on."""
    tool("ctr")
    with Containerd.started(str(tmp_path)) as engine:
        compared, wrong = compare(engine, str(tmp_path), range(24))
    assert wrong == []
    assert compared >= 12


# The added layer


def test_an_added_layer_has_parents_first_and_everything_of_the_file(tmp_path: Path) -> None:
    layout = Layout(str(tmp_path / "layout"))
    when = {"mtime": "1600000000.123456789"}
    layout.image(
        [
            [
                directory("srv", 0o1777, uid=7, gid=8, uname="seven", gname="eight", pax=when),
                directory("srv/a", 0o2750, xattrs={"user.d": b"\xff"}),
                file("srv/a/app", ELF, 0o6755, uid=5, gid=6, uname="five", pax=when, xattrs={"user.f": b"1"}),
            ],
            [directory("etc"), file("etc/x")],
        ]
    )
    write_image(granted(layout, "/srv/a/app").after, f"oci:{layout.path}:after")
    srv, a, app = layout.members(2, "after")
    assert [one.name for one in (srv, a, app)] == ["srv", "srv/a", "srv/a/app"]
    assert (srv.mode, srv.uid, srv.gid, srv.uname, srv.gname) == (0o1777, 7, 8, "seven", "eight")
    assert srv.pax_headers == when
    assert (a.mode, attribute(a, "user.d")) == (0o2750, b"\xff")
    assert (app.mode, app.uid, app.gid, app.uname, app.size) == (0o6755, 5, 6, "five", len(ELF))
    assert app.pax_headers["mtime"] == when["mtime"]
    assert (attribute(app), attribute(app, "user.f")) == (BIND, b"1")


def test_every_header_of_a_hard_linked_file_has_the_capability(tmp_path: Path) -> None:
    layout = written(tmp_path, CASES["hard-links"], Way.APPEND)
    members = layout.members(1, "after")
    assert [(one.name, one.linkname, attribute(one)) for one in members if one.isfile() or one.islnk()] == [
        ("a", "", BIND),
        ("usr/bin/app", "a", BIND),
        ("usr/bin/b", "a", BIND),
        ("z/c", "a", BIND),
    ]


def test_history_and_time_are_the_images_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SOURCE_DATE_EPOCH", raising=False)
    layout = written(tmp_path, CASES["usr-merge"], Way.APPEND)
    config = layout.config("after")
    assert config["created"] == "2020-01-01T00:00:00Z"
    assert config["history"][-1] == {
        "created": "2020-01-01T00:00:00Z",
        "created_by": "caplet grant /usr/bin/app=cap_net_bind_service=ep",
        "comment": "caplet grant --append",
    }
    assert len(config["history"]) == len(config["rootfs"]["diff_ids"]) == 3
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "86400")
    write_image(granted(layout, "/bin/app").after, f"oci:{layout.path}:dated")
    config = layout.config("dated")
    assert (config["created"], config["history"][-1]["created"]) == ("1970-01-02T00:00:00Z",) * 2


@WAYS
def test_what_is_not_concerned_stays(way: Way, tmp_path: Path) -> None:
    """Other layers, unknown fields of configuration and manifest, annotations: byte for byte."""
    layout = Layout(str(tmp_path / "layout"))
    layout.image(
        [[file("other", b"1")], [file("app", ELF)], [file("top")]],
        config={"Healthcheck": {"Test": ["NONE"]}, "Entrypoint": ["/app"]},
        more={"x-unknown": [1, {"b": 2}], "docker_version": "20"},
        manifest={"annotations": {"a": "b"}, "x-more": 1},
    )
    write_image(granted(layout, "/app", way).after, f"oci:{layout.path}:after")
    before, after = layout.manifest(), layout.manifest("after")
    changed = 1 if way is Way.REWRITE else 3
    assert len(after["layers"]) == (3 if way is Way.REWRITE else 4)
    assert [one for place, one in enumerate(after["layers"]) if place != changed] == [
        one for place, one in enumerate(before["layers"]) if place != changed
    ]
    assert {name: after[name] for name in after if name not in ("layers", "config")} == {
        name: before[name] for name in before if name not in ("layers", "config")
    }
    old, new = layout.config(), layout.config("after")
    assert set(old) == set(new)
    assert {name: new[name] for name in new if name not in ("rootfs", "history")} == {
        name: old[name] for name in old if name not in ("rootfs", "history")
    }
    assert new["history"][:3] == old["history"]


# The rewritten layer


@pytest.mark.parametrize("compression", ["gzip", "zstd", "none"])
def test_a_rewritten_layer_keeps_its_kind_and_does_not_grow(compression: str, tmp_path: Path) -> None:
    layout = Layout(str(tmp_path / "layout"))
    layout.image([[file("app", ELF * 4000), file("b", os.urandom(300_000))]], compression=compression)
    done = granted(layout, "/app", Way.REWRITE)
    write_image(done.after, f"oci:{layout.path}:after")
    (old,), (new,) = layout.manifest()["layers"], layout.manifest("after")["layers"]
    assert new["mediaType"] == old["mediaType"]
    assert done.images[0].bytes_added == new["size"] - old["size"] < 2048
    assert layout.config("after")["history"][-1]["empty_layer"] is True
    assert [attribute(one) for one in layout.members(0, "after")] == [BIND, None]


def test_annotations_of_a_rewritten_layer_go(tmp_path: Path) -> None:
    """An eStargz table of contents speaks of the old bytes."""
    layout = Layout(str(tmp_path / "layout"))
    layout.image([[file("app", ELF)]])
    manifest = layout.manifest()
    manifest["layers"][0]["annotations"] = {"containerd.io/snapshot/stargz/toc.digest": "sha256:" + "0" * 64}
    layout.image([[file("app", ELF)]], manifest={"layers": manifest["layers"]})
    write_image(granted(layout, "/app", Way.REWRITE).after, f"oci:{layout.path}:after")
    assert "annotations" not in layout.manifest("after")["layers"][0]


# Laws


@WAYS
@pytest.mark.parametrize(
    "name", ["usr-merge", "hard-links", "parents-with-everything", "revision-3", "sparse-pax"]
)
def test_granting_twice_changes_nothing(name: str, way: Way, tmp_path: Path) -> None:
    layout = written(tmp_path, CASES[name], way)
    for again in Way:
        done = granted(layout, CASES[name].path, again, tag="after")
        assert not done.changed
        assert done.after is done.before
        assert [file.changed for file in done.images[0].files] == [False]


def test_the_order_of_grants_and_of_spellings_does_not_matter(tmp_path: Path) -> None:
    layout = Layout(str(tmp_path / "layout"))
    layout.image([[*MERGED, file("z", ELF)]])
    image = open_image(f"oci:{layout.path}")
    one = grant(image, [Grant.parse("/bin/app=NET_RAW"), Grant.parse("/z=cap_kill=p")])
    two = grant(image, [Grant.parse("/z=cap_kill+p"), Grant.parse("//usr/./bin/../bin/app=cap_net_raw=ep")])
    assert one.after.digest == two.after.digest
    assert [file.path for file in one.images[0].files] == [b"/usr/bin/app", b"/z"]


def test_one_file_cannot_get_two_sets(tmp_path: Path) -> None:
    layout = Layout(str(tmp_path / "layout"))
    layout.image(CASES["hard-links"].made(""))
    image = open_image(f"oci:{layout.path}")
    with pytest.raises(InvalidInput, match="/a and /usr/bin/b are one file"):
        grant(image, [Grant.parse("/a=NET_RAW"), Grant.parse("/usr/bin/b=KILL")])
    done = grant(image, [Grant.parse("/a=NET_RAW"), Grant.parse("/usr/bin/b=NET_RAW")])
    assert len(done.images[0].files) == 1


# Arguments


@pytest.mark.parametrize(
    ("text", "path", "caps"),
    [
        ("/app=cap_net_raw+ep", b"/app", "cap_net_raw=ep"),
        ("/app=cap_net_raw=ep", b"/app", "cap_net_raw=ep"),
        ("/a=b=cap_net_raw=ep", b"/a=b", "cap_net_raw=ep"),
        ("/a=NET_RAW=NET_ADMIN", b"/a=NET_RAW", "cap_net_admin=ep"),
        ("/app=cap_net_raw,cap_kill=eip", b"/app", "cap_kill,cap_net_raw=eip"),
        ("/app=cap_kill=p cap_chown+p", b"/app", "cap_chown,cap_kill=p"),
        ("/app=NET_BIND_SERVICE,CAP_NET_RAW", b"/app", "cap_net_bind_service,cap_net_raw=ep"),
        ("/app==", b"/app", "="),
        ("/app==ep", b"/app", "=ep"),
        ("/a=all==ep", b"/a=all", "=ep"),
        ("/\udcff=kill", b"/\xff", "cap_kill=ep"),
        ("net_raw", None, "cap_net_raw=ep"),
        ("bin/app=cap_net_raw+ep", b"bin/app", "cap_net_raw=ep"),
        ("cap_net_raw,cap_kill=p", None, "cap_kill,cap_net_raw=p"),
        ("=ep", None, "=ep"),
    ],
)
def test_a_grant_is_read_from_an_argument(text: str, path: bytes | None, caps: str) -> None:
    found = Grant.parse(text)
    assert (found.path, str(found.caps)) == (path, caps)


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("/app", "no capabilities given for /app", "write /app=cap_net_bind_service+ep"),
        ("/app=", "no capabilities given", "caplet strip"),
        ("/app=cap_net_bnd_service+ep", "unknown capability 'cap_net_bnd_service'", ""),
        ("/a=b=cap_xxx+ep", "/a=b=cap_xxx+ep", ""),
        ("NET_BND_SERVICE", "did you mean NET_BIND_SERVICE", ""),
        ("nginx", "unknown capability 'nginx'", "write [PATH=]CAPS"),
        ("nginx=NET_RWA", "nginx=NET_RWA: unknown capability 'NET_RWA'; did you mean NET_RAW?", ""),
        ("cap_net_rwa=ep", "unknown capability 'cap_net_rwa'; did you mean cap_net_raw?", ""),
        ("/app:NET_RAW", "an equals sign stands before capabilities", "write /app=NET_RAW"),
        ("/app:cap_net_raw=ep", "an equals sign stands before capabilities", "write /app=cap_net_raw=ep"),
        ("=NET_RAW", "=NET_RAW names no file", "write /usr/bin/app=NET_RAW, or NET_RAW"),
        ("/app=ep", "unknown capability 'ep'", "name the capabilities too: cap_net_bind_service=ep"),
        ("/app=NET_RAW;KILL", "unknown capability", "separate them by commas: NET_RAW,KILL"),
        ("/app=NET_RAW+ep,KILL+ep", "is not capabilities", "behind the last: NET_RAW,KILL+ep"),
        ("/app=cap_net_raw=ep [rootid=1000]", "a root user id has no place", ""),
        ("/app=cap_chown=p cap_kill+pe", "effective file capabilities", "a file has a single effective bit"),
        ("", "no capabilities given", ""),
    ],
)
def test_an_argument_that_is_none(text: str, message: str, hint: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        Grant.parse(text)
    assert message in caught.value.message
    assert hint in caught.value.hint


# The entrypoint


SHELL = (
    directory("bin"),
    file("bin/dash", ELF),
    symlink("bin/sh", "dash"),
    file("bin/tini", ELF),
    file("bin/app", ELF),
)


def entrypoint(layout: Layout, config: dict[str, Any], *more: Item, interpreters: bool = False) -> Change:
    layout.image([[*SHELL, *more]], config=config)
    return grant(open_image(f"oci:{layout.path}"), [Grant(CAPS)], interpreters=interpreters)


@pytest.mark.parametrize(
    ("config", "path"),
    [
        ({"Entrypoint": ["/bin/app"]}, b"/bin/app"),
        ({"Entrypoint": ["app", "-x"], "Env": ["PATH=/sbin:/bin"]}, b"/bin/app"),
        ({"Cmd": ["app"]}, b"/bin/app"),
        ({"Cmd": ["bin/app"], "WorkingDir": "/"}, b"/bin/app"),
    ],
    ids=["absolute", "along-path", "cmd", "relative"],
)
def test_without_a_path_it_is_the_program_of_the_entrypoint(
    config: dict[str, Any], path: bytes, tmp_path: Path
) -> None:
    done = entrypoint(Layout(str(tmp_path / "layout")), config)
    assert [file.path for file in done.images[0].files] == [path]


SCRIPT = file("entry.sh", b"#!/bin/sh -e\nexec app\n")


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"Entrypoint": ["/entry.sh"]}, "/entry.sh is a script: the capabilities would go to /bin/dash"),
        ({"Entrypoint": ["/bin/sh", "-c", "app"]}, "is /bin/dash, which runs scripts"),
        ({"Entrypoint": ["tini", "--", "app"]}, "is /bin/tini, which starts another program"),
        ({"Entrypoint": ["/bin/gone"]}, "/bin/gone: not in the image"),
        ({}, "neither ENTRYPOINT nor CMD"),
    ],
    ids=["script", "shell", "wrapper", "missing", "none"],
)
def test_an_entrypoint_that_nobody_means(config: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput) as caught:
        entrypoint(Layout(str(tmp_path / "layout")), config, SCRIPT)
    assert message in caught.value.message


def test_an_interpreter_can_be_meant(tmp_path: Path) -> None:
    done = entrypoint(
        Layout(str(tmp_path / "layout")), {"Entrypoint": ["/entry.sh"]}, SCRIPT, interpreters=True
    )
    (found,) = done.images[0].files
    assert found.path == b"/bin/dash"
    assert any("every script that it runs" in note for note in found.notes)


# Notes


@pytest.mark.parametrize(
    ("items", "caps", "config", "note"),
    [
        ([file("app", ELF)], "NET_RAW", {}, "will start only where NET_RAW is allowed"),
        ([file("app", b"#!/bin/sh\n")], "NET_RAW", {}, "is a script"),
        ([file("app", ELF, 0o644)], "NET_RAW", {}, "is not executable (mode 0644)"),
        ([file("app", ELF, 0o4755, uid=3)], "NET_RAW", {}, "is set-user-ID (owner 3)"),
        (
            [file("app", ELF, xattrs={"security.capability": bytes([1, 0, 0, 3]) + bytes(20)})],
            "NET_RAW",
            {},
            "revision 3",
        ),
    ],
    ids=["effective", "script", "mode", "set-id", "revision-3"],
)
def test_what_an_expert_would_mention(
    items: list[Item], caps: str, config: dict[str, Any], note: str, tmp_path: Path
) -> None:
    layout = Layout(str(tmp_path / "layout"))
    layout.image([items], config=config)
    done = grant(open_image(f"oci:{layout.path}"), [Grant.parse(f"/app={caps}")])
    assert any(note in one for one in done.images[0].files[0].notes)


def test_a_plain_grant_of_p_needs_no_note(tmp_path: Path) -> None:
    layout = Layout(str(tmp_path / "layout"))
    layout.image([[file("app", ELF)]])
    done = grant(open_image(f"oci:{layout.path}"), [Grant.parse("/app=cap_net_raw=p")])
    assert done.images[0].files[0].notes == ()


# Platforms


def two_platforms(layout: Layout, arm: list[Item]) -> dict[str, dict[str, Any]]:
    """An index with an attestation for each image."""
    found: dict[str, dict[str, Any]] = {}
    entries = []
    for architecture, items in (("amd64", [file("app", ELF)]), ("arm64", arm)):
        image = layout.image([items], None, architecture=architecture)
        found[architecture] = image
        entries.append(image | {"platform": {"architecture": architecture, "os": "linux"}})
        statement = layout.blob(
            "application/vnd.oci.image.manifest.v1+json", f'{{"about": "{architecture}"}}'.encode()
        )
        about = {
            "vnd.docker.reference.type": "attestation-manifest",
            "vnd.docker.reference.digest": image["digest"],
        }
        entries.append(
            statement | {"platform": {"architecture": "unknown", "os": "unknown"}, "annotations": about}
        )
    layout.index(entries)
    return found


def test_every_platform_of_an_index_changes(tmp_path: Path) -> None:
    layout = Layout(str(tmp_path / "layout"))
    two_platforms(layout, [file("app", ELF + b"arm")])
    done = granted(layout, "/app")
    write_image(done.after, f"oci:{layout.path}:after")
    after = open_image(f"oci:{layout.path}:after")
    assert isinstance(after, Index)
    assert validate(after) == []
    assert [str(image.platform) for image in after.images()] == ["linux/amd64", "linux/arm64"]
    assert after.attestations() == ()
    assert len(done.dropped) == 2
    assert not granted(layout, "/app", tag="after").changed


def test_a_platform_alone(tmp_path: Path) -> None:
    layout = Layout(str(tmp_path / "layout"))
    old = two_platforms(layout, [file("other", ELF)])
    index = open_image(f"oci:{layout.path}")
    amd64 = index.images()[0].platform if isinstance(index, Index) else None
    assert amd64 is not None
    done = grant(index, [Grant.parse("/app=NET_RAW")], Manner("grant", platforms=(amd64,)))
    assert isinstance(done.after, Index)
    images = done.after.images()
    assert str(images[1].digest) == old["arm64"]["digest"]
    assert str(images[0].digest) != old["amd64"]["digest"]
    assert len(done.dropped) == 1
    assert len(done.after.attestations()) == 1


def test_a_path_that_one_platform_lacks(tmp_path: Path) -> None:
    layout = Layout(str(tmp_path / "layout"))
    two_platforms(layout, [file("apq", ELF)])
    with pytest.raises(InvalidInput, match=r"linux/arm64: /app: not in the image") as caught:
        granted(layout, "/app")
    assert caught.value.hint == "Did you mean /apq?"


# What no longer matches


def test_what_speaks_of_the_old_digest_is_named(tmp_path: Path) -> None:
    layout = Layout(str(tmp_path / "layout"))
    image = layout.image([[file("app", ELF)]])
    name = image["digest"].replace(":", "-")
    kind = "application/vnd.oci.image.manifest.v1+json"
    empty = layout.blob("application/vnd.oci.empty.v1+json", b"{}")
    body = {
        "schemaVersion": 2,
        "mediaType": kind,
        "config": empty,
        "layers": [],
        "artifactType": "application/x.sbom",
    }
    layout.tag(layout.blob(kind, encode(body | {"subject": image})), "sbom")
    layout.tag(layout.blob(kind, encode(body | {"annotations": {"n": "1"}})), f"{name}.sig")
    layout.tag(layout.blob(kind, encode(body | {"annotations": {"n": "2"}})), f"sha256-{'0' * 64}.sig")
    layout.tag(layout.blob(kind, b"damaged"), "damaged")
    done = granted(layout, "/app")
    assert [(one.kind, one.tag) for one in done.stale] == [
        ("application/x.sbom", ""),
        ("cosign signature", f"{name}.sig"),
    ]
    assert {str(one.about) for one in done.stale} == {image["digest"]}


# Refusals


@pytest.mark.parametrize(
    ("path", "message", "hint"),
    [
        ("/usr/bin/apq", "/usr/bin/apq: not in the image", "Did you mean /usr/bin/app?"),
        ("/bin/app/x", "/bin/app/x: /usr/bin/app is not a directory", ""),
        ("/bin", "/bin, which is /usr/bin, is a directory", ""),
        ("/usr/bin/", "/usr/bin/, which is /usr/bin, is a directory", ""),
        ("/loop", "/loop: too many levels of symbolic links", ""),
        ("/dangling", "/dangling: not in the image", ""),
        ("/null", "/null is a character device", ""),
        ("/pipe", "/pipe is a FIFO", ""),
        ("/", "/ is a directory", ""),
    ],
)
def test_what_cannot_have_capabilities(path: str, message: str, hint: str, tmp_path: Path) -> None:
    layout = Layout(str(tmp_path / "layout"))
    layout.image(
        [
            [
                *MERGED,
                symlink("loop", "loop"),
                symlink("dangling", "nowhere"),
                Item("null", tarfile.CHRTYPE, device=(1, 3)),
                Item("pipe", tarfile.FIFOTYPE),
            ]
        ]
    )
    with pytest.raises(CapletError) as caught:
        granted(layout, path)
    assert message in caught.value.message
    assert hint in caught.value.hint


def test_no_grant_is_an_error(tmp_path: Path) -> None:
    layout = Layout(str(tmp_path / "layout"))
    layout.image([[file("app", ELF)]])
    with pytest.raises(InvalidInput, match="nothing to grant"):
        grant(open_image(f"oci:{layout.path}"), [])
