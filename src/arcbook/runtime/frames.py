"""Performing frames of loops: some iterations, or the rows that a cursor claims."""

from __future__ import annotations

import asyncio
from typing import Any, Final

import msgspec

from arcbook.dsl.model import LoopMode, OnError, OutputSpec
from arcbook.engine.inputs import Suspension
from arcbook.engine.keychain import SecretNeededError
from arcbook.engine.pipeline import Call, IterationResult, template_failure
from arcbook.engine.plan import PlanLoop
from arcbook.engine.scope import ExecutionScope
from arcbook.engine.views import step_data
from arcbook.outcome import ERROR, ErrorKind, Outcome, failed
from arcbook.results.kept import size_of
from arcbook.runtime.performance import AbandonedError, Performance
from arcbook.runtime.services import Steps, drive
from arcbook.template.errors import TemplateError

FRAME_US_MAX: Final = 1_000_000
"""How long a frame may go on before it reports what it has; the rest comes back."""

FRAME_INLINE_BYTES_MAX: Final = 100 * 1024
"""Size of a frame's results up to which they stand in its event."""

ROWS_MAX: Final = 1_000_000
"""Rows of one cursor frame; an iteration's index is its frame's number times this."""

CLAIM_ATTEMPTS: Final = 4
"""Tries of a cursor's claim when its failure may pass."""


def frame(p: Performance) -> Steps:
    """Run some iterations of a loop, one after the other."""
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
            return (yield from _framed(p, done, suspended=result))
        done.append(result)
        if result.status == ERROR and loop.on_error is OnError.FAIL:
            break
        if p.services.clock.monotonic_us() - p.began > FRAME_US_MAX:
            break
    return (yield from _framed(p, done))


def _items(p: Performance) -> Steps:
    work = p.work
    start, first, count = work.loop, work.first, work.count
    assert start is not None
    if start.items is not None:
        return start.items[first : first + count]
    if start.range is not None:
        return range(*start.range)[first : first + count]
    assert start.ref is not None
    return (yield p.services.kept.items(start.ref, first, count))


def _framed(p: Performance, done: list[IterationResult], **facts: Any) -> Steps:
    """Return the report of a frame; large results together become one value."""
    size = sum(size_of(v.data) for d in done for v in d.result.tasks.values() if v.ref is None)
    ref = None
    has_refs = any(v.ref for d in done for v in d.result.tasks.values())
    if size > FRAME_INLINE_BYTES_MAX and not has_refs:
        data = [step_data(d.result, {}) for d in done]
        work = p.work
        frame = work.command_id.rpartition(":")[2]
        ref = yield p.services.kept.keep(
            work.context.execution_id,
            work.step,
            f"{work.visit}-{frame}-{work.attempt}-{work.generation}",
            msgspec.json.encode(data),
            data,
            OutputSpec(),
        )
        p.kept.append(ref)
    return p.report(done=done, ref=ref, bytes=size, first=p.work.first, **facts)


def cursor_frame(p: Performance) -> Steps:
    """Claim rows, record the claim, and run the body for them."""
    work, loop = p.work, p.step.loop
    assert loop is not None
    saved = work.saved or {}
    rows = saved.get("rows")
    if rows is None:
        outcome = yield from _claim(p, loop)
        if not outcome.is_ok:
            return p.report(fatal=outcome.error)
        rows = _rows_of(outcome.data)
        if not rows:
            return p.report(rows=0)
        if not (yield p.checkpoint(p.hidden({"rows": rows}))):
            raise AbandonedError(work.command_id)
    if loop.process == "frame":
        return (yield from _rows(p, [rows], rows, saved.get("saved")))
    return (yield from _rows(p, rows, rows, saved.get("saved")))


def _claim(p: Performance, loop: PlanLoop) -> Steps:
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


def _rows(p: Performance, bodies: list[Any], rows: list[Any], saved: Any) -> Steps:
    loop = p.step.loop
    assert loop is not None
    assert p.work.loop is not None
    width = p.work.loop.row_concurrency
    if width > 1 and len(bodies) > 1 and not _may_wait(p):
        done = yield _together(p, bodies, width)
        return (yield from _framed(p, done, rows=len(rows)))
    done = []
    for offset, body in enumerate(bodies):
        result = yield from _row(p, body, offset, saved if offset == 0 else None)
        if isinstance(result, Suspension):
            state = {"rows": [body] if loop.process == "row" else body, "saved": result.state}
            waits = msgspec.structs.replace(result, state=state, index=-1)
            rest = bodies[offset + 1 :]
            return (yield from _framed(p, done, rows=len(rows), suspended=waits, rest=rest))
        done.append(result)
        if result.status == ERROR and loop.on_error is OnError.FAIL:
            break
    return (yield from _framed(p, done, rows=len(rows)))


def _may_wait(p: Performance) -> bool:
    kinds = [p.services.tools.kind(task.kind) for task in p.step.tasks]
    return any(kind is not None and kind.waits for kind in kinds)


def _row(p: Performance, body: Any, offset: int, saved: Any) -> Steps:
    loop = p.step.loop
    assert loop is not None
    frame = p.work.first
    names = iteration_names(loop, body, offset, -1)
    context = msgspec.structs.replace(p.work.context)
    return (yield from p.pipeline(context, names, saved, frame * ROWS_MAX + offset))


async def _together(p: Performance, bodies: list[Any], width: int) -> list[IterationResult]:
    slots = asyncio.Semaphore(width)

    async def one(offset: int, body: Any) -> IterationResult:
        async with slots:
            found = await drive(_row(p, body, offset, None))
            assert isinstance(found, IterationResult)
            return found

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(one(i, body)) for i, body in enumerate(bodies)]
    return [task.result() for task in tasks]


def iteration_names(loop: PlanLoop, item: Any, index: int, total: int) -> dict[str, Any]:
    """Return the names of one iteration."""
    around: dict[str, Any] = {"index": index, "index0": index, "first": index == 0}
    names: dict[str, Any] = {"loop_index": index, "_index": index, "_first": index == 0}
    if total >= 0:
        around |= {"length": total, "last": index == total - 1}
        names |= {"_total": total, "_last": index == total - 1}
    return {**names, "loop": around, loop.iterator: item}


def _rows_of(data: Any) -> list[Any]:
    """Return the rows that a claim yielded."""
    if isinstance(data, dict):
        data = data.get("rows")
    return data if isinstance(data, list) else []
