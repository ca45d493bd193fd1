"""Answers to this connection's requests, all on one subscription."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from itertools import count
from typing import Final

from nats.aio.msg import Msg

from arcbook.bus.api import NobodyError, RequestTimeoutError
from arcbook.bus.nats.link import NatsLink

NOBODY: Final = "503"

Got = Callable[[Msg | None], None]
"""Is called with the answer, or ``None`` if the connection was lost before."""


class Replies:
    """The requests that wait for an answer."""

    def __init__(self, link: NatsLink) -> None:
        self._link = link
        self._prefix = ""
        self._waiting: dict[str, Got] = {}
        self._numbers = count(1)

    async def start(self) -> None:
        """Subscribe to the answers."""
        self._prefix = f"{self._link.client.new_inbox()}."
        self._link.on_cut.append(self._cut)
        await self._link.subscribe(f"{self._prefix}*", self._heard)

    def expect(self, got: Got) -> str:
        """Return the subject for one answer, which is passed to ``got``."""
        subject = f"{self._prefix}{next(self._numbers)}"
        self._waiting[subject] = got
        return subject

    def drop(self, subject: str) -> None:
        """Stop expecting an answer."""
        self._waiting.pop(subject, None)

    async def _heard(self, msg: Msg) -> None:
        got = self._waiting.pop(msg.subject, None)
        if got is not None:
            got(msg)

    def _cut(self) -> None:
        waiting, self._waiting = self._waiting, {}
        for got in waiting.values():
            got(None)

    async def ask(self, subject: str, body: bytes, seconds: float) -> bytes:
        """Send a request to a subject and return the answer.

        Raises:
            NobodyError: no process serves the subject.
            RequestTimeoutError: there was no answer in time, or the connection was lost.
        """
        answer: asyncio.Future[Msg | None] = asyncio.get_running_loop().create_future()
        reply = self.expect(lambda msg: None if answer.done() else answer.set_result(msg))
        try:
            with self._link.translated():
                await self._link.client.publish(subject, body, reply=reply)
            async with asyncio.timeout(seconds):
                msg = await answer
        except TimeoutError:
            raise RequestTimeoutError(f"{subject} did not answer in {seconds:g} s") from None
        finally:
            self.drop(reply)
        if msg is None:
            raise RequestTimeoutError(f"the connection was lost before {subject} answered")
        if is_nobody(msg):
            raise NobodyError(f"nobody serves {subject}")
        return msg.data


def is_nobody(msg: Msg) -> bool:
    """Return whether the server says that no process serves the subject."""
    return msg.headers is not None and msg.headers.get("Status") == NOBODY
