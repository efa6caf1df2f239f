# SPDX-License-Identifier: Apache-2.0
"""Docker archives whose manifest.json lies, points outside, or contradicts the OCI layout in the same file.

moby image/tarexport/load.go; containers/image docker/internal/tarfile.
"""

from __future__ import annotations

import gzip
import io
import json
import os
import tarfile
from typing import TYPE_CHECKING, Any

from tests.hostile.blocks import BIND, RAW, file, tar
from tests.hostile.case import Case, Expected, Refused, as_expected
from tests.layouts import OCI, digest

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

TAR = tar(file("x", cap=RAW))
OTHER = tar(file("y", cap=BIND))
X = {"/x": "cap_net_raw=ep"}
Y = {"/y": "cap_net_bind_service=ep"}

Member = tuple[str, bytes] | tarfile.TarInfo


def config(*layers: bytes, **more: Any) -> bytes:
    return json.dumps(
        {
            "architecture": "amd64",
            "os": "linux",
            "rootfs": {"type": "layers", "diff_ids": [digest(one) for one in layers]},
        }
        | more
    ).encode()


CONFIG = config(TAR)
NAME = f"{digest(CONFIG)[7:]}.json"


def listed(*images: Mapping[str, Any]) -> tuple[str, bytes]:
    return "manifest.json", json.dumps(images).encode()


def image(config_name: str = NAME, tags: Any = ("test:1",), layers: Any = ("1/layer.tar",)) -> dict[str, Any]:
    return {"Config": config_name, "RepoTags": tags, "Layers": layers}


def link(name: str, target: str, kind: bytes = tarfile.SYMTYPE) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


def archived(members: Sequence[Member], mode: str = "w") -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode=mode) as archive:  # type: ignore[call-overload]
        for member in members:
            if isinstance(member, tarfile.TarInfo):
                archive.addfile(member)
                continue
            info = tarfile.TarInfo(member[0])
            info.size = len(member[1])
            archive.addfile(info, io.BytesIO(member[1]))
    return out.getvalue()


def docker(
    name: str,
    members: Sequence[Member] | bytes,
    expected: Expected | Mapping[str, str],
    suffix: str = "",
    scheme: str = "docker-archive",
) -> Case:
    def make(directory: str) -> str:
        path = os.path.join(directory, "image.tar")
        with open(path, "wb") as out:
            out.write(members if isinstance(members, bytes) else archived(members))
        return f"{scheme}:{path}{suffix}"

    return Case(name, as_expected(expected), make)


GOOD: list[Member] = [(NAME, CONFIG), ("1/layer.tar", TAR), listed(image())]


def layout(*images: tuple[bytes, bytes], name: bytes = b'{"imageLayoutVersion":"1.0.0"}') -> list[Member]:
    """An OCI layout with these (configuration, layer)."""
    blobs: dict[str, bytes] = {}
    entries = []
    for config_data, layer in images:
        body = json.dumps(
            {
                "schemaVersion": 2,
                "mediaType": f"{OCI}.manifest.v1+json",
                "config": {
                    "mediaType": f"{OCI}.config.v1+json",
                    "digest": digest(config_data),
                    "size": len(config_data),
                },
                "layers": [{"mediaType": f"{OCI}.layer.v1.tar", "digest": digest(layer), "size": len(layer)}],
            }
        ).encode()
        blobs |= {digest(one): one for one in (config_data, layer, body)}
        entries.append({"mediaType": f"{OCI}.manifest.v1+json", "digest": digest(body), "size": len(body)})
    index = json.dumps({"schemaVersion": 2, "manifests": entries}).encode()
    return [("oci-layout", name), ("index.json", index), *((blob(one), data) for one, data in blobs.items())]


def blob(name: str) -> str:
    return "blobs/" + name.replace(":", "/")


BOTH = layout((CONFIG, TAR))
IN_BLOBS = image(blob(digest(CONFIG)), layers=[blob(digest(TAR))])

