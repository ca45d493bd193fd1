"""Lock files, held by one process or shared by several, and released when these end."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from typing import Final

TRIES_MAX: Final = 100
"""Attempts to open a lock file that its holder keeps removing."""


def lock(path: Path) -> int | None:
    """Lock a file until it is unlocked or this process ends.

    Returns:
        A handle for :func:`unlock`, or None if another process holds the lock.

    Raises:
        OSError: The file cannot be opened or locked.
    """
    return _lock(path, fcntl.LOCK_EX)


def share(path: Path) -> int | None:
    """Lock a file together with others that share it, until it is unlocked or this process ends.

    Returns:
        A handle for :func:`unlock`, or None if another process holds the lock alone.

    Raises:
        OSError: The file cannot be opened or locked.
    """
    return _lock(path, fcntl.LOCK_SH)


def _lock(path: Path, how: int) -> int | None:
    path.parent.mkdir(parents=True, exist_ok=True)
    for _ in range(TRIES_MAX):
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(handle, how | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(handle)
            return None
        except BaseException:
            os.close(handle)
            raise
        # The previous holder may have removed the file after it was opened here; other
        # processes would then lock a new file of the same name.
        if _is_same_file(path, handle):
            return handle
        os.close(handle)
    return None


def is_locked(path: Path) -> bool:
    """Return whether a file is locked, without creating it."""
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
    """Release a lock.

    Args:
        path: The file.
        handle: The handle from :func:`lock`.
        remove: Whether to delete the file.
    """
    if remove:
        path.unlink(missing_ok=True)  # still locked, so no other process holds it
    os.close(handle)


def _is_same_file(path: Path, handle: int) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(handle))
    except FileNotFoundError:
        return False
