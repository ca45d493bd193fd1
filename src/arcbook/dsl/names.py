"""The names that templates of a playbook may read."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from arcbook.dsl.model import Lifetime, Playbook, Step
from arcbook.dsl.source import Position
from arcbook.template.names import roots
from arcbook.template.render import compile_value, is_template

#: Names that have a meaning of their own in templates.
RESERVED: Final = frozenset(
    ["ctx", "workload", "iter", "step", "steps", "output", "event", "error", "loop", "keychain", "execution_id", "job", "env", "payload"]
)  # fmt: skip

#: Keywords of templates, which cannot be bare names.
WORDS: Final = frozenset(
    ["and", "else", "false", "False", "if", "in", "is", "none", "None", "not", "or", "true", "True"]
)

#: Names of the engine, which the request for an execution cannot set.
OWN: Final = frozenset(["env", "execution", "keychain"])

#: Names defined in every template, besides a playbook's own.
GIVEN: Final = RESERVED | frozenset(
    [
        "args",
        "catalog_id",
        "input",
        "loop_index",
        "now",
        "path",
        "result",
        "results",
        "server_url",
        "version",
        "_attempt",
        "_idempotency_key",
        "_index",
        "_prev",
        "_task",
        "_total",
        "__frame_max_rows",
        "command_id",
        "cycler",
        "dict",
        "joiner",
        "namespace",
        "range",
        "utcnow",
        "context",
    ]
)


def names_everywhere(playbook: Playbook) -> frozenset[str]:
    """Return the names that every template of a playbook may read."""
    steps = {step.name for step in playbook.steps}
    written = written_names(playbook)
    return GIVEN | steps | set(playbook.workload) | set(playbook.data) | set(written)


class KnownNames:
    """The names that templates of one step may read."""

    __slots__ = ("_everywhere", "labels", "local")

    def __init__(self, everywhere: frozenset[str], step: Step | None = None) -> None:
        self._everywhere = everywhere
        #: Names defined only in this step.
        self.local = frozenset[str]() if step is None else _local_names(step)
        #: Those of them that are labels of its tasks, and nothing else.
        self.labels = frozenset[str]() if step is None else _labels(step)

    def __contains__(self, name: object) -> bool:
        return name in self._everywhere or name in self.local

    def __iter__(self) -> Iterator[str]:
        return iter(self._everywhere | self.local)


def written_names(playbook: Playbook) -> dict[str, Position]:
    """Return the variables that a playbook's steps write, with their first positions."""
    positions: dict[str, Position] = {}
    for step in playbook.steps:
        groups = [step.set, *(a.set for a in step.router.arcs)]
        for task in step.tasks:
            groups += [task.set, *(r.set for r in task.rules)]
        for assignment in (a for group in groups for a in group):
            if assignment.lifetime is Lifetime.CTX:
                positions.setdefault(assignment.path[0], assignment.position)
    return positions


def _labels(step: Step) -> frozenset[str]:
    """Return the labels of a step's tasks that no other name of the step shadows."""
    if step.loop is not None or len(step.tasks) < 2:
        return frozenset()
    hidden = set(step.input)
    for task in step.tasks:
        hidden |= set(task.input)
        for group in (task.set, *(r.set for r in task.rules)):
            hidden |= {a.path[0] for a in group}
    return frozenset(task.label for task in step.tasks if task.label not in hidden)


def _local_names(step: Step) -> frozenset[str]:
    """Return the names defined only in one step."""
    local = set(step.input)
    if step.loop:
        local |= {step.loop.iterator}
    for task in step.tasks:
        local |= set(task.input) | {task.label}
        for group in (task.set, *(r.set for r in task.rules)):
            local |= {a.path[0] for a in group}
    return frozenset(local)


def secrets_outside_tasks(playbook: Playbook) -> Iterator[tuple[str, Position, str]]:
    """Yield the parts outside tasks that read secrets: description, position and step.

    The control plane evaluates everything outside tasks and records the values in events.
    """
    for step in playbook.steps:
        for source, place, value in _decided(step):
            if "keychain" in _guard_roots(value):
                yield source, place, step.name
    for source, value in (
        ("the playbook's output", playbook.output),
        ("the playbook's timeout", playbook.timeout),
        ("the workload", playbook.workload),
    ):
        if "keychain" in _roots_of(value):
            yield source, playbook.position, ""


def _decided(step: Step) -> Iterator[tuple[str, Position, Any]]:
    """Yield the parts of a step that the control plane evaluates."""
    yield "the step's guard", step.position, step.when
    yield "the step's timeout", step.position, step.timeout
    for admission in step.admit:
        yield "an admission rule", step.position, admission.when
    for arc in step.router.arcs:
        yield "the guard of an arc", arc.position, arc.when
    for assignment in (*step.set, *(a for arc in step.router.arcs for a in arc.set)):
        yield "'set' outside of a task", assignment.position, assignment.value
    if step.loop is not None:
        loop = step.loop
        frame = [loop.frame.rows_max, loop.frame.row_concurrency]
        yield "the loop", loop.position, [loop.items, loop.max_in_flight, frame]


def _guard_roots(value: Any) -> frozenset[str]:
    """Return the names that a value reads; a guard may lack its braces."""
    if value is None or (isinstance(value, str) and "keychain" not in value):
        return frozenset()
    if isinstance(value, str) and not is_template(value):
        return _roots_of("{{ " + value + " }}")
    return _roots_of(value)


def _roots_of(value: Any) -> frozenset[str]:
    """Return the names that a value reads; broken templates read nothing."""
    try:
        return roots(compile_value(value).names)
    except ValueError:
        return frozenset()
