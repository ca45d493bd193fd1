"""Rehearsals: run an action in a fork of this process, to see whether it would survive."""

from __future__ import annotations

import asyncio
import os
import resource
import signal
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Final, NoReturn

REHEARSAL_SECONDS: Final = 2.0
"""Time limit of a rehearsal."""

MEMORY_BYTES_MAX: Final = 1024**3
"""Memory that a rehearsal may allocate on top of the process's own."""

_OK: Final = 42
"""Exit status of a rehearsal that completed ..."""

_OUT_OF_MEMORY: Final = 43
"""... and of one that ran out of memory."""


async def rehearse(action: Callable[[], object]) -> str:
    """Run an action in a fork of this process; return how it crashed, or an empty string.

    An exception is not a crash: the real call raises it too. The fork shares no state that
    it changes. The action must not wait, write or send anything.
    """
    reader, writer = os.pipe()
    with warnings.catch_warnings():
        # The fork has no threads of this process; the action needs none.
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if child == 0:
        _run_and_exit(action)
    os.close(writer)
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_reader(reader, ended.set)
    try:
        async with asyncio.timeout(REHEARSAL_SECONDS):
            await ended.wait()
    except TimeoutError:
        return f"it ran for more than {REHEARSAL_SECONDS:g} s"
    else:
        return _describe_exit(_reap(child))
    finally:
        loop.remove_reader(reader)
        os.close(reader)
        if not ended.is_set():
            os.kill(child, signal.SIGKILL)
            _reap(child)


def _reap(child: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def _run_and_exit(action: Callable[[], object]) -> NoReturn:
    status = _OK
    try:
        signal.set_wakeup_fd(-1)  # it is the parent's
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, signal.SIG_DFL)
        _limit_memory()
        action()
    except MemoryError:
        status = _OUT_OF_MEMORY
    finally:
        os._exit(status)  # the real call raises any other exception again


def _limit_memory() -> None:
    try:
        pages = int(Path("/proc/self/statm").read_text("ascii").split()[0])
    except OSError:
        return  # not Linux: only the time limit applies
    limit = pages * resource.getpagesize() + MEMORY_BYTES_MAX
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    if hard == resource.RLIM_INFINITY or limit < hard:
        resource.setrlimit(resource.RLIMIT_AS, (limit, hard))


def _describe_exit(code: int) -> str:
    if code == _OK:
        return ""
    if code == _OUT_OF_MEMORY:
        return f"it needed more than {MEMORY_BYTES_MAX:,} bytes of memory"
    if code < 0:
        return f"signal {signal.Signals(-code).name} killed it"
    return f"it exited with status {code}"
