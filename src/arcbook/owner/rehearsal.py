"""Doing something in a copy of this process, to see whether it would survive."""

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
"""How long a rehearsal may take."""

MEMORY_BYTES_MAX: Final = 1024**3
"""Memory that a rehearsal may take beyond what the process has."""

_WELL: Final = 42
"""Exit status of a rehearsal that came to its end ..."""

_MEMORY: Final = 43
"""... and of one that took too much memory."""


async def rehearse(work: Callable[[], object]) -> str:
    """Do something in a fork of this process, and say how that ended badly; empty if well.

    What it raises is no bad end: whoever does it in earnest meets that as well. The copy
    shares nothing that it changes, and must not wait, write or send anything.
    """
    ends, held = os.pipe()
    with warnings.catch_warnings():
        # Threads of this process are absent in the copy; what is done there needs none.
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if child == 0:
        _perform(work)
    os.close(held)
    over = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_reader(ends, over.set)
    try:
        async with asyncio.timeout(REHEARSAL_SECONDS):
            await over.wait()
    except TimeoutError:
        return f"it went on for more than {REHEARSAL_SECONDS:g} s"
    else:
        return _how(_reaped(child))
    finally:
        loop.remove_reader(ends)
        os.close(ends)
        if not over.is_set():
            os.kill(child, signal.SIGKILL)
            _reaped(child)


def _reaped(child: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def _perform(work: Callable[[], object]) -> NoReturn:
    status = _WELL
    try:
        signal.set_wakeup_fd(-1)  # it is the parent's
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, signal.SIG_DFL)
        _limit_memory()
        work()
    except MemoryError:
        status = _MEMORY
    finally:
        os._exit(status)  # whatever else was raised is met again, in earnest


def _limit_memory() -> None:
    try:
        pages = int(Path("/proc/self/statm").read_text("ascii").split()[0])
    except OSError:
        return  # no Linux: the time limit has to do
    limit = pages * resource.getpagesize() + MEMORY_BYTES_MAX
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    if hard == resource.RLIM_INFINITY or limit < hard:
        resource.setrlimit(resource.RLIMIT_AS, (limit, hard))


def _how(code: int) -> str:
    if code == _WELL:
        return ""
    if code == _MEMORY:
        return f"it took more than {MEMORY_BYTES_MAX:,} bytes of memory"
    if code < 0:
        return f"signal {signal.Signals(-code).name} ended it"
    return f"it ended its process with status {code}"
