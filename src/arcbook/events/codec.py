"""Events to JSON and back."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from arcbook.errors import DamagedError
from arcbook.events.types import AnyEvent, Event
from arcbook.events.upcast import upcast

ENCODER: Final = msgspec.json.Encoder()
_DECODER: Final[msgspec.json.Decoder[AnyEvent]] = msgspec.json.Decoder(AnyEvent)


class UnreadableEventError(DamagedError, ValueError):
    """A stored event cannot be read by this version."""

    code = "unreadable_event"


def encode(event: Event) -> bytes:
    """Return an event as JSON."""
    return ENCODER.encode(event)


def decode(data: bytes | str) -> AnyEvent:
    """Decode an event from JSON and bring it to its current form.

    Raises:
        UnreadableEventError: If it is damaged or was written by a newer version.
    """
    try:
        return upcast(_DECODER.decode(data))
    except (msgspec.DecodeError, RecursionError) as error:
        raise UnreadableEventError(f"cannot read a stored event: {error}") from None


def builtins(value: Any) -> Any:
    """Return a struct as plain mappings and lists, for an API or a snapshot."""
    return msgspec.to_builtins(value)
