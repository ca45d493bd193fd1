"""Log context: fields added to every record logged while a piece of work runs."""

from __future__ import annotations

from contextvars import ContextVar
from typing import Any, Final

_CONTEXT: Final[ContextVar[dict[str, Any] | None]] = ContextVar("about", default=None)


def current_context() -> dict[str, Any]:
    """Return the fields of the current log context."""
    return _CONTEXT.get() or {}


class LogContext:
    """Adds fields to the log context within a with block; tasks started there inherit them.

    A class, as it surrounds each command and a generator would be slower.
    """

    __slots__ = ("_before", "_facts")

    def __init__(self, **facts: Any) -> None:
        self._facts = facts

    def __enter__(self) -> None:
        self._before = before = _CONTEXT.get()
        _CONTEXT.set({**before, **self._facts} if before else self._facts)

    def __exit__(self, *exc: object) -> None:
        # Not reset by token: the block may exit in another task than it was entered in.
        _CONTEXT.set(self._before)
