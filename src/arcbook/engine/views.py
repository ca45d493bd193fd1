"""How templates see results: steps, loops, the ``output`` envelope, references.

Playbooks spell the same value in many ways (``load.rows``, ``load.data.rows``,
``load.results.fetch.rows``, ``output.data.rows``). Each view accepts every spelling of the
reference implementations; the data itself is stored once, in one shape.
"""

from __future__ import annotations

from typing import Any, Final

from arcbook.events.types import LoopResult, ResultRef, StepResult, Value
from arcbook.outcome import ERROR, ErrorInfo, ErrorKind, Outcome
from arcbook.template.access import MISSING, AnyOf, View, attribute, item
from arcbook.template.errors import TemplateError

Loaded = dict[str, Any]
"""Fetched data, by reference."""


class NeedsData(Exception):  # noqa: N818  # not an error: the caller fetches and tries again
    """A template reads data that is stored by reference and has not been fetched."""

    def __init__(self, ref: ResultRef) -> None:
        self.ref = ref
        super().__init__(ref.ref)


STATUS_OK: Final = AnyOf("ok", "success", "completed", "COMPLETED")
STATUS_ERROR: Final = AnyOf("error", "failed", "failure", "FAILED")


def status_text(status: str, helpers: dict[str, Any]) -> AnyOf:
    """Return a status that equals every spelling that playbooks compare it with.

    The status of an HTTP call also equals its status code.
    """
    spellings = STATUS_ERROR if status == ERROR else STATUS_OK
    http = helpers.get("http")
    if http is None or not isinstance(number := http.get("status"), int):
        return spellings
    return AnyOf(str(spellings), *spellings.spellings, number=number)


def error_data(error: ErrorInfo) -> dict[str, Any]:
    """Return an error as templates read it in ``output.error``."""
    data: dict[str, Any] = {
        "kind": str(error.kind),
        "message": error.message,
        "code": error.code,
        "retryable": error.retryable,
    }
    if error.http_status is not None:
        data["status"] = data["status_code"] = data["http_status"] = error.http_status
    rest = {
        "retry_after": error.retry_after,
        "sqlstate": error.sqlstate,
        "exception": error.exception,
        "traceback": error.traceback,
        "where": error.where,
        "details": error.details,
    }
    return data | {name: value for name, value in rest.items() if value is not None}


class MissingResult:
    """Marks a result among the loaded values that no longer exists."""

    __slots__ = ("reason",)

    def __init__(self, reason: str) -> None:
        self.reason = reason


class RefView(View):
    """Data stored by reference; small fields and sizes are known without fetching it."""

    __slots__ = ("loaded", "ref")

    def __init__(self, ref: ResultRef, loaded: Loaded) -> None:
        self.ref = ref
        self.loaded = loaded

    def name(self, key: str) -> Any:
        if key in ("_ref", "_uri"):
            return self.ref.ref
        if key == "_store":
            return self.ref.store
        if self.ref.ref in self.loaded:
            return attribute(self.plain(), key)
        summary = self.ref.summary or {}
        fields = summary.get("fields", {})
        if key in fields:
            return fields[key]
        if key in summary.get("sizes", {}):
            return FieldView(self, key, summary["sizes"][key])
        if summary.get("complete"):
            return MISSING
        raise NeedsData(self.ref)

    def plain(self) -> Any:
        if self.ref.ref not in self.loaded:
            raise NeedsData(self.ref)
        data = self.loaded[self.ref.ref]
        if isinstance(data, MissingResult):
            raise TemplateError(data.reason)
        return data

    def __len__(self) -> int:
        if self.ref.ref not in self.loaded and "count" in (self.ref.summary or {}):
            return int(self.ref.summary["count"])
        return len(self.plain())

    def __bool__(self) -> bool:
        return len(self) > 0


