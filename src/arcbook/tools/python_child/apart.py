"""Setting a process apart before it runs code of others: what it may read, open and take.

The standard library has no word for most of it, so these are calls of the C library.
"""

from __future__ import annotations

import ctypes
import os
import resource
from collections.abc import Iterable
from typing import Final

FILES_MAX: Final = 4096
"""Descriptors that a child may have open."""

FILE_BYTES_MAX: Final = 64 * 1024**3
"""Size of a file that a child may write."""

_SET_DUMPABLE: Final = 4
_SET_NO_NEW_PRIVS: Final = 38

_libc: Final = ctypes.CDLL(None, use_errno=True)


def _control(option: int, value: int) -> None:
    if _libc.prctl(option, value, 0, 0, 0) != 0:
        error = ctypes.get_errno()
        raise OSError(error, f"prctl {option}: {os.strerror(error)}")


def hide() -> None:
    """Let no other process of the same user read this one's memory, environment or files."""
    _control(_SET_DUMPABLE, 0)


def take_no_privileges() -> None:
    """Gain nothing from programs that give their caller more than it has."""
    _control(_SET_NO_NEW_PRIVS, 1)


def close_others(kept: Iterable[int]) -> None:
    """Close every descriptor but the standard ones and those that are named."""
    first = 3
    for fd in sorted(kept):
        os.closerange(first, fd)
        first = fd + 1
    os.closerange(first, resource.getrlimit(resource.RLIMIT_NOFILE)[0])


def limit(memory_bytes: int) -> None:
    """Bound what a child can take: memory, descriptors, sizes of files; no core is dumped."""
    _lower(resource.RLIMIT_CORE, 0)
    _lower(resource.RLIMIT_NOFILE, FILES_MAX)
    _lower(resource.RLIMIT_FSIZE, FILE_BYTES_MAX)
    if memory_bytes:
        _lower(resource.RLIMIT_DATA, memory_bytes)


def _lower(what: int, limit: int) -> None:
    """Set a limit that cannot be raised again; one that is lower already stays."""
    held = resource.getrlimit(what)[1]
    least = limit if held == resource.RLIM_INFINITY else min(limit, held)
    resource.setrlimit(what, (least, least))
