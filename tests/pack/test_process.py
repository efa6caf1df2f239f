# SPDX-License-Identifier: Apache-2.0
"""Users, ports and words: what the configuration may say, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest

from caplet.errors import InvalidInput
from caplet.image.passwd import resolve_user
from caplet.image.rootfs import Rootfs
from caplet.pack.process import Process, User


@pytest.mark.parametrize(
    ("text", "user"),
    [("65532", User(65532, 65532)), ("1000:0", User(1000, 0)), ("0", User(0, 0)), ("5:6", User(5, 6))],
)
def test_a_user_is_numbers(text: str, user: User) -> None:
    assert User.parse(text) == user
    assert User.parse(str(user)) == user


@pytest.mark.parametrize(
    "text", ["", "nonroot", "65532:", ":5", "-1", "1:2:3", "2147483648", "1:4294967295", "٣", "01", "1 "]
)
def test_another_user_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput, match="user"):
        User.parse(text)


@pytest.mark.parametrize("user", [User(), User(1000, 2000), User(0, 0), User(5, 0), User(0, 7)], ids=str)
def test_the_number_alone_finds_the_group(user: User) -> None:
    """The kubelet hands over the uid of an image's USER without its group: /etc/passwd brings it back."""
    rootfs = Rootfs.of({"/etc/passwd": user.passwd(), "/etc/group": user.group()})
    found = resolve_user(rootfs, str(user.uid))
    assert (found.uid, found.gid) == (user.uid, user.gid if user.uid else 0)
    assert found.name == ("nonroot" if user.uid else "root")


FIELDS = {
    "nothing but the program": (Process(), {"User": "65532:65532", "Entrypoint": ["/server"]}),
    "arguments": (Process(cmd=("--port", "80")), {"Entrypoint": ["/server"], "Cmd": ["--port", "80"]}),
    "ports": (Process(ports=("80", "53/udp")), {"ExposedPorts": {"53/udp": {}, "80/tcp": {}}}),
    "labels": (Process(labels={"b": "1", "a": "x=y"}), {"Labels": {"a": "x=y", "b": "1"}}),
    "environment": (Process(env=("B=", "A=x=y")), {"Env": ["B=", "A=x=y"]}),
    "working directory": (Process(working_dir="/data"), {"WorkingDir": "/data"}),
    "entrypoint": (Process(entrypoint=("/init", "-g")), {"Entrypoint": ["/init", "-g"]}),
}


@pytest.mark.parametrize(("process", "fields"), FIELDS.values(), ids=list(FIELDS))
def test_the_configuration_says(process: Process, fields: dict[str, Any]) -> None:
    written = process.to_json("/server")
    assert {name: written[name] for name in fields} == fields
    assert set(written) == {"User", "Entrypoint", *fields}


WRONG = {
    "port 0": ({"ports": ("0",)}, "port 0 is not between 1 and 65535"),
    "port 65536": ({"ports": ("65536",)}, "port 65536 is not between 1 and 65535"),
    "port by name": ({"ports": ("http",)}, "port 'http'"),
    "protocol": ({"ports": ("80/icmp",)}, "port '80/icmp'"),
    "variable without a value": ({"env": ("PATH",)}, "'PATH' is not KEY=VALUE"),
    "variable without a name": ({"env": ("=x",)}, "'=x' is not KEY=VALUE"),
    "relative working directory": ({"working_dir": "data"}, "not absolute"),
    "NUL": ({"cmd": ("a\0b",)}, "NUL"),
    "not UTF-8": ({"cmd": ("\udcff",)}, "not UTF-8"),
}


@pytest.mark.parametrize(("fields", "why"), WRONG.values(), ids=list(WRONG))
def test_what_no_container_could_have_is_refused(fields: dict[str, Any], why: str) -> None:
    with pytest.raises(InvalidInput, match=why):
        Process(**fields)
