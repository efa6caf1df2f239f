# SPDX-License-Identifier: Apache-2.0
"""What this machine's containers.conf says of Podman's default capabilities: containers.conf(5).

Read in the order of containers/common pkg/config/new.go, each over the one before: the distribution's file, the
administrator's, the `.conf` files of its directory by name; CONTAINERS_CONF stands for all of them,
CONTAINERS_CONF_OVERRIDE comes last. An empty list counts as none.
"""

from __future__ import annotations

import glob
import os
import tomllib

from caplet.errors import InvalidInput
from caplet.kernel.caps import Caps

FILES = ("/usr/share/containers/containers.conf", "/etc/containers/containers.conf")
DIRECTORIES = ("/etc/containers/containers.conf.d",)


def default_capabilities() -> Caps | None:
    """The list in place of Podman's own; None where no file has one."""
    found: Caps | None = None
    for name in _files():
        try:
            with open(name, "rb") as file:
                section = tomllib.load(file).get("containers", {})
        except FileNotFoundError:
            continue
        except (OSError, tomllib.TOMLDecodeError) as error:
            raise InvalidInput(f"{name}: {error}", "Podman does not start either with such a file") from error
        names = section.get("default_capabilities")
        if isinstance(names, list) and names:
            found = Caps.parse(",".join(map(str, names)))
    return found


def _files() -> list[str]:
    given = os.environ.get("CONTAINERS_CONF")
    files = [given] if given else [*FILES, *(name for one in DIRECTORIES for name in _sorted(one))]
    override = os.environ.get("CONTAINERS_CONF_OVERRIDE")
    return [*files, override] if override else files


def _sorted(directory: str) -> list[str]:
    return sorted(glob.glob(os.path.join(directory, "*.conf")))