class FieldView(View):
    """A large field of data stored by reference; its size is known without fetching it."""

    __slots__ = ("count", "key", "parent")

    def __init__(self, parent: RefView, key: str, count: int) -> None:
        self.parent = parent
        self.key = key
        self.count = count

    def name(self, key: str) -> Any:
        return attribute(self.plain(), key)

    def plain(self) -> Any:
        return attribute(self.parent.plain(), self.key)

    def __len__(self) -> int:
        return self.count

    def __bool__(self) -> bool:
        return self.count > 0


def is_rowset(value: dict[str, Any]) -> bool:
    """Return whether a mapping is the result of a query, which iterates as its rows."""
    return isinstance(value.get("rows"), list) and "columns" in value and "row_count" in value


def value_view(value: Value, loaded: Loaded) -> Any:
    """Return a task's data, or a view of it if it is stored by reference."""
    return value.data if value.ref is None else RefView(value.ref, loaded)


class StepView(View):
    """The result of a step: the last task's data, and all tasks' data by label."""

    __slots__ = ("_made", "loaded", "result")

    def __init__(self, result: StepResult, loaded: Loaded) -> None:
        self.result = result
        self.loaded = loaded
        #: Values built so far; a template may read them repeatedly.
        self._made: dict[str, Any] = {}

    def last(self) -> Any:
        """Return the data of the task that ran last."""
        value = self.result.tasks.get(self.result.last)
        return None if value is None else value_view(value, self.loaded)

    def name(self, key: str) -> Any:
        last = self.last()
        value = attribute(last, key)
        if value is not MISSING:
            return value
        result = self.result
        if key in ("data", "result"):
            return last
        if key in result.tasks:
            return labelled(value_view(result.tasks[key], self.loaded))
        if key in ("results", "tasks"):
            if "tasks" not in self._made:
                tasks = {k: value_view(v, self.loaded) for k, v in result.tasks.items()}
                self._made["tasks"] = tasks
            return self._made["tasks"]
        if key == "error":
            return MISSING if result.error is None else error_data(result.error)
        if key == "status":
            return status_text(result.status, result.helpers)
        if key in result.helpers:
            return result.helpers[key]
        return MISSING

    def index(self, key: Any) -> Any:
        return self.name(key) if isinstance(key, str) else item(self.last(), key)

    def is_null(self) -> bool:
        result = self.result
        value = result.tasks.get(result.last)
        is_empty = value is None or (value.data is None and value.ref is None)
        return is_empty and len(result.tasks) <= 1 and result.error is None

    def plain(self) -> Any:
        if "plain" not in self._made:
            self._made["plain"] = step_data(self.result, self.loaded)
        return self._made["plain"]


FAILED_MARK: Final = "__failed__"
"""The key that marks the result of a failed iteration."""


def failed_data(result: StepResult) -> dict[str, Any]:
    """Return the entry of a failed iteration in a loop's results."""
    error = result.error or ErrorInfo(kind=ErrorKind.UNKNOWN, message="the iteration failed")
    data_by_label = {
        label: v.data if v.ref is None else {"_ref": v.ref.ref, "_store": v.ref.store}
        for label, v in result.tasks.items()
    }
    data = data_by_label.get(result.last) if len(data_by_label) <= 1 else data_by_label
    return {FAILED_MARK: True, "status": ERROR, "error": error_data(error), "data": data}


def is_failed(item: Any) -> bool:
    """Return whether an item of a loop's results is that of a failed iteration."""
    return type(item) is dict and item.get(FAILED_MARK) is True


def step_data(result: StepResult, loaded: Loaded) -> Any:
    """Return a step's result as plain data.

    For one task, its data. For several, the data by label, overlaid by the last task's
    fields.
    """
    if result.failed:
        return failed_data(result)
    plain_tasks = {
        label: v.data if v.ref is None else RefView(v.ref, loaded).plain()
        for label, v in result.tasks.items()
    }
    last = plain_tasks.get(result.last)
    if last is None and result.error is not None:
        last = {"status": ERROR, "error": error_data(result.error)}
    if len(plain_tasks) <= 1:
        return last
    return {**plain_tasks, **last} if isinstance(last, dict) else plain_tasks


