"""``apply(state, event)``: the only code that changes a state.

Total: an event that does not fit, for example because its step is not running, changes only
the sequence number. Deterministic: it depends on the state and the event alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final

from arcbook.engine.state import (
    Command,
    CommandStatus,
    Failure,
    LoopRun,
    Run,
    State,
    Status,
    Token,
    command_id,
    run_key,
)
from arcbook.events.types import (
    ArcTaken,
    CancelRequested,
    CommandCancelled,
    CommandCheckpointed,
    CommandCompleted,
    CommandIssued,
    CommandLost,
    CommandResumed,
    CommandSuspended,
    JoinClosed,
    PlaybookCancelled,
    PlaybookCompleted,
    PlaybookFailed,
    PlaybookStarted,
    Recorded,
    StepEnter,
    StepExit,
    StepSkipped,
    TokenPlaced,
    WaitKind,
    Write,
)
from arcbook.outcome import ERROR, ErrorInfo, ErrorKind

KEPT_BYTES_MAX: Final = 100 * 1024
"""Total size up to which a loop's results are kept in the state."""

FRAME_TARGET_US: Final = 50_000
"""Target duration of a frame; frames of quick iterations grow towards it."""

FRAME_ITEMS_MAX: Final = 500
"""Maximum iterations per frame."""

LOOP_ERRORS_MAX: Final = 20
"""Maximum iteration errors kept with a loop's result."""

_UNKNOWN: Final = ErrorInfo(kind=ErrorKind.UNKNOWN, message="the step failed")


def fold(state: State, events: Iterable[Recorded]) -> State:
    """Apply events in order, and return the state."""
    for event in events:
        apply(state, event)
    return state


def apply(state: State, recorded: Recorded) -> State:
    """Apply one event to the state in place, and return the state."""
    seq, at, event = recorded
    state.seq = seq
    # Built before the state changes, so that each change is counted once.
    _ = state.live
    _HANDLERS[type(event)](state, at, event)
    return state


def _started(state: State, at: int, event: PlaybookStarted) -> None:
    state.status = Status.RUNNING
    state.path = event.path
    state.version = event.version
    state.catalog_id = event.catalog_id
    state.started_at = at
    state.due_at = event.due_at
    state.parent = event.parent
    state.pool = event.pool
    state.labels = event.labels
    state.strict = event.strict
    state.workload = event.workload
    state.payload = event.payload
    state.ctx = dict(event.ctx)
    state.results = dict(event.results)
    if event.entry:
        _unwait(state, event.entry)
        _wait(state, event.entry, Token(""))


def _token_placed(state: State, at: int, event: TokenPlaced) -> None:
    _wait(state, event.step, Token(event.came_from))
    state.final_ran = True


def _wait(state: State, step: str, token: Token) -> None:
    tokens = state.waiting.get(step)
    if tokens is None:
        state.waiting[step] = [token]
        state.live.add(step)
    else:
        tokens.append(token)


def _unwait(state: State, step: str) -> None:
    if state.waiting.pop(step, None) is not None:
        state.live.remove(step)


def _entered(state: State, at: int, event: StepEnter) -> None:
    step, visit = event.step, event.visit
    live = state.live
    key = run_key(step, visit)
    has_waited = state.waiting.pop(step, None) is not None
    is_new = key not in state.runs
    if is_new is not has_waited:  # otherwise a waiting token became a running one
        (live.add if is_new else live.remove)(step)
    state.visits[step] = visit
    live.see(step)
    if event.early and step not in state.absorbing:
        state.absorbing.append(step)
    run = Run(
        step=step,
        visit=visit,
        entered_at=at,
        locals=event.locals,
        came_from=event.came_from,
        due_at=event.due_at,
        pool=event.pool,
    )
    if event.loop is None:
        identity = command_id(state.execution_id, step, visit)
        run.commands[identity] = Command(command_id=identity, step=step, visit=visit)
    else:
        run.loop = LoopRun(start=event.loop)
    state.runs[key] = run
    if event.loop is not None:
        live.moving[key] = None


