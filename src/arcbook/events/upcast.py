"""Events as earlier releases wrote them, brought to the form that they have now.

An event that lacks a new field reads as one with its default. Where the default is not what
was meant, a function here says what was: it looks at one type of event, and returns the event
as it would be written now. What it looks for must be what no present event has.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import msgspec

from arcbook.events.types import AnyEvent, StepExit
from arcbook.outcome import ERROR


def upcast(event: AnyEvent) -> AnyEvent:
    """Return an event in its present form; the same one if it has it."""
    change = _CHANGES.get(type(event))
    return event if change is None else change(event)


def _failed_loop(event: StepExit) -> StepExit:
    """Have a loop that failed say so: it was told by its step alone."""
    loop = event.loop
    if loop is None or event.status != ERROR or loop.status == ERROR:
        return event
    return msgspec.structs.replace(event, loop=msgspec.structs.replace(loop, status=ERROR))


_CHANGES: Final[dict[type, Callable[[Any], AnyEvent]]] = {StepExit: _failed_loop}
