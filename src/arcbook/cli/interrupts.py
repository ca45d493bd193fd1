"""Ctrl-C while a run goes on: the first cancels it, the second does not wait for that."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Coroutine
from typing import Any

import click


def catch_interrupts(cancel: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Have Ctrl-C cancel what this task waits for; a second one ends the task."""
    loop = asyncio.get_running_loop()
    job = asyncio.current_task()
    pending: set[asyncio.Task[Any]] = set()
    assert job is not None

    def interrupted() -> None:
        if pending:
            job.cancel()
            return
        click.echo("\ncancelling; press Ctrl-C again not to wait for it", err=True)
        pending.add(loop.create_task(cancel()))

    loop.add_signal_handler(signal.SIGINT, interrupted)
    loop.add_signal_handler(signal.SIGTERM, interrupted)
