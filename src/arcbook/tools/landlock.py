"""Landlock: the kernel keeps a thread, and what it starts, to some folders for good.

Links, mounts and races make no difference to it: what counts is the file that is opened.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path
from typing import Final

_CREATE: Final = 444
_ADD: Final = 445
_RESTRICT: Final = 446
_VERSION: Final = 1
_PATH_BENEATH: Final = 1
_SET_NO_NEW_PRIVS: Final = 38

_EXECUTE, _READ_FILE, _READ_DIR = 1 << 0, 1 << 2, 1 << 3
_READ: Final = _EXECUTE | _READ_FILE | _READ_DIR
_OF_FILES: Final = _EXECUTE | 1 << 1 | _READ_FILE | 1 << 14 | 1 << 15

_RIGHTS: Final = {1: (1 << 13) - 1, 2: (1 << 14) - 1, 3: (1 << 15) - 1, 5: (1 << 16) - 1}
"""All rights on files that the kernel knows, from each version on."""


class _Beneath(ctypes.Structure):
    _pack_ = 1
    _fields_ = (("allowed", ctypes.c_uint64), ("parent_fd", ctypes.c_int32))


@lru_cache
def version() -> int:
    """Return the version that the kernel has; 0 if it has none."""
    number: int = _libc().syscall(_CREATE, None, ctypes.c_size_t(0), ctypes.c_uint32(_VERSION))
    return max(0, number)


def restrict(read: Iterable[str], write: Iterable[str]) -> None:
    """Keep the calling thread to some files and folders; nothing lifts that again.

    Args:
        read: what it may read, as far as it is there.
        write: folders in which it may do everything.

    Raises:
        OSError: the kernel has no Landlock, or refuses.
    """
    rights = _RIGHTS[max(v for v in _RIGHTS if v <= max(1, version()))]
    handled = ctypes.c_uint64(rights)
    rules = _checked(_libc().syscall(_CREATE, ctypes.byref(handled), ctypes.c_size_t(8), 0))
    try:
        for path in read:
            _add(rules, path, _READ & rights)
        for path in write:
            _add(rules, path, rights)
        _checked(_libc().prctl(_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
        _checked(_libc().syscall(_RESTRICT, rules, 0))
    finally:
        os.close(rules)


def _add(rules: int, path: str, rights: int) -> None:
    try:
        fd = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    try:
        is_folder = Path(path).is_dir()
        beneath = _Beneath(rights if is_folder else rights & _OF_FILES, fd)
        _checked(_libc().syscall(_ADD, rules, _PATH_BENEATH, ctypes.byref(beneath), 0))
    finally:
        os.close(fd)


def _checked(result: int) -> int:
    if result < 0:
        error = ctypes.get_errno()
        raise OSError(error, f"Landlock: {os.strerror(error)}")
    return result


@lru_cache
def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)
