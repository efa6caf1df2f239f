# SPDX-License-Identifier: Apache-2.0
"""Manifests, configurations and layouts that lie about digests and sizes, mean two things, or hang whoever opens them.

OCI image-spec v1.1.1: descriptor.md, manifest.md, image-index.md, config.md, image-layout.md. skopeo 1.9.3 accepts a wrong
manifest digest, wrong sizes, wrong or short diff_ids, a missing oci-layout, its version 9.9.9, trailing JSON, and hangs on
a FIFO; here all of that is refused.
"""

from __future__ import annotations

import hashlib
import os
import socket
from typing import TYPE_CHECKING, Any

from tests.hostile.blocks import RAW, file, tar
from tests.hostile.case import Case, Draft, Expected, Refused, as_expected, text
from tests.layouts import OCI, digest

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

TAR = tar(file("x", cap=RAW))
X = {"/x": "cap_net_raw=ep"}
WRONG = "sha256:" + "0" * 64
MANIFEST = f"{OCI}.manifest.v1+json"
INDEX = f"{OCI}.index.v1+json"
DOCKER = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_LIST = "application/vnd.docker.distribution.manifest.list.v2+json"
DOCKER_CONFIG = "application/vnd.docker.container.image.v1+json"
DOCKER_LAYER = "application/vnd.docker.image.rootfs.diff.tar"


def doc(
    name: str,
    spoil: Callable[[Draft], None],
    expected: Expected | Mapping[str, str],
    suffix: str = "",
    tag: str | None = "latest",
) -> Case:
    """A good image after `spoil`; what `spoil` has not stored is stored after it."""

    def make(directory: str) -> str:
        draft = Draft(directory, TAR, tag)
        spoil(draft)
        if not draft.finished:
            draft.put_index()
        return f"oci:{directory}{suffix}"

    return Case(name, as_expected(expected), make)


def manifest(**changes: Any) -> Callable[[Draft], None]:
    """Other fields in the manifest; None takes one away."""

    def spoil(draft: Draft) -> None:
        draft.put_config()
        _change(draft.manifest, changes)

    return spoil


def config(**changes: Any) -> Callable[[Draft], None]:
    return lambda draft: _change(draft.config, changes)


def _change(document: dict[str, Any], changes: Mapping[str, Any]) -> None:
    for name, value in changes.items():
        if value is None:
            document.pop(name, None)
        else:
            document[name] = value


def layer(**changes: Any) -> Callable[[Draft], None]:
    """Other fields in the layer's descriptor."""
    return lambda draft: _change(draft.manifest["layers"][0], changes)


def manifest_text(change: Callable[[bytes], bytes]) -> Callable[[Draft], None]:
    """Another text of the manifest, truly described."""

    def spoil(draft: Draft) -> None:
        draft.put_config()
        draft.put_manifest(change(text(draft.manifest)))

    return spoil


def config_text(change: Callable[[bytes], bytes]) -> Callable[[Draft], None]:
    return lambda draft: draft.put_config(change(text(draft.config)))


def index_text(change: Callable[[bytes], bytes]) -> Callable[[Draft], None]:
    def spoil(draft: Draft) -> None:
        draft.put_manifest()
        draft.put_index(change(text(draft.index)))

    return spoil


def described(**changes: Any) -> Callable[[Draft], None]:
    """Other fields in the manifest's descriptor."""
    return lambda draft: draft.put_manifest(None, **changes)


def index(**changes: Any) -> Callable[[Draft], None]:
    def spoil(draft: Draft) -> None:
        draft.put_manifest()
        _change(draft.index, changes)

    return spoil


def layout_file(data: bytes | None) -> Callable[[Draft], None]:
    def spoil(draft: Draft) -> None:
        os.unlink(draft.path("oci-layout"))
        if data is not None:
            draft.file("oci-layout", data)

    return spoil


def instead(which: str, put: Callable[[str, bytes], None]) -> Callable[[Draft], None]:
    """Something else in the place of a file of the layout: of the layer, the config, the manifest or index.json."""

    def spoil(draft: Draft) -> None:
        draft.put_index()
        paths = {
            "layer": draft.blob_path(draft.manifest["layers"][0]),
            "config": draft.blob_path(draft.manifest["config"]),
            "manifest": draft.blob_path(draft.index["manifests"][0]),
            "index.json": draft.path("index.json"),
            "oci-layout": draft.path("oci-layout"),
        }
        with open(paths[which], "rb") as source:
            data = source.read()
        os.unlink(paths[which])
        put(paths[which], data)

    return spoil


