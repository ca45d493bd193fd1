"""Shared by verbs that run until they are stopped: signals, logs, the event loop."""

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
"""Time limit for an orderly stop after a loop has failed."""

STOPPING: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


def run_in_loop(work: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
    """Run a coroutine that needs the cluster packages, on uvloop.

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
    """Configure logging from the settings."""
    from arcbook.logs.setup import configure_logs  # only for what goes on and on

    configure_logs(settings)


def keep_secrets() -> None:
    """Hide the environment of this process from other processes, once it is read."""
    from arcbook.settings import drop_secrets
    from arcbook.tools.python_child.apart import hide  # of the C library

    drop_secrets()
    hide()


def stop_asked() -> asyncio.Event:
    """Return an event set by a stop signal; a second signal ends the process at once."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()

    def asked() -> None:
        stop.set()
        for number in STOPPING:
            loop.remove_signal_handler(number)

    for number in STOPPING:
        if signal.getsignal(number) is not signal.SIG_IGN:  # as it is below nohup
            loop.add_signal_handler(number, asked)
    return stop


async def first(*events: asyncio.Event) -> None:
    """Wait until one of some events is set."""
    waiting = [asyncio.ensure_future(event.wait()) for event in events]
    await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    for task in waiting:
        task.cancel()


class BrokenError(click.ClickException):
    """An essential loop failed; the process must be restarted."""

    exit_code = int(Exit.FAILED)


def broken(reason: str) -> BrokenError:
    """Return the error to raise; end the process after a time limit, even if tasks hang."""
    ending = threading.Timer(END_SECONDS, os._exit, [BrokenError.exit_code])
    ending.daemon = True
    ending.start()
    return BrokenError(f"stopping after a failure: {reason}")