def labelled(data: Any) -> Any:
    """Return a task's data so that ``label.data`` exists for every mapping."""
    return SelfData(data) if isinstance(data, dict) and "data" not in data else data


class SelfData(View):
    """A mapping that is also its own ``data`` and ``result``."""

    __slots__ = ("value",)

    def __init__(self, value: dict[str, Any]) -> None:
        self.value = value

    def name(self, key: str) -> Any:
        value = self.value.get(key, MISSING)
        return self.value if value is MISSING and key in ("data", "result") else value

    def plain(self) -> Any:
        return self.value


class LoopView(View):
    """The result of a loop: its iterations' data by index, and counts."""

    __slots__ = ("_errors", "_whole", "loaded", "result")

    def __init__(self, result: LoopResult, loaded: Loaded) -> None:
        self.result = result
        self.loaded = loaded
        self._errors: list[dict[str, Any]] | None = None
        self._whole: dict[str, Any] | None = None

    def items(self) -> Any:
        """Return the iterations' data by index."""
        if self.result.ref is not None:
            return RefView(self.result.ref, self.loaded)
        return self.result.items or []

    def stats(self) -> dict[str, int]:
        """Return the counts."""
        result = self.result
        stats = {"total": result.total, "success": result.success, "failed": result.failed}
        return {**stats, "frames": result.frames} if result.frames else stats

    def errors(self) -> list[dict[str, Any]]:
        """Return the errors of iterations, each with its index."""
        if self._errors is None:
            errors = [{"index": i, **error_data(e)} for i, e in self.result.errors]
            if self.result.truncated:
                items = enumerate(self.each())
                all_errors = [{"index": i, **v["error"]} for i, v in items if is_failed(v)]
                errors = max(errors, all_errors, key=len)  # older logs keep only the first errors
            self._errors = errors
        return self._errors

    def name(self, key: str) -> Any:
        if key in ("results", "data", "items", "result"):
            return self.items()
        if key == "stats":
            return self.stats()
        if key == "count":
            return self.result.total
        if key == "errors":
            return self.errors()
        if key == "error":
            return error_data(self.result.errors[0][1]) if self.result.errors else MISSING
        if key == "status":
            return status_text(self.result.status, {})
        if key in ("_ref", "_store") and self.result.ref is not None:
            return self.items().name(key)
        return self.stats().get(key, MISSING)

    def index(self, key: Any) -> Any:
        return self.name(key) if isinstance(key, str) else item(self.items(), key)

    def plain(self) -> Any:
        if self._whole is None:
            whole = {"results": self.each(), "stats": self.stats(), "count": self.result.total}
            self._whole = {**whole, "errors": self.errors()} if self.result.errors else whole
        return self._whole

    def each(self) -> Any:
        items = self.items()
        return items.plain() if isinstance(items, View) else items

    def __len__(self) -> int:
        return self.result.total

    def __bool__(self) -> bool:
        return self.result.total > 0


def result_view(result: StepResult | LoopResult, loaded: Loaded) -> View:
    """Return the view of a step's result."""
    if isinstance(result, LoopResult):
        return LoopView(result, loaded)
    return StepView(result, loaded)


class DataView(View):
    """Data with a second value whose fields serve as fallbacks."""

    __slots__ = ("beside", "value")

    def __init__(self, value: Any, beside: Any) -> None:
        self.value = value
        self.beside = beside

    def name(self, key: str) -> Any:
        value = attribute(self.value, key)
        return attribute(self.beside, key) if value is MISSING else value

    def index(self, key: Any) -> Any:
        value = item(self.value, key)
        return item(self.beside, key) if value is MISSING else value

    def plain(self) -> Any:
        return self.value.plain() if isinstance(self.value, View) else self.value


