"""One execution of a playbook in a test, and short ways to give it inputs."""

from __future__ import annotations

from typing import Any

from playbooks import playbook

from arcbook.dsl.kinds import Kind, KindTable
from arcbook.dsl.load import load_playbook
from arcbook.engine.inputs import Decision, Report, Start, Suspension
from arcbook.engine.pipeline import IterationResult
from arcbook.engine.plan import Plan
from arcbook.engine.turn import LIMITS, LoopLimits
from arcbook.events.types import StepEnter, StepResult, Value, WaitKind
from arcbook.outcome import ERROR, ErrorInfo, ErrorKind
from arcbook.testing.machine import EXECUTION_ID, Machine

KINDS = KindTable({"work": Kind(name="work", open=True)})
SECOND = 1_000_000

ONE = "- {step: start, tool: {kind: work}}"

CHAIN = """
- {step: start, tool: {kind: work}, next: {arcs: [{step: end}]}}
- {step: end, tool: {kind: work}}
"""

FORK = """
- step: start
  tool: {kind: work}
  next: {spec: {mode: inclusive}, arcs: [{step: left}, {step: right}]}
- {step: left, tool: {kind: work}}
- {step: right, tool: {kind: work}}
"""


def begun(workflow: str, head: str = "", **facts: Any) -> Machine:
    """Start a playbook, so that its first command is issued."""
    return machine_of(workflow, head, **facts)


def machine_of(workflow: str, head: str = "", limits: LoopLimits = LIMITS, **facts: Any) -> Machine:
    """Start a playbook under some limits."""
    loaded = load_playbook(playbook(workflow, head), KINDS)
    assert loaded.playbook is not None, [d.message for d in loaded.errors]
    machine = Machine(Plan(loaded.playbook, KINDS), limits)
    machine.give(Start(path="p", **{"payload": {}, **facts}))
    return machine


def name(step: str, visit: int = 1) -> str:
    return f"{EXECUTION_ID}:{step}:{visit}"


def succeed(
    machine: Machine, step: str, data: Any = None, visit: int = 1, **facts: Any
) -> Decision:
    result = StepResult(tasks={"t": Value(data)}, last="t")
    done = [IterationResult(result=result)]
    return machine.give(Report(command_id=name(step, visit), done=done, **facts))


def go_wrong(machine: Machine, step: str, message: str, **facts: Any) -> Decision:
    error = ErrorInfo(kind=ErrorKind.UNKNOWN, message=message, **facts)
    result = StepResult(status=ERROR, error=error)
    done = [IterationResult(result=result, status=ERROR, error=error)]
    return machine.give(Report(command_id=name(step), done=done))


def wait(machine: Machine, step: str, kind: WaitKind, **facts: Any) -> Decision:
    suspension = Suspension(kind=kind, state={"place": 1}, **facts)
    return machine.give(Report(command_id=name(step), suspended=suspension))


def types(decision: Decision) -> list[str]:
    return [recorded.event.type for recorded in decision.events]


def entered(machine: Machine) -> list[str]:
    return [e.event.step for e in machine.events if isinstance(e.event, StepEnter)]