# fmt: off
CASES: tuple[Case, ...] = (
    docker("good", GOOD, X),
    docker("by-name", GOOD, X, ":test:1"),
    docker("by-number", GOOD, X, ":@0"),
    docker("number-beyond", GOOD, Refused("none at 1"), ":@1"),
    docker("other-name", GOOD, Refused("no image"), ":other:1"),
    docker("dot-slash-names", [("./" + NAME, CONFIG), ("./1/layer.tar", TAR), ("./manifest.json", listed(image())[1])], X),
    docker("layer-gzip", [(NAME, CONFIG), ("1/layer.tar", gzip.compress(TAR, mtime=0)), listed(image())], X),
    docker("archive-gzip", gzip.compress(archived(GOOD), mtime=0), X),
    docker("archive-gzip-cut", gzip.compress(archived(GOOD), mtime=0)[:-30], Refused("truncated")),
    docker("archive-gzip-rubbish-behind", gzip.compress(archived(GOOD), mtime=0) + b"rubbish", Refused("gzip")),
    docker("layer-a-twin", [(NAME, CONFIG), ("2/layer.tar", TAR), link("1/layer.tar", "../2/layer.tar"), listed(image())], X),
    docker("layer-a-hard-link", [(NAME, CONFIG), ("2/layer.tar", TAR), link("1/layer.tar", "2/layer.tar", tarfile.LNKTYPE), listed(image())], X),
    docker("layer-a-link-out", [(NAME, CONFIG), link("1/layer.tar", "/etc/passwd"), listed(image())], Refused("missing")),
    docker("layer-a-climbing-link", [(NAME, CONFIG), link("1/layer.tar", "../../../../../etc/passwd"), listed(image())], Refused("missing")),
    docker("layer-a-link-to-itself", [(NAME, CONFIG), link("1/layer.tar", "layer.tar"), listed(image())], Refused("link")),
    docker("layers-in-a-circle", [(NAME, CONFIG), link("1/layer.tar", "../2/layer.tar"), link("2/layer.tar", "../1/layer.tar"), listed(image())], Refused("link")),
    docker("layer-climbs", [*GOOD[:2], listed(image(layers=["../../../etc/passwd"]))], Refused("missing")),
    docker("layer-absolute", [*GOOD[:2], listed(image(layers=["/etc/passwd"]))], Refused("missing")),
    docker("layer-missing", [*GOOD[:1], GOOD[2]], Refused("missing")),
    docker("layer-wrong", [(NAME, CONFIG), ("1/layer.tar", OTHER), listed(image())], Refused("digest")),
    docker("layer-wrong-and-gzip", [(NAME, CONFIG), ("1/layer.tar", gzip.compress(OTHER, mtime=0)), listed(image())], Refused("diff_id")),
    docker("layer-cut", archived(GOOD)[:2200], Refused("truncated")),
    docker("archive-cut-in-a-header", archived(GOOD)[:200], Refused("is truncated: it ends at byte 200")),
    docker("layers-swapped", [(f"{digest(config(TAR, OTHER))[7:]}.json", config(TAR, OTHER)), ("1/layer.tar", TAR), ("2/layer.tar", OTHER), listed(image(f"{digest(config(TAR, OTHER))[7:]}.json", layers=["2/layer.tar", "1/layer.tar"]))], Refused("digest")),
    docker("layers-too-few", [*GOOD[:2], listed(image(layers=[]))], Refused("layers")),
    docker("layers-too-many", [*GOOD[:2], listed(image(layers=["1/layer.tar"] * 2))], Refused("layers")),
    docker("layers-no-list", [*GOOD[:2], listed(image(layers="1/layer.tar"))], Refused("list")),
    docker("layers-null", [*GOOD[:2], listed(image(layers=None))], Refused("layers")),
    docker("config-missing", [GOOD[1], GOOD[2]], Refused("missing")),
    docker("config-climbs", [*GOOD[:2], listed(image("../../../etc/passwd"))], Refused("missing")),
    docker("config-named-falsely", [("config.json", CONFIG), ("1/layer.tar", TAR), listed(image("config.json"))], X),
    docker("config-named-for-another", [("0" * 64 + ".json", CONFIG), ("1/layer.tar", TAR), listed(image("0" * 64 + ".json"))], X),
    docker("config-a-number", [*GOOD[:2], listed(image(7))], Refused("string")),  # type: ignore[arg-type]
    docker("config-no-json", [("config.json", b"{"), ("1/layer.tar", TAR), listed(image("config.json"))], Refused("JSON")),
    docker("config-a-directory", [link("config.json", "", tarfile.DIRTYPE), ("1/layer.tar", TAR), listed(image("config.json"))], Refused("missing")),
    docker("config-a-fifo", [link("config.json", "", tarfile.FIFOTYPE), ("1/layer.tar", TAR), listed(image("config.json"))], Refused("missing")),
    docker("manifest-missing", GOOD[:2], Refused("manifest.json")),
    docker("manifest-no-list", [*GOOD[:2], ("manifest.json", json.dumps(image()).encode())], Refused("list")),
    docker("manifest-empty", [*GOOD[:2], listed()], Refused("no image")),
    docker("manifest-of-nulls", [*GOOD[:2], ("manifest.json", b"[null]")], Refused("object")),
    docker("manifest-trailing", [*GOOD[:2], ("manifest.json", listed(image())[1] + b"[]")], Refused("Extra data")),
    docker("manifest-duplicate-key", [*GOOD[:2], ("manifest.json", listed(image())[1].replace(b'"Layers"', b'"Layers": [], "Layers"'))], Refused("twice")),
    docker("manifest-other-case", [*GOOD[:2], ("manifest.json", listed(image())[1].replace(b'"Layers"', b'"layers"'))], Refused("ambiguous")),
    docker("manifest-twice", [*GOOD, listed(image(layers=[]))], Refused("twice")),
    docker("manifest-a-link-out", [*GOOD[:2], link("manifest.json", "/etc/passwd")], Refused("manifest.json")),
    docker("manifest-deep", [*GOOD[:2], ("manifest.json", b"[" * 100_000)], Refused("nests")),
    docker("manifest-over-4-mib", [*GOOD[:2], ("manifest.json", listed(image())[1] + b" " * (4 << 20))], Refused("bytes")),
    docker("several-images", [*GOOD[:2], listed(image(), image(tags=["other:1"]))], Refused("several images")),
    docker("tags-null", [*GOOD[:2], listed(image(tags=None))], X),
    docker("tags-no-strings", [*GOOD[:2], listed(image(tags=[7]))], Refused("strings")),
    docker("tag-of-controls", [*GOOD[:2], listed(image(tags=["\x1b[2J\u202e:1"]), image(tags=["b:1"]))], Refused("\\x1b[2J\\u202e:1")),
    docker("old-repositories", [("repositories", b"{}"), ("1/layer.tar", TAR)], Refused("before 1.10")),
    docker("nothing", b"", Refused("is empty")),
    docker("rubbish", b"x" * 5000, Refused("is not a tar archive")),
    docker("members-of-other-types", [link("dev", "", tarfile.CHRTYPE), link("pipe", "", tarfile.FIFOTYPE), *GOOD], X),
    # With an OCI layout in it
    docker("both", [*BOTH, listed(IN_BLOBS)], X),
    docker("both-read-as-oci", [*BOTH, listed(IN_BLOBS)], X, scheme="oci-archive"),
    docker("both-contradict", [*layout((config(OTHER), OTHER)), (NAME, CONFIG), ("1/layer.tar", TAR), listed(image())], Refused("ambiguous")),
    docker("both-contradict-in-layers", [*BOTH, ("1/layer.tar", OTHER), listed(image(blob(digest(CONFIG)), layers=["1/layer.tar"]))], Refused("ambiguous")),
    docker("both-of-version-9.9.9", [*layout((CONFIG, TAR), name=b'{"imageLayoutVersion":"9.9.9"}'), listed(IN_BLOBS)], Refused("9.9.9")),
    docker("blob-named-falsely", [(blob(digest(b"x")), CONFIG), ("1/layer.tar", TAR), listed(image(blob(digest(b"x"))))], Refused("digest")),
    docker("blob-replaced", [*BOTH, (blob(digest(TAR)), OTHER), listed(IN_BLOBS)], Refused("")),
    docker("oci-archive-of-docker", GOOD, Refused("docker-archive"), scheme="oci-archive"),
    docker("docker-archive-of-oci", BOTH, Refused("oci-archive")),
    docker("oci-archive", BOTH, X, scheme="oci-archive"),
    docker("oci-archive-with-parents", [(f"./{name}" if isinstance(member, tuple) else "", data) for member in BOTH for name, data in [member]], X, scheme="oci-archive"),  # type: ignore[misc]
    docker("oci-archive-index-twice", [*BOTH, BOTH[1]], Refused("twice"), scheme="oci-archive"),
    docker("oci-archive-without-layout", BOTH[1:], Refused("oci-layout"), scheme="oci-archive"),
    docker("oci-archive-blob-missing", BOTH[:-2], Refused("missing"), scheme="oci-archive"),
    docker("oci-archive-blob-a-link-out", [*BOTH[:2], link(blob(digest(CONFIG)), "/etc/passwd"), *BOTH[3:]], Refused("missing"), scheme="oci-archive"),
)
# fmt: on