def fifo(path: str, data: bytes) -> None:
    os.mkfifo(path)


def a_directory(path: str, data: bytes) -> None:
    os.mkdir(path)


def a_socket(path: str, data: bytes) -> None:
    before = os.getcwd()
    os.chdir(os.path.dirname(path))  # a socket's path has 108 bytes
    try:
        with socket.socket(socket.AF_UNIX) as opened:
            opened.bind(os.path.basename(path))
    finally:
        os.chdir(before)


def link_to(target: str) -> Callable[[str, bytes], None]:
    return lambda path, _: os.symlink(target, path)


def link_inside(path: str, data: bytes) -> None:
    """A link to a copy in the same layout, as some tools make to save space."""
    with open(f"{path}.copy", "wb") as out:
        out.write(data)
    os.symlink(f"{os.path.basename(path)}.copy", path)


def written(change: Callable[[bytes], bytes]) -> Callable[[str, bytes], None]:
    def put(path: str, data: bytes) -> None:
        with open(path, "wb") as out:
            out.write(change(data))

    return put


def nothing(path: str, data: bytes) -> None:
    """The file is gone."""


def nested(depth: int) -> Callable[[Draft], None]:
    """Indexes inside indexes around the image."""

    def spoil(draft: Draft) -> None:
        draft.put_manifest()
        inner = draft.index["manifests"][0]
        inner.pop("annotations")
        for _ in range(depth):
            inner = draft.layout.blob(
                INDEX, text({"schemaVersion": 2, "mediaType": INDEX, "manifests": [inner]})
            )
        draft.index["manifests"] = [inner]

    return spoil


def index_with(
    *more: Mapping[str, Any], platform: Mapping[str, Any] | None = None
) -> Callable[[Draft], None]:
    """An index that lists the image and more."""

    def spoil(draft: Draft) -> None:
        draft.put_manifest()
        one = draft.index["manifests"][0]
        one.pop("annotations")
        if platform is not None:
            one["platform"] = platform
        body = {"schemaVersion": 2, "mediaType": INDEX, "manifests": [one, *more]}
        draft.index["manifests"] = [draft.layout.blob(INDEX, text(body))]

    return spoil


def attested(draft: Draft) -> None:
    statement = draft.layout.blob("application/vnd.in-toto+json", b"{}")
    draft.put_manifest()
    one = dict(draft.index["manifests"][0])
    one.pop("annotations")
    body = text(
        {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": draft.layout.blob(
                f"{OCI}.config.v1+json",
                text(
                    {
                        "architecture": "unknown",
                        "os": "unknown",
                        "rootfs": {"type": "layers", "diff_ids": [statement["digest"]]},
                    }
                ),
            ),
            "layers": [statement],
        }
    )
    about = {
        "vnd.docker.reference.type": "attestation-manifest",
        "vnd.docker.reference.digest": one["digest"],
    }
    attestation = draft.layout.blob(MANIFEST, body) | {
        "annotations": about,
        "platform": {"architecture": "unknown", "os": "unknown"},
    }
    entry = draft.layout.blob(
        INDEX, text({"schemaVersion": 2, "mediaType": INDEX, "manifests": [one, attestation]})
    )
    draft.index["manifests"] = [entry]


def docker_types(draft: Draft) -> None:
    draft.put_config(None, mediaType=DOCKER_CONFIG)
    draft.manifest["mediaType"] = DOCKER
    draft.manifest["layers"][0]["mediaType"] = DOCKER_LAYER
    draft.put_manifest(None, mediaType=DOCKER)


def two_tags(draft: Draft) -> None:
    draft.put_manifest()
    one = draft.index["manifests"][0]
    draft.index["manifests"] = [one, one | {"annotations": {"org.opencontainers.image.ref.name": "other"}}]


