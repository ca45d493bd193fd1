"""What all connections to a bus share: handling what comes, and checking what goes."""

from __future__ import annotations

import asyncio
import logging
from typing import Final

from arcbook.bus.api import BusError, Listener
from arcbook.logs import events as logged
from arcbook.supervision import Errands

HANDLERS_MAX: Final = 1024
"""Requests of one subject that are handled at once; further ones wait for their turn."""

_log = logging.getLogger("arcbook.bus")


class Handling(Errands):
    """The requests of one subject that are being handled, each by a task of its own."""

    def __init__(self, subject: str) -> None:
        super().__init__(subject, HANDLERS_MAX)

    def _failed(self, error: BaseException) -> None:
        _log.error(logged.REQUEST_UNHANDLED, {"subject": self.name}, exc_info=error)


def covers(pattern: str, subject: str) -> bool:
    """Tell whether a subject is among those that are listened to."""
    if pattern.endswith(".*"):
        return subject.startswith(pattern[:-1])
    return subject == pattern


def hand_over(listener: Listener, body: bytes) -> None:
    """Tell a listener, in its turn; the loop notes what it raises, and the others go on."""
    asyncio.get_running_loop().call_soon(listener, body)


def check_size(size: int, most: int) -> None:
    """Refuse what the server would close the connection for.

    Raises:
        BusError: it is too big.
    """
    if size > most:
        raise BusError(f"{size} bytes are more than the bus takes ({most})")
