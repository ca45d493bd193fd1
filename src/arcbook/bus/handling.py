"""Shared parts of all bus connections: handling requests and checking sizes."""

from __future__ import annotations

import asyncio
import logging
from typing import Final

from arcbook.bus.api import BusError, Listener
from arcbook.logs import events as logged
from arcbook.supervision import Errands

HANDLERS_MAX: Final = 1024
"""Requests of one subject handled concurrently; further ones wait."""

_log = logging.getLogger("arcbook.bus")


class Handling(Errands):
    """The requests of one subject in progress, each in its own task."""

    def __init__(self, subject: str) -> None:
        super().__init__(subject, HANDLERS_MAX)

    def _failed(self, error: BaseException) -> None:
        _log.error(logged.REQUEST_UNHANDLED, {"subject": self.name}, exc_info=error)


def covers(pattern: str, subject: str) -> bool:
    """Return whether a subject matches a listener's pattern."""
    if pattern.endswith(".*"):
        return subject.startswith(pattern[:-1])
    return subject == pattern


def hand_over(listener: Listener, body: bytes) -> None:
    """Schedule a call of a listener; the event loop logs what it raises."""
    asyncio.get_running_loop().call_soon(listener, body)


def check_size(size: int, limit: int) -> None:
    """Refuse a body for which the server would close the connection.

    Raises:
        BusError: The body is too large.
    """
    if size > limit:
        raise BusError(f"the message has {size} bytes; the bus accepts at most {limit}")
