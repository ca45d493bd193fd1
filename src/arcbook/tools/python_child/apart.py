"""Setting a process apart before it runs code of others: what it may read, open and take.

The standard library has no word for most of it, so these are calls of the C library.
"""

from __future__ import annotations

import ctypes
import os
import resource
import threading
from collections.abc import Iterable
from typing import Final

FILES_MAX: Final = 4096
"""Descriptors that a child may have open."""

FILE_BYTES_MAX: Final = 64 * 1024**3
"""Size of a file that a child may write."""

_SET_DUMPABLE: Final = 4
_SET_CHILD_SUBREAPER: Final = 36
_SET_NO_NEW_PRIVS: Final = 38

_BOUNDING_SET_DROP: Final = 24
_CLONE_NEWNS: Final = 0x00020000
_CLONE_NEWIPC: Final = 0x08000000
_CLONE_NEWPID: Final = 0x20000000
_MS_NOSUID: Final = 2
_MS_NODEV: Final = 4
_MS_NOEXEC: Final = 8
_MS_BIND: Final = 4096
_MS_REC: Final = 16384
_MS_PRIVATE: Final = 1 << 18
_CAPABILITIES_VERSION: Final = 0x20080522
_LAST_CAPABILITY: Final = 63

_TEMPORARY: Final = ("/tmp", "/var/tmp", "/dev/shm")

TMP_BYTES_MAX: Final = 1024**3
"""Size of all temporary files of a child in a sandbox."""

_libc: Final = ctypes.CDLL(None, use_errno=True)


def _control(option: int, value: int) -> None:
    _checked(_libc.prctl(option, value, 0, 0, 0), f"prctl {option}")


def hide() -> None:
    """Let no other process of the same user read this one's memory, environment or files."""
    _control(_SET_DUMPABLE, 0)


def adopt() -> None:
    """Become the parent of what processes below leave behind when they end."""
    _control(_SET_CHILD_SUBREAPER, 1)


def take_no_privileges() -> None:
    """Gain nothing from programs that give their caller more than it has."""
    _control(_SET_NO_NEW_PRIVS, 1)


def close_others(descriptors: Iterable[int]) -> None:
    """Close every descriptor but the standard ones and those that are named."""
    first = 3
    for fd in sorted(descriptors):
        os.closerange(first, fd)
        first = fd + 1
    os.closerange(first, resource.getrlimit(resource.RLIMIT_NOFILE)[0])


class Below:
    """The processes whose parent this one is."""

    def __init__(self) -> None:
        self._fd = os.open(f"/proc/self/task/{threading.get_native_id()}/children", os.O_RDONLY)

    def now(self) -> set[int]:
        """Return their numbers; of very many only some."""
        return {int(pid) for pid in os.pread(self._fd, 1 << 16, 0).split()}


def limit(memory_bytes: int) -> None:
    """Bound what a child can take: memory, descriptors, sizes of files; no core is dumped."""
    _lower(resource.RLIMIT_CORE, 0)
    _lower(resource.RLIMIT_NOFILE, FILES_MAX)
    _lower(resource.RLIMIT_FSIZE, FILE_BYTES_MAX)
    limit_memory(memory_bytes)


def limit_memory(memory_bytes: int) -> None:
    """Bound the memory that a child can take; 0 bounds nothing."""
    if memory_bytes:
        _lower(resource.RLIMIT_DATA, memory_bytes)


def _lower(resource_id: int, limit: int) -> None:
    """Set a limit that cannot be raised again; one that is lower already stays."""
    hard_limit = resource.getrlimit(resource_id)[1]
    least = limit if hard_limit == resource.RLIM_INFINITY else min(limit, hard_limit)
    resource.setrlimit(resource_id, (least, least))


# -- namespaces -------------------------------------------------------------------------


class Pids:
    """Lets children be born into namespaces of processes of their own."""

    def __init__(self) -> None:
        # To come back into a namespace of processes it must be ours, not the sandbox's.
        self.divide()
        inner = os.fork()
        if inner:
            _, status = os.waitpid(inner, 0)
            os._exit(os.waitstatus_to_exitcode(status) and 1)
        self._own = os.open("/proc/self/ns/pid", os.O_RDONLY | os.O_CLOEXEC)

    def divide(self) -> None:
        """The next child is alone: it sees, and can signal, nothing but what it starts."""
        _checked(_libc.unshare(_CLONE_NEWPID), "unshare")

    def rejoin(self) -> None:
        """Children are born among ours again, until the next one is set apart."""
        _checked(_libc.setns(self._own, _CLONE_NEWPID), "setns")


def separate(workspaces: str, folders: Iterable[str]) -> int:
    """Have mounts, temporary files and shared memory of one's own; return the workspaces.

    Folders that are to be seen may lie among temporary files, so they are put there again.
    """
    _checked(_libc.unshare(_CLONE_NEWNS | _CLONE_NEWIPC), "unshare")
    _mount("none", "/", "", _MS_REC | _MS_PRIVATE)
    _mount("proc", "/proc", "proc", _MS_NOSUID | _MS_NODEV | _MS_NOEXEC)
    opened = {folder: _opened(folder) for folder in folders if folder.startswith(_TEMPORARY)}
    of_all = _opened(workspaces)
    for place in _TEMPORARY:
        _mount("tmpfs", place, "tmpfs", _MS_NOSUID | _MS_NODEV, f"mode=1777,size={TMP_BYTES_MAX}")
    for folder, fd in opened.items():
        _put(fd, folder)
    os.makedirs(workspaces, exist_ok=True)
    _mount("tmpfs", workspaces, "tmpfs", _MS_NOSUID | _MS_NODEV, "mode=755,size=64k")
    return of_all


def see_only(of_all: int, workspace: str) -> None:
    """See one of all workspaces, which are covered, and no other."""
    fd = _opened(os.path.basename(workspace), of_all)
    os.close(of_all)
    _put(fd, workspace)


def _opened(folder: str, at: int | None = None) -> int:
    return os.open(folder, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=at)


def _put(fd: int, place: str) -> None:
    """Show a folder at a place, and let go of it."""
    os.makedirs(place, exist_ok=True)
    _mount(f"/proc/self/fd/{fd}", place, "", _MS_BIND)
    os.close(fd)


def become(uid: int) -> None:
    """Be another user, in no group but its own."""
    os.setgroups([])
    os.setresgid(uid, uid, uid)
    os.setresuid(uid, uid, uid)


def limit_processes(count: int) -> None:
    """Bound how many processes this user may have."""
    _lower(resource.RLIMIT_NPROC, count)


def drop_bounding_set() -> None:
    """Let no program that is started have a capability, whatever its file says."""
    for capability in range(_LAST_CAPABILITY + 1):
        if _libc.prctl(_BOUNDING_SET_DROP, capability, 0, 0, 0) != 0:
            return  # the kernel knows no more of them, or we may not


def drop_capabilities() -> None:
    """Lose every capability that is left, for good."""
    header = (ctypes.c_uint32 * 2)(_CAPABILITIES_VERSION, 0)
    none = (ctypes.c_uint32 * 6)()
    _checked(_libc.capset(header, none), "capset")


def _mount(source: str, target: str, kind: str, flags: int, data: str = "") -> None:
    texts = [text.encode() for text in (source, target, kind)]
    options = data.encode() or None
    done = _libc.mount(*texts, ctypes.c_ulong(flags), options)
    _checked(done, f"mount {target}")


def _checked(code: int, call: str) -> None:
    if code != 0:
        error = ctypes.get_errno()
        raise OSError(error, f"{call}: {os.strerror(error)}")
