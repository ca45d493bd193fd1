"""Run the production engine on every small graph, with every order of inputs."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from typing import Any, Final, NamedTuple

from arcbook.dsl.kinds import Kind, KindTable
from arcbook.engine.decide import decide
from arcbook.engine.fold import apply
from arcbook.engine.inputs import AnyInput, Cancel, Decision, Lost, Report, Start, Stopped
from arcbook.engine.pipeline import IterationResult
from arcbook.engine.plan import Plan
from arcbook.engine.state import Command, CommandStatus, State, Status
from arcbook.events.codec import decode, encode
from arcbook.events.types import Recorded, StepResult, StepSkipped, Value
from arcbook.outcome import ERROR, OK, ErrorInfo, ErrorKind
from arcbook.owner.slots import decode_state, encode_state
from arcbook.testing.clock import START_US
from arcbook.testing.exhaust.expected import expected, is_determined
from arcbook.testing.exhaust.shapes import Shape, Size, playbook_of, shapes
from arcbook.testing.generate import KIND
from arcbook.testing.simulate.checks import AFTER_CANCEL, BrokenError
from arcbook.testing.simulate.compare import essence
from arcbook.testing.simulate.flow import Flow

EXECUTION_ID: Final = 7

STATES_MAX: Final = 200_000
"""Maximum number of states of a graph; more means that it does not terminate."""

_KINDS: Final = KindTable({KIND: Kind(name=KIND, open=True)})

_PASSED: Final = IterationResult(
    result=StepResult(tasks={"t": Value({"n": 1})}, last="t"), status=OK
)
_FAULT: Final = ErrorInfo(kind=ErrorKind.SERVER_ERROR, message="the tool is unkind")
_FAILED: Final = IterationResult(
    result=StepResult(tasks={"t": Value()}, last="t", status=ERROR, error=_FAULT),
    status=ERROR,
    error=_FAULT,
)

Outcome = tuple[tuple[int, int, int], bool]
"""Step, visit and iteration (-1 outside loops), and whether it succeeded."""


class Counts(NamedTuple):
    """The numbers of what was explored."""

    graphs: int = 0
    states: int = 0
    inputs: int = 0
    ends: int = 0
    #: Graphs whose outcomes determine their end.
    determined: int = 0

    def plus(self, other: Counts) -> Counts:
        """Return both together."""
        return Counts(*(a + b for a, b in zip(self, other, strict=True)))


class _Node(NamedTuple):
    """A reached state, with the path to it."""

    stored: bytes
    #: The outcomes of tasks, regardless of their order.
    outcomes: frozenset[Outcome]
    flow: Flow
    way: tuple[Any, ...]


class Explorer:
    """Explores everything that may happen to one graph.

    From each state there is a transition for every possible input: each outstanding command
    may succeed, fail or be lost, and the execution may be cancelled. Two states are the same
    if they encode to the same bytes and their tasks had the same outcomes.
    """

    def __init__(self, shape: Shape, size: Size) -> None:
        self._shape = shape
        self._size = size
        self._plan = Plan(playbook_of(shape), _KINDS)
        self._way: tuple[Any, ...] = ()
        self._ends: dict[frozenset[Outcome], Any] = {}
        self._determined = is_determined(shape)

    def explore(self) -> Counts:
        """Go through all of it.

        Raises:
            BrokenError: a rule is broken; the message names the inputs before.
        """
        first = _Node(
            encode_state(State(execution_id=EXECUTION_ID)),
            frozenset(),
            Flow(EXECUTION_ID, self._fail),
            (),
        )
        start = self._taken(first, Start(path="small"), frozenset())
        visited = {(start.stored, start.outcomes)}
        todo = [start]
        inputs, ends = 1, 0
        while todo:
            node = todo.pop()
            state = decode_state(node.stored)
            if state.status.is_terminal:
                ends += 1
                self._way = node.way
                self._ended(state, node.outcomes)
                continue
            for received, outcomes in self._inputs(state, node.outcomes):
                inputs += 1
                reached = self._taken(node, received, outcomes)
                key = (reached.stored, reached.outcomes)
                if key not in visited:
                    visited.add(key)
                    todo.append(reached)
            if len(visited) > STATES_MAX:
                self._fail("endless", f"there are more than {STATES_MAX} states")
        return Counts(1, len(visited), inputs, ends, self._determined)

    def _fail(self, rule: str, message: str) -> None:
        way = "\n  ".join(str(received) for received in _unwound(self._way))
        raise BrokenError(rule, f"{message}\nin the graph {self._shape}\nafter\n  {way}")

    # -- what may happen --------------------------------------------------------------

    def _inputs(
        self, state: State, outcomes: frozenset[Outcome]
    ) -> Iterator[tuple[AnyInput, frozenset[Outcome]]]:
        errors = sum(not passed for _, passed in outcomes)
        for run in state.runs.values():
            for command in run.commands.values():
                if command.status is CommandStatus.ISSUED:
                    yield from self._of(state, command, outcomes, self._size.errors_max - errors)
        if self._size.cancel and not state.is_cancelling:
            yield Cancel(reason="somebody wants it"), outcomes

    def _of(
        self, state: State, command: Command, outcomes: frozenset[Outcome], errors: int
    ) -> Iterator[tuple[AnyInput, frozenset[Outcome]]]:
        facts: dict[str, Any] = {"command_id": command.command_id, "attempt": command.lost + 1}
        if state.is_cancelling:
            yield Report(done=[_PASSED] * command.count, first=command.first, **facts), outcomes
            for confirmed in (True, False):
                stopped = Stopped(command_id=command.command_id, confirmed=confirmed)
                yield stopped, outcomes
        else:
            step = int(command.step[1:])
            for passed in _courses(command.count, errors):
                done = [_PASSED if p else _FAILED for p in passed]
                keys = [
                    (step, command.visit, command.first + n if command.first >= 0 else -1)
                    for n in range(len(passed))
                ]
                more = outcomes.union(zip(keys, passed, strict=True))
                yield Report(done=done, first=command.first, duration_us=10, **facts), more
        if command.lost < self._size.losses:
            yield Lost(reason="it is gone", **facts), outcomes

    # -- one input --------------------------------------------------------------------

    def _taken(self, node: _Node, received: AnyInput, outcomes: frozenset[Outcome]) -> _Node:
        """Give an input to the engine, and look at all that follows from it."""
        self._way = way = (node.way, received)
        before, state = decode_state(node.stored), decode_state(node.stored)
        out = _out(before)
        decision = self._decide(state, received)
        if not decision.accepted:
            self._fail("refused", "an input that is due is not accepted")
        flow = node.flow.copy()
        self._follow(before, flow, decision)
        stored = encode_state(state)
        if stored != encode_state(before):
            self._fail("replay", "the fold of the events is another state")
        self._given_out(state, out, received, decision)
        self._goes_on(state)
        self._again(stored, received)
        return _Node(stored, outcomes, flow, way)

    def _decide(self, state: State, received: AnyInput) -> Decision:
        return decide(state, self._plan, received, at=START_US, new_id=lambda: EXECUTION_ID + 1)

    def _follow(self, state: State, flow: Flow, decision: Decision) -> None:
        """Fold events as they are stored, and look at each."""
        for recorded in decision.events:
            event = decode(encode(recorded.event))
            if recorded.seq != state.seq + 1:
                self._fail("sequence", f"{recorded.seq} follows {state.seq}")
            if state.status.is_terminal:
                self._fail("terminal", f"{event.type} after the end")
            if state.is_cancelling and event.type not in AFTER_CANCEL:
                self._fail("cancel", f"{event.type} after a cancellation")
            if isinstance(event, StepSkipped):
                self._skipped(state, event)
            flow.before(state, event)
            apply(state, Recorded(recorded.seq, recorded.at, event))
        flow.after(state)

    def _skipped(self, state: State, event: StepSkipped) -> None:
        if event.step in state.skipped or event.step in state.visits:
            self._fail("skip", f"{event.step} is skipped, and was so before or has run")

    def _given_out(
        self, state: State, before: set[_Issued], received: AnyInput, decision: Decision
    ) -> None:
        """Exactly what came to be out is given to workers, and what a cancellation left stopped."""
        announced = {one for one in _out(state) if one[0] in set(decision.commands)}
        if announced != _out(state) - before:
            self._fail("told", f"{_out(state) - before} came to be out, and {announced} is told")
        if isinstance(received, Cancel) and set(decision.stop) != {one[0] for one in before}:
            self._fail("cancel", f"{before} was out, and {decision.stop} is stopped")
        over = set(state.skipped) & set(state.visits)
        if over:
            self._fail("skip", f"{over} ran after having been skipped")

    def _goes_on(self, state: State) -> None:
        if not state.status.is_terminal and not _out(state) and not state.timers():
            self._fail("stuck", f"nothing is out, and tokens wait at {sorted(state.waiting)}")
        if self._shape.is_acyclic and any(visit > 1 for visit in state.visits.values()):
            self._fail("fan-in", f"there is no cycle, and steps were entered: {state.visits}")

    def _again(self, stored: bytes, received: AnyInput) -> None:
        """An input that comes twice changes nothing."""
        state = decode_state(stored)
        decision = self._decide(state, received)
        if decision.accepted or decision.events or decision.commands:
            self._fail("once", "the same input is accepted again")

    # -- the end ----------------------------------------------------------------------

    def _ended(self, state: State, outcomes: frozenset[Outcome]) -> None:
        if state.runs or state.waiting:
            self._fail("terminal", f"it ended, and {sorted(state.runs)} goes on")
        if (state.status is Status.CANCELLED) != (state.cancel_reason is not None):
            self._fail("cancel", f"it was cancelled and ended as {state.status}")
        every = {step.name for step in self._plan.steps}
        if state.status is Status.COMPLETED and every != {*state.visits, *state.skipped}:
            self._fail("skip", f"{every} completed with {state.visits}, skipped {state.skipped}")
        if not self._determined or state.status is Status.CANCELLED:
            return
        predicted = expected(self._shape, dict(outcomes))
        failed = frozenset(f.step for f in state.failures if not f.recovered)
        if predicted != (str(state.status), frozenset(state.visits), failed):
            self._fail("expected", f"{state.status} {state.visits} {failed}, expected {predicted}")
        mine = essence(state)
        del mine["result"]  # without ``output`` it is that of the step that ended last
        if self._ends.setdefault(outcomes, mine) != mine:
            self._fail("order", f"{mine} in this order, {self._ends[outcomes]} in another")


_Issued = tuple[str, int, int]


def _out(state: State) -> set[_Issued]:
    """Return the outstanding commands, with generation and loss count."""
    return {
        (c.command_id, c.generation, c.lost)
        for run in state.runs.values()
        for c in run.commands.values()
        if c.status is CommandStatus.ISSUED
    }


def _courses(count: int, errors: int) -> Iterator[tuple[bool, ...]]:
    """Yield the possible outcomes of iterations, reported together or in parts."""
    for size in range(1, count + 1):
        for passed in product((True, False), repeat=size):
            if passed.count(False) <= errors:
                yield passed


def _unwound(way: tuple[Any, ...]) -> list[AnyInput]:
    inputs: list[AnyInput] = []
    while way:
        way, last = way
        inputs.append(last)
    return inputs[::-1]


def explore(size: Size) -> Counts:
    """Explore every graph of a size.

    Raises:
        BrokenError: a rule is broken.
    """
    total = Counts()
    for shape in shapes(size):
        total = total.plus(Explorer(shape, size).explore())
    return total


__all__ = ["Counts", "Explorer", "explore"]
