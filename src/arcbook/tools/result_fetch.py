"""``result_fetch``: loads a result that is kept by reference."""

from __future__ import annotations

from typing import Annotated, Any, Final

from msgspec import Meta

from arcbook.outcome import ErrorKind, Outcome, failed, ok
from arcbook.results.refs import InvalidRefError
from arcbook.results.store import ResultMissingError
from arcbook.tools.api import Effects, Params, ToolCall, ToolContext, declare, parse
from arcbook.tools.spec import ToolSpec

REF_NAMES: Final = ("ref", "result_ref", "uri", "_ref")
"""How documents call a reference."""


class ResultFetchParams(Params, frozen=True, kw_only=True):
    """Parameters of ``result_fetch``."""

    ref: Annotated[
        Any, Meta(description="The reference: `{{ step._ref }}`. It may also stand in 'input'.")
    ] = None


FETCHED: Final = {
    "data": "The value as it was.",
    "count": "What the value itself says in `count` (or `row_count`); else the length of a list, "
    "or of a mapping's `items`, `rows` or `data`.",
    "ref": "The reference.",
    "status": "`success`.",
}
"""What the kinds yield that load results."""

KIND = declare(
    "result_fetch",
    ResultFetchParams,
    "Loads a result that is kept by reference.",
    aliases={"ref": ["result_ref", "uri"]},
    result=FETCHED,
    effects=[Effects.NONE],
    example="""
    tool:
      kind: result_fetch
      ref: "{{ report._ref }}"
    """,
)


class ResultFetch:
    """Loads results."""

    async def run(self, call: ToolCall, context: ToolContext) -> Outcome:
        params = parse(ResultFetchParams, call)
        if isinstance(params, Outcome):
            return params
        return await fetch(params.ref, call, context)

    async def close(self) -> None:
        return None


async def fetch(written: Any, call: ToolCall, context: ToolContext) -> Outcome:
    """Return a result by its reference: its data, and how many items it has.

    Args:
        written: what the task says the reference is; where it says nothing, ``input`` does.
        call: the call.
        context: its services.
    """
    requested = written if written not in (None, "") else _from(call.input)
    ref = _from(requested) if isinstance(requested, dict) else requested
    if ref in (None, ""):
        return _missing(
            "there is no reference: only a result that is kept elsewhere has '_ref'; "
            "a small one is in its step"
        )
    if not isinstance(ref, str):
        return _invalid(f"a reference is text, not {type(ref).__name__}")
    try:
        value = await context.results.load_ref(ref)
    except InvalidRefError as error:
        return _invalid(str(error))
    except ResultMissingError as error:
        return _missing(str(error))
    return ok({"status": "success", "ref": ref, "data": value, "count": count_of(value)})


def _from(values: dict[str, Any]) -> Any:
    candidates = (values.get(name) for name in REF_NAMES)
    return next((value for value in candidates if value not in (None, "")), None)


def count_of(value: Any) -> int:
    """Return how many items a value has: it says so itself, or they are counted."""
    if isinstance(value, dict):
        declared = value.get("count", value.get("row_count"))
        if isinstance(declared, int) and not isinstance(declared, bool):
            return declared
        for name in ("items", "rows", "data"):
            if isinstance(value.get(name), list):
                return len(value[name])
        return len(value)
    return len(value) if isinstance(value, list) else int(value is not None)


def _missing(message: str) -> Outcome:
    return failed(ErrorKind.MISSING_REFERENCE, message, code="REFERENCE_NOT_AVAILABLE")


def _invalid(message: str) -> Outcome:
    return failed(ErrorKind.CONFIG, message, code="REFERENCE_INVALID")


SPEC = ToolSpec(kind=KIND, factory=ResultFetch)
