"""The location of a failure in its document."""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from arcbook.compose.embedded import Embedded
from arcbook.dsl.diagnostics import Diagnostic, Severity, excerpt
from arcbook.dsl.load import InvalidPlaybookError
from arcbook.dsl.model import Playbook, Step, Task
from arcbook.dsl.source import Position, lines_of, readable
from arcbook.outcome import ErrorInfo
from arcbook.owner.plans import PlaybookMissingError

_LINE: Final = re.compile(r'File "<playbook>", line (\d+)')


class Source(NamedTuple):
    """A playbook with its document."""

    #: The file, or the path in the catalog.
    name: str
    content: str | bytes
    playbook: Playbook

    def place(self, error: ErrorInfo) -> Position | None:
        """Return the place of a failure, if known."""
        return place_of(self.playbook, error, lines_of(readable(self.content)))

    def excerpt_at(self, error: ErrorInfo) -> str:
        """Return the place of a failure with an excerpt; empty if unknown."""
        lines = lines_of(readable(self.content))
        place = place_of(self.playbook, error, lines)
        if place is None:
            return ""
        at = Diagnostic(
            code="", severity=Severity.ERROR, message="", line=place.line, column=place.column
        )
        return f"  at {self.name}:{place.line}:{place.column}\n{excerpt(lines, at)}"


async def source_of(embedded: Embedded, catalog_id: int) -> Source | None:
    """Return the document of a local execution; None if it was deleted."""
    try:
        planned = await embedded.plans.find(catalog_id=catalog_id)
    except (PlaybookMissingError, InvalidPlaybookError):
        return None
    return Source(planned.entry.path, planned.entry.content, planned.plan.playbook)


def place_of(playbook: Playbook, error: ErrorInfo, lines: tuple[str, ...]) -> Position | None:
    """Return the place of the task, or part of a step, that an error names."""
    where = error.where or ""
    named = [s for s in playbook.steps if f"{where}.".startswith(f"steps.{s.name}.")]
    if not named:
        return None
    step = max(named, key=lambda s: len(s.name))
    part, _, label = where.removeprefix(f"steps.{step.name}").removeprefix(".").partition(".")
    if part == "tool":
        task = next((t for t in step.tasks if t.label == label), None)
        return step.position if task is None else _in_code(task, error, lines) or task.position
    return _part(step, part)


def _part(step: Step, part: str) -> Position:
    if part == "next" and step.router.arcs:
        return step.router.position
    return step.loop.position if part == "loop" and step.loop is not None else step.position


def _in_code(task: Task, error: ErrorInfo, lines: tuple[str, ...]) -> Position | None:
    """Return the line of a task's code at which it failed."""
    numbers = _LINE.findall(error.traceback or "")
    key = task.places.get("code")
    if not numbers or key is None or "|" not in lines[key.line - 1][key.column - 1 :]:
        return None
    number = key.line + int(numbers[-1])
    if number > len(lines):
        return None
    line = lines[number - 1]
    return Position(number, len(line) - len(line.lstrip()) + 1)