def two_images(same_tag: bool) -> Callable[[Draft], None]:
    def spoil(draft: Draft) -> None:
        draft.put_manifest()
        first = draft.index["manifests"][0]
        draft.config["author"] = "another"
        draft.put_config()
        draft.put_manifest()
        second = draft.index["manifests"][0]
        if not same_tag:
            for one in (first, second):
                one.pop("annotations")
        draft.index["manifests"] = [first, second]

    return spoil


def config_null(draft: Draft) -> None:
    draft.put_config()
    draft.manifest["config"] = None


def foreign(draft: Draft) -> None:
    """A layer that is only elsewhere."""
    layer = draft.manifest["layers"][0]
    os.unlink(draft.blob_path(layer))
    layer["mediaType"] = f"{OCI}.layer.nondistributable.v1.tar+gzip"
    layer["urls"] = ["https://example.com/\x1b[2J"]


def manifest_gone(draft: Draft) -> None:
    draft.put_manifest()
    os.unlink(draft.blob_path(draft.index["manifests"][0]))


def blobs_elsewhere(draft: Draft) -> None:
    draft.put_index()
    os.rename(draft.path("blobs"), f"{draft.directory}.blobs")
    os.symlink(f"{draft.directory}.blobs", draft.path("blobs"))


def sha512(draft: Draft) -> None:
    os.mkdir(draft.path("blobs/sha512"))
    name = hashlib.sha512(TAR).hexdigest()
    draft.file(f"blobs/sha512/{name}", TAR)
    draft.manifest["layers"][0]["digest"] = f"sha512:{name}"


def deep(depth: int) -> bytes:
    return b"[" * depth + b"]" * depth


EMPTY = {"mediaType": f"{OCI}.layer.v1.tar", "digest": digest(b""), "size": 0}

