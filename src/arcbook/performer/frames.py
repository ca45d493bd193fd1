"""Performing frames of loops: some iterations, or the rows that a cursor claims."""

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
"""How long a frame may go on before it reports what it has; the rest comes back."""

FRAME_INLINE_BYTES_MAX: Final = 100 * 1024
"""Size of a frame's results up to which they stand in its event."""

ROWS_MAX: Final = 1_000_000
"""Rows of one cursor frame; an iteration's index is its frame's number times this."""

CLAIM_ATTEMPTS: Final = 4
"""Tries of a cursor's claim when its failure may pass."""


def frame(p: Performance) -> Awaits:
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


def _framed(p: Performance, done: list[IterationResult], **facts: Any) -> Awaits:
    """Return the report of a frame; large results together become one value."""
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
        p.kept.append(ref)
    return p.report(done=done, ref=ref, bytes=size, first=p.work.first, **facts)


class Body(NamedTuple):
    """A run of the pipeline that a cursor's frame still has to do."""

    #: Position in the claim, which is part of the keys of its calls.
    at: int
    #: The row, or all rows of the frame.
    item: Any
    #: Where its pipeline is, if it began.
    saved: Any = None


def cursor_frame(p: Performance) -> Awaits:
    """Claim rows, record the claim, and run the body for them."""
    work, loop = p.work, p.step.loop
    assert loop is not None
    bodies = _recorded(loop, work.saved)
    if not bodies:
        outcome = yield from _claim(p, loop)
        if not outcome.is_ok:
            return p.report(fatal=outcome.error)
        rows = _rows_of(outcome.data)
        if not rows:
            return p.report(rows=0)
        bodies = _bodies_of(loop, rows)
        if not (yield p.checkpoint(_state_of(p, bodies))):
            raise AbandonedError(work.command_id)
    assert work.loop is not None
    width = work.loop.row_concurrency
    if p.step.has_never:
        # What a row came to is recorded before the next one begins: no row runs again.
        return (yield from _in_turn(p, bodies[:1], bodies[1:]))
    if width > 1 and len(bodies) > 1 and not _may_wait(p):
        return (yield from _side_by_side(p, bodies, width))
    return (yield from _in_turn(p, bodies, []))


def _bodies_of(loop: PlanLoop, rows: list[Any]) -> list[Body]:
    if loop.process == "frame":
        return [Body(0, rows)]
    return [Body(at, row) for at, row in enumerate(rows)]


def _recorded(loop: PlanLoop, saved: Any) -> list[Body]:
    """Return what is left of a frame that was begun before; nothing if none was."""
    if not saved:
        return []
    if "bodies" in saved:
        return [Body(*body) for body in saved["bodies"]]
    if not saved.get("rows"):
        return []
    first, *others = _bodies_of(loop, saved["rows"])  # as it was recorded once
    return [first._replace(saved=saved.get("saved")), *others]


def _state_of(p: Performance, bodies: list[Body]) -> Any:
    """Return what another process needs to go on with a frame, without secrets."""
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


def _in_turn(p: Performance, bodies: list[Body], rest: list[Body]) -> Awaits:
    """Run bodies one after the other, and leave the rest to another frame."""
    loop = p.step.loop
    assert loop is not None
    done: list[IterationResult] = []
    for offset, body in enumerate(bodies):
        after = [*bodies[offset + 1 :], *rest]
        result = yield from _row(p, body, after)
        if isinstance(result, Suspension):
            waiting = [body._replace(saved=result.state), *after]
            waits = msgspec.structs.replace(result, state=_state_of(p, waiting), index=-1)
            return (yield from _framed(p, done, rows=len(bodies), suspended=waits))
        done.append(result)
        if result.status == ERROR and loop.on_error is OnError.FAIL:
            break
    left = p.hidden([list(body) for body in rest])
    return (yield from _framed(p, done, rows=len(bodies), rest=left))


def _side_by_side(p: Performance, bodies: list[Body], width: int) -> Awaits:
    """Run some bodies at once; those that pause go on together."""
    found = yield _together(p, bodies, width)
    done = [one for one in found if isinstance(one, IterationResult)]
    pausing = [
        (body._replace(saved=one.state), one.seconds or 0.0)
        for body, one in zip(bodies, found, strict=True)
        if isinstance(one, Suspension)
    ]
    if not pausing:
        return (yield from _framed(p, done, rows=len(bodies)))
    state = _state_of(p, [body for body, _ in pausing])
    seconds = max(seconds for _, seconds in pausing)
    waits = Suspension(kind=WaitKind.TIMER, state=state, seconds=seconds)
    return (yield from _framed(p, done, rows=len(bodies), suspended=waits))


def _may_wait(p: Performance) -> bool:
    kinds = [p.services.tools.kind(task.kind) for task in p.step.tasks]
    return any(kind is not None and kind.waits for kind in kinds)


def _row(p: Performance, body: Body, after: list[Body]) -> Awaits:
    """Run one body; its checkpoints hold the whole frame."""
    loop = p.step.loop
    assert loop is not None

    def whole(state: Any) -> Any:
        return _state_of(p, [body._replace(saved=state), *after])

    names = iteration_names(loop, body.item, body.at, -1)
    context = msgspec.structs.replace(p.work.context)
    index = p.work.first * ROWS_MAX + body.at
    return (yield from p.pipeline(context, names, body.saved, index, whole))


async def _together(
    p: Performance, bodies: list[Body], width: int
) -> list[IterationResult | Suspension]:
    slots = asyncio.Semaphore(width)

    async def one(body: Body) -> IterationResult | Suspension:
        async with slots:
            found = await drive(_row(p, body, []))
            assert isinstance(found, IterationResult | Suspension)
            return found

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(one(body)) for body in bodies]
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
