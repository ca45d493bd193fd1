"""Names in templates that nothing can bring, each at the place of its value."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final, NamedTuple

from arcbook.dsl.diagnostics import Report, did_you_mean
from arcbook.dsl.kinds import Kinds, Treatment
from arcbook.dsl.model import Playbook, Step
from arcbook.dsl.names import KnownNames, names_everywhere, written_names
from arcbook.dsl.python_code import read_code
from arcbook.dsl.source import Node, Position, place_inside
from arcbook.template.names import Names

SPELLING_LENGTH_MIN: Final = 4
"""Length from which a name that a request could bring is taken for a misspelt one."""

#: What every result answers, besides its own fields.
_OF_RESULTS: Final = frozenset(
    ["data", "error", "http", "meta", "pg", "py", "result", "results", "status", "tasks", "_ref", "_store"]
)  # fmt: skip
#: What ``ctx`` answers, besides what was set.
_OF_CTX: Final = frozenset(
    ["catalog_id", "env", "execution_id", "input", "job", "keychain", "path", "payload", "steps", "version", "workload"]
)  # fmt: skip


class Reading(NamedTuple):
    """A value with a template in it."""

    #: The step that it belongs to, or an empty text.
    step: str
    node: Node
    names: Names


def check_names(
    playbook: Playbook,
    readings: list[Reading],
    lines: tuple[str, ...],
    report: Report,
    kinds: Kinds,
) -> None:
    """Warn of names that no default, input, step or setting can bring."""
    _Checker(playbook, lines, report, kinds).run(readings)


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
        self.kinds = kinds
        #: Fields of results that were asked for.
        self.fields: dict[str, frozenset[str] | None] = {}

    def run(self, readings: list[Reading]) -> None:
        known: dict[str, KnownNames] = {}
        seen: set[tuple[str, int]] = set()
        for step, node, names in readings:
            if not names or (step, id(node)) in seen:
                continue
            seen.add((step, id(node)))
            if step not in known:
                known[step] = KnownNames(self.everywhere, self.steps.get(step))
            faults = list(self._faults(known[step], names))
            if faults:
                self._tell(step, node, faults)

    def _faults(
        self, known: KnownNames, names: Names
    ) -> Iterator[tuple[tuple[str, ...], str, str, str]]:
        """Yield the names that nothing brings: path, code, message and hint of each."""
        book = self.playbook
        for path in sorted(names):
            root, rest = path[0], path[1:]
            if root not in known:
                yield from self._unknown(path, known)
            elif not rest or root in known.local:
                continue
            elif root == "workload" and book.workload and rest[0] not in book.workload:
                what = f"the workload has no {rest[0]!r}"
                yield path, "ARC309", what, did_you_mean(rest[0], book.workload)
            elif root == "ctx" and rest[0] not in self.ctx:
                yield (
                    path,
                    "ARC309",
                    f"nothing sets 'ctx.{rest[0]}'",
                    did_you_mean(rest[0], self.ctx),
                )
            elif root == "steps" and rest[0] not in self.steps:
                yield (
                    path,
                    "ARC309",
                    f"there is no step {rest[0]!r}",
                    did_you_mean(rest[0], self.steps),
                )
            elif root in self.steps and root not in book.workload:
                yield from self._in_result(path)

    def _unknown(
        self, path: tuple[str, ...], known: KnownNames
    ) -> Iterator[tuple[tuple[str, ...], str, str, str]]:
        name = path[0]
        dashed = sorted(step for step in self.steps if step.startswith(f"{name}-"))
        if dashed:
            hint = f"a minus stands in it: write steps['{dashed[0]}']"
            yield (
                path,
                "ARC306",
                f"nothing is called {name!r}, which {dashed[0]!r} begins with",
                hint,
            )
            return
        near = did_you_mean(name, known) if len(name) >= SPELLING_LENGTH_MIN else ""
        if near or self.playbook.workload:
            yield path, "ARC306", f"nothing is called {name!r} unless a request brings it", near

    def _in_result(self, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], str, str, str]]:
        step, *rest = path
        if step not in self.fields:
            self.fields[step] = _fields(self.steps[step], self.kinds)
        fields = self.fields[step]
        if fields is None:
            return
        labels = {task.label for task in self.steps[step].tasks}
        if rest[0] not in fields | _OF_RESULTS | labels:
            missing = rest[0]
        elif rest[0] in ("data", "result") and rest[0] not in fields and rest[1:]:
            missing = rest[1]
            if missing in fields:
                return
        else:
            return
        hint = did_you_mean(missing, fields) or f"it has {', '.join(sorted(fields)) or 'nothing'}"
        yield path, "ARC309", f"the result of {step!r} has no {missing!r}", hint

    def _tell(
        self, step: str, node: Node, faults: list[tuple[tuple[str, ...], str, str, str]]
    ) -> None:
        text = str(node.value)
        source = text if "{{" in text or "{%" in text else "{{ " + text + " }}"
        from arcbook.template.tolerance import is_tolerated, tolerated  # Jinja2, for few documents

        provided = tolerated(source)
        for path, code, message, hint in faults:
            if is_tolerated(path, provided):
                continue
            repair = hint or "give it a default: '{{ " + ".".join(path) + " | default(...) }}'"
            self.report.warning(code, message, self._place(node, path), repair, step)

    def _place(self, node: Node, path: tuple[str, ...]) -> Position:
        found = re.search(r"\b" + r"\W+".join(map(re.escape, path)) + r"\b", str(node.value))
        offset = found.start() if found else 0
        return place_inside(self.lines, node, str(node.value).count("\n", 0, offset) + 1)


def _fields(step: Step, kinds: Kinds) -> frozenset[str] | None:
    """Return the fields of a step's result, where they are known before it runs."""
    if step.loop is not None or len(step.tasks) != 1 or step.routes_only:
        return None
    task = step.tasks[0]
    kind = kinds.kind(task.kind)
    if kind is None:
        return None
    if kind.fields:
        return frozenset(kind.fields)
    for param in kind.params:
        code = task.config.get(param.name)
        if param.treatment is Treatment.CODE and isinstance(code, str) and "{{" not in code:
            return read_code(code).fields
    return None
