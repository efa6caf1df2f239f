# SPDX-License-Identifier: Apache-2.0
"""The commands that are compared: caplet, what a user would use instead, and the bare decompression that bounds them all.

A `Way` is a shell script with an output directory of its own ($OUT), which is empty when the clock starts. Scripts run under
`sh -eu`, tools' own logs go to stderr.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass

CAPABILITY = "cap_net_bind_service=ep"


@dataclass(frozen=True, slots=True)
class Way:
    """One way to do a case's work."""

    name: str
    script: str
    needs: tuple[str, ...]
    """Programs without which it is skipped."""
    slow: bool = False
    """Measured in fewer rounds."""
    prepare: str = ""
    """A script that runs before each measurement, outside it."""
    lists: bool = False
    """It prints the names of the files it found; all ways of a case that do must find the same ones."""

    @property
    def command(self) -> tuple[str, ...]:
        return ("sh", "-euc", self.script)

    def missing(self) -> list[str]:
        return [name for name in self.needs if shutil.which(name, path=search_path()) is None]


def listed(output: bytes) -> frozenset[bytes]:
    """The files that a scan's output names: the first word of each line, from the root."""
    return frozenset(b"/" + line.split()[0].lstrip(b"./") for line in output.splitlines() if line.strip())


def search_path() -> str:
    """caplet of this environment first, then the system's tools."""
    return os.pathsep.join(
        (os.path.dirname(sys.executable), os.environ.get("PATH", ""), "/usr/sbin", "/sbin")
    )


def newest_umoci() -> str:
    """A newer umoci than the distribution's: built elsewhere, named by the environment."""
    return os.environ.get("UMOCI", "umoci-newest")


def version(program: str) -> str:
    """First line of what it says about itself."""
    path = shutil.which(program, path=search_path())
    if path is None:
        return "missing"
    said = subprocess.run([path, "--version"], check=False, capture_output=True, text=True)
    return (said.stdout or said.stderr).strip().splitlines()[0]


# --- whole programs -------------------------------------------------------------------------------------------------------------


def caplet(name: str, arguments: str, *, lists: bool = False) -> Way:
    return Way(name, f"exec caplet {arguments}", ("caplet",), lists=lists)


def decompress(program: str, blobs: list[str]) -> Way:
    """The limit: each layer that must be read is decompressed once, one after another, into nothing."""
    return Way(f"{program} -dc", f"exec {program} -dc {' '.join(blobs)} >/dev/null", (program,))


# --- scan -----------------------------------------------------------------------------------------------------------------------

LIST = '(cd "$ROOT"; getcap -r .; find . -xdev -type f -perm /6000)'


def umoci_scan(name: str, umoci: str, layout: str) -> Way:
    script = f'{umoci} unpack --image {layout}:latest "$OUT/bundle" >&2; ROOT="$OUT/bundle/rootfs"; {LIST}'
    return Way(name, script, (umoci, "getcap"), slow=True, lists=True)


def buildah_scan(layout: str) -> Way:
    """Into an empty store: pull, mount, look."""
    buildah = _buildah("$OUT")
    script = f"""{buildah} from --quiet --name bench oci:{layout}:latest >&2
ROOT=$({buildah} mount bench); {LIST}
{buildah} umount bench >&2"""
    return Way("buildah", script, ("buildah", "getcap"), slow=True, lists=True)


def buildah_scan_warm(layout: str, store: str) -> Way:
    """The image was unpacked into the store before, which is not counted."""
    buildah = _buildah(store)
    script = f"""{buildah} from --quiet --name bench {IMAGE} >&2
ROOT=$({buildah} mount bench); {LIST}
{buildah} umount bench >&2; {buildah} rm bench >&2"""
    return Way(
        "buildah, unpacked before", script, ("buildah", "getcap"), prepare=_fill(buildah, layout), lists=True
    )


# --- grant ----------------------------------------------------------------------------------------------------------------------


def umoci_grant(name: str, umoci: str, layout: str, program: str) -> Way:
    """umoci changes a layout in place: the copy is hard links."""
    script = f"""cp -al {layout} "$OUT/image"
{umoci} unpack --image "$OUT/image:latest" "$OUT/bundle" >&2
setcap {CAPABILITY} "$OUT/bundle/rootfs/{program}"
{umoci} repack --image "$OUT/image:granted" "$OUT/bundle" >&2"""
    return Way(name, script, (umoci, "setcap"), slow=True)


def buildah_grant(layout: str, program: str) -> Way:
    buildah = _buildah("$OUT")
    script = f"""{buildah} from --quiet --name bench oci:{layout}:latest >&2
setcap {CAPABILITY} "$({buildah} mount bench)/{program}"
{buildah} umount bench >&2
{buildah} commit --quiet bench "oci:$OUT/image:granted" >&2"""
    return Way("buildah", script, ("buildah", "setcap"), slow=True)


def buildah_grant_warm(layout: str, program: str, store: str) -> Way:
    """From the store into the store: what a builder pays when all is there already."""
    buildah = _buildah(store)
    script = f"""{buildah} from --quiet --name bench {IMAGE} >&2
setcap {CAPABILITY} "$({buildah} mount bench)/{program}"
{buildah} umount bench >&2
{buildah} commit --quiet --rm bench granted >&2"""
    return Way(
        "buildah, store to store, unpacked before",
        script,
        ("buildah", "setcap"),
        prepare=_fill(buildah, layout),
    )


IMAGE = "localhost/bench:latest"


def _buildah(store: str) -> str:
    """Overlay, its fastest driver; nothing of the machine's own store is touched."""
    return f'buildah --root "{store}/root" --runroot "{store}/runroot" --storage-driver overlay'


def _fill(buildah: str, layout: str) -> str:
    """`from` unpacks the image once; a name of its own lets later calls find it."""
    return f"""{buildah} inspect --type image {IMAGE} >/dev/null 2>&1 || {{
{buildah} tag "$({buildah} pull --quiet oci:{layout}:latest)" {IMAGE}; }}
{buildah} rmi granted >/dev/null 2>&1 || true"""
