"""Leaving a step: what it sets, which of its arcs fire, which steps are out of reach."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from arcbook.dsl.model import Lifetime, NoMatch
from arcbook.engine import waits
from arcbook.engine.fold import write
from arcbook.engine.inputs import Report
from arcbook.engine.pipeline import IterationResult, template_failure
from arcbook.engine.plan import PlanArc, PlanStep
from arcbook.engine.scope import Context, ExecutionScope
from arcbook.engine.state import CommandStatus, Run
from arcbook.engine.turn import Overlay, Turn, lacking, live_mask, render_sets
from arcbook.engine.views import error_data, step_output
from arcbook.events.types import (
    ArcTaken,
    LoopResult,
    StepExit,
    StepResult,
    StepSkipped,
    Try,
    Write,
)
from arcbook.outcome import ERROR, OK, ErrorInfo, ErrorKind
from arcbook.template.access import AnyOf
from arcbook.template.errors import TemplateError

#: What ``event.name`` is, in all its spellings, when a step is left.
DONE: Final = AnyOf("call.done", "step.done", "step.exit", "step.completed", "command.completed")
LOOP_DONE: Final = AnyOf("loop.done", "call.done", "step.done", "step.exit", "step.completed")
FAILED: Final = AnyOf("call.error", "step.failed", "command.failed", "loop.failed")
SKIPPED: Final = AnyOf("step.skipped")


def leave(turn: Turn, run: Run, done: IterationResult, report: Report) -> None:
    """End a visit of a plain step with what its pipeline reported."""
    _leave(
        turn,
        run,
        status=done.status,
        result=done.result,
        error=done.error,
        writes=done.writes,
        local=done.locals,
        warnings=done.warnings,
        printed=done.printed,
        retries=done.retries,
        tries=done.tries,
        report=report,
    )


def leave_loop(turn: Turn, run: Run, result: LoopResult, error: ErrorInfo | None) -> None:
    """End a visit of a step with a loop."""
    status = ERROR if error else OK
    result = msgspec.structs.replace(result, status=status)
    _leave(turn, run, status=status, result=result, error=error)


def fail(turn: Turn, run: Run, error: ErrorInfo, *, stop: bool = True) -> None:
    """End a visit with an error that does not come from its pipeline."""
    if stop:
        stop_commands(turn, run)
    result = StepResult(status=ERROR, error=error)
    _leave(turn, run, status=ERROR, result=result, error=error)


def stop_commands(turn: Turn, run: Run) -> None:
    """Have what a visit still runs stopped."""
    for command in run.commands.values():
        if command.status is CommandStatus.ISSUED:
            turn.decision.stop.append(command.command_id)
        else:
            waits.cancel(turn, command)


def _leave(  # noqa: PLR0913  # everything that a visit leaves behind
    turn: Turn,
    run: Run,
    *,
    status: str,
    result: StepResult | LoopResult,
    error: ErrorInfo | None,
    writes: list[Write] | None = None,
    local: dict[str, Any] | None = None,
    warnings: list[str] | None = None,
    printed: str = "",
    retries: int = 0,
    tries: list[Try] | None = None,
    report: Report | None = None,
) -> None:
    step = turn.plan.by_name[run.step]
    left = _Leaving(status, error, list(writes or ()), list(warnings or ()))
    if not step.leaves_plainly:
        _route(turn, run, step, result, left, local or {})
    elif status == OK:
        arcs = step.arcs if step.inclusive else step.arcs[:1]
        left.took = [_take(turn, step, arc, None) for arc in arcs]
    turn.emit(
        StepExit(
            step=step.name,
            visit=run.visit,
            status=left.status,
            result=result if isinstance(result, StepResult) else None,
            loop=result if isinstance(result, LoopResult) else None,
            error=left.error,
            set=left.writes,
            took=left.took,
            recovered=left.status == ERROR and bool(left.took),
            warnings=left.warnings,
            printed=printed,
            retries=retries,
            tries=tries or [],
            worker=report.worker if report else "",
            attempt=report.attempt if report else 1,
            started_at=report.started_at if report else 0,
        )
    )
    if len(left.took) < len(step.arcs):
        _skip_unreachable(turn, step)


class _Leaving:
    """How a visit ends, as it is being worked out."""

    __slots__ = ("error", "status", "took", "warnings", "writes")

    def __init__(
        self, status: str, error: ErrorInfo | None, writes: list[Write], warnings: list[str]
    ) -> None:
        self.status = status
        self.error = error
        self.writes = writes
        self.warnings = warnings
        self.took: list[ArcTaken] = []


def _route(  # everything that guards and ``set`` see
    turn: Turn,
    run: Run,
    step: PlanStep,
    result: StepResult | LoopResult,
    left: _Leaving,
    local: dict[str, Any],
) -> None:
    """Render what the step sets and choose its arcs."""
    scope = _leaving_scope(turn, run, step, result, left, local)
    try:
        if left.status == OK:
            left.writes += render_sets(step.set, scope)
        left.took = _choose(turn, step, scope, only_catching=left.status == ERROR)
        nothing = left.status == OK and step.arcs and not left.took
        if nothing and step.on_no_match is NoMatch.ERROR:
            left.status, left.error = ERROR, _no_match(step)
        left.warnings += warnings_of(scope, step, strict=turn.state.strict)
    except TemplateError as fault:
        left.status, left.took = ERROR, []
        left.error = template_failure(fault, f"steps.{step.name}.next").error
        left.warnings += warnings_of(scope, step)


def _leaving_scope(  # everything that guards and ``set`` see
    turn: Turn,
    run: Run,
    step: PlanStep,
    result: StepResult | LoopResult,
    left: _Leaving,
    local: dict[str, Any],
) -> ExecutionScope:
    """Return the names as ``set`` and guards of a finished step see them."""
    output = step_output(result, turn.loaded, left.error)
    scope = _with_overlay(turn, turn.scope(local, run.locals))
    scope.context.steps = Overlay(turn.state.results)
    scope.context.steps[step.name] = result
    write(scope.context.ctx, left.writes)
    name = FAILED if left.status == ERROR else LOOP_DONE if step.loop else DONE
    scope.top = {
        "output": output,
        "result": output.data,
        "event": {
            "name": name,
            "step": step.name,
            "status": output.name("status"),
            "payload": output,
        },
    }
    if left.error is not None:
        scope.top["error"] = error_data(left.error)
        scope.top["event"]["error"] = scope.top["error"]
    return scope


def pass_over(turn: Turn, step: PlanStep, scope: ExecutionScope) -> list[ArcTaken]:
    """Return where the tokens of a step that is passed over go: along its own arcs."""
    scope = _with_overlay(turn, scope)
    scope.top = {"event": {"name": SKIPPED, "step": step.name}}
    return _choose(turn, step, scope, only_catching=False)


def _with_overlay(turn: Turn, scope: ExecutionScope) -> ExecutionScope:
    base = scope.context
    scope.context = Context(
        execution_id=base.execution_id,
        path=base.path,
        version=base.version,
        catalog_id=base.catalog_id,
        workload=base.workload,
        payload=base.payload,
        ctx=Overlay(turn.state.ctx),
        steps=base.steps,
    )
    return scope


def _choose(
    turn: Turn, step: PlanStep, scope: ExecutionScope, *, only_catching: bool
) -> list[ArcTaken]:
    """Return the arcs that fire. After a failure only those that mention the error may."""
    took: list[ArcTaken] = []
    for arc in step.arcs:
        if only_catching and not arc.catches:
            continue
        if arc.when is not None and not arc.when.test(scope):
            continue
        took.append(_take(turn, step, arc, scope))
        if not step.inclusive:
            break
    return took


def _take(turn: Turn, step: PlanStep, arc: PlanArc, scope: ExecutionScope | None) -> ArcTaken:
    writes: list[Write] = []
    local: dict[str, Any] = {}
    if arc.set:
        assert scope is not None
        written = tuple(s for s in arc.set if s.lifetime is not Lifetime.STEP)
        local = {s.path[0]: s.value.render(scope) for s in arc.set if s.lifetime is Lifetime.STEP}
        writes = render_sets(written, scope)
    absorbed = False
    if turn.state.absorbing and arc.to in turn.state.absorbing:
        blockers = turn.plan.graph.blockers[turn.plan.by_name[arc.to].order]
        absorbed = bool(blockers >> step.order & 1)
    return ArcTaken(arc.order, arc.to, writes, local, absorbed)


def _no_match(step: PlanStep) -> ErrorInfo:
    message = f"none of the arcs of step {step.name!r} fires, and 'on_no_match' is 'error'"
    return ErrorInfo(kind=ErrorKind.CONFIG, message=message, code="NO_MATCH")


def _skip_unreachable(turn: Turn, step: PlanStep) -> None:
    """Record the steps that an arc which did not fire has put out of reach, once each."""
    graph = turn.plan.graph
    live = live_mask(turn)
    if live >> step.order & 1:
        return
    left = graph.reach[step.order] & ~turn.state.live.seen(turn.plan)
    while left:
        bit = left & -left
        i = bit.bit_length() - 1
        if live & (graph.ancestors[i] | bit):
            # What is behind it is in reach as well.
            left &= ~(graph.reach[i] | bit)
        else:
            left ^= bit
            turn.emit(StepSkipped(step=graph.names[i], reason="unreachable"))


def warnings_of(scope: ExecutionScope, step: PlanStep, *, strict: bool = False) -> list[str]:
    """Return what the step's templates lacked.

    Raises:
        TemplateError: they lacked something, and the execution is strict.
    """
    return lacking(scope, f"steps.{step.name}", strict=strict)
