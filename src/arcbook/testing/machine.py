"""Run the pure engine with random inputs from workers, timers, children and losses.

There is no event loop, clock or store, only a log of inputs with their times, and the
decisions.
"""

from __future__ import annotations

import random
from collections.abc import Iterable
from typing import Any, NamedTuple

import msgspec

from arcbook.engine.decide import decide
from arcbook.engine.fold import apply
from arcbook.engine.inputs import (
    AnyInput,
    Cancel,
    ChildEnded,
    Decision,
    Lost,
    Report,
    Settle,
    Start,
    Stopped,
    Suspension,
    TimerFired,
)
from arcbook.engine.pipeline import IterationResult
from arcbook.engine.plan import Plan
from arcbook.engine.state import CommandStatus, State
from arcbook.engine.turn import LIMITS, LoopLimits
from arcbook.events.types import Recorded, StepResult, Value, WaitKind
from arcbook.outcome import ERROR, OK, ErrorInfo, ErrorKind
from arcbook.testing.clock import START_US

EXECUTION_ID = 77


class Given(NamedTuple):
    """An input and its time."""

    at: int
    input: AnyInput


class Machine:
    """One execution, with its event log and its inputs."""

    def __init__(self, plan: Plan, limits: LoopLimits = LIMITS) -> None:
        self.plan = plan
        self.limits = limits
        self.state = State(execution_id=EXECUTION_ID)
        self.events: list[Recorded] = []
        self.log: list[Given] = []
        #: Length of the event log after each input.
        self.ends: list[int] = []
        #: Values stored by reference.
        self.kept: dict[str, Any] = {}
        self.at = START_US

    def give(self, received: AnyInput) -> Decision:
        """Decide an input as the drive loop does."""
        self.log.append(Given(self.at, received))
        decision = self.decide_once(received)
        while decision.needs or decision.more:
            following = self.decide_once(received if decision.again else Settle())
            following.commands = decision.commands + following.commands
            decision = following
        self.ends.append(len(self.events))
        return decision

    def decide_once(self, received: AnyInput) -> Decision:
        """Decide an input without settling the rest."""
        decision = decide(
            self.state,
            self.plan,
            received,
            at=self.at,
            new_id=lambda: len(self.events) + 1_000,
            loaded=self.kept,
            limits=self.limits,
        )
        self.events += decision.events
        for ref, items in decision.keep:
            self.kept[ref.ref] = items
        return decision


class World:
    """Chooses the next input of a machine."""

    def __init__(self, machine: Machine, rng: random.Random, *, mild: bool = False) -> None:
        self.machine = machine
        self.rng = rng
        self.mild = mild

    def start(self) -> None:
        """Start the execution."""
        self.machine.give(Start(path="random", payload={}))

    def step(self) -> bool:
        """Apply one input; return false if there is none."""
        machine, rng = self.machine, self.rng
        machine.at += rng.choice([0, 1, 1_000, 1_000_000])
        choices = self._choices()
        if not choices:
            return False
        machine.give(rng.choice(choices))
        return True

    def _choices(self) -> list[AnyInput]:
        state, rng = self.machine.state, self.rng
        choices: list[AnyInput] = []
        for run in state.runs.values():
            for command in run.commands.values():
                identity, generation = command.command_id, command.generation
                if command.status is CommandStatus.ISSUED:
                    if state.is_cancelling:
                        choices.append(Stopped(command_id=identity))
                    choices.append(self._report(identity))
                    if not self.mild and rng.random() < 0.1:
                        choices.append(Lost(command_id=identity, generation=generation))
                elif command.wait is not None and command.wait.kind is WaitKind.CHILD:
                    status = rng.choice(["COMPLETED", "COMPLETED", "FAILED"])
                    child = command.wait.child_id
                    choices.append(ChildEnded(command_id=identity, child_id=child, status=status))
        timers = state.timers()
        due = {timer: at for timer, at in timers.items() if at <= self.machine.at}
        if not due and not choices and timers:
            timer = min(timers, key=lambda name: (timers[name], name))
            self.machine.at = timers[timer]
            due = {timer: timers[timer]}
        choices += [TimerFired(timer_id=timer) for timer in due]
        if choices and not self.mild and rng.random() < 0.01:
            choices.append(Cancel(reason="the world wants it"))
        return choices

    def _report(self, identity: str) -> Report:
        machine, rng = self.machine, self.rng
        command = machine.state.command(identity)
        assert command is not None
        facts: dict[str, Any] = {"command_id": identity, "generation": command.generation}
        if not self.mild and rng.random() < 0.15:
            kind = rng.choice([WaitKind.TIMER, WaitKind.CHILD])
            index = command.first if command.first >= 0 else -1
            wait = Suspension(kind=kind, state={}, index=index, seconds=rng.choice([0.5, 30.0]))
            if kind is WaitKind.CHILD:
                wait = msgspec.structs.replace(wait, path="child", seconds=None)
            return Report(suspended=wait, **facts)
        count = rng.randint(1, command.count) if command.count else 0
        done = [self._iteration() for _ in range(count)]
        duration = rng.choice([10, 60_000])
        return Report(done=done, first=command.first, duration_us=duration, **facts)

    def _iteration(self) -> IterationResult:
        value = Value({"n": self.rng.randint(0, 5)})
        if self.mild or self.rng.random() < 0.85:
            return IterationResult(result=StepResult(tasks={"t": value}, last="t"), status=OK)
        error = ErrorInfo(kind=ErrorKind.SERVER_ERROR, message="the world is unkind")
        result = StepResult(tasks={"t": value}, last="t", status=ERROR, error=error)
        return IterationResult(result=result, status=ERROR, error=error)


def replayed(events: Iterable[Recorded]) -> State:
    """Return the state that events fold to."""
    state = State(execution_id=EXECUTION_ID)
    for event in events:
        apply(state, event)
    return state


def resumed(machine: Machine, after: int) -> Machine:
    """Return a machine that crashed after some inputs and was rebuilt from its log."""
    again = Machine(machine.plan)
    again.kept = machine.kept
    again.events = list(machine.events[: machine.ends[after - 1] if after else 0])
    again.state = replayed(again.events)
    for entry in machine.log[after:]:
        again.at = entry.at
        again.give(entry.input)
    return again


__all__ = ["Machine", "World", "replayed", "resumed"]
