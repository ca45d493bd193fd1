"""Arcbook runs NoETL playbooks, durably, on one machine or as a cluster.

import arcbook

execution = arcbook.run("playbook.yaml", {"city": "Paris"})
print(execution.status, execution.result)
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from arcbook.api import run, run_async
    from arcbook.dsl.load import InvalidPlaybookError
    from arcbook.executions import Execution
    from arcbook.given import InvalidInputError, UnknownInputError

__all__ = [
    "Execution",
    "InvalidInputError",
    "InvalidPlaybookError",
    "UnknownInputError",
    "run",
    "run_async",
]

_HOMES: Final = {
    "Execution": "arcbook.executions",
    "InvalidPlaybookError": "arcbook.dsl.load",
    "InvalidInputError": "arcbook.given",
    "UnknownInputError": "arcbook.given",
    "run": "arcbook.api",
    "run_async": "arcbook.api",
}


def __dir__() -> list[str]:
    """Return what there is, for whoever looks around."""
    return sorted([*globals(), *__all__])


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used, so that importing the package is quick."""
    if name not in _HOMES:
        raise AttributeError(f"module 'arcbook' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
