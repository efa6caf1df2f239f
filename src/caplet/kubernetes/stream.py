# SPDX-License-Identifier: Apache-2.0
"""A manifest's bytes as text, and the text as documents, cut where kubectl cuts it.

kubectl reads a manifest in three steps, each with rules of its own: cli-runtime pkg/resource/visitor.go (encodings),
apimachinery pkg/util/yaml/decoder.go (JSON or YAML; where a document ends), sigs.k8s.io/yaml (one document). This is
the first two. A line that begins with `---` ends a document, whatever YAML would say: also within a block scalar.
"""

from __future__ import annotations

import codecs
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from caplet.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

MAX_DOCUMENT = 8 << 20
"""Characters of one document; an API server takes 3 MiB of JSON for one object, a node's list of Pods may have more."""
MAX_TEXT = 256 << 20
"""Characters of one stream of documents."""
MAX_JSON = 64 << 20
"""Characters of one stream of JSON, which is held as a whole: where an object ends is known when it was read."""
AS_JSON = "as JSON it may have more: kubectl get -o json"
PEEKED = 4096
"""NewYAMLOrJSONDecoder: where a brace must be found for the text to be taken for JSON."""

_BOMS: tuple[tuple[bytes, str], ...] = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
SPACE = "\t\n\v\f\r \x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u2028\u2029\u202f\u205f\u3000"
"""Go's unicode.IsSpace."""
_SEPARATOR = re.compile(r"^---([^\n]*)\n", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Chunk:
    """The text of one document, or a whole stream of JSON."""

    text: str
    line: int
    """Of its first character in the whole; counts from 0."""
    kind: Literal["yaml", "json"] = "yaml"


def decoded(blocks: Iterable[bytes]) -> Iterator[str]:
    """Bytes as text: UTF-16 where a byte order mark says so, else UTF-8, its invalid bytes replaced as kubectl does."""
    decoder: codecs.IncrementalDecoder | None = None
    begun = b""
    for block in blocks:
        if decoder is None:
            begun += block
            if len(begun) < len(codecs.BOM_UTF8):
                continue
            begun, decoder = _decoder(begun)
            yield decoder.decode(begun)
        else:
            yield decoder.decode(block)
    if decoder is None:
        begun, decoder = _decoder(begun)
        yield decoder.decode(begun)
    yield decoder.decode(b"", final=True)


def _decoder(begun: bytes) -> tuple[bytes, codecs.IncrementalDecoder]:
    for bom, encoding in _BOMS:
        if begun.startswith(bom):
            return begun[len(bom) :], codecs.getincrementaldecoder(encoding)("replace")
    return begun, codecs.getincrementaldecoder("utf-8")("replace")


def chunks(blocks: Iterable[str], name: str) -> Iterator[Chunk]:
    """The documents' texts. A text that begins with a brace comes as JSON, as a whole; see `jsontext`."""
    blocks = _bounded(iter(blocks), name)
    begun = ""
    for block in blocks:
        begun += block
        if len(begun) >= PEEKED:
            break
    if begun[:PEEKED].lstrip(SPACE).startswith("{"):
        yield Chunk(_whole(begun, blocks, name), 0, "json")
    else:
        yield from yaml_chunks(_prepend(begun, blocks), name)


def _bounded(blocks: Iterator[str], name: str) -> Iterator[str]:
    total = 0
    for block in blocks:
        total += len(block)
        if total > MAX_TEXT:
            raise InvalidInput(f"{name}: more than {MAX_TEXT >> 20} MiB")
        yield block


def _whole(begun: str, blocks: Iterator[str], name: str) -> str:
    parts, total = [begun], len(begun)
    for block in blocks:
        parts.append(block)
        total += len(block)
        if total > MAX_JSON:
            raise InvalidInput(f"{name}: more than {MAX_JSON >> 20} MiB of JSON")
    return "".join(parts)


def _prepend(begun: str, blocks: Iterator[str]) -> Iterator[str]:
    yield begun
    yield from blocks


def yaml_chunks(blocks: Iterable[str], name: str, line: int = 0) -> Iterator[Chunk]:
    r"""YAMLReader: cut at lines that begin with `---`; `\r\n` becomes `\n`, the last line gets its end.

    A separator with nothing before it stays with the document that it opens.
    """
    rest = ""
    for block in _with_line_ends(blocks):
        rest += block
        begin = 0
        for match in _SEPARATOR.finditer(rest):
            _check_separator(match[1], name, line + rest.count("\n", begin, match.start()))
            if match.start() == begin:
                continue
            yield _yaml_chunk(rest[begin : match.start()], line, name)
            line += rest.count("\n", begin, match.end())
            begin = match.end()
        rest = rest[begin:]
        if len(rest) > MAX_DOCUMENT:
            break
    if rest:
        yield _yaml_chunk(rest, line, name)


def _yaml_chunk(text: str, line: int, name: str) -> Chunk:
    if len(text) > MAX_DOCUMENT:
        raise InvalidInput(f"{name}:{line + 1}: a document of more than {MAX_DOCUMENT >> 20} MiB", AS_JSON)
    return Chunk(text, line)


def _check_separator(behind: str, name: str, line: int) -> None:
    behind = behind.strip(SPACE)
    if behind and not behind.startswith("#"):
        raise InvalidInput(
            f"{name}:{line + 1}: invalid Yaml document separator: {behind}",
            "kubectl takes nothing but a comment behind ---",
        )


def _with_line_ends(blocks: Iterable[str]) -> Iterator[str]:
    held, last = "", "\n"
    for block in blocks:
        text = held + block
        held = "\r" if text.endswith("\r") else ""
        text = text[: len(text) - len(held)].replace("\r\n", "\n")
        if text:
            last = text[-1]
            yield text
    if held or last != "\n":
        yield held + "\n"
