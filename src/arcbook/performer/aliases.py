"""Which credentials a document names: what its workers may ask for."""

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
"""Names that templates of a pipeline read and that no server knows beforehand."""


class Aliases(NamedTuple):
    """What the document says of its credentials."""

    #: Aliases that it writes out.
    written: frozenset[str]
    #: Whether it names some by a value of the execution, such as ``{{ workload.db }}``.
    from_data: bool
    #: Whether it computes some, from what only its tools know.
    computed: bool

    def names(self, alias: str, works: list[CommandPayload]) -> bool:
        """Return whether an alias is among them, for commands with the data that they have."""
        if alias in self.written or self.computed:
            return True
        return self.from_data and any(_stands_in(alias, work) for work in works)


def aliases_of(playbook: Playbook) -> Aliases:
    """Return which credentials a document names."""
    own = RESULTS | {task.label for step in playbook.steps for task in step.tasks}
    own -= {step.name for step in playbook.steps}
    written: set[str] = set()
    from_data = computed = False
    for text in _texts(playbook):
        template = compile_value(text)
        if template.is_literal:
            written.add(text)
        elif isinstance(template, Path) and template.root not in own:
            from_data = True
        else:
            computed = True
    for text in _strings(msgspec.to_builtins(playbook)):
        if KEYCHAIN in text:
            names = _opened(text)
            written |= names
            computed = computed or "" in names
    written.discard("")
    return Aliases(frozenset(written), from_data, computed)


def _opened(text: str) -> set[str]:
    """Return what a text reads of the keychain by name; an empty name for what it works out."""
    found = {one or other for one, other in _READ.findall(text)}
    try:
        names = compile_value(text).names
    except TemplateError:
        return found  # it is code, whose braces are its own
    return found | {(*name, "")[1] for name in names if name[0] == KEYCHAIN}


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
    """Yield the texts below each key that names credentials."""
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


def _stands_in(alias: str, work: CommandPayload) -> bool:
    """Return whether a text is a value that a command was given, or may be among its items."""
    if work.loop is not None and work.loop.ref is not None:
        return True
    return msgspec.json.encode(alias) in msgspec.json.encode(work)
