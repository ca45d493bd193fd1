"""Firing a step: whether its tokens have arrived, whether it is admitted, and its entry."""

from __future__ import annotations

from typing import Any

from arcbook.engine import loops
from arcbook.engine.leaving import arcs_of_skipped, fail, warnings_of
from arcbook.engine.numbers import time_limit
from arcbook.engine.pipeline import template_failure
from arcbook.engine.plan import PlanStep
from arcbook.engine.scope import ExecutionScope
from arcbook.engine.state import Token, command_id
from arcbook.engine.turn import MICROSECONDS, Turn, live_mask
from arcbook.events.types import JoinClosed, LoopStart, StepEnter, StepSkipped
from arcbook.template.errors import TemplateError
from arcbook.template.render import Template


def fire_ready(turn: Turn) -> bool:
    """Fire the steps whose tokens have all arrived; return whether any fired.

    Steps fire in the order in which their tokens arrived. A skipped step may unblock an
    earlier one, so the search then restarts from the first. The order therefore does not
    depend on where one decision ends and the next one continues.
    """
    state = turn.state
    if state.absorbing:
        _close_joins(turn)
    fired = False
    for name in list(state.waiting):
        step = turn.plan.by_name[name]
        tokens = state.waiting[name]
        blocked = _is_blocked(turn, step)
        if blocked and not (step.join and len(tokens) >= step.join):
            continue
        has_entered = _fire(turn, step, tokens, early=blocked)
        fired = True
        if not has_entered or turn.is_full:
            break
    return fired


def _is_blocked(turn: Turn, step: PlanStep) -> bool:
    """Return whether a token that is elsewhere can still reach a step.

    The last blocker is remembered: while it holds its token, no other is looked for.
    """
    live = turn.state.live
    if live.is_one and live.is_at(step.name):  # a step does not wait for itself
        return False
    if live.is_at(live.witness.get(step.name)):
        return True
    blocked = live_mask(turn) & turn.plan.graph.blockers[step.order]
    if blocked:
        live.witness[step.name] = turn.plan.graph.names[blocked.bit_length() - 1]
    return bool(blocked)


def _close_joins(turn: Turn) -> None:
    for name in list(turn.state.absorbing):
        step = turn.plan.by_name[name]
        if not _is_blocked(turn, step):
            turn.emit(JoinClosed(step=name))


def _fire(turn: Turn, step: PlanStep, tokens: list[Token], *, early: bool) -> bool:
    """Enter a step, or skip it if it is not admitted; return whether it is running."""
    local: dict[str, Any] = {}
    for token in tokens:
        local.update(token.locals)
    came_from = [t.came_from for t in tokens if t.came_from]
    if step.enters_plainly:
        _enter(turn, step, came_from, local, [], early=early)
        _issue(turn, step)
        return True
    scope = turn.scope(local)
    try:
        reason = _refusal(step, scope)
        if reason:
            took = arcs_of_skipped(turn, step, scope)
            turn.emit(
                StepSkipped(
                    step=step.name,
                    reason=reason,
                    took=took,
                    warnings=warnings_of(scope, step, strict=turn.state.strict),
                )
            )
            return False
        loop = loops.begin(turn, step, scope) if step.loop else None
        due_at = _due_at(turn, step.timeout, scope)
        warnings = warnings_of(scope, step, strict=turn.state.strict)
    except TemplateError as error:
        _enter(turn, step, came_from, local, warnings_of(scope, step), early=early)
        run = turn.state.runs[f"{step.name}:{turn.state.visits[step.name]}"]
        fault = template_failure(error, f"steps.{step.name}").error
        assert fault is not None
        fail(turn, run, fault, stop=False)
        return False
    _enter(turn, step, came_from, local, warnings, early=early, loop=loop, due_at=due_at)
    if loop is None:
        _issue(turn, step)
    return True


def _issue(turn: Turn, step: PlanStep) -> None:
    visit = turn.state.visits[step.name]
    turn.decision.commands.append(command_id(turn.state.execution_id, step.name, visit))


def _enter(
    turn: Turn,
    step: PlanStep,
    came_from: list[str],
    local: dict[str, Any],
    warnings: list[str],
    *,
    early: bool,
    loop: LoopStart | None = None,
    due_at: int | None = None,
) -> None:
    turn.emit(
        StepEnter(
            step=step.name,
            visit=turn.state.visits.get(step.name, 0) + 1,
            came_from=came_from,
            loop=loop,
            locals=local,
            due_at=due_at,
            pool=step.pool or turn.state.pool,
            early=early,
            warnings=warnings,
        )
    )


def _refusal(step: PlanStep, scope: ExecutionScope) -> str:
    """Return why a step is skipped; an empty string if it runs."""
    if step.when is not None and not step.when.test(scope):
        return "guard"
    for when, allow in step.admit:
        if when.test(scope):
            return "" if allow else "denied"
    return ""


def _due_at(turn: Turn, timeout: Template | None, scope: ExecutionScope) -> int | None:
    if timeout is None:
        return None
    seconds = time_limit(timeout, scope)
    return None if seconds is None else turn.at + int(seconds * MICROSECONDS)
