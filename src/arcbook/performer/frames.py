"""Loop frames: perform a range of iterations, or the rows that a cursor claims."""

from __future__ import annotations

import asyncio
from typing import Any, Final, NamedTuple

import msgspec

from arcbook.dsl.model import LoopMode, OnError, OutputSpec
from arcbook.engine.inputs import Suspension
from arcbook.engine.keychain import SecretNeededError
from arcbook.engine.pipeline import Call, IterationResult, template_failure
from arcbook.engine.plan import PlanLoop
from arcbook.engine.scope import ExecutionScope
from arcbook.engine.views import step_data
from arcbook.events.types import WaitKind
from arcbook.outcome import ERROR, ErrorKind, Outcome, failed
from arcbook.performer.performance import AbandonedError, Performance
from arcbook.performer.services import Awaits, drive
from arcbook.results.store import size_of
from arcbook.template.errors import TemplateError

FRAME_US_MAX: Final = 1_000_000
"""Time after which a frame reports its finished iterations; the rest is issued again."""

FRAME_INLINE_BYTES_MAX: Final = 100 * 1024
"""Maximum size of a frame's results that are stored inline in its event."""

ROWS_MAX: Final = 1_000_000
"""Rows of one cursor frame; iteration indexes start at the frame's number times this."""

CLAIM_ATTEMPTS: Final = 4
"""Attempts at a cursor's claim when its failure is retryable."""


def frame(p: Performance) -> Awaits:
    """Run a range of iterations, one after the other."""
    work, loop = p.work, p.step.loop
    assert loop is not None
    items = yield from _items(p)
    done: list[IterationResult] = []
    for offset, item in enumerate(items):
        index = work.first + offset
        context = work.context
        if loop.mode is LoopMode.PARALLEL:
            context = msgspec.structs.replace(context)
        saved = work.saved if offset == 0 else None
        names = iteration_names(loop, item, index, work.loop.total if work.loop else -1)
        result = yield from p.pipeline(context, names, saved, index)
        if isinstance(result, Suspension):
            return (yield from _frame_report(p, done, suspended=result))
        done.append(result)
        if result.status == ERROR and loop.on_error is OnError.FAIL:
            break
        if p.services.clock.monotonic_us() - p.began > FRAME_US_MAX:
            break
    return (yield from _frame_report(p, done))


def _items(p: Performance) -> Awaits:
    work = p.work
    start, first, count = work.loop, work.first, work.count
    assert start is not None
    if start.items is not None:
        return start.items[first : first + count]
    if start.range is not None:
        return range(*start.range)[first : first + count]
    assert start.ref is not None
    return (yield p.services.results.items(start.ref, first, count))


def _frame_report(p: Performance, done: list[IterationResult], **facts: Any) -> Awaits:
    """Return a frame's report; if its results are large, store them as one value."""
    size = sum(size_of(v.data) for d in done for v in d.result.tasks.values() if v.ref is None)
    ref = None
    has_refs = any(v.ref for d in done for v in d.result.tasks.values())
    if size > FRAME_INLINE_BYTES_MAX and not has_refs:
        data = [step_data(d.result, {}) for d in done]
        work = p.work
        frame = work.command_id.rpartition(":")[2]
        ref = yield p.services.results.keep(
            work.context.execution_id,
            work.step,
            f"{work.visit}-{frame}-{work.attempt}-{work.generation}",
            msgspec.json.encode(data),
            data,
            OutputSpec(),
        )
        p.refs.append(ref)
    return p.report(done=done, ref=ref, bytes=size, first=p.work.first, **facts)


class RowBody(NamedTuple):
    """A pipeline run that a cursor frame still has to do."""

    #: Position in the claim, which is part of the keys of its calls.
    at: int
    #: The row, or all rows of the frame.
    item: Any
    #: The state of its pipeline, if it has begun.
    saved: Any = None


def cursor_frame(p: Performance) -> Awaits:
    """Claim rows, record the claim durably, and run the pipeline for them."""
    work, loop = p.work, p.step.loop
    assert loop is not None
    bodies = _restored(loop, work.saved)
    if not bodies:
        outcome = yield from _claim(p, loop)
        if not outcome.is_ok:
            return p.report(fatal=outcome.error)
        rows = _rows_of(outcome.data)
        if not rows:
            return p.report(rows=0)
        bodies = _row_bodies(loop, rows)
        if not (yield p.checkpoint(_frame_state(p, bodies))):
            raise AbandonedError(work.command_id)
    assert work.loop is not None
    width = work.loop.row_concurrency
    if p.step.has_never:
        # Record each row's result before the next row starts, so that no row runs twice.
        return (yield from _run_sequentially(p, bodies[:1], bodies[1:]))
    if width > 1 and len(bodies) > 1 and not _may_wait(p):
        return (yield from _run_concurrently(p, bodies, width))
    return (yield from _run_sequentially(p, bodies, []))


def _row_bodies(loop: PlanLoop, rows: list[Any]) -> list[RowBody]:
    if loop.process == "frame":
        return [RowBody(0, rows)]
    return [RowBody(at, row) for at, row in enumerate(rows)]


