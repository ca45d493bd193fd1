"""What a piece of work is about: stands with everything that is logged while it goes on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Final

_ABOUT: Final[ContextVar[dict[str, Any] | None]] = ContextVar("about", default=None)


def about_now() -> dict[str, Any]:
    """Return what the work that goes on is about."""
    return _ABOUT.get() or {}


@contextmanager
def about(**facts: Any) -> Iterator[None]:
    """Say what the work inside is about; tasks that begin there inherit it."""
    before = _ABOUT.get()
    _ABOUT.set({**(before or {}), **facts})
    try:
        yield
    finally:
        # Not by a token: what begins in one task may be ended by another.
        _ABOUT.set(before)
