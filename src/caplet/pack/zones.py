# SPDX-License-Identifier: Apache-2.0
"""The time zone database, as the files of /usr/share/zoneinfo."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path

from caplet.errors import InvalidInput, Unavailable

IMAGE_PATH = b"/usr/share/zoneinfo"
"""platformZoneSources of Go's time/zoneinfo_unix.go, TZDIR of glibc and musl."""

DIRECTORIES = ("/usr/share/zoneinfo", "/usr/share/lib/zoneinfo", "/usr/lib/locale/TZ", "/etc/zoneinfo")

TABLES = frozenset(
    {"iso3166.tab", "leap-seconds.list", "leapseconds", "tzdata.zi", "zone.tab", "zone1970.tab"}
)
"""Not zones, but read by programs that list them."""

LEFT_OUT = frozenset({"posix", "right", "localtime", "posixrules"})
"""A second copy, one with leap seconds that POSIX time does not have, and names that belong to one machine."""

MAGIC = b"TZif"
"""RFC 8536, section 3.1."""

FILE_MAX = 1 << 20
"""The largest zone has 4 KB, the largest table 120 KB."""
FILES_MAX = 5000
"""The database has 600 names."""


def read_zones(directory: str = "") -> dict[bytes, bytes]:
    """Path in the image -> content, of the named directory, the `tzdata` package, or this machine.

    The `tzdata` package comes before the machine's files, so that a pinned version gives the same image anywhere.
    """
    root = Path(directory or _zoneinfo())
    if not root.is_dir():
        raise InvalidInput(f"{root}: no such directory", "--time-zones=DIR takes one as /usr/share/zoneinfo")
    found: dict[bytes, bytes] = {}
    for path in _files(root):
        content = _read(path)
        if path.name in TABLES or content.startswith(MAGIC):
            found[IMAGE_PATH + b"/" + os.fsencode(path.relative_to(root))] = content
        if len(found) > FILES_MAX:
            raise InvalidInput(f"{root} holds more than {FILES_MAX} files: not a time zone database")
    if not found:
        raise InvalidInput(f"{root} holds no time zones")
    return found


def _files(root: Path) -> list[Path]:
    files: list[Path] = []
    for place, directories, names in os.walk(root):
        if Path(place) == root:
            directories[:] = set(directories) - LEFT_OUT
            files += [Path(place, name) for name in set(names) - LEFT_OUT]
        else:
            files += [Path(place, name) for name in names]
    return sorted(path for path in files if path.is_file())


def _read(path: Path) -> bytes:
    with path.open("rb") as stream:
        return stream.read(FILE_MAX)


def _zoneinfo() -> str:
    package = importlib.util.find_spec("tzdata")
    if package is not None and package.origin is not None:
        return str(Path(package.origin).parent / "zoneinfo")
    for directory in DIRECTORIES:
        if os.path.isdir(directory):
            return directory
    raise Unavailable(
        "this machine has no time zone database", "pip install tzdata, or give one: --time-zones=DIR"
    )
