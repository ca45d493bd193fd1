"""Who is told of events once they are stored."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterator

from arcbook.engine.state import State
from arcbook.events.types import Recorded
from arcbook.logs import events as logged

Listener = Callable[[int, list[Recorded], State], None]

log = logging.getLogger(__name__)


class Listeners:
    """The listeners of a drive loop, which none of them can stop."""

    def __init__(self) -> None:
        self._listeners: list[Listener] = []

    def add(self, listener: Listener) -> None:
        """Have somebody told of the events of each commit."""
        self._listeners.append(listener)

    @contextlib.contextmanager
    def added(self, listener: Listener | None) -> Iterator[None]:
        """Have somebody told for a time, if there is anybody."""
        if listener is None:
            yield
            return
        self.add(listener)
        try:
            yield
        finally:
            self._listeners.remove(listener)

    def tell(self, execution_id: int, events: list[Recorded], state: State) -> None:
        """Tell all of them; one that fails is logged."""
        for listener in self._listeners:
            try:
                listener(execution_id, events, state)
            except Exception:
                log.exception(logged.LISTENER_FAILED, {"execution": execution_id})
