"""Leaving a step: what it sets, which arcs fire, and which steps become unreachable."""

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
from arcbook.engine.turn import Overlay, Turn, live_mask, missing_warnings, render_sets
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

#: The spellings that ``event.name`` equals when a step is left.
DONE: Final = AnyOf("call.done", "step.done", "step.exit", "step.completed", "command.completed")
LOOP_DONE: Final = AnyOf("loop.done", "call.done", "step.done", "step.exit", "step.completed")
FAILED: Final = AnyOf("call.error", "step.failed", "command.failed", "loop.failed")
SKIPPED: Final = AnyOf("step.skipped")


def leave(turn: Turn, run: Run, done: IterationResult, report: Report) -> None:
    """End a visit of a step without a loop, with its pipeline's report."""
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
    """End a visit with an error from outside its pipeline."""
    if stop:
        stop_commands(turn, run)
    result = StepResult(status=ERROR, error=error)
    _leave(turn, run, status=ERROR, result=result, error=error)


def stop_commands(turn: Turn, run: Run) -> None:
    """Stop a visit's commands and cancel its waits."""
    for command in run.commands.values():
        if command.status is CommandStatus.ISSUED:
            turn.decision.stop.append(command.command_id)
        else:
            waits.cancel(turn, command)


def _leave(  # noqa: PLR0913  # the fields of the event
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
    leaving = _Leaving(status, error, list(writes or ()), list(warnings or ()))
    if not step.leaves_plainly:
        _route(turn, run, step, result, leaving, local or {})
    elif status == OK:
        arcs = step.arcs if step.inclusive else step.arcs[:1]
        leaving.took = [_take(turn, step, arc, None) for arc in arcs]
    turn.emit(
        StepExit(
            step=step.name,
            visit=run.visit,
            status=leaving.status,
            result=result if isinstance(result, StepResult) else None,
            loop=result if isinstance(result, LoopResult) else None,
            error=leaving.error,
            set=leaving.writes,
            took=leaving.took,
            recovered=leaving.status == ERROR and bool(leaving.took),
            warnings=leaving.warnings,
            printed=printed,
            retries=retries,
            tries=tries or [],
            worker=report.worker if report else "",
            attempt=report.attempt if report else 1,
            started_at=report.started_at if report else 0,
        )
    )
    if len(leaving.took) < len(step.arcs):
        _skip_unreachable(turn, step)


class _Leaving:
    """The end of a visit while it is being decided."""

    __slots__ = ("error", "status", "took", "warnings", "writes")

    def __init__(
        self, status: str, error: ErrorInfo | None, writes: list[Write], warnings: list[str]
    ) -> None:
        self.status = status
        self.error = error
        self.writes = writes
        self.warnings = warnings
        self.took: list[ArcTaken] = []


def _route(
    turn: Turn,
    run: Run,
    step: PlanStep,
    result: StepResult | LoopResult,
    leaving: _Leaving,
    local: dict[str, Any],
) -> None:
    """Render the step's ``set`` and choose its arcs."""
    scope = _leaving_scope(turn, run, step, result, leaving, local)
    try:
        if leaving.status == OK:
            leaving.writes += render_sets(step.set, scope)
        leaving.took = _choose(turn, step, scope, only_catching=leaving.status == ERROR)
        no_arc_fired = leaving.status == OK and step.arcs and not leaving.took
        if no_arc_fired and step.on_no_match is NoMatch.ERROR:
            leaving.status, leaving.error = ERROR, _no_match(step)
        leaving.warnings += warnings_of(scope, step, strict=turn.state.strict)
    except TemplateError as failure:
        leaving.status, leaving.took = ERROR, []
        leaving.error = template_failure(failure, f"steps.{step.name}.next").error
        leaving.warnings += warnings_of(scope, step)


def _leaving_scope(
    turn: Turn,
    run: Run,
    step: PlanStep,
    result: StepResult | LoopResult,
    leaving: _Leaving,
    local: dict[str, Any],
) -> ExecutionScope:
    """Return the scope in which ``set`` and the guards of a finished step are evaluated."""
    output = step_output(result, turn.loaded, leaving.error)
    scope = _with_overlay(turn, turn.scope(local, run.locals))
    scope.context.steps = Overlay(turn.state.results)
    scope.context.steps[step.name] = result
    write(scope.context.ctx, leaving.writes)
    name = FAILED if leaving.status == ERROR else LOOP_DONE if step.loop else DONE
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
    if leaving.error is not None:
        scope.top["error"] = error_data(leaving.error)
        scope.top["event"]["error"] = scope.top["error"]
    return scope


def arcs_of_skipped(turn: Turn, step: PlanStep, scope: ExecutionScope) -> list[ArcTaken]:
    """Return the arcs that the tokens of a skipped step take."""
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
    """Return the arcs that fire; after a failure, only arcs whose guards mention the error."""
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
    message = f"no arc of step {step.name!r} matches, and 'on_no_match' is 'error'"
    return ErrorInfo(kind=ErrorKind.CONFIG, message=message, code="NO_MATCH")


def _skip_unreachable(turn: Turn, step: PlanStep) -> None:
    """Record each step that has become unreachable because an arc did not fire."""
    graph = turn.plan.graph
    live = live_mask(turn)
    if live >> step.order & 1:
        return
    candidates = graph.reach[step.order] & ~turn.state.live.seen(turn.plan)
    while candidates:
        bit = candidates & -candidates
        i = bit.bit_length() - 1
        if live & (graph.ancestors[i] | bit):
            # The steps behind it are reachable as well.
            candidates &= ~(graph.reach[i] | bit)
        else:
            candidates ^= bit
            turn.emit(StepSkipped(step=graph.names[i], reason="unreachable"))


def warnings_of(scope: ExecutionScope, step: PlanStep, *, strict: bool = False) -> list[str]:
    """Return a warning for each name that the step's templates read and that has no value.

    Raises:
        TemplateError: If there is one and the execution is strict.
    """
    return missing_warnings(scope, f"steps.{step.name}", strict=strict)
