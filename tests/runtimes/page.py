# SPDX-License-Identifier: Apache-2.0
"""The tables of docs/runtimes.md, worked out by the code: `python -m tests.runtimes.page` writes them anew."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from tests.runtimes.manifests import pod

from caplet.image.config import ImageConfig
from caplet.image.passwd import User
from caplet.kernel.caps import Caps
from caplet.runtimes.model import Refused, SecurityContext, Spec
from caplet.runtimes.node import parse
from caplet.runtimes.platforms import PLATFORMS
from caplet.runtimes.ports import port_start

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from caplet.runtimes.node import Node

PAGE = Path(__file__).parents[2] / "docs" / "runtimes.md"

NODES = (
    "containerd:1.6.1", "containerd:1.7", "containerd:2.3", "crio:1.17", "crio:1.36", "docker:18.03", "docker:20.10.13",
    "docker:20.10", "docker:29", "podman:4.3", "podman:5",
)  # fmt: skip
IMAGE = ImageConfig(
    {
        "architecture": "amd64",
        "os": "linux",
        "config": {"Cmd": ["/app"]},
        "rootfs": {"type": "layers", "diff_ids": []},
    }
)
SETS = ("bounding", "permitted", "effective", "inheritable", "ambient")


def spec(
    node: Node, *, add: tuple[str, ...] = (), drop: tuple[str, ...] = (), uid: int = 65535
) -> Spec | Refused:
    one = pod()
    request = SecurityContext(add_capabilities=add, drop_capabilities=drop, run_as_user=uid)
    return node.spec(one, one.containers[0], request, IMAGE, User(uid, uid, (uid,)))


def _names(node: Node, made: Spec | Refused) -> str:
    """The bounding set in words."""
    if isinstance(made, Refused):
        return f"refused: `{made.message}`"
    calls = node.runtime.system_calls(made.process, _every(node), node.runtime_version)
    if isinstance(calls, Refused):
        return f"{calls.by} refuses: `{calls.message}`"
    caps = node.runtime.caps_of(made.process.capabilities.bounding, node.runtime_version)
    if caps == _every(node):
        return "all"
    ignored = node.runtime.ignored(made.process.capabilities, node.runtime_version)
    return (", ".join(caps.names()) or "none") + (f" (`{ignored[0]}` ignored)" if ignored else "")


def _every(node: Node) -> Caps:
    return Caps.all(node.kernel.last_cap)


def _letters(made: Spec | Refused) -> str:
    if isinstance(made, Refused):
        return made.message
    sets = made.process.capabilities
    return " ".join(field[0].upper() for field in SETS if getattr(sets, field)) or "-"


def _default(node: Node) -> str:
    made = spec(node)
    assert isinstance(made, Spec)
    return str(len(made.process.capabilities.bounding))


def _port(node: Node) -> str:
    made = spec(node)
    assert isinstance(made, Spec)
    start, _ = port_start(node, pod(), made)
    return str(start)


COLUMNS: tuple[tuple[str, Callable[[Node], str]], ...] = (
    ("default capabilities", _default),
    ("sets of root", lambda node: _letters(spec(node, uid=0))),
    ("sets of a user, default", lambda node: _letters(spec(node))),
    ("sets of a user, added", lambda node: _letters(spec(node, add=("NET_BIND_SERVICE",), drop=("ALL",)))),
    ("ports need a capability below", _port),
)

SPELLINGS: tuple[tuple[str, tuple[str, ...], tuple[str, ...]], ...] = (
    ("add and drop ALL", ("ALL",), ("ALL",)),
    ("add and drop NET_RAW, drop ALL", ("NET_RAW",), ("NET_RAW", "ALL")),
    ("add `net_raw`, drop `all`", ("net_raw",), ("all",)),
    ("add `CAP_NET_RAW`, drop ALL", ("CAP_NET_RAW",), ("ALL",)),
    ("add `NET_RAWS`, drop ALL", ("NET_RAWS",), ("ALL",)),
    ('add `""`, drop ALL', ("",), ("ALL",)),
)


def _row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def glance() -> str:
    rows = [_row(("engine", *(title for title, _ in COLUMNS))), _row("---" for _ in range(len(COLUMNS) + 1))]
    for text in NODES:
        node = parse(text)
        title = f"{node.engine.title} {node.engine_version}"
        rows.append(_row((title, *(column(node) for _, column in COLUMNS))))
    return "\n".join(rows)


def spellings() -> str:
    nodes = [parse(text) for text in ("containerd:2.3", "crio:1.36", "docker:29", "podman:5")]
    rows = [_row(("", *(node.engine.title for node in nodes))), _row("---" for _ in range(len(nodes) + 1))]
    for title, add, drop in SPELLINGS:
        rows.append(_row((title, *(_names(node, spec(node, add=add, drop=drop)) for node in nodes))))
    return "\n".join(rows)


def platforms() -> str:
    rows = [
        _row(
            (
                "`--on`",
                "releases",
                "oldest that is known",
                "newest that is known",
                "admission",
                "source of the newest",
            )
        ),
        _row("---" for _ in range(6)),
    ]
    for platform in PLATFORMS.values():
        if not platform.rows:
            rows.append(
                _row(
                    (
                        f"`{platform.name}`",
                        "-",
                        "not published",
                        "not published",
                        platform.admission,
                        platform.source,
                    )
                )
            )
            continue
        first, last = platform.rows[0].release, platform.rows[-1].release
        oldest, newest = (parse(f"{platform.name}:{one.line}.{one.patch}") for one in (first, last))
        source = platform.rows[-1].source.replace("|", "\\|")
        admission = platform.admission or "-"
        rows.append(
            _row((f"`{platform.name}`", f"{first} to {last}", str(oldest), str(newest), admission, source))
        )
    return "\n".join(rows)


TABLES = {"glance": glance, "spellings": spellings, "platforms": platforms}


def filled(text: str) -> str:
    """The page with every table as the code has it."""
    for name, table in TABLES.items():
        before, begin, rest = text.partition(f"<!-- {name}: tests/runtimes/page.py -->\n")
        _, end, after = rest.partition(f"<!-- end {name} -->")
        text = f"{before}{begin}{table()}\n{end}{after}"
    return text


if __name__ == "__main__":
    PAGE.write_text(filled(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
