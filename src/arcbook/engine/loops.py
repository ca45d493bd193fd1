"""Loops: the snapshot of items, the frames, and the result.

A frame is a command that carries some iterations. Frames of quick iterations grow until
one takes about :data:`arcbook.engine.fold.FRAME_TARGET_US`, so that a million iterations
cost only thousands of events and the state of a loop stays small.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from arcbook.dsl.model import LoopMode, OnError
from arcbook.engine.inputs import Report
from arcbook.engine.leaving import leave_loop
from arcbook.engine.numbers import count
from arcbook.engine.pipeline import TRIES_KEPT_MAX
from arcbook.engine.plan import PlanLoop, PlanStep
from arcbook.engine.scope import ExecutionScope
from arcbook.engine.state import Command, LoopRun, Run, command_id
from arcbook.engine.turn import Turn
from arcbook.engine.views import LoopView, is_rowset, step_data
from arcbook.events.types import (
    CommandCompleted,
    CommandIssued,
    LoopResult,
    LoopStart,
    ResultRef,
    StepResult,
)
from arcbook.jsons import JsonError, read
from arcbook.outcome import ERROR, ErrorInfo, ErrorKind
from arcbook.template.access import MISSING, View
from arcbook.template.errors import TemplateError
from arcbook.template.render import Path
from arcbook.template.text import value_of

INLINE_BYTES_MAX: Final = 100 * 1024
"""Size up to which a loop's items are stored in its event."""


# -- beginning ------------------------------------------------------------------------


def begin(turn: Turn, step: PlanStep, scope: ExecutionScope) -> LoopStart:
    """Return the loop's snapshot of items and limits.

    Raises:
        TemplateError: If there is nothing to iterate over.
    """
    loop = step.loop
    assert loop is not None
    limit = _in_flight(turn, loop, scope)
    if loop.mode is LoopMode.CURSOR:
        return LoopStart(
            total=-1,
            in_flight_max=limit,
            rows_max=count(loop.rows_max, scope, 1),
            row_concurrency=count(loop.row_concurrency, scope, 1),
        )
    items = _items(step, loop, scope)
    if len(items) > turn.limits.items_max:
        message = f"the loop has {len(items):,} items; the limit is {turn.limits.items_max:,}"
        raise TemplateError(message)
    if isinstance(items, range):
        bounds = (items.start, items.stop, items.step)
        return LoopStart(total=len(items), range=bounds, in_flight_max=limit)
    size = len(msgspec.json.encode(items))
    if size <= INLINE_BYTES_MAX:
        return LoopStart(total=len(items), items=items, in_flight_max=limit)
    visit = turn.state.visits.get(step.name, 0) + 1
    ref = ResultRef(
        ref=f"noetl://execution/{turn.state.execution_id}/result/{step.name}/{visit}-items",
        store="items",
        bytes=size,
        summary={"count": len(items)},
    )
    turn.decision.keep.append((ref, items))
    return LoopStart(total=len(items), ref=ref, in_flight_max=limit)


def _in_flight(turn: Turn, loop: PlanLoop, scope: ExecutionScope) -> int:
    if loop.mode is LoopMode.SEQUENTIAL:
        return 1
    default = 1 if loop.mode is LoopMode.CURSOR else turn.limits.in_flight_default
    if loop.in_flight_max is None:
        return default
    return min(count(loop.in_flight_max, scope, default), turn.limits.in_flight_max)


def _items(step: PlanStep, loop: PlanLoop, scope: ExecutionScope) -> list[Any] | range:
    """Return the items of a loop; for the result of a query, its rows.

    Raises:
        TemplateError: If the value has no items.
    """
    assert loop.items is not None
    value = loop.items.evaluate(scope)
    if isinstance(value, LoopView):
        value = value.items()
    if isinstance(value, View):
        value = value.plain()
    items = _as_list(value)
    if items is None:
        problem = "nothing" if value is None or value is MISSING else repr(value)[:80]
        raise TemplateError(f"loop.in of step {step.name!r} must yield a list, not {problem}")
    # A path yields plain data; any other expression may yield a computed value.
    if isinstance(items, range) or isinstance(loop.items, Path):
        return items
    plain_items: list[Any] = value_of(scope.budget, items)
    return plain_items


