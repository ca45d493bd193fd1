"""Follow an execution: server-sent events, resumed after interruptions."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Final

import aiohttp
import msgspec

from arcbook.client.errors import RefusedError
from arcbook.client.link import ServerLink, away, refused
from arcbook.client.operations import EVENTS
from arcbook.wire.http.executions import EventView

TRIES_MAX: Final = 10
"""Attempts to resume a stream without a new event in between."""

PAUSES: Final = (0.1, 0.25, 0.5, 1.0, 2.0)
"""Pauses between attempts, in seconds; the last one repeats."""

SILENCE_SECONDS: Final = 45.0
"""Silence after which a stream is dropped; servers send keep-alives more often."""

_EVENT: Final = msgspec.json.Decoder(EventView)


class Ended(Exception):  # noqa: N818  # it is no error
    """The stream reported the end of the execution."""


async def follow(link: ServerLink, execution_id: str, after: int = 0) -> AsyncIterator[EventView]:
    """Yield an execution's events as they occur, until it ends.

    Raises:
        ServerAwayError: the server was unreachable for too long.
        RefusedError: the execution does not exist, or the caller may not see it.
    """
    tries = 0
    while True:
        broken: BaseException = EOFError("the stream broke off")
        try:
            async for event in _once(link, execution_id, after):
                after, tries = event.seq, 0
                yield event
        except Ended:
            return
        except RefusedError as error:
            if error.status < 500:
                raise
            broken = error
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            broken = error
        tries += 1
        if tries >= TRIES_MAX:
            raise away(link.url, broken) from None
        await asyncio.sleep(PAUSES[min(tries, len(PAUSES)) - 1])


async def _once(link: ServerLink, execution_id: str, after: int) -> AsyncIterator[EventView]:
    headers = {"Accept": "text/event-stream", "Last-Event-ID": str(after)}
    timeout = aiohttp.ClientTimeout(total=None, sock_read=SILENCE_SECONDS)
    url = link.address(EVENTS, execution_id=execution_id)
    async with link.session.get(url, headers=headers, timeout=timeout) as response:
        if response.status != 200:
            raise refused(response.status, await response.read(), link.url)
        name, data = "", bytearray()
        async for line in _lines(response):
            field, _, value = line.partition(b": ")
            if field == b"event":
                name = value.decode()
            elif field == b"data":
                data += value
            elif not line:
                if name == "end":
                    raise Ended
                if data:
                    yield _EVENT.decode(data)
                name, data = "", bytearray()


async def _lines(response: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
    """Yield lines of any length; the session's own reader limits them."""
    rest = b""
    async for chunk in response.content.iter_any():
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            yield line
