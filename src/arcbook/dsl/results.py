"""What is known of a step's result before it runs: its fields, and what no result can have.

The kinds of tools say what their results have (:class:`arcbook.dsl.kinds.Shape`); literal
values and Python code say it themselves.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final, NamedTuple

from arcbook.dsl.kinds import Field, Kind, Kinds, Shape, Treatment, shape
from arcbook.dsl.mistaken import misspelt
from arcbook.dsl.model import Step, Task
from arcbook.dsl.python_code import read_code
from arcbook.template.render import is_template

ERROR: Final = shape(
    dict.fromkeys(
        [
            "kind",
            "message",
            "code",
            "retryable",
            "status",
            "status_code",
            "http_status",
            "retry_after",
            "sqlstate",
            "exception",
            "traceback",
            "where",
            "details",
            "index",
        ],
        "",
    )
)
"""What the error of an outcome has."""

_STATS: Final = {"total": "", "success": "", "failed": "", "frames": ""}

LOOP: Final = shape(
    {
        **dict.fromkeys(["results", "data", "items", "result", "count", "errors", "status"], ""),
        "error": ERROR,
        "stats": shape(_STATS),
        **_STATS,
    }
)
"""What the result of a loop has, whatever its tasks are."""

#: What every result answers, besides its own fields.
_OF_RESULTS: Final = frozenset(
    ["data", "error", "http", "meta", "pg", "py", "result", "results", "status", "tasks", "_ref", "_store", "_uri"]
)  # fmt: skip
#: What every ``output`` answers, besides the fields of its data.
_OF_OUTPUT: Final = frozenset(
    ["data", "error", "http", "meta", "pg", "py", "ref", "response", "result", "status", "_ref", "_store", "_uri"]
)  # fmt: skip
#: What every mapping answers.
_OF_MAPPINGS: Final = frozenset(["copy", "get", "items", "keys", "values"])


class Lack(NamedTuple):
    """A field that a result cannot have."""

    name: str
    #: Those that it has.
    fields: list[str]
    #: What every result of its sort answers besides.
    also: frozenset[str]


class Results:
    """The results of a playbook's steps."""

    def __init__(self, steps: dict[str, Step], kinds: Kinds) -> None:
        self._steps = steps
        self._kinds = kinds
        self._shapes: dict[str, dict[str, Shape | None]] = {}

    def lack(self, name: str, path: Sequence[str]) -> Lack | None:
        """Return what a path below a step's name asks for and the result cannot have."""
        step = self._steps[name]
        if not path or step.routes_only:
            return None
        if step.loop is not None:
            return _lack(path, LOOP, _OF_RESULTS)
        shapes = self._of_tasks(step)
        first, rest = path[0], path[1:]
        whole = _together(shapes.values())
        if whole is not None and whole.field(first) is not None:
            return _lack(path, whole)
        if first == "error":
            return _lack(rest, ERROR)
        if first in ("results", "tasks") and rest:
            return self.lack_of_task(step, rest[0], rest[1:]) if rest[0] in shapes else None
        if first in shapes:
            return self.lack_of_task(step, first, rest)
        if whole is None:
            return None
        if first in ("data", "result"):
            return _lack(rest, whole)
        return _lack(path, whole, _OF_RESULTS)

    def lack_of_task(self, step: Step, label: str, path: Sequence[str]) -> Lack | None:
        """Return what a path below a task's label asks for and its data cannot have."""
        found = self._of_tasks(step)[label]
        if found is None or not path:
            return None
        if path[0] in ("data", "result") and found.field(path[0]) is None:
            return _lack(path[1:], found)
        return _lack(path, found)

    def lack_of_output(self, step: Step | None, path: Sequence[str]) -> Lack | None:
        """Return what a path below ``output`` asks for and the outcome cannot have."""
        if path[0] == "error":
            return _lack(path[1:], ERROR)
        if step is None or step.loop is not None or len(step.tasks) != 1 or step.routes_only:
            return None
        (found,) = self._of_tasks(step).values()
        if found is None:
            return None
        if path[0] == "data" and found.field("data") is None and found.field("body") is None:
            return _lack(path[1:], found)
        return _lack(path[:1], found, _OF_OUTPUT)

    def _of_tasks(self, step: Step) -> dict[str, Shape | None]:
        if step.name not in self._shapes:
            self._shapes[step.name] = {
                task.label: shape_of(task, step, self._kinds) for task in step.tasks
            }
        return self._shapes[step.name]


def _lack(path: Sequence[str], known: Shape, also: frozenset[str] = frozenset()) -> Lack | None:
    """Return the first name of a path that a shape does not have."""
    if not path or path[0] in also or path[0] in _OF_MAPPINGS:
        return None
    field = known.field(path[0])
    if field is not None:
        return None if field.inner is None else _lack(path[1:], field.inner)
    names = known.names()
    if known.is_open and not misspelt(path[0], names):
        return None
    return Lack(path[0], names, also)


def _together(shapes: Iterable[Shape | None]) -> Shape | None:
    """Return what the result of any of several tasks has; nothing where one is not known."""
    fields: dict[str, Field] = {}
    is_open = False
    for one in shapes:
        if one is None:
            return None
        fields |= {field.name: field for field in one.fields}
        is_open = is_open or one.is_open
    return Shape(fields=tuple(fields.values()), is_open=is_open)


def shape_of(task: Task, step: Step, kinds: Kinds) -> Shape | None:
    """Return what a task's result has, as far as that is known."""
    kind = kinds.kind(task.kind)
    if kind is None:
        return None
    if kind.echoes:
        return _echoed(kind, task, step)
    if kind.result_by:
        said = task.config.get(kind.result_by)
        return kind.results.get(said) if isinstance(said, str) else None
    if kind.result is not None:
        return kind.result
    for param in kind.params:
        code = task.config.get(param.name)
        if param.treatment is Treatment.CODE and isinstance(code, str) and "{{" not in code:
            fields = read_code(code).fields
            return None if fields is None else shape(dict.fromkeys(sorted(fields), ""))
    return None


def _echoed(kind: Kind, task: Task, step: Step) -> Shape | None:
    for name, made in kind.echoes.items():
        value = {**step.input, **task.input} if name == "input" else task.config.get(name)
        if value is not None and value != {}:
            return _of_value(value) if made is None else made
    return None


def _of_value(value: Any) -> Shape | None:
    """Return the fields of a literal mapping."""
    if not isinstance(value, dict) or any(is_template(key) for key in value):
        return None
    return Shape(
        fields=tuple(Field(name=key, inner=_of_value(inner)) for key, inner in value.items())
    )
