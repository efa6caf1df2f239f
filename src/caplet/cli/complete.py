# SPDX-License-Identifier: Apache-2.0
"""What can stand at the cursor: images on disk and their tags, capabilities, platforms, engines, containers.

What an argument stands for is told by its metavar, so that a word is completed alike in every command: `equip()` gives
a command's parameters their candidates. It is called only when a shell asks (see `caplet.cli.shells`). A completion
must never get in the way: what cannot be read has no candidates.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import re
from typing import TYPE_CHECKING

import click
from click.shell_completion import CompletionItem

from caplet.cli.settings import Settings
from caplet.errors import CapletError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    Candidates = Callable[[click.Context, str], Iterable[CompletionItem]]

PREFIX = "prefix"
"""The type of a candidate that is not the end of a word: the shell adds no space. click's own are plain, file, dir."""

MAX_ENTRIES = 2000
"""Of a directory that is looked through: more nobody reads, and the shell waits."""

MAX_JSON = 1 << 20
"""Bytes of an index.json that is read for its tags."""

TRANSPORTS = ("oci", "oci-archive", "docker-archive")
_SCHEMES = tuple(f"{one}:" for one in TRANSPORTS)


def equip(command: click.Command) -> None:
    """Give each parameter that is known, by itself or by its metavar, its candidates."""
    for param in command.params:
        names = (*param.opts, param.metavar or "")
        candidates = next((CANDIDATES[name] for name in names if name in CANDIDATES), None)
        if candidates is not None and isinstance(param.type, click.types.StringParamType):
            param.type = Suggested(candidates)


class Suggested(click.types.StringParamType):
    """A text for which there are suggestions."""

    def __init__(self, candidates: Candidates) -> None:
        self._candidates = candidates

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        del param
        try:
            return list(self._candidates(ctx, incomplete))
        except (CapletError, OSError, ValueError):
            return []


# Images


def images(ctx: click.Context, incomplete: str) -> Iterator[CompletionItem]:
    """`oci:DIR[:TAG]`, `oci-archive:FILE`, `docker-archive:FILE`: the transport, then the path, then the tag."""
    del ctx
    transport, colon, rest = incomplete.partition(":")
    if not colon:
        for one in TRANSPORTS:
            if one.startswith(incomplete):
                yield CompletionItem(f"{one}:", type=PREFIX)
    elif transport not in TRANSPORTS:
        return
    elif ":" in rest:
        path, _, tag = rest.partition(":")
        if transport == "oci":
            yield from _tagged(path, tag)
    elif transport == "oci":
        yield from _layouts(rest)
    else:
        for path, entry in _entries(rest):
            if entry.is_dir():
                yield CompletionItem(f"{transport}:{path}/", type=PREFIX)
            else:
                yield CompletionItem(f"{transport}:{path}")


def _layouts(begun: str) -> Iterator[CompletionItem]:
    """The directories that begin so; of the one layout among them its tags as well."""
    found = [(path, _is_layout(entry.path)) for path, entry in _entries(begun) if entry.is_dir()]
    alone = len(found) == 1
    for path, layout in found:
        if not layout:
            yield CompletionItem(f"oci:{path}/", type=PREFIX)
        elif alone and (tagged := list(_tagged(path, ""))):
            yield CompletionItem(f"oci:{path}")
            yield from tagged
        else:
            yield CompletionItem(f"oci:{path}", type=PREFIX)


def _is_layout(path: str) -> bool:
    return os.path.isfile(os.path.join(path, "oci-layout"))


def _tagged(path: str, begun: str) -> Iterator[CompletionItem]:
    with open(os.path.join(path, "index.json"), "rb") as file:
        index = json.loads(file.read(MAX_JSON))
    tags = {
        tag
        for one in index["manifests"]
        if isinstance(tag := (one.get("annotations") or {}).get("org.opencontainers.image.ref.name"), str)
    }
    for tag in sorted(tags):
        if tag.startswith(begun) and tag.isprintable():
            yield CompletionItem(f"oci:{path}:{tag}")


def _entries(begun: str) -> list[tuple[str, os.DirEntry[str]]]:
    """What the path may become: each directory entry whose name begins as it ends, by name."""
    directory, name = os.path.split(begun)
    found = []
    with os.scandir(directory or ".") as entries:
        for number, entry in enumerate(entries):
            if number >= MAX_ENTRIES:
                break
            if entry.name.startswith(name) and entry.name.startswith(".") <= name.startswith("."):
                path = os.path.join(directory, entry.name)
                if path.isprintable() and ":" not in path:
                    found.append((path, entry))
    return sorted(found, key=lambda one: one[0])


def named_images(ctx: click.Context, incomplete: str) -> Iterator[CompletionItem]:
    """`[NAME=]REF`."""
    name, equals, reference = incomplete.rpartition("=")
    for item in images(ctx, reference):
        item.value = f"{name}{equals}{item.value}"
        yield item


# Capabilities


def granted(ctx: click.Context, incomplete: str) -> Iterator[CompletionItem]:
    """`[PATH=]CAPS`: the path is in the image, which is not read for it."""
    if not incomplete.startswith("/") or "=" in incomplete:
        yield from capabilities(ctx, incomplete)


