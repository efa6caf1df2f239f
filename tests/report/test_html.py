# SPDX-License-Identifier: Apache-2.0
"""The page: well-formed, whole by itself, nothing of a name becomes markup, readable without the picture."""

from __future__ import annotations

import base64
import hashlib
import itertools
import re
import sys
import unicodedata
from html.parser import HTMLParser

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.report.cases import CASES, HOSTILE, every, examples

from caplet.errors import Unavailable
from caplet.report import html
from caplet.report.html import page
from caplet.report.judged import Judged
from caplet.report.printable import UNSAFE_CATEGORIES, printable

VOID = {"meta", "br"}
ALLOWED = {
    "html", "head", "meta", "title", "style", "body", "header", "main", "section", "h1", "h2", "h3", "p", "span", "a", "code",
    "pre", "div", "table", "thead", "tbody", "tr", "th", "td", "ul", "ol", "li", "strong", "details", "summary", "br",
    "svg", "g", "rect", "line", "path", "text",
}  # fmt: skip
"""Nothing that fetches, runs or sends."""


class Reader(HTMLParser):
    """Keeps elements and text; end tags must match."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None], tuple[str, ...]]] = []
        self.text: dict[str, str] = {}

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs), tuple(self.open)))
        assert len(dict(attrs)) == len(attrs)
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs), tuple(self.open)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        where = self.open[-1] if self.open else ""
        self.text[where] = self.text.get(where, "") + data


def read(text: str) -> Reader:
    reader = Reader()
    reader.feed(text)
    reader.close()
    assert not reader.open
    return reader


def whole(names: list[str]) -> str:
    return page([one for name in names for one in CASES[name]()])


@pytest.fixture(scope="module", params=[[name] for name in CASES] + [list(CASES)], ids=[*CASES, "all"])
def text(request: pytest.FixtureRequest) -> str:
    return whole(request.param)


def test_is_well_formed_and_fetches_nothing(text: str) -> None:
    reader = read(text)
    assert {tag for tag, _, _ in reader.elements} <= ALLOWED
    for tag, attributes, _ in reader.elements:
        assert not {
            name for name in attributes if name.startswith("on") or name in {"style", "src", "srcset"}
        }
        if "href" in attributes:
            assert tag == "a"
            assert re.fullmatch(r"#c\d+", attributes["href"] or "")
    assert not re.search(r"url\(|@import|//", reader.text["style"])


def test_the_policy_allows_its_own_style_only(text: str) -> None:
    style = read(text).text["style"]
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    assert any(
        attributes.get("http-equiv") == "Content-Security-Policy" and attributes.get("content") == policy
        for _, attributes, _ in read(text).elements
    )


def test_ids_are_unique_and_what_refers_to_them_finds_them(text: str) -> None:
    elements = read(text).elements
    ids = [attributes["id"] for _, attributes, _ in elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    named = [
        value
        for _, attributes, _ in elements
        for name in ("aria-labelledby", "aria-describedby")
        if (value := attributes.get(name))
    ]
    named += [value[1:] for _, attributes, _ in elements if (value := attributes.get("href"))]
    assert set(named) <= set(ids)


def test_can_be_read_with_a_screen_reader(text: str) -> None:
    elements = read(text).elements
    assert next(attributes for tag, attributes, _ in elements if tag == "html")["lang"] == "en"
    assert [tag for tag, _, _ in elements if tag in {"h1", "main"}] == ["h1", "main"]
    for tag, attributes, above in elements:
        if tag == "th":
            assert attributes["scope"] in {"row", "col"}
        if tag == "svg":
            assert attributes["role"] == "img"
            assert attributes["aria-labelledby"]
            assert attributes["aria-describedby"]
        if attributes.get("class") == "scroll":
            assert attributes["tabindex"] == "0"
            assert attributes["role"] == "region"
        if tag == "table":
            assert "div" in above
    levels = [int(tag[1]) for tag, _, _ in elements if tag in {"h1", "h2", "h3"}]
    assert all(after <= before + 1 for before, after in itertools.pairwise(levels))


def test_no_name_moves_the_cursor_or_turns_a_line(text: str) -> None:
    assert not {unicodedata.category(char) for char in text.replace("\n", "")} & UNSAFE_CATEGORIES


def test_names_are_shown_and_are_no_markup() -> None:
    text = whole(["hostile"])
    reader = read(text)
    assert "<script" not in text
    assert "49" not in reader.text["h2"]  # {{7*7}}
    assert printable(HOSTILE) in reader.text["h2"]


@settings(max_examples=40, deadline=None)
@given(st.text(max_size=30))
def test_no_text_is_markup(name: str) -> None:
    from dataclasses import replace

    (one,) = CASES["image-not-reached"]()
    changed = replace(one.explanation, notes=(name,), pod=replace(one.explanation.pod, name=name))
    reader = read(page([Judged(changed)]))
    assert {tag for tag, _, _ in reader.elements} <= ALLOWED
    assert printable(name) in "".join(reader.text.values())


@pytest.mark.parametrize(
    ("name", "words"),
    [
        pytest.param("inert", "lost in exec /app: no file capabilities", id="no-file-capabilities"),
        pytest.param("exec-fails", "EPERM", id="denied"),
        pytest.param("inert-behind-a-wrapper", "lost in exec /entry.sh -> /bin/sh", id="wrapper"),
        pytest.param("effective", "effective, bounding after exec /app", id="effective"),
        pytest.param(
            "privileged", "all 41: permitted, effective, bounding after config.json", id="privileged"
        ),
    ],
)
def test_the_picture_is_told_in_words(name: str, words: str) -> None:
    assert words in read(whole([name])).text["li"]


def test_every_cause_is_on_its_page() -> None:
    for one in examples():
        reader = read(page([one]))
        assert {tag for tag, _, _ in reader.elements} <= ALLOWED
        assert all(f"{found.cause.code} {found.cause.name}" in reader.text["strong"] for found in one.causes)


def test_every_verdict_is_on_its_page() -> None:
    for one in every():
        assert f">{one.explanation.verdict.value}</span>" in page([one])


def test_says_what_is_missing_without_jinja2(monkeypatch: pytest.MonkeyPatch) -> None:
    html._template.cache_clear()
    monkeypatch.setitem(sys.modules, "jinja2", None)
    with pytest.raises(Unavailable, match="Jinja2") as caught:
        whole(["inert"])
    assert "caplet[report]" in (caught.value.hint or "")