# fmt: off
CASES: tuple[Case, ...] = (
    # Digests
    doc("manifest-digest-wrong", instead("manifest", written(lambda data: data.replace(b"latest", b"tsetal").replace(b'"layers"', b'"layerz"'))), Refused("digest")),
    doc("config-digest-wrong", instead("config", written(lambda data: data.replace(b"amd64", b"arm64"))), Refused("digest")),
    doc("layer-digest-wrong", instead("layer", written(lambda data: data[:600] + b"?" + data[601:])), Refused("digest")),
    doc("layer-digest-wrong-in-the-last-byte", instead("layer", written(lambda data: data[:-1] + b"?")), Refused("layer 0")),
    doc("digest-of-nothing", layer(digest=WRONG), Refused("missing")),
    doc("digest-climbs", layer(digest="sha256:../../../../etc/passwd"), Refused("hexadecimal")),
    doc("digest-absolute", layer(digest="sha256:/etc/passwd"), Refused("hexadecimal")),
    doc("digest-upper-case", layer(digest=digest(TAR).upper().replace("SHA256", "sha256")), Refused("hexadecimal")),
    doc("digest-short", layer(digest=digest(TAR)[:-1]), Refused("64")),
    doc("digest-long", layer(digest=digest(TAR) + "0"), Refused("64")),
    doc("digest-with-newline", layer(digest=digest(TAR)[:-1] + "\n"), Refused("hexadecimal")),
    doc("digest-full-width", layer(digest="sha256:" + "\uff10" * 64), Refused("hexadecimal")),
    doc("digest-without-algorithm", layer(digest=digest(TAR)[7:]), Refused("digest")),
    doc("digest-of-md5", layer(digest="md5:" + "0" * 32), Refused("md5")),
    doc("digest-of-an-odd-algorithm", layer(digest="../sha256:" + "0" * 64), Refused("algorithm")),
    doc("digest-empty", layer(digest=""), Refused("digest")),
    doc("digest-a-number", layer(digest=7), Refused("string")),
    doc("digest-left-out", layer(digest=None), Refused("digest")),
    doc("digest-of-sha512", sha512, X),
    # Sizes
    doc("size-larger", layer(size=len(TAR) + 1), Refused("bytes")),
    doc("size-smaller", layer(size=len(TAR) - 1), Refused("bytes")),
    doc("size-zero", layer(size=0), Refused("bytes")),
    doc("size-negative", layer(size=-1), Refused("size -1")),
    doc("size-minimal", layer(size=-(2**63)), Refused("64 bits")),
    doc("size-of-an-exabyte", layer(size=1 << 60), Refused("out of range")),
    doc("size-beyond-64-bits", layer(size=1 << 64), Refused("64 bits")),
    doc("size-a-fraction", layer(size=len(TAR) + 0.5), Refused("integer")),
    doc("size-a-float", layer(size=float(len(TAR))), Refused("integer")),
    doc("size-a-string", layer(size=str(len(TAR))), Refused("integer")),
    doc("size-a-boolean", layer(size=True), Refused("integer")),
    doc("size-left-out", layer(size=None), Refused("size")),
    doc("size-of-the-manifest", described(size=1), Refused("bytes")),
    doc("size-of-the-manifest-negative", described(size=-2), Refused("size -2")),
    doc("size-of-the-config", lambda draft: draft.put_config(None, size=1), Refused("bytes")),
    doc("layer-cut", instead("layer", written(lambda data: data[:-512])), Refused("bytes")),
    doc("layer-extended", instead("layer", written(lambda data: data + b"\0")), Refused("bytes")),
    doc("layer-empty", instead("layer", written(lambda _: b"")), Refused("bytes")),
    # diff_ids
    doc("diff-id-wrong", config(rootfs={"type": "layers", "diff_ids": [WRONG]}), Refused("diff_id")),
    doc("diff-ids-short", config(rootfs={"type": "layers", "diff_ids": []}), Refused("diff_ids")),
    doc("diff-ids-long", config(rootfs={"type": "layers", "diff_ids": [digest(TAR)] * 2}), Refused("diff_ids")),
    doc("diff-ids-no-list", config(rootfs={"type": "layers", "diff_ids": digest(TAR)}), Refused("list")),
    doc("diff-ids-left-out", config(rootfs={"type": "layers"}), Refused("diff_ids")),
    doc("diff-id-no-digest", config(rootfs={"type": "layers", "diff_ids": ["x"]}), Refused("digest")),
    doc("rootfs-left-out", config(rootfs=None), Refused("rootfs")),
    doc("rootfs-of-another-type", config(rootfs={"type": "layer", "diff_ids": [digest(TAR)]}), Refused("type")),
    doc("history-short", config(history=[]), X),
    doc("history-no-list", config(history={}), Refused("list")),
    # The layout
    doc("layout-left-out", layout_file(None), Refused("oci-layout")),
    doc("layout-of-version-9.9.9", layout_file(b'{"imageLayoutVersion":"9.9.9"}'), Refused("9.9.9")),
    doc("layout-of-version-1", layout_file(b'{"imageLayoutVersion":1}'), Refused("string")),
    doc("layout-without-version", layout_file(b"{}"), Refused("imageLayoutVersion")),
    doc("layout-no-json", layout_file(b"1.0.0 please"), Refused("JSON")),
    doc("layout-empty", layout_file(b""), Refused("JSON")),
    doc("layout-with-more", layout_file(b'{"imageLayoutVersion":"1.0.0","more":[1]}\n'), X),
    doc("layout-of-5-kib", layout_file(b'{"imageLayoutVersion":"1.0.0"}' + b" " * 5000), Refused("bytes")),
    doc("index-left-out", instead("index.json", nothing), Refused("index.json")),
    doc("index-empty", index(manifests=[]), Refused("empty")),
    doc("index-without-manifests", index(manifests=None), Refused("manifests")),
    doc("index-of-schema-1", index(schemaVersion=1), Refused("schemaVersion")),
    doc("index-without-schema", index(schemaVersion=None), Refused("schemaVersion")),
    doc("index-schema-a-string", index(schemaVersion="2"), Refused("schemaVersion")),
    doc("index-of-a-manifest", index(layers=[], config={}), Refused("ambiguous")),
    doc("index-over-4-mib", index_text(lambda data: data + b" " * (4 << 20)), Refused("bytes")),
    doc("index-with-annotations", index(annotations={"a": "b"}), X),
    # JSON
    doc("json-trailing", manifest_text(lambda data: data + b"{}"), Refused("Extra data")),
    doc("json-trailing-in-the-index", index_text(lambda data: data + data), Refused("Extra data")),
    doc("json-trailing-in-the-config", config_text(lambda data: data + b"x"), Refused("Extra data")),
    doc("json-with-space-around", manifest_text(lambda data: b"\n\t " + data + b"\r\n\n"), X),
    doc("json-byte-order-mark", manifest_text(lambda data: b"\xef\xbb\xbf" + data), Refused("JSON")),
    doc("json-utf-16", manifest_text(lambda data: data.decode().encode("utf-16")), Refused("UTF-8")),
    doc("json-no-utf-8", config_text(lambda data: data.replace(b"amd64", b"amd\xff4")), Refused("UTF-8")),
    doc("json-duplicate-key", manifest_text(lambda data: data.replace(b'"layers"', b'"layers": [], "layers"')), Refused("twice")),
    doc("json-duplicate-key-in-the-config", config_text(lambda data: data.replace(b'"rootfs"', b'"rootfs": {}, "rootfs"')), Refused("twice")),
    doc("json-duplicate-deep-inside", config_text(lambda data: data.replace(b'"config": {}', b'"config": {"Labels": {"a": "1", "a": "2"}}')), Refused("twice")),
    doc("json-duplicate-by-escape", manifest_text(lambda data: data.replace(b'"layers"', b'"layer\\u0073": [], "layers"')), Refused("twice")),
    doc("json-other-case", manifest_text(lambda data: data.replace(b'"layers"', b'"Layers"')), Refused("ambiguous")),
    doc("json-both-cases", manifest_text(lambda data: data.replace(b'"layers"', b'"LAYERS": [], "layers"')), Refused("ambiguous")),
    doc("json-long-s", manifest_text(lambda data: data.replace(b'"layers"', '"layer\u017f": [], "layers"'.encode())), Refused("ambiguous")),
    doc("json-other-case-in-a-descriptor", layer(Digest=WRONG), Refused("ambiguous")),
    doc("json-other-case-in-the-config", config(RootFS={"type": "layers", "diff_ids": []}), Refused("ambiguous")),
    doc("json-other-case-in-the-process", config(config={"user": "0", "User": "1"}), Refused("ambiguous")),
    doc("json-comment", manifest_text(lambda data: b"/* */" + data), Refused("JSON")),
    doc("json-not-a-number", manifest_text(lambda data: data.replace(b'"schemaVersion": 2', b'"schemaVersion": NaN')), Refused("JSON")),
    doc("json-infinity", config_text(lambda data: data.replace(b'"history"', b'"x": 1e999, "history"')), Refused("range")),
    doc("json-single-quotes", manifest_text(lambda data: data.replace(b'"', b"'")), Refused("JSON")),
    doc("json-a-list", manifest_text(lambda data: b"[" + data + b"]"), Refused("object")),
    doc("json-null", manifest_text(lambda _: b"null"), Refused("object")),
    doc("json-nothing", manifest_text(lambda _: b""), Refused("JSON")),
    doc("json-deep", config_text(lambda data: data[:-1] + b', "x": ' + deep(100_000) + b"}"), Refused("nests")),
    doc("json-deep-and-open", config_text(lambda _: b"[" * 1_000_000), Refused("nests")),
    doc("json-128-deep", config_text(lambda data: data[:-1] + b', "x": ' + deep(127) + b"}"), X),
    doc("json-129-deep", config_text(lambda data: data[:-1] + b', "x": ' + deep(128) + b"}"), Refused("nests")),
    doc("json-million-digits", config_text(lambda data: data[:-1] + b', "x": ' + b"9" * 1_000_000 + b"}"), Refused("64 bits")),
    doc("json-string-without-end", config_text(lambda data: data[:-1] + b', "x": [' + b"[]," * 200 + b'"' + b'\\"' * 1_000_000), Refused("JSON")),
    doc("json-duplicate-behind-many", config_text(lambda data: data[:-1] + b"".join(b', "%d": 0' % number for number in range(200_000)) + b', "199999": 1}'), Refused("twice")),
    doc("json-text-of-3-mib-for-a-type", described(mediaType="x" * (3 << 20)), Refused("media type")),
    doc("json-half-a-surrogate", config_text(lambda data: data[:-1] + b', "x": "\\ud800"}'), Refused("surrogate")),
    doc("json-control-in-a-string", config_text(lambda data: data[:-1] + b', "x": "\n"}'), Refused("JSON")),
    doc("config-over-8-mib", config_text(lambda data: data + b" " * (8 << 20)), Refused("bytes")),
    doc("config-of-8-mib", config_text(lambda data: data.ljust(8 << 20)), X),
    doc("manifest-over-4-mib", manifest_text(lambda data: data + b" " * (4 << 20)), Refused("bytes")),
    # Kinds
    doc("manifest-of-an-index", manifest(manifests=[]), Refused("ambiguous")),
    doc("manifest-of-schema-1", manifest(schemaVersion=1), Refused("schemaVersion")),
    doc("manifest-with-fs-layers", manifest(fsLayers=[]), Refused("ambiguous")),
    doc("manifest-type-differs", manifest(mediaType=DOCKER), Refused("media type")),
    doc("manifest-type-of-an-index", manifest(mediaType=INDEX), Refused("media type")),
    doc("manifest-type-left-out", manifest(mediaType=None), X),
    doc("manifest-type-unknown", described(mediaType="application/octet-stream"), Refused("media type")),
    doc("manifest-called-index", described(mediaType=INDEX), Refused("ambiguous")),
    doc("manifest-without-layers", manifest(layers=None), Refused("layers")),
    doc("manifest-layers-no-list", manifest(layers={}), Refused("layers")),
    doc("manifest-layer-null", manifest(layers=[0]), Refused("object")),
    doc("manifest-without-config", config_null, Refused("config")),
    doc("manifest-of-5000-layers", lambda draft: draft.manifest.update(layers=[EMPTY] * 5000), Refused("layers")),
    doc("config-of-another-type", lambda draft: draft.put_config(None, mediaType="application/vnd.oci.empty.v1+json"), Refused("artifact")),
    doc("layer-of-another-type", layer(mediaType="application/vnd.in-toto+json"), Refused("media type")),
    doc("layer-encrypted", layer(mediaType=f"{OCI}.layer.v1.tar+gzip+encrypted"), Refused("media type")),
    doc("layer-foreign-and-absent", foreign, Refused("foreign")),
    doc("docker-types", docker_types, X),
    # Indexes
    doc("index-nested-twice", nested(2), X),
    doc("index-nested-five-deep", nested(5), X),
    doc("index-nested-six-deep", nested(6), Refused("nest")),
    doc("index-nested-fifty-deep", nested(50), Refused("nest")),
    doc("index-with-absent-image", index_with({"mediaType": MANIFEST, "digest": WRONG, "size": 7, "platform": {"os": "linux", "architecture": "arm64"}}), X),
    doc("index-of-absent-images", manifest_gone, Refused("missing")),
    doc("index-with-attestation", attested, X),
    doc("index-platform-no-object", index_with(platform=["linux"]), Refused("object")),  # type: ignore[arg-type]
    doc("two-tags", two_tags, X),
    doc("two-images-untagged", two_images(same_tag=False), Refused("several images")),
    doc("two-images-of-one-tag", two_images(same_tag=True), Refused("several images"), ":latest"),
    doc("tag-unknown", lambda _: None, Refused("no tag"), ":other"),
    doc("tag-with-control", lambda _: None, Refused("not a valid tag"), ":\x1b[2J"),
    # Files that are no files
    *(
        doc(f"{which}-{name}", instead(which, put), Refused(message))
        for which in ("layer", "config", "manifest", "index.json", "oci-layout")
        for name, put, message in (
            ("a-fifo", fifo, "FIFO"),
            ("a-directory", a_directory, "directory"),
            ("a-socket", a_socket, "socket"),
            ("a-device", link_to("/dev/zero"), "out of the image"),
            ("a-link-out", link_to("/etc/passwd"), "out of the image"),
            ("a-link-to-itself", lambda path, _: os.symlink(os.path.basename(path), path), "symbolic link"),
        )
    ),
    doc("layer-a-link-inside", instead("layer", link_inside), X),
    doc("layer-gone", instead("layer", nothing), Refused("missing")),
    doc("blobs-a-link-out", blobs_elsewhere, Refused("out of the image")),
)
# fmt: on
