"""Strings that look like numbers stay strings when a configuration is written and read again.

jsonargparse reads ``7e7`` as a number and PyYAML, which writes YAML 1.1, does not quote it: a vocabulary with such a
word came back with a number in it, and its checkpoint was refused.
"""

from __future__ import annotations

from typing import Any

import yaml
from jsonargparse import set_dumper


class _Dumper(yaml.SafeDumper):
    """Quotes every string that Python reads as a number."""


def _represent(dumper: _Dumper, value: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style="'" if _looks_like_a_number(value) else None)


def _looks_like_a_number(value: str) -> bool:
    try:
        float(value)
    except ValueError:
        return False
    return True


_Dumper.add_representer(str, _represent)


def dump(data: Any) -> str:
    """YAML of plain types, block style, keys in their order."""
    written: str = yaml.dump(data, Dumper=_Dumper, default_flow_style=False, allow_unicode=True, sort_keys=False)
    return written


def keep_strings() -> None:
    """Let jsonargparse write YAML so."""
    set_dumper("yaml", dump)
