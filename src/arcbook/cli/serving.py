"""What verbs share that run until they are told to stop."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from collections.abc import Callable, Coroutine
from typing import Any, Final

import click

from arcbook.cli.collecting import collect_seldom
from arcbook.cli.errors import Exit, UserError
from arcbook.settings import Settings

END_SECONDS: Final = 15.0
"""Time that a process has to end in order when a loop of it has ended."""

STOPPING: Final = (signal.SIGTERM, signal.SIGINT)


def run_in_loop(work: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
    """Run what needs the packages of a cluster, in the quick event loop.

    Raises:
        UserError: the packages are not installed.
    """
    try:
        import uvloop  # of the cluster alone

        collect_seldom()
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            return runner.run(work())
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("arcbook"):
            raise
        advice = "run: pip install 'arcbook[cluster]'"
        raise UserError(f"this needs {error.name}; {advice}") from None


def keep_log(settings: Settings) -> None:
    """Have this process log as its settings say."""
    from arcbook.logs.setup import configure_logs  # only for what goes on and on

    configure_logs(settings)


def keep_secrets() -> None:
    """Let nothing that runs beside this process read what it was told, once it has read it."""
    from arcbook.settings import drop_secrets
    from arcbook.tools.python_child.apart import hide  # of the C library

    drop_secrets()
    hide()


def stop_asked() -> asyncio.Event:
    """Return what is set when this process is told to stop; told twice, it ends at once."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()

    def asked() -> None:
        stop.set()
        for number in STOPPING:
            loop.remove_signal_handler(number)

    for number in STOPPING:
        loop.add_signal_handler(number, asked)
    return stop


async def first(*events: asyncio.Event) -> None:
    """Wait until one of some events is set."""
    waiting = [asyncio.ensure_future(event.wait()) for event in events]
    await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    for task in waiting:
        task.cancel()


class BrokenError(click.ClickException):
    """A loop has ended without which the process does nothing; another one is to be started."""

    exit_code = int(Exit.FAILED)


def broken(reason: str) -> BrokenError:
    """Return the error to raise, and end the process in a while, whatever still hangs then."""
    ending = threading.Timer(END_SECONDS, os._exit, [BrokenError.exit_code])
    ending.daemon = True
    ending.start()
    return BrokenError(f"it cannot go on: {reason}")
