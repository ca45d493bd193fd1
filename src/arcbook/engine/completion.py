"""When an execution ends, and with which result.

It ends when no token, command, timer or parked step is left. This depends on the state
alone, not on the last input.
"""

from __future__ import annotations

from arcbook.engine.leaving import stop_commands
from arcbook.engine.pipeline import template_failure
from arcbook.engine.plan import PlanStep
from arcbook.engine.turn import Turn, missing_warnings
from arcbook.engine.views import LoopView, NeedsData, RefView, error_data, result_view
from arcbook.events.types import (
    LoopResult,
    PlaybookCancelled,
    PlaybookCompleted,
    PlaybookFailed,
    ResultRef,
    TokenPlaced,
)
from arcbook.outcome import ErrorInfo, ErrorKind
from arcbook.template.errors import TemplateError


def finish(turn: Turn) -> bool:
    """End the execution if no work is left; return whether there is more to do."""
    state = turn.state
    if state.runs:
        return False
    uncaught = [f for f in state.failures if not f.recovered]
    if state.waiting and not uncaught:
        return False
    if uncaught:
        names = list(dict.fromkeys(f.step for f in uncaught))
        turn.emit(
            PlaybookFailed(error=_failure(uncaught[0].step, uncaught[0].error), failed_steps=names)
        )
        return False
    final = turn.plan.playbook.final
    if final is not None and final not in state.visits and not state.final_ran:
        turn.emit(TokenPlaced(step=final, came_from=state.last_leaf))
        return True
    _complete(turn)
    return False


def _failure(step: str, error: ErrorInfo) -> ErrorInfo:
    return ErrorInfo(
        kind=error.kind,
        message=f"step {step!r} failed: {error.message}",
        code=error.code,
        retryable=error.retryable,
        http_status=error.http_status,
        sqlstate=error.sqlstate,
        exception=error.exception,
        where=error.where,
    )


def _complete(turn: Turn) -> None:
    state = turn.state
    error = _missing_next(turn)
    warnings: list[str] = []
    if error is None:
        try:
            result, ref, warnings = _result(turn)
        except TemplateError as failure:
            error = template_failure(failure, "output").error
    if error is not None:
        turn.emit(PlaybookFailed(error=error))
        return
    recovered = list(dict.fromkeys(f.step for f in state.failures))
    turn.emit(PlaybookCompleted(result=result, ref=ref, recovered=recovered, warnings=warnings))


def _missing_next(turn: Turn) -> ErrorInfo | None:
    """Return the error if the execution ended at a step that must have a ``next``."""
    playbook = turn.plan.playbook
    leaf = turn.plan.by_name.get(turn.state.last_leaf)
    if not playbook.no_next_is_error or leaf is None or leaf.arcs:
        return None
    if leaf.name in ("end", playbook.final):
        return None
    message = f"step {leaf.name!r} has no 'next', and 'no_next_is_error' is set"
    return ErrorInfo(kind=ErrorKind.CONFIG, message=message, code="NO_NEXT")


def _result(turn: Turn) -> tuple[object, ResultRef | None, list[str]]:
    """Return the result (``output``, or that of the last step), its reference and warnings."""
    if turn.plan.output is None:
        return *_last_result(turn), []
    scope = turn.scope()
    result = turn.plan.output.render(scope)
    return result, None, missing_warnings(scope, "output", strict=turn.state.strict)


def _last_result(turn: Turn) -> tuple[object, ResultRef | None]:
    """Return the data of the last step with a tool."""
    step = _last_step(turn)
    result = turn.state.results.get(step.name) if step else None
    if result is None:
        return None, None
    if isinstance(result, LoopResult) and result.ref is not None:
        view = LoopView(result, turn.loaded)
        reference = {"_ref": result.ref.ref, "_store": result.ref.store, "count": result.total}
        summary = {"results": reference, "stats": view.stats(), "count": result.total}
        if result.errors:
            errors = [{"index": index, **error_data(error)} for index, error in result.errors]
            summary |= {"errors": errors, "truncated": result.truncated}
        return summary, None
    try:
        return result_view(result, turn.loaded).plain(), None
    except NeedsData as need:
        data = result_view(result, turn.loaded).name("data")
        if isinstance(data, RefView) and data.ref is need.ref:
            return None, need.ref
        raise


def _last_step(turn: Turn) -> PlanStep | None:
    results = turn.state.results
    by_name = turn.plan.by_name
    for name in (turn.plan.playbook.final, "end", turn.state.last_leaf):
        if name and name in results:
            step = by_name.get(name)
            return step if step is None or not step.routes_only else _last_with_tool(turn, step)
    return None


def _last_with_tool(turn: Turn, routing: PlanStep) -> PlanStep:
    """Return the last step with a tool that ended, or ``routing`` if there is none."""
    for name in reversed(turn.state.results):
        step = turn.plan.by_name.get(name)
        if step is not None and not step.routes_only:
            return step
    return routing


def cancelled(turn: Turn) -> None:
    """End a cancelled execution once all its commands have stopped."""
    state = turn.state
    if state.live.still_stopping(state.runs):
        return
    turn.emit(
        PlaybookCancelled(reason=state.cancel_reason or "", unconfirmed=list(state.unconfirmed))
    )


def abort(turn: Turn, error: ErrorInfo) -> None:
    """Fail the execution at once and stop all its commands."""
    for run in turn.state.runs.values():
        stop_commands(turn, run)
    turn.emit(PlaybookFailed(error=error))
