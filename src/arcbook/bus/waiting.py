"""Waiting for a wake-up, with a timeout."""

from __future__ import annotations

import asyncio


class Waiting:
    """A group of waiters that are all woken together."""

    def __init__(self) -> None:
        #: In order of arrival.
        self._waiters: dict[asyncio.Future[None], None] = {}

    async def wait(self, seconds: float) -> None:
        """Wait for the next :meth:`wake` or until a timeout, without raising."""
        waiter = asyncio.get_running_loop().create_future()
        self._waiters[waiter] = None
        try:
            async with asyncio.timeout(max(seconds, 0.0)):
                await waiter
        except TimeoutError:
            return
        finally:
            del self._waiters[waiter]

    def wake(self) -> None:
        """Wake all current waiters."""
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(None)
