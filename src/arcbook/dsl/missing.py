"""Find names in templates that nothing defines."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

from arcbook.dsl.diagnostics import Report, did_you_mean
from arcbook.dsl.kinds import Kinds
from arcbook.dsl.mistaken import misspelt
from arcbook.dsl.model import Playbook, Step
from arcbook.dsl.names import OWN, KnownNames, names_everywhere, written_names
from arcbook.dsl.results import Lack, Results
from arcbook.dsl.source import Node, Position, place_inside
from arcbook.template.names import Names

SPELLING_LENGTH_MIN: Final = 4
"""Minimum length of a name that is reported as misspelt, as a request could provide it."""

#: Names that ``ctx`` has, besides the values that were set.
_OF_CTX: Final = frozenset(
    ["catalog_id", "env", "execution_id", "input", "job", "keychain", "path", "payload", "steps", "version", "workload"]
)  # fmt: skip


Fault = tuple[tuple[str, ...], str, str, str]
"""A name that nothing defines: its path, a code, a message and a hint."""


class Reading(NamedTuple):
    """A value that contains a template."""

    #: The step that it belongs to, or an empty string.
    step: str
    node: Node
    names: Names
    #: Whether the text is in another language, whose own braces may look like templates.
    is_foreign: bool = False


def check_names(
    playbook: Playbook,
    readings: list[Reading],
    lines: tuple[str, ...],
    report: Report,
    kinds: Kinds,
) -> None:
    """Warn about names that no default, input, step or ``set`` defines."""
    _Checker(playbook, lines, report, kinds).run(readings)


def _listed(names: Iterable[str]) -> str:
    return f"it has {', '.join(sorted(names)) or 'nothing'}"


class _Checker:
    def __init__(
        self, playbook: Playbook, lines: tuple[str, ...], report: Report, kinds: Kinds
    ) -> None:
        self.playbook = playbook
        self.lines = lines
        self.report = report
        self.everywhere = names_everywhere(playbook)
        self.steps = {step.name: step for step in playbook.steps}
        written = frozenset(written_names(playbook))
        self.ctx = written | set(playbook.workload) | set(self.steps) | _OF_CTX
        #: Names that shadow a step's result.
        self.hidden = written | set(playbook.workload)
        self.results = Results(self.steps, kinds)

    def run(self, readings: list[Reading]) -> None:
        known: dict[str, KnownNames] = {}
        seen: set[tuple[str, int]] = set()
        for step, node, names, is_foreign in readings:
            if not names or (step, id(node)) in seen:
                continue
            seen.add((step, id(node)))
            if step not in known:
                known[step] = KnownNames(self.everywhere, self.steps.get(step))
            faults = list(self._faults(known[step], names, self.steps.get(step)))
            if is_foreign:
                faults = [fault for fault in faults if fault[0][0] in known[step]]
            if faults:
                self._tell(step, node, faults)

    def _faults(self, known: KnownNames, names: Names, step: Step | None) -> Iterator[Fault]:
        """Yield the names that nothing defines."""
        workload = self.playbook.workload
        for path in sorted(names):
            root, rest = path[0], path[1:]
            if root in OWN and root in workload and root not in known.local:
                message = f"{root!r} is a name of the engine here, not the workload's key"
                yield path, "ARC311", message, f"write 'workload.{'.'.join(path)}'"
            elif root not in known:
                yield from self._unknown(path, known)
            elif root in known.local:
                if rest and root in known.labels and step is not None:
                    lack = self.results.lack_of_task(step, root, rest)
                    yield from self._lacking(path, f"the result of {root!r}", lack)
            elif rest:
                yield from self._below(path, step)

    def _below(self, path: tuple[str, ...], step: Step | None) -> Iterator[Fault]:
        """Yield the fields that a path reads below a known name that lacks them."""
        root, rest = path[0], path[1:]
        workload = self.playbook.workload
        if root == "workload" and workload and rest[0] not in workload:
            message = f"the workload has no {rest[0]!r}"
            yield path, "ARC309", message, did_you_mean(rest[0], workload)
        elif root == "ctx" and rest[0] not in self.ctx:
            yield path, "ARC309", f"nothing sets 'ctx.{rest[0]}'", did_you_mean(rest[0], self.ctx)
        elif root == "steps" and rest[0] not in self.steps:
            message = f"there is no step {rest[0]!r}"
            yield path, "ARC309", message, did_you_mean(rest[0], self.steps)
        elif root == "keychain":
            yield from self._in_keychain(path)
        elif root == "output" and root not in self.hidden:
            lack = self.results.lack_of_output(step, rest)
            yield from self._lacking(path, "the output", lack)
        else:
            yield from self._in_result(path)

    def _unknown(self, path: tuple[str, ...], known: KnownNames) -> Iterator[Fault]:
        name = path[0]
        dashed = sorted(step for step in self.steps if step.startswith(f"{name}-"))
        if dashed:
            hint = f"the name contains a minus sign: write steps['{dashed[0]}']"
            yield (
                path,
                "ARC306",
                f"{name!r} is not defined; {dashed[0]!r} is",
                hint,
            )
            return
        near = did_you_mean(name, known) if len(name) >= SPELLING_LENGTH_MIN else ""
        if near or self.playbook.workload:
            yield path, "ARC306", f"{name!r} is not defined unless the request provides it", near

    def _in_keychain(self, path: tuple[str, ...]) -> Iterator[Fault]:
        """Yield a misspelt entry name, or a field that an entry with ``map`` lacks."""
        entries = {entry.name: entry.config for entry in self.playbook.keychain}
        name, fields = path[1], None
        if name in entries:
            fields = entries[name].get("map")
            if isinstance(fields, dict) and path[2:] and path[2] not in fields:
                message = f"the secret {name!r} has no {path[2]!r}"
                yield path, "ARC309", message, did_you_mean(path[2], fields) or _listed(fields)
        elif near := misspelt(name, entries):  # otherwise it may be a stored credential
            yield path, "ARC309", f"the keychain has no {name!r}", f"did you mean {near!r}?"

    def _in_result(self, path: tuple[str, ...]) -> Iterator[Fault]:
        """Yield the field that a path reads and the step's result lacks."""
        below = path[1:] if path[0] in ("steps", "ctx") else path
        if below[0] not in self.steps or (path[0] != "steps" and below[0] in self.hidden):
            return
        lack = self.results.lack(below[0], below[1:])
        yield from self._lacking(path, f"the result of {below[0]!r}", lack)

    def _lacking(self, path: tuple[str, ...], owner: str, lack: Lack | None) -> Iterator[Fault]:
        if lack is not None:
            near = did_you_mean(lack.name, [*lack.fields, *sorted(lack.also)])
            hint = near or _listed(lack.fields)
            if not near and {"rows", "columns"} <= set(lack.fields):
                hint = f"{hint}; a column is in its row: 'rows[0].{lack.name}'"
            yield path, "ARC309", f"{owner} has no {lack.name!r}", hint

    def _tell(self, step: str, node: Node, faults: list[Fault]) -> None:
        text = str(node.value)
        source = text if "{{" in text or "{%" in text else "{{ " + text + " }}"
        from arcbook.template.tolerance import is_tolerated, tolerated  # Jinja2, for few documents

        provided = tolerated(source)
        for path, code, message, hint in faults:
            if code == "ARC311":
                self.report.error(code, message, self._place(node, path), hint, step)
                continue
            if is_tolerated(path, provided):
                continue
            repair = hint or "give it a default: '{{ " + ".".join(path) + " | default(...) }}'"
            self.report.warning(code, message, self._place(node, path), repair, step)

    def _place(self, node: Node, path: tuple[str, ...]) -> Position:
        match = re.search(r"\b" + r"\W+".join(map(re.escape, path)) + r"\b", str(node.value))
        offset = match.start() if match else 0
        return place_inside(self.lines, node, str(node.value).count("\n", 0, offset) + 1)