class BodyView(DataView):
    """``output.data`` of a call whose result has a body: the body, also as its own ``data``.

    Playbooks use ``output.data.data`` both for the whole body and for its field ``data``;
    the fields of either can be read.
    """

    __slots__ = ()

    def __init__(self, result: Any, body: Any) -> None:
        super().__init__(None if body is MISSING else body, result)

    def name(self, key: str) -> Any:
        if key in ("data", "body"):
            inner = attribute(self.value, "data")
            return self.value if inner is MISSING else DataView(self.value, inner)
        return super().name(key)


class OutputView(View):
    """The ``output`` envelope of a task or a step; used by itself, it is the data."""

    __slots__ = ("body_key", "data", "error", "helpers", "meta", "ref", "status")

    def __init__(
        self,
        status: str,
        data: Any,
        error: ErrorInfo | None,
        helpers: dict[str, Any],
        body_key: str,
        meta: dict[str, Any] | None = None,
    ) -> None:
        self.status = status
        self.data = data
        self.error = error
        self.helpers = helpers
        self.body_key = body_key
        self.meta = meta or {}

    def name(self, key: str) -> Any:
        if key == "status":
            return status_text(self.status, self.helpers)
        if key == "data":
            return self.body()
        if key == "error":
            return MISSING if self.error is None else error_data(self.error)
        if key == "ref":
            return attribute(self.data, "_ref") if isinstance(self.data, RefView) else None
        if key in ("http", "pg", "py"):
            return self.helpers.get(key, {})
        if key == "meta":
            return self.meta
        value = attribute(self.data, key)
        if value is MISSING and key in ("result", "response"):
            return self.data
        return value

    def body(self) -> Any:
        """Return the value of ``output.data``."""
        data = self.data
        if self.body_key:
            return BodyView(data, attribute(data, self.body_key)) if data else None
        if isinstance(data, dict):
            return DataView(data, data.get("data"))
        return data

    def index(self, key: Any) -> Any:
        return self.name(key) if isinstance(key, str) else item(self.plain(), key)

    def is_null(self) -> bool:
        data = self.data
        if isinstance(data, View):
            return data.is_null()
        return data is None and self.error is None

    def plain(self) -> Any:
        data = self.data
        if data is None and self.error is not None:
            return {"status": ERROR, "error": error_data(self.error)}
        return data.plain() if isinstance(data, View) else data


def helpers_of(outcome: Outcome) -> dict[str, Any]:
    """Return an outcome's ``http``, ``pg`` and ``py`` helpers."""
    helpers: dict[str, Any] = {}
    if outcome.http is None and outcome.pg is None and outcome.py is None:
        return helpers
    if outcome.http is not None:
        helpers["http"] = outcome.http
    if outcome.pg is not None:
        helpers["pg"] = outcome.pg
    if outcome.py is not None:
        helpers["py"] = outcome.py
    return helpers


def outcome_view(outcome: Outcome, data: Any, meta: dict[str, Any]) -> OutputView:
    """Return the envelope of a task's outcome; ``data`` is its data or a view of it."""
    return OutputView(
        outcome.status, data, outcome.error, helpers_of(outcome), outcome.body_key, meta
    )


def step_output(
    result: StepResult | LoopResult, loaded: Loaded, failed: ErrorInfo | None = None
) -> OutputView:
    """Return the envelope of a step's result, for its arcs and ``set``.

    Args:
        result: the result.
        loaded: fetched data, by reference.
        failed: why the step failed, regardless of its last task's outcome.
    """
    status = result.status if failed is None else ERROR
    if isinstance(result, LoopResult):
        return OutputView(status, LoopView(result, loaded), failed, {}, "")
    view = StepView(result, loaded)
    data = view.last() if len(result.tasks) <= 1 else view
    meta = {"attempt": result.attempt}
    return OutputView(status, data, result.error or failed, result.helpers, result.body_key, meta)
