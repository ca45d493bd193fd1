"""Answers that come to this connection, all by one subscription."""

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
"""Is told an answer; or ``None`` if the connection was cut before there was one."""


class Replies:
    """Who waits for which answer."""

    def __init__(self, link: NatsLink) -> None:
        self._link = link
        self._prefix = ""
        self._waiting: dict[str, Got] = {}
        self._numbers = count(1)

    async def start(self) -> None:
        """Hear answers from now on."""
        self._prefix = f"{self._link.client.new_inbox()}."
        self._link.on_cut.append(self._cut)
        await self._link.subscribe(f"{self._prefix}*", self._heard)

    def expect(self, got: Got) -> str:
        """Return a subject for one answer, and who is told it."""
        subject = f"{self._prefix}{next(self._numbers)}"
        self._waiting[subject] = got
        return subject

    def drop(self, subject: str) -> None:
        """Expect an answer no more."""
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
        """Ask whoever serves a subject.

        Raises:
            NobodyError: nobody serves it.
            RequestTimeoutError: there was no answer in time, or the connection was cut.
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
            raise RequestTimeoutError(f"the connection was cut before {subject} answered")
        if is_nobody(msg):
            raise NobodyError(f"nobody serves {subject}")
        return msg.data


def is_nobody(msg: Msg) -> bool:
    """Tell whether the server says that nobody heard."""
    return msg.headers is not None and msg.headers.get("Status") == NOBODY
