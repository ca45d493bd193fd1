"""What a piece of work is about: stands with everything that is logged while it goes on."""

from __future__ import annotations

from contextvars import ContextVar
from typing import Any, Final

_ABOUT: Final[ContextVar[dict[str, Any] | None]] = ContextVar("about", default=None)


def about_now() -> dict[str, Any]:
    """Return what the work that goes on is about."""
    return _ABOUT.get() or {}


class About:
    """Says what the work inside is about; tasks that begin there inherit it.

    It stands around each command: a generator would cost more than all the rest.
    """

    __slots__ = ("_before", "_facts")

    def __init__(self, **facts: Any) -> None:
        self._facts = facts

    def __enter__(self) -> None:
        self._before = before = _ABOUT.get()
        _ABOUT.set({**before, **self._facts} if before else self._facts)

    def __exit__(self, *exc: object) -> None:
        # Not by a token: what begins in one task may be ended by another.
        _ABOUT.set(self._before)
