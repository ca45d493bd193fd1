"""Where the names of a template come from."""

from __future__ import annotations

from typing import Any

from arcbook.template.access import MISSING


class Scope:
    """Names for one render.

    Subclasses answer :meth:`lookup`. The scope also collects what a render notes:
    names that were missing where a value was needed, and loop passes spent.
    """

    __slots__ = ("iterations", "missing")

    def __init__(self) -> None:
        self.missing: list[str] | None = None
        self.iterations = 0

    def lookup(self, name: str) -> Any:
        """Return the value of a root name, or :data:`MISSING`."""
        raise NotImplementedError

    def note_missing(self, name: str) -> None:
        """Record that a value was needed and ``name`` had none."""
        if self.missing is None:
            self.missing = []
        if name not in self.missing:
            self.missing.append(name)

    def take_missing(self) -> list[str]:
        """Return the names noted as missing, and forget them."""
        found, self.missing = self.missing, None
        return found or []


class DictScope(Scope):
    """A scope over one mapping."""

    __slots__ = ("names",)

    def __init__(self, names: dict[str, Any]) -> None:
        super().__init__()
        self.names = names

    def lookup(self, name: str) -> Any:
        return self.names.get(name, MISSING)
