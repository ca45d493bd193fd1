"""Standard streams that are closed, at the start or while something is written."""

from __future__ import annotations

import contextlib
import os
import sys
from typing import Final

_NAMES: Final = ("stdin", "stdout", "stderr")
"""The standard streams, each at its descriptor."""


def open_missing() -> None:
    """Open the null device in place of standard streams that are closed.

    Otherwise the next file or socket would get their descriptors, and what is printed would be
    written into it.
    """
    for descriptor, name in enumerate(_NAMES):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest free descriptor is this one
        if getattr(sys, name) is None:
            mode = "r" if name == "stdin" else "w"
            setattr(sys, name, os.fdopen(descriptor, mode, encoding="utf-8", closefd=False))


def flush() -> None:
    """Write what is buffered, if anybody still reads it."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
