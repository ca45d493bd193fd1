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
    """A stored event is not one that this version knows."""

    code = "unreadable_event"


def encode(event: Event) -> bytes:
    """Return an event as JSON."""
    return ENCODER.encode(event)


def decode(data: bytes | str) -> AnyEvent:
    """Return the event that JSON holds, in its present form.

    Raises:
        UnreadableEventError: it is damaged, or of a newer version.
    """
    try:
        return upcast(_DECODER.decode(data))
    except (msgspec.DecodeError, RecursionError) as error:
        raise UnreadableEventError(f"cannot read a stored event: {error}") from None


def builtins(value: Any) -> Any:
    """Return a struct as plain mappings and lists, for an API or a snapshot."""
    return msgspec.to_builtins(value)