def _exited(state: State, at: int, event: StepExit) -> None:
    step = event.step
    if state.runs.pop(run_key(step, event.visit), None) is not None:
        state.live.remove(step)
    result = event.loop if event.loop is not None else event.result
    if result is not None and event.visit >= state.visits.get(step, 0):
        if step in state.results:
            # Results are ordered by when their steps last ended.
            del state.results[step]
        state.results[step] = result
    if event.set:
        write(state.ctx, event.set)
    if event.status == ERROR:
        failure = Failure(step, event.error or _UNKNOWN, event.recovered)
        state.failures.append(failure)
        if not event.recovered:
            state.live.add(step)
    _send(state, step, event.took)
    if not event.took:
        state.last_leaf = step


def _skipped(state: State, at: int, event: StepSkipped) -> None:
    if event.reason == "unreachable":
        state.skipped.append(event.step)
        state.live.see(event.step)
        return
    _unwait(state, event.step)
    if event.set:
        write(state.ctx, event.set)
    _send(state, event.step, event.took)


def _send(state: State, step: str, took: list[ArcTaken]) -> None:
    for arc in took:
        if arc.set:
            write(state.ctx, arc.set)
        if not arc.absorbed:
            _wait(state, arc.to, Token(step, arc.locals))


def _join_closed(state: State, at: int, event: JoinClosed) -> None:
    if event.step in state.absorbing:
        state.absorbing.remove(event.step)


def _issued(state: State, at: int, event: CommandIssued) -> None:
    run = state.runs.get(run_key(event.step, event.visit))
    if run is None or run.loop is None:
        return
    run.commands[event.command_id] = Command(
        command_id=event.command_id,
        step=event.step,
        visit=event.visit,
        first=event.first,
        count=event.count,
        saved=event.state,
    )
    loop = run.loop
    loop.frames += 1
    if event.count == 0:
        return
    if event.first == loop.next:
        loop.next = event.first + event.count
    else:
        _take_returned(loop, event.first, event.count)


def _take_returned(loop: LoopRun, first: int, count: int) -> None:
    kept: list[list[int]] = []
    for start, size in loop.returned:
        if start <= first < start + size:
            if first > start:
                kept.append([start, first - start])
            rest = start + size - (first + count)
            if rest > 0:
                kept.append([first + count, rest])
        else:
            kept.append([start, size])
    loop.returned = kept


