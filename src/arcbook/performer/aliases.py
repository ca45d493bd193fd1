"""Credentials that a playbook references, and that its workers may therefore request."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final, NamedTuple

import msgspec

from arcbook.dsl.model import Playbook
from arcbook.template.errors import TemplateError
from arcbook.template.render import Path, compile_value
from arcbook.wire.payload import CommandPayload

AUTH: Final = "auth"
"""The key below which a task's parameters name credentials."""

KEYCHAIN: Final = "keychain"

_READ: Final = re.compile(r"\bkeychain(?:\.(\w+)|\[\s*['\"]([^'\"]+)['\"]\s*\])")

RESULTS: Final = frozenset({"output", "result", "_prev", "_task", "_attempt", "event", "response"})
"""Names that pipeline templates read and whose values only the worker has."""


class Aliases(NamedTuple):
    """How a playbook references credentials."""

    #: Aliases written literally.
    written: frozenset[str]
    #: Whether some come from the execution's data, such as ``{{ workload.db }}``.
    from_data: bool
    #: Whether some are computed from values that only the worker has.
    computed: bool

    def names(self, alias: str, works: list[CommandPayload]) -> bool:
        """Return whether an alias may be referenced by commands with the given data."""
        if alias in self.written or self.computed:
            return True
        return self.from_data and any(_occurs_in(alias, work) for work in works)


def aliases_of(playbook: Playbook) -> Aliases:
    """Return how a playbook references credentials."""
    local_names = RESULTS | {task.label for step in playbook.steps for task in step.tasks}
    local_names -= {step.name for step in playbook.steps}
    written: set[str] = set()
    from_data = computed = False
    for text in _texts(playbook):
        template = compile_value(text)
        if template.is_literal:
            written.add(text)
        elif isinstance(template, Path) and template.root not in local_names:
            from_data = True
        else:
            computed = True
    for text in _strings(msgspec.to_builtins(playbook)):
        if KEYCHAIN in text:
            names = _entries_read(text)
            written |= names
            computed = computed or "" in names
    written.discard("")
    return Aliases(frozenset(written), from_data, computed)


def _entries_read(text: str) -> set[str]:
    """Return the keychain entries that a text reads; an empty name stands for computed ones."""
    entries = {dotted or quoted for dotted, quoted in _READ.findall(text)}
    try:
        names = compile_value(text).names
    except TemplateError:
        return entries  # code, whose braces are not a template's
    return entries | {(*name, "")[1] for name in names if name[0] == KEYCHAIN}


def _texts(playbook: Playbook) -> Iterator[str]:
    for entry in playbook.keychain:
        yield entry.name
        yield from _strings(entry.config)
    for step in playbook.steps:
        for task in step.tasks:
            yield from _strings(task.auth)
            yield from _below_auth(task.config)
        if step.loop is not None and step.loop.cursor is not None:
            yield from _strings(step.loop.cursor.auth)
            yield from _below_auth(step.loop.cursor.options)


def _below_auth(value: Any) -> Iterator[str]:
    """Yield the strings below each ``auth`` key."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _strings(inner) if key == AUTH else _below_auth(inner)
    elif isinstance(value, (list, tuple)):
        for inner in value:
            yield from _below_auth(inner)


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for inner in value.values():
            yield from _strings(inner)
    elif isinstance(value, (list, tuple)):
        for inner in value:
            yield from _strings(inner)


def _occurs_in(alias: str, work: CommandPayload) -> bool:
    """Return whether an alias occurs in a command's data, or may occur in its loop's items."""
    if work.loop is not None and work.loop.ref is not None:
        return True
    return msgspec.json.encode(alias) in msgspec.json.encode(work)
