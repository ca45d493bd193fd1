"""The tool kinds that tests of the language check documents against."""

from __future__ import annotations

from importlib.util import find_spec
from typing import cast

from arcbook.dsl.kinds import Kind
from arcbook.tools.api import Tool
from arcbook.tools.registry import MODULES, Registry


class _Nothing:
    """Stands for a tool that a test of the language never calls."""


def every_kind() -> Registry:
    """Return the registry; a kind whose module is not here takes any parameter."""
    here = {name: path for name, path in MODULES.items() if find_spec(path) is not None}
    registry = Registry(here)
    for name in MODULES.keys() - here.keys():
        registry.add(name, cast(Tool, _Nothing()), Kind(name=name, open=True, takes_auth=True))
    return registry
