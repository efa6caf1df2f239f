# SPDX-License-Identifier: Apache-2.0
"""Values as YAML that every reader takes for the same values: YAML 1.1 as PyYAML, kubectl and YAML 1.2 read it.

What one of them would take for a number or a boolean is quoted, and everything outside ASCII is escaped.
"""

from __future__ import annotations

import functools
import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from yaml import SafeDumper, ScalarNode

_AMBIGUOUS = re.compile(r"[-+.]?[0-9][0-9a-fA-FxXoOeE_.:+-]*|[yYnN]|[~=]|0[0-9]+")
"""YAML 1.2 has `12e03` as a float and `0o14` as an integer, go-yaml `y` and `n` as booleans; PyYAML quotes none of them."""


def yaml_text(value: Mapping[str, Any]) -> str:
    """A block document; keys stay in their order."""
    import yaml

    return yaml.dump(value, Dumper=_dumper(), sort_keys=False, default_flow_style=False, width=100)


@functools.cache
def _dumper() -> type[SafeDumper]:
    import yaml

    class Dumper(yaml.SafeDumper):
        def ignore_aliases(self, data: object) -> bool:
            """No anchors: what occurs twice is written twice."""
            del data
            return True

    def text(dumper: SafeDumper, data: str) -> ScalarNode:
        quoted = "'" if _AMBIGUOUS.fullmatch(data) else None
        return dumper.represent_scalar("tag:yaml.org,2002:str", data, style=quoted)

    Dumper.add_representer(str, text)
    Dumper.add_multi_representer(str, lambda dumper, data: text(dumper, str(data)))
    return Dumper