def _command_completed(state: State, at: int, event: CommandCompleted) -> None:
    key = run_key(event.step, event.visit)
    run = state.runs.get(key)
    if run is None or run.loop is None:
        return
    state.live.moving[key] = None
    command = None if event.partial else run.commands.pop(event.command_id, None)
    loop = run.loop
    if event.set:
        write(state.ctx, event.set)
    loop.done += event.count
    loop.failed += len(event.failed)
    loop.success += event.count - len(event.failed)
    _keep_results(loop, event)
    if event.failed:
        # Sorted by index, so that the errors kept do not depend on which worker was quicker.
        loop.errors = sorted([*loop.errors, *event.failed], key=_index)[:LOOP_ERRORS_MAX]
    loop.stopping = loop.stopping or event.stop
    if event.rows == 0:
        loop.drained = True
    if event.count and event.duration_us >= 0:
        iteration_us = max(event.duration_us // event.count, 1)
        target_size = FRAME_TARGET_US // iteration_us
        loop.frame_size = max(1, min(FRAME_ITEMS_MAX, target_size, loop.frame_size * 8))
    if command is not None and command.count:
        undone = command.first + command.count - (event.first + event.count)
        if undone > 0:
            loop.returned.append([event.first + event.count, undone])


def _index(failure: tuple[int, ErrorInfo]) -> int:
    return failure[0]


def _keep_results(loop: LoopRun, event: CommandCompleted) -> None:
    """Keep the results in the state while their total size is small."""
    loop.kept_bytes += event.bytes
    if loop.kept is None:
        return
    if event.ref is not None or loop.kept_bytes > KEPT_BYTES_MAX:
        loop.kept = None
        return
    for offset, result in enumerate(event.results):
        loop.kept[event.first + offset] = result


def _suspended(state: State, at: int, event: CommandSuspended) -> None:
    key = run_key(event.step, event.visit)
    run = state.runs.get(key)
    command = run.commands.get(event.command_id) if run else None
    if command is None or run is None:
        return
    if run.loop is not None:
        state.live.moving[key] = None
    if event.index >= 0 and run.loop is not None and command.count != 1:
        _split_suspended(run.loop, command, event.index)
    if event.wait.kind is WaitKind.CHILD:
        state.children += 1
    command.status = CommandStatus.SUSPENDED
    command.wait = event.wait
    command.saved = event.state
    command.resumed_with = None
    command.generation += 1


def _split_suspended(loop: LoopRun, command: Command, index: int) -> None:
    """Reduce a frame to its waiting iteration and return the remaining ones."""
    rest = command.first + command.count - (index + 1)
    if rest > 0:
        loop.returned.append([index + 1, rest])
    command.first, command.count = index, 1


def _checkpointed(state: State, at: int, event: CommandCheckpointed) -> None:
    command = state.command(event.command_id)
    if command is not None:
        command.saved = event.state
        command.recorded = event.number


def _resumed(state: State, at: int, event: CommandResumed) -> None:
    command = state.command(event.command_id)
    if command is None:
        return
    command.status = CommandStatus.ISSUED
    command.wait = None
    command.resumed_with = event.outcome
    command.stops = event.stops
    command.generation += 1
    command.recorded = 0


def _lost(state: State, at: int, event: CommandLost) -> None:
    command = state.command(event.command_id)
    if command is not None:
        command.lost += 1
        command.returned += event.returned
        command.recorded = 0


def _command_cancelled(state: State, at: int, event: CommandCancelled) -> None:
    key = run_key(event.step, event.visit)
    run = state.runs.get(key)
    command = run.commands.pop(event.command_id, None) if run is not None else None
    if command is not None and run is not None and run.loop is not None:
        state.live.moving[key] = None
    if command is not None and not event.confirmed:
        state.unconfirmed.append(event.command_id)


def _cancel_requested(state: State, at: int, event: CancelRequested) -> None:
    state.cancel_reason = event.reason
    for step in list(state.waiting):
        _unwait(state, step)


def _completed(state: State, at: int, event: PlaybookCompleted) -> None:
    state.result = event.result
    state.result_ref = event.ref
    _end(state, at, Status.COMPLETED)


def _failed(state: State, at: int, event: PlaybookFailed) -> None:
    state.error = event.error
    _end(state, at, Status.FAILED)


def _cancelled(state: State, at: int, event: PlaybookCancelled) -> None:
    state.cancel_reason = event.reason
    _end(state, at, Status.CANCELLED)


def _end(state: State, at: int, status: Status) -> None:
    state.status = status
    state.ended_at = at
    state.waiting.clear()
    state.runs.clear()
    state.live.clear(state)


def write(ctx: dict[str, Any], writes: Iterable[Write]) -> None:
    """Write values below ``ctx``, copying the mappings on the path, which may be shared."""
    for path, value in writes:
        if len(path) == 1:
            ctx[path[0]] = value
            continue
        target = ctx
        for key in path[:-1]:
            inner = target.get(key)
            copied = dict(inner) if isinstance(inner, dict) else {}
            target[key] = copied
            target = copied
        target[path[-1]] = value


_HANDLERS: Final[dict[type, Callable[[State, int, Any], None]]] = {
    CancelRequested: _cancel_requested,
    CommandCancelled: _command_cancelled,
    CommandCheckpointed: _checkpointed,
    CommandCompleted: _command_completed,
    CommandIssued: _issued,
    CommandLost: _lost,
    CommandResumed: _resumed,
    CommandSuspended: _suspended,
    JoinClosed: _join_closed,
    PlaybookCancelled: _cancelled,
    PlaybookCompleted: _completed,
    PlaybookFailed: _failed,
    PlaybookStarted: _started,
    StepEnter: _entered,
    StepExit: _exited,
    StepSkipped: _skipped,
    TokenPlaced: _token_placed,
}
