"""Ctrl-C during a run: the first cancels it, the second stops waiting for the cancellation.

For a run on a server, the first Ctrl-C on a terminal asks whether to leave it running.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
from collections.abc import Callable, Coroutine
from typing import Any, Final

import click

from arcbook.cli.everywhere import same_place

CANCELLING: Final = "\ncancelling; press Ctrl-C again to stop waiting"


def left_text(execution_id: int) -> str:
    """Return the message for a user who did not wait for a local cancellation."""
    return (
        f"not waiting; to finish the cancellation, run: arcbook resume {execution_id}{same_place()}"
    )


class Interrupts:
    """Handles Ctrl-C during a run.

    Args:
        cancel: requests the cancellation.
        question: is asked first, if the execution may be left running.
    """

    def __init__(self, cancel: Callable[[], Coroutine[Any, Any, None]], question: str = "") -> None:
        self._cancel = cancel
        self._question = question if sys.stdin.isatty() else ""
        self._pending: set[asyncio.Task[Any]] = set()
        self._job: asyncio.Task[Any] | None = None
        #: Whether the user chose to leave the execution running.
        self.left_running = False

    def catch(self) -> None:
        """Handle Ctrl-C for the calling task from now on."""
        loop = asyncio.get_running_loop()
        self._job = asyncio.current_task()
        loop.add_signal_handler(signal.SIGINT, self._interrupted)
        loop.add_signal_handler(signal.SIGTERM, self._cancelled)
        if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # as it is below nohup
            loop.add_signal_handler(signal.SIGHUP, self._cancelled)

    def _interrupted(self) -> None:
        if not self._question:
            self._cancelled()
            return
        click.echo(f"\n{self._question}", err=True)
        self._question = ""
        asyncio.get_running_loop().add_reader(sys.stdin.fileno(), self._answered)

    def _answered(self) -> None:
        asyncio.get_running_loop().remove_reader(sys.stdin.fileno())
        sys.stdin.readline()
        if not self._pending:
            self.left_running = True
            self._stop()

    def _cancelled(self) -> None:
        if self._pending:
            self._stop()
            return
        with contextlib.suppress(OSError):  # the terminal may be gone
            click.echo(CANCELLING, err=True)
        self._pending.add(asyncio.get_running_loop().create_task(self._cancel()))

    def _stop(self) -> None:
        assert self._job is not None
        self._job.cancel()