def _as_list(value: Any) -> list[Any] | range | None:
    """Return a value as a list of items; None if it has none."""
    if isinstance(value, (range, list)):
        return value
    if isinstance(value, dict):
        if is_rowset(value):
            return list(value["rows"])
        return [{"key": key, "value": item} for key, item in value.items()]
    if isinstance(value, str):
        return _json_list(value) if value.strip()[:1] == "[" else None
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return range(value)
    if isinstance(value, (tuple, set, frozenset)):
        return list(value)
    return None


def _json_list(text: str) -> list[Any] | None:
    try:
        parsed = read(text)
    except JsonError:
        return None
    return parsed if isinstance(parsed, list) else None


# -- issuing frames -------------------------------------------------------------------


def advance(turn: Turn) -> bool:
    """Issue frames and end loops; return whether anything changed."""
    moved = False
    state = turn.state
    for key in list(state.live.moving):
        run = state.runs.get(key)
        if run is not None and run.loop is not None:
            moved |= _advance(turn, run, run.loop)
        if turn.is_full:
            # The next decision checks this loop again.
            return True
        state.live.moving.pop(key, None)
    return moved


def _advance(turn: Turn, run: Run, loop: LoopRun) -> bool:
    step = turn.plan.by_name[run.step]
    assert step.loop is not None
    if not run.commands and _is_over(loop):
        _end(turn, run, loop, step.loop)
        return True
    moved = False
    limit = loop.start.in_flight_max
    while not loop.stopping and len(run.commands) < limit and not turn.is_full:
        span = _next_span(loop, step)
        if span is None:
            break
        first, count = span
        _issue(turn, run, loop, first, count)
        moved = True
    return moved


def _is_over(loop: LoopRun) -> bool:
    if loop.stopping:
        return True
    if loop.start.total < 0:
        return loop.drained
    return loop.next >= loop.start.total and not loop.returned


