"""What the language knows of a tool kind: its parameters, not its code.

The tools declare their kinds; the language checks documents against them and the
schema describes them. So lint and editors know a third party's tool as well as ours.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from typing import Any, Protocol

import msgspec


class Treatment(enum.StrEnum):
    """What happens to templates in a parameter."""

    #: They are rendered.
    RENDER = "render"
    #: Source code: only known names are replaced (:mod:`arcbook.template.code`).
    CODE = "code"
    #: Text for a shell or another language: what is no template of ours stays
    #: (:mod:`arcbook.template.script`).
    SCRIPT = "script"
    #: They are left alone.
    RAW = "raw"


class Param(msgspec.Struct, frozen=True, kw_only=True):
    """One parameter of a tool kind."""

    name: str
    description: str = ""
    required: bool = False
    treatment: Treatment = Treatment.RENDER
    #: Other spellings that documents use for it.
    aliases: tuple[str, ...] = ()
    #: JSON Schema of its value.
    schema: dict[str, Any] = {}
    default: Any = None


class Kind(msgspec.Struct, frozen=True, kw_only=True):
    """A tool kind as the language sees it."""

    name: str
    description: str = ""
    params: tuple[Param, ...] = ()
    #: Groups of parameters of which at least one must be written.
    any_of: tuple[tuple[str, ...], ...] = ()
    #: Whether parameters that are not listed are handed to the tool.
    open: bool = False
    #: Whether a call may wait outside a worker: a child, a callback.
    waits: bool = False
    #: Whether ``auth`` is of use to it.
    takes_auth: bool = False
    #: Other names of the kind.
    names: tuple[str, ...] = ()
    #: Fields of its result, where these are always the same.
    fields: tuple[str, ...] = ()
    #: Whether this installation knows of the kind and has no tool for it.
    is_absent: bool = False

    def param(self, name: str) -> Param | None:
        """Return a parameter by its name."""
        for param in self.params:
            if param.name == name:
                return param
        return None


class Kinds(Protocol):
    """Where the language asks for tool kinds."""

    def kind(self, name: str) -> Kind | None:
        """Return a kind by one of its names, or ``None``."""

    def names(self) -> tuple[str, ...]:
        """Return the names of all kinds."""


class KindTable:
    """Kinds held in a mapping; what tests and the language alone use."""

    def __init__(self, kinds: Mapping[str, Kind] | None = None) -> None:
        self._kinds = dict(kinds or {})

    def kind(self, name: str) -> Kind | None:
        return self._kinds.get(name)

    def names(self) -> tuple[str, ...]:
        return tuple(self._kinds)
