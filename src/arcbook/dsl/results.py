"""The shapes of steps' results, as far as they are known before the execution.

Tool kinds declare the shapes of their results (:class:`arcbook.dsl.kinds.Shape`); those of
literal values and Python code are derived from the document.
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
"""The shape of an outcome's error."""

_STATS: Final = {"total": "", "success": "", "failed": "", "frames": ""}

LOOP: Final = shape(
    {
        **dict.fromkeys(["results", "data", "items", "result", "count", "errors", "status"], ""),
        "error": ERROR,
        "stats": shape(_STATS),
        **_STATS,
    }
)
"""The shape of a loop's result, regardless of its tasks."""

#: Names that every result has, besides its own fields.
_OF_RESULTS: Final = frozenset(
    ["data", "error", "http", "meta", "pg", "py", "result", "results", "status", "tasks", "_ref", "_store", "_uri"]
)  # fmt: skip
#: Names that every ``output`` has, besides the fields of its data.
_OF_OUTPUT: Final = frozenset(
    ["data", "error", "http", "meta", "pg", "py", "ref", "response", "result", "status", "_ref", "_store", "_uri"]
)  # fmt: skip
#: Methods of every mapping.
_OF_MAPPINGS: Final = frozenset(["copy", "get", "items", "keys", "values"])


class Lack(NamedTuple):
    """A field that a result cannot have."""

    name: str
    #: The fields that it has.
    fields: list[str]
    #: Names that every result of this kind has in addition.
    also: frozenset[str]


class Results:
    """The results of a playbook's steps."""

    def __init__(self, steps: dict[str, Step], kinds: Kinds) -> None:
        self._steps = steps
        self._kinds = kinds
        self._shapes: dict[str, dict[str, Shape | None]] = {}

    def lack(self, name: str, path: Sequence[str]) -> Lack | None:
        """Return the field that a path below a step's name reads and its result lacks."""
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
        """Return the field that a path below a task's label reads and its data lacks."""
        data_shape = self._of_tasks(step)[label]
        if data_shape is None or not path:
            return None
        if path[0] in ("data", "result") and data_shape.field(path[0]) is None:
            return _lack(path[1:], data_shape)
        return _lack(path, data_shape)

    def lack_of_output(self, step: Step | None, path: Sequence[str]) -> Lack | None:
        """Return the field that a path below ``output`` reads and the outcome lacks."""
        if path[0] == "error":
            return _lack(path[1:], ERROR)
        if step is None or step.loop is not None or len(step.tasks) != 1 or step.routes_only:
            return None
        (data_shape,) = self._of_tasks(step).values()
        if data_shape is None:
            return None
        if (
            path[0] == "data"
            and data_shape.field("data") is None
            and data_shape.field("body") is None
        ):
            return _lack(path[1:], data_shape)
        return _lack(path[:1], data_shape, _OF_OUTPUT)

    def _of_tasks(self, step: Step) -> dict[str, Shape | None]:
        if step.name not in self._shapes:
            self._shapes[step.name] = {
                task.label: shape_of(task, step, self._kinds) for task in step.tasks
            }
        return self._shapes[step.name]


def _lack(path: Sequence[str], known: Shape, also: frozenset[str] = frozenset()) -> Lack | None:
    """Return the first name of a path that a shape lacks."""
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
    """Return the union of several shapes; None if one of them is not known."""
    fields: dict[str, Field] = {}
    is_open = False
    for each in shapes:
        if each is None:
            return None
        fields |= {field.name: field for field in each.fields}
        is_open = is_open or each.is_open
    return Shape(fields=tuple(fields.values()), is_open=is_open)


def shape_of(task: Task, step: Step, kinds: Kinds) -> Shape | None:
    """Return the shape of a task's result, if it is known."""
    kind = kinds.kind(task.kind)
    if kind is None:
        return None
    if kind.echoes:
        return _echoed(kind, task, step)
    if kind.result_by:
        choice = task.config.get(kind.result_by)
        return kind.results.get(choice) if isinstance(choice, str) else None
    if kind.result is not None:
        return kind.result
    for param in kind.params:
        code = task.config.get(param.name)
        if param.treatment is Treatment.CODE and isinstance(code, str) and "{{" not in code:
            fields = read_code(code).fields
            return None if fields is None else shape(dict.fromkeys(sorted(fields), ""))
    return None


def _echoed(kind: Kind, task: Task, step: Step) -> Shape | None:
    for name, declared in kind.echoes.items():
        value = {**step.input, **task.input} if name == "input" else task.config.get(name)
        if value is not None and value != {}:
            return _of_value(value) if declared is None else declared
    return None


def _of_value(value: Any) -> Shape | None:
    """Return the shape of a literal mapping."""
    if not isinstance(value, dict) or any(is_template(key) for key in value):
        return None
    return Shape(
        fields=tuple(Field(name=key, inner=_of_value(inner)) for key, inner in value.items())
    )
