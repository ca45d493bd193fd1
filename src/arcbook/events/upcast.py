"""Upgrade events written by earlier releases to their current form.

A missing field takes its default. Where the default is wrong for old events, a function here
handles that event type and returns the event as it would be written today. Its condition must
not match any event in the current form.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, TypeVar

import msgspec

from arcbook.events.types import AnyEvent, LoopResult, PlaybookStarted, StepExit, StepResult
from arcbook.outcome import OK

Result = TypeVar("Result", StepResult, LoopResult, StepResult | LoopResult)


def upcast(event: AnyEvent) -> AnyEvent:
    """Return an event in its current form; the same object if nothing changes."""
    change = _CHANGES.get(type(event))
    return event if change is None else change(event)


def _with_loops(event: PlaybookStarted) -> PlaybookStarted:
    """Set the status of loop results taken from another execution; none is known to have failed."""
    results = {name: _of_status(result, OK) for name, result in event.results.items()}
    return msgspec.structs.replace(event, results=results) if results else event


def _with_loop(event: StepExit) -> StepExit:
    """Set the status of a loop result, which earlier releases recorded on the step only."""
    if event.loop is None or event.loop.status:
        return event
    return msgspec.structs.replace(event, loop=_of_status(event.loop, event.status))


def _of_status(result: Result, status: str) -> Result:
    if not isinstance(result, LoopResult) or result.status:
        return result
    return msgspec.structs.replace(result, status=status)


_CHANGES: Final[dict[type, Callable[[Any], AnyEvent]]] = {
    PlaybookStarted: _with_loops,
    StepExit: _with_loop,
}
