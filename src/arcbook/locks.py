"""Files that one process at a time holds, as long as it lives."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from typing import Final

TRIES_MAX: Final = 100
"""How often a file may be gone, by whoever held it, before it counts as held."""


def lock(path: Path) -> int | None:
    """Hold a file until it is unlocked or this process ends.

    Returns:
        What holds it, for :func:`unlock`; nothing if another one holds the file.

    Raises:
        OSError: the file cannot be opened, or not be locked.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    for _ in range(TRIES_MAX):
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(handle)
            return None
        except BaseException:
            os.close(handle)
            raise
        # Whoever held it may have removed it since it was opened: then this is no file
        # that the next one finds.
        if _is_at(path, handle):
            return handle
        os.close(handle)
    return None


def is_locked(path: Path) -> bool:
    """Return whether somebody holds a file; it is not made for that."""
    try:
        handle = os.open(path, os.O_RDWR)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(handle)
    return False


def unlock(path: Path, handle: int, *, remove: bool = False) -> None:
    """Hold a file no more.

    Args:
        path: the file.
        handle: what holds it.
        remove: whether the file goes, too.
    """
    if remove:
        path.unlink(missing_ok=True)  # still held, so that it is nobody else's
    os.close(handle)


def _is_at(path: Path, handle: int) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(handle))
    except FileNotFoundError:
        return False
