"""Start the slowest part of a run before anything else is imported.

``arcbook run FILE`` with Python code in the file needs an interpreter for it; it starts
while this one is still importing the runtime.
"""

from __future__ import annotations

import contextlib
from typing import Any

_spawned: list[Any] = []


def start(arguments: list[str]) -> None:
    """Start the Python zygote if the command line is going to run Python code."""
    if "run" not in arguments[1:8] or any(a.startswith("--server") for a in arguments):
        return
    for name in arguments:
        if name.endswith((".yaml", ".yml")) and _has_python(name):
            from arcbook.tools.python_start import spawn  # only where there is code to run

            _spawned.append(spawn())
            return


def take() -> Any:
    """Return the started process, if any; the caller must end it."""
    return _spawned.pop() if _spawned else None


def _has_python(name: str) -> bool:
    with contextlib.suppress(OSError), open(name, "rb") as file:  # noqa: PTH123  # pathlib is slow to import
        return b"python" in file.read(1 << 20)
    return False


def close() -> None:
    """End the started process unless it was taken."""
    for spawned in _spawned:
        spawned.control.close()