def packed(ctx: click.Context, incomplete: str) -> Iterator[CompletionItem]:
    """`FILE[:PATH][=CAPS]`."""
    if "=" in incomplete:
        yield from capabilities(ctx, incomplete)
    else:
        yield CompletionItem(incomplete, type="file")


def capabilities(ctx: click.Context, incomplete: str) -> Iterator[CompletionItem]:
    """The names after the last comma or equals sign, as they were begun: NET_RAW, CAP_NET_RAW, cap_net_raw, net_raw."""
    del ctx
    from caplet.kernel.caps import Cap, bare

    begun = re.split(r"[=,]", incomplete)[-1]
    head = incomplete[: len(incomplete) - len(begun)]
    taken = {bare(word) for word in re.split(r"[=,]", head)}
    for cap in Cap:
        for name in (f"CAP_{cap.name}", cap.name):
            spelled = name.lower() if begun.islower() else name
            if spelled.startswith(begun) and (begun or name == cap.name) and cap.name not in taken:
                yield CompletionItem(head + spelled)
                break


# Kubernetes


def engines(ctx: click.Context, incomplete: str) -> Iterator[CompletionItem]:
    """`ENGINE[:VERSION]`, after a comma another one, after a plus sign the OCI runtime."""
    del ctx
    from caplet.runtimes.node import ENGINES, RUNTIMES

    begun = re.split(r"[,+]", incomplete)[-1]
    head = incomplete[: len(incomplete) - len(begun)]
    for name, known in (RUNTIMES if head.endswith("+") else ENGINES).items():
        if ":" not in begun and name.startswith(begun):
            yield CompletionItem(head + name, type=PREFIX)
        yield from (
            CompletionItem(head + text)
            for release in reversed(known.releases)
            if ":" in begun and (text := f"{name}:{release.line}").startswith(begun)
        )


def containers(ctx: click.Context, incomplete: str) -> Iterator[CompletionItem]:
    """The containers of the Pod in the manifest that was named before."""
    from caplet.kubernetes.document import documents
    from caplet.kubernetes.pod import the_pod

    manifest = next(filter(os.path.isfile, _words(ctx)), None)
    if manifest is None:
        return
    with open(manifest, "rb") as file:
        pod = the_pod(documents(file.read(MAX_JSON), manifest), manifest)
    for container in pod.every_container:
        if container.name.startswith(incomplete) and container.name.isprintable():
            yield CompletionItem(container.name)


def platforms(ctx: click.Context, incomplete: str) -> Iterator[CompletionItem]:
    """Those of the image that was named before; without one, or where it says none, those that Linux has."""
    from caplet.image.elf import ARCHITECTURES

    for platform in _platforms_of(_image(ctx)) or sorted(
        {f"linux/{name}" for name in ARCHITECTURES.values()}
    ):
        if platform.startswith(incomplete):
            yield CompletionItem(platform)


def _image(ctx: click.Context) -> str:
    words = _words(ctx)
    outputs = {word for before, word in itertools.pairwise(words) if before in {"-o", "--output"}}
    return next((word for word in words if word.startswith(_SCHEMES) and word not in outputs), "")


def _platforms_of(reference: str) -> list[str]:
    from caplet.image.image import Index, open_image

    with contextlib.suppress(CapletError, OSError):
        image = open_image(reference)
        if isinstance(image, Index):
            return [str(one.platform) for one in image.images() if str(one.platform).isprintable()]
    return []


def _words(ctx: click.Context) -> tuple[str, ...]:
    """The words before the cursor. (`ctx.params` lacks arguments where an option waits for its value.)"""
    return ctx.ensure_object(Settings).words


# The rest


def urls(ctx: click.Context, incomplete: str) -> Iterator[CompletionItem]:
    """What `--probe` asks."""
    del ctx
    if "http://:".startswith(incomplete):
        yield CompletionItem("http://:", type=PREFIX)


def files(ctx: click.Context, incomplete: str) -> Iterator[CompletionItem]:
    """The shell knows how."""
    del ctx
    yield CompletionItem(incomplete, type="file")


def directories(ctx: click.Context, incomplete: str) -> Iterator[CompletionItem]:
    """The shell knows how."""
    del ctx
    yield CompletionItem(incomplete, type="dir")


def causes(ctx: click.Context, incomplete: str) -> Iterator[CompletionItem]:
    """Codes, and names once one is begun."""
    del ctx
    from caplet.causes.catalogue import CAUSES

    for cause in CAUSES:
        if cause.code.startswith(incomplete.upper()):
            yield CompletionItem(cause.code, help=cause.name)
        elif incomplete and cause.name.startswith(incomplete.lower()):
            yield CompletionItem(cause.name)


CANDIDATES: dict[str, Candidates] = {
    "IMAGE": images,
    "OUT": images,
    "REF": images,
    "[NAME=]REF": named_images,
    "[PATH=]CAPS...": granted,
    "CAPS": capabilities,
    "FILE[:PATH][=CAPS]...": packed,
    "ENGINE[:VERSION]": engines,
    "NODE": engines,
    "NODE[,...]": engines,
    "--container": containers,
    "OS/ARCH[/VARIANT]": platforms,
    "OS/ARCH": platforms,
    "URL": urls,
    "POD.yaml": files,
    "[CODE|NAME]": causes,
    "FILE": files,
    "DIR": directories,
}
"""By option or metavar. Anything else is free text."""