def _next_span(loop: LoopRun, step: PlanStep) -> tuple[int, int] | None:
    """Return the first index and the count of the next frame; a count of 0 claims rows.

    A frame with tasks that must not run twice has a single iteration, because a checkpoint
    does not say which iteration it belongs to.
    """
    if loop.start.total < 0:
        return None if loop.drained else (loop.frames, 0)
    size = 1 if step.has_never else loop.frame_size
    limit = loop.start.in_flight_max
    if limit > 1:
        remaining = loop.start.total - loop.next + sum(count for _, count in loop.returned)
        size = max(1, min(size, -(-remaining // limit)))
    if loop.returned:
        first, count = min(loop.returned)
        return first, min(count, size)
    remaining = loop.start.total - loop.next
    return (loop.next, min(remaining, size)) if remaining > 0 else None


def _issue(turn: Turn, run: Run, loop: LoopRun, first: int, count: int, state: Any = None) -> None:
    frame = f"f{loop.frames}" if count else f"c{loop.frames}"
    identity = command_id(turn.state.execution_id, run.step, run.visit, frame)
    turn.emit(
        CommandIssued(
            command_id=identity,
            step=run.step,
            visit=run.visit,
            first=first,
            count=count,
            state=state,
        )
    )
    turn.decision.commands.append(identity)


# -- reports of frames ----------------------------------------------------------------


def report(turn: Turn, run: Run, command: Command, received: Report) -> None:
    """Record a worker's report on a frame."""
    loop = run.loop
    step = turn.plan.by_name[run.step]
    assert loop is not None
    assert step.loop is not None
    is_cursor = loop.start.total < 0
    first = loop.done if is_cursor else (command.first if received.first < 0 else received.first)
    failures = [
        (first + i, _iteration_error(done.error))
        for i, done in enumerate(received.done)
        if done.status == ERROR
    ]
    if received.suspended is not None and not received.done:
        return
    turn.emit(
        CommandCompleted(
            command_id=command.command_id,
            step=run.step,
            visit=run.visit,
            first=first,
            count=len(received.done),
            results=[] if received.ref else [done.result for done in received.done],
            ref=received.ref,
            failed=failures,
            stop=bool(failures) and step.loop.on_error is OnError.FAIL,
            set=[w for done in received.done for w in done.writes],
            bytes=received.bytes,
            duration_us=received.duration_us,
            rows=received.rows,
            partial=received.suspended is not None,
            warnings=_warnings(received),
            printed=_printed(received, first),
            retries=sum(done.retries for done in received.done),
            tries=[
                (first + i, attempt)
                for i, done in enumerate(received.done)
                for attempt in done.tries
            ][:TRIES_KEPT_MAX],
            worker=received.worker,
            attempt=received.attempt,
        )
    )
    _return_rest(turn, run, loop, received)


WARNINGS_MAX: Final = 20
"""Warnings recorded for one frame."""


def _warnings(received: Report) -> list[str]:
    warnings = dict.fromkeys(w for done in received.done for w in done.warnings)
    return list(warnings)[:WARNINGS_MAX]


PRINTED_CHARACTERS_MAX: Final = 64 * 1024
"""Characters of printed output recorded for one frame."""


def _printed(received: Report, first: int) -> list[tuple[int, str]]:
    """Return the printed output by index; if there is too much, that of the last iterations."""
    outputs: list[tuple[int, str]] = []
    remaining = PRINTED_CHARACTERS_MAX
    for i, done in reversed(list(enumerate(received.done))):
        if done.printed and remaining > 0:
            outputs.append((first + i, done.printed[-remaining:]))
            remaining -= len(done.printed)
    return outputs[::-1]


def _return_rest(turn: Turn, run: Run, loop: LoopRun, received: Report) -> None:
    """Issue a new frame for the rows that a cursor's frame claimed but did not start."""
    if received.rest and not loop.stopping:
        _issue(turn, run, loop, loop.frames, 0, state={"bodies": received.rest})


def _iteration_error(error: ErrorInfo | None) -> ErrorInfo:
    return error or ErrorInfo(kind=ErrorKind.UNKNOWN, message="the iteration failed")


# -- ending ---------------------------------------------------------------------------


def _end(turn: Turn, run: Run, loop: LoopRun, plan: PlanLoop) -> None:
    error: ErrorInfo | None = None
    if loop.failed and plan.on_error is OnError.FAIL:
        index, cause = loop.errors[0]
        suffix = f" ({loop.failed} failed in all)" if loop.failed > 1 else ""
        error = msgspec.structs.replace(
            cause, message=f"iteration {index} failed: {cause.message}{suffix}"
        )
    total = loop.start.total if loop.start.total >= 0 else loop.done
    items = _kept_items(loop, total)
    ref = None
    if items is None:
        ref = ResultRef(
            ref=f"noetl://execution/{turn.state.execution_id}/result/{run.step}/{run.visit}",
            store="loop",
            bytes=loop.kept_bytes,
            summary={"count": total},
        )
    result = LoopResult(
        total=total,
        success=loop.success,
        failed=loop.failed,
        items=items,
        ref=ref,
        errors=list(loop.errors),
        truncated=loop.failed > len(loop.errors),
        frames=loop.frames if loop.start.total < 0 else 0,
    )
    leave_loop(turn, run, result, error)


def _kept_items(loop: LoopRun, total: int) -> list[Any] | None:
    """Return the iterations' data by index; None if it is stored by reference."""
    results = loop.kept
    if results is None or any(v.ref for r in results.values() for v in r.tasks.values()):
        return None
    empty = StepResult()
    return [step_data(results.get(i, empty), {}) for i in range(total)]
