# SPDX-License-Identifier: Apache-2.0
"""What the images hold: steps that each change a root file system, as lines of a Dockerfile would.

Only Debian's packages, PyPI and npm are used, through their own clients. Root is needed: the steps run in a chroot.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable

SUITE = "bookworm"
MIRROR = os.environ.get("BENCH_DEBIAN_MIRROR", "http://deb.debian.org/debian")
WHEELS = ("numpy==2.4.6", "scipy==1.17.1", "pandas==3.1.1")
MODULES = (
    *("next@16.4.6", "react@19.3.1", "react-dom@19.3.1", "typescript@7.0.2", "webpack@5.112.2"),
    *(
        "eslint@10.15.0",
        "jest@30.5.2",
        "aws-sdk@2.1693.0",
        "@mui/material@9.5.0",
        "@mui/icons-material@9.5.0",
    ),
)
BORROWED = ("/etc/resolv.conf", "/etc/hosts")
"""Files of this machine that apt needs in the chroot; they never become part of a layer."""

Step = Callable[[str], None]


def debian(root: str) -> None:
    """Debian's smallest system."""
    subprocess.run(
        ["debootstrap", "--variant=minbase", SUITE, root, MIRROR], check=True, stdout=subprocess.DEVNULL
    )
    _tidy(root)


def python(root: str) -> None:
    """An interpreter, with ping (a file with a capability) for the network."""
    _apt(root, "python3", "iputils-ping")


def nginx(root: str) -> None:
    """A web server."""
    _apt(root, "nginx-light")


def site(root: str) -> None:
    """What a team adds: a page, a setting, and a clean-up that comes too late to make the image smaller."""
    with open(os.path.join(root, "var/www/html/index.html"), "w", encoding="ascii") as page:
        page.write("ok\n")
    shutil.rmtree(os.path.join(root, "usr/share/doc"))


def compilers(root: str) -> None:
    """A tool chain."""
    _apt(root, "gcc", "g++", "gfortran", "make", "git")


def wheels(root: str) -> None:
    """Numerical libraries."""
    target = os.path.join(root, "usr/local/lib/python3/dist-packages")
    subprocess.run(
        [sys.executable, "-m", "pip", "install", "--quiet", "--no-compile", "--target", target, *WHEELS],
        check=True,
    )


def modules(root: str) -> None:
    """A node_modules tree: tens of thousands of small files."""
    target = os.path.join(root, "srv/app")
    os.makedirs(target)
    subprocess.run(
        ["npm", "install", "--ignore-scripts", "--no-audit", "--no-fund", "--silent", *MODULES],
        cwd=target,
        check=True,
    )


SMALL: tuple[Step, ...] = (debian, python, nginx, site)
LARGE: tuple[Step, ...] = (debian, python, nginx, compilers, wheels, modules, site)


def _apt(root: str, *packages: str) -> None:
    for path in BORROWED:
        shutil.copy(path, root + path)
    environment = {
        "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
        "DEBIAN_FRONTEND": "noninteractive",
        "LC_ALL": "C",
    }
    for command in (["update"], ["install", "--yes", "--no-install-recommends", *packages]):
        subprocess.run(
            ["chroot", root, "apt-get", "--quiet=2", *command],
            env=environment,
            check=True,
            stdout=subprocess.DEVNULL,
        )
    for path in BORROWED:
        os.unlink(root + path)
    _tidy(root)


def _tidy(root: str) -> None:
    """Leave out what images leave out: package lists, archives, logs."""
    for directory in ("var/lib/apt/lists", "var/cache/apt", "var/log"):
        shutil.rmtree(os.path.join(root, directory))
        os.makedirs(os.path.join(root, directory))
