"""The environment as this process got it, which the system shows in ``/proc`` for as long as it lives."""

from __future__ import annotations

import ctypes
from pathlib import Path
from typing import Final

_BEGIN: Final = 47
_END: Final = 48


def wipe(assignment: bytes) -> None:
    """Overwrite the value of ``NAME=value`` in the environment that the process was given."""
    try:
        # The fields after the program's name, which may hold anything.
        fields = Path("/proc/self/stat").read_text("utf-8", "replace").rpartition(")")[2].split()
        begin, end = int(fields[_BEGIN]), int(fields[_END])
    except (OSError, ValueError, IndexError):
        return  # no system that shows it
    if not 0 < begin < end:
        return
    variables = ctypes.string_at(begin, end - begin)
    at = variables.find(b"\0" + assignment + b"\0")
    at = 0 if variables.startswith(assignment + b"\0") else at + 1
    if at or variables.startswith(assignment + b"\0"):
        value = assignment.index(b"=") + 1
        ctypes.memset(begin + at + value, ord("x"), len(assignment) - value)
