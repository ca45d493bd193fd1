"""What a message is, how it is settled, and the port of the brokers that have messages."""

from __future__ import annotations

import base64
import enum
from collections.abc import Mapping, Sequence
from typing import Any, Final, Protocol

import msgspec

MESSAGES_BYTES_MAX: Final = 64 * 1024 * 1024
"""Size of the messages of one call together."""


class Disposition(enum.StrEnum):
    """What becomes of a message."""

    #: It is done.
    ACK = "ack"
    #: It is to be delivered again.
    NACK = "nack"
    #: It is not to be delivered again, though it is not done.
    TERM = "term"


class Message(msgspec.Struct, frozen=True, kw_only=True):
    """A message of any broker."""

    id: str
    data: Any
    #: By lower-case name.
    headers: dict[str, str] = {}
    attributes: dict[str, str] = {}
    metadata: dict[str, Any] = {}
    #: Settles the message, from whatever process.
    ack_id: str


class Source(Protocol):
    """A broker's queue of messages. Methods raise :class:`~arcbook.tools.nats_pool.Refusal`."""

    async def poll(self, batch: int, seconds: float) -> list[Message]:
        """Return up to ``batch`` messages; wait up to ``seconds`` for the first."""

    async def settle(
        self, disposition: Disposition, ack_ids: Sequence[str], delay_seconds: float
    ) -> list[str]:
        """Settle messages; return the ids of those for which the broker confirmed it."""

    def check(self, ack_ids: Sequence[str]) -> None:
        """Refuse ids that cannot be of this broker."""


def content_of(data: bytes) -> Any:
    """Return a message's body: JSON as its value, other text as text, anything else as Base64."""
    try:
        text = data.decode()
    except UnicodeDecodeError:
        return base64.b64encode(data).decode()
    try:
        return msgspec.json.decode(data)
    except (msgspec.DecodeError, RecursionError):
        return text


def lower(headers: Mapping[Any, Any] | None) -> dict[str, str]:
    """Return headers by lower-case name."""
    return {str(name).lower(): str(value) for name, value in (headers or {}).items()}
