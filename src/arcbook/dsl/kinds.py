"""Declarations of tool kinds: their parameters and results, without their code.

Tools declare their kinds, the lint checks documents against the declarations, and the JSON
Schema describes them. Third-party tools are therefore checked like built-in ones.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Callable, Mapping
from typing import Any, Final, Protocol

import msgspec


class Treatment(enum.StrEnum):
    """How templates in a parameter are treated."""

    #: Rendered.
    RENDER = "render"
    #: Source code: only known names are replaced (:mod:`arcbook.template.code`).
    CODE = "code"
    #: Text for a shell or another language: foreign braces are left unchanged
    #: (:mod:`arcbook.template.script`).
    SCRIPT = "script"
    #: Not rendered.
    RAW = "raw"


class Effects(enum.StrEnum):
    """What repeating a call does, from the safest to the riskiest."""

    #: The call changes nothing.
    NONE = "none"
    #: Repeating the call has the same effect as making it once.
    IDEMPOTENT = "idempotent"
    #: The call sends its idempotency key, by which the remote side recognises a repetition.
    KEYED = "keyed"
    #: Each repetition has the effect again.
    ONCE = "once"


KEY_NAME: Final = "_idempotency_key"
"""The name by which templates read the idempotency key of their call."""


class Param(msgspec.Struct, frozen=True, kw_only=True):
    """One parameter of a tool kind."""

    name: str
    description: str = ""
    required: bool = False
    treatment: Treatment = Treatment.RENDER
    #: Other accepted spellings.
    aliases: tuple[str, ...] = ()
    #: JSON Schema of its value.
    schema: dict[str, Any] = {}
    default: Any = None


class Field(msgspec.Struct, frozen=True, kw_only=True):
    """A field of a result."""

    #: Its name, in which ``<n>`` stands for a number.
    name: str
    description: str = ""
    #: The shape of its value, if that is fixed.
    inner: Shape | None = None


class Shape(msgspec.Struct, frozen=True, kw_only=True):
    """The fields of a result, as far as they are known before the execution."""

    fields: tuple[Field, ...] = ()
    #: Whether it may have further fields.
    is_open: bool = False

    def field(self, name: str) -> Field | None:
        """Return a field by its name."""
        plain = re.sub(r"\d+", "<n>", name)
        for field in self.fields:
            if field.name in (name, plain):
                return field
        return None

    def names(self) -> list[str]:
        """Return the names of the fields."""
        return [field.name for field in self.fields]


class Absence(msgspec.Struct, frozen=True, kw_only=True):
    """Why this installation knows of a kind and has no tool for it."""

    #: What to do about it.
    advice: str
    reason: str = "has no tool in this installation"
    #: Whether a package that should provide the tool is broken.
    is_fault: bool = False


class Kind(msgspec.Struct, frozen=True, kw_only=True):
    """The declaration of a tool kind."""

    name: str
    description: str = ""
    params: tuple[Param, ...] = ()
    #: Groups of parameters of which at least one is required.
    any_of: tuple[tuple[str, ...], ...] = ()
    #: Allowed values of nested parameters, by path: ``source.type``.
    choices: dict[str, tuple[str, ...]] = {}
    #: Known keys of nested mappings, by path; others are allowed as well.
    keys: dict[str, tuple[str, ...]] = {}
    #: Whether undeclared parameters are passed to the tool.
    open: bool = False
    #: Whether a call may wait outside a worker, for a child or a callback.
    waits: bool = False
    #: Whether it uses ``auth``.
    takes_auth: bool = False
    #: Other names of the kind.
    names: tuple[str, ...] = ()
    #: Shape of its result, if that does not depend on the parameters.
    result: Shape | None = None
    #: The parameter that selects the shape of the result, and the shape for each value.
    result_by: str = ""
    results: dict[str, Shape] = {}
    #: Parameters, the first of which that is set is the result itself or has the given shape.
    echoes: dict[str, Shape | None] = {}
    #: Why the kind has no tool in this installation, if so.
    absence: Absence | None = None
    #: The effects that its calls may have.
    effects: tuple[Effects, ...] = (Effects.KEYED,)
    #: Returns the effects of a call from its parameters, rendered or not.
    effects_of: Callable[[Mapping[str, Any]], Effects] | None = None
    #: An example task, as YAML.
    example: str = ""
    #: Returns a short summary of a call from its parameters.
    summary: Callable[[Mapping[str, Any]], str] | None = None

    def effects_for(self, config: Mapping[str, Any], key: str = "") -> Effects:
        """Return what repeating a call does.

        Args:
            config: the call's parameters, rendered or not.
            key: the call's idempotency key, if known.
        """
        effects = self.effects[-1] if self.effects_of is None else self.effects_of(config)
        if effects is Effects.ONCE and _mentions(config, (KEY_NAME, key) if key else (KEY_NAME,)):
            return Effects.KEYED
        return effects

    def param(self, name: str) -> Param | None:
        """Return a parameter by its name."""
        for param in self.params:
            if param.name == name:
                return param
        return None


def _mentions(value: Any, texts: tuple[str, ...]) -> bool:
    """Return whether any of the texts occurs anywhere in a value."""
    if isinstance(value, str):
        return any(text in value for text in texts)
    if isinstance(value, Mapping):
        return any(_mentions(v, texts) for v in value.values())
    return isinstance(value, list) and any(_mentions(v, texts) for v in value)


class Kinds(Protocol):
    """A source of tool kinds."""

    def kind(self, name: str) -> Kind | None:
        """Return a kind by one of its names, or ``None``."""

    def names(self) -> tuple[str, ...]:
        """Return the names of all kinds."""


def shape(fields: Mapping[str, str | Shape], *, is_open: bool = False) -> Shape:
    """Build a shape from its fields' names, each with a description or the shape of its value."""
    fields_of_shape = (
        Field(name=name, description=content)
        if isinstance(content, str)
        else Field(name=name, inner=content)
        for name, content in fields.items()
    )
    return Shape(fields=tuple(fields_of_shape), is_open=is_open)


class KindTable:
    """Kinds in a mapping, for tests and for checks without tools."""

    def __init__(self, kinds: Mapping[str, Kind] | None = None) -> None:
        self._kinds = dict(kinds or {})

    def kind(self, name: str) -> Kind | None:
        return self._kinds.get(name)

    def names(self) -> tuple[str, ...]:
        return tuple(self._kinds)