def _restored(loop: PlanLoop, saved: Any) -> list[RowBody]:
    """Return the remaining bodies of a saved frame; empty if there is none."""
    if not saved:
        return []
    if "bodies" in saved:
        return [RowBody(*body) for body in saved["bodies"]]
    if not saved.get("rows"):
        return []
    first, *others = _row_bodies(loop, saved["rows"])  # the format of earlier versions
    return [first._replace(saved=saved.get("saved")), *others]


def _frame_state(p: Performance, bodies: list[RowBody]) -> Any:
    """Return the state from which any worker can resume the frame, without secrets."""
    return p.hidden({"bodies": [list(body) for body in bodies]})


def _claim(p: Performance, loop: PlanLoop) -> Awaits:
    work = p.work
    assert loop.claim is not None
    assert work.loop is not None
    scope = ExecutionScope(
        work.context,
        data=p.plan.playbook.data,
        now=p.services.clock.now_us,
        loaded=p.loaded,
        top={"__frame_max_rows": work.loop.rows_max},
        env=p.services.env,
        keychain=p.keychain.opened,
    )
    task = loop.claim
    while True:
        try:
            config = task.config.render(scope)
            auth = None if task.auth is None else task.auth.render(scope)
        except SecretNeededError as need:
            yield p.keychain.unlock(need.name)
        except TemplateError as error:
            return template_failure(error, task.where)
        else:
            break
    outcome: Outcome = failed(ErrorKind.UNKNOWN, "the claim was not tried")
    for attempt in range(1, CLAIM_ATTEMPTS + 1):
        key = f"{work.command_id}:claim:{attempt}"
        call = Call(task, config, {}, auth, None, key, attempt, scope)
        outcome = yield from p.call(call)
        if outcome.is_ok or not (outcome.error and outcome.error.retryable):
            break
        yield asyncio.sleep(0.1 * 2**attempt)
    return outcome


def _run_sequentially(p: Performance, bodies: list[RowBody], rest: list[RowBody]) -> Awaits:
    """Run bodies one after the other, leaving the rest to another frame."""
    loop = p.step.loop
    assert loop is not None
    done: list[IterationResult] = []
    for offset, body in enumerate(bodies):
        after = [*bodies[offset + 1 :], *rest]
        result = yield from _run_row(p, body, after)
        if isinstance(result, Suspension):
            waiting = [body._replace(saved=result.state), *after]
            waits = msgspec.structs.replace(result, state=_frame_state(p, waiting), index=-1)
            return (yield from _frame_report(p, done, rows=len(bodies), suspended=waits))
        done.append(result)
        if result.status == ERROR and loop.on_error is OnError.FAIL:
            break
    remaining = p.hidden([list(body) for body in rest])
    return (yield from _frame_report(p, done, rows=len(bodies), rest=remaining))


def _run_concurrently(p: Performance, bodies: list[RowBody], width: int) -> Awaits:
    """Run bodies concurrently; those that pause resume together after the longest pause."""
    results = yield _gather(p, bodies, width)
    done = [result for result in results if isinstance(result, IterationResult)]
    pausing = [
        (body._replace(saved=result.state), result.seconds or 0.0)
        for body, result in zip(bodies, results, strict=True)
        if isinstance(result, Suspension)
    ]
    if not pausing:
        return (yield from _frame_report(p, done, rows=len(bodies)))
    state = _frame_state(p, [body for body, _ in pausing])
    seconds = max(seconds for _, seconds in pausing)
    waits = Suspension(kind=WaitKind.TIMER, state=state, seconds=seconds)
    return (yield from _frame_report(p, done, rows=len(bodies), suspended=waits))


def _may_wait(p: Performance) -> bool:
    kinds = [p.services.tools.kind(task.kind) for task in p.step.tasks]
    return any(kind is not None and kind.waits for kind in kinds)


def _run_row(p: Performance, body: RowBody, after: list[RowBody]) -> Awaits:
    """Run one body; its checkpoints save the whole frame."""
    loop = p.step.loop
    assert loop is not None

    def frame_state(state: Any) -> Any:
        return _frame_state(p, [body._replace(saved=state), *after])

    names = iteration_names(loop, body.item, body.at, -1)
    context = msgspec.structs.replace(p.work.context)
    index = p.work.first * ROWS_MAX + body.at
    return (yield from p.pipeline(context, names, body.saved, index, frame_state))


async def _gather(
    p: Performance, bodies: list[RowBody], width: int
) -> list[IterationResult | Suspension]:
    slots = asyncio.Semaphore(width)

    async def run(body: RowBody) -> IterationResult | Suspension:
        async with slots:
            result = await drive(_run_row(p, body, []))
            assert isinstance(result, IterationResult | Suspension)
            return result

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(run(body)) for body in bodies]
    return [task.result() for task in tasks]


def iteration_names(loop: PlanLoop, item: Any, index: int, total: int) -> dict[str, Any]:
    """Return the template names of one iteration."""
    loop_vars: dict[str, Any] = {"index": index, "index0": index, "first": index == 0}
    names: dict[str, Any] = {"loop_index": index, "_index": index, "_first": index == 0}
    if total >= 0:
        loop_vars |= {"length": total, "last": index == total - 1}
        names |= {"_total": total, "_last": index == total - 1}
    return {**names, "loop": loop_vars, loop.iterator: item}


def _rows_of(data: Any) -> list[Any]:
    """Return the rows in a claim's result."""
    if isinstance(data, dict):
        data = data.get("rows")
    return data if isinstance(data, list) else []
