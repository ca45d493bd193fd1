"""Listeners that receive events once they are stored."""

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
    """The listeners of a drive loop; an error in one does not affect the loop."""

    def __init__(self) -> None:
        self._listeners: list[Listener] = []

    def add(self, listener: Listener) -> None:
        """Call a listener with the events of each commit."""
        self._listeners.append(listener)

    @contextlib.contextmanager
    def added(self, listener: Listener | None) -> Iterator[None]:
        """Add a listener for the duration of a with block; None adds nothing."""
        if listener is None:
            yield
            return
        self.add(listener)
        try:
            yield
        finally:
            self._listeners.remove(listener)

    def tell(self, execution_id: int, events: list[Recorded], state: State) -> None:
        """Call all listeners; log the errors they raise."""
        for listener in self._listeners:
            try:
                listener(execution_id, events, state)
            except Exception:
                log.exception(logged.LISTENER_FAILED, {"execution": execution_id})
