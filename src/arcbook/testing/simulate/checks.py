"""The rules that are checked at every commit and every answer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import msgspec
import orjson

from arcbook.engine.fold import apply
from arcbook.engine.inputs import Checkpointed, Report, Stopped
from arcbook.engine.state import Command, CommandStatus, State
from arcbook.events.codec import decode
from arcbook.events.types import (
    TERMINAL,
    AnyEvent,
    CancelRequested,
    CommandCancelled,
    CommandCheckpointed,
    CommandCompleted,
    CommandSuspended,
    PlaybookStarted,
    Recorded,
    StepEnter,
    StepExit,
    WaitKind,
)
from arcbook.owner.slots import encode_state
from arcbook.store.api import Change
from arcbook.store.memory import MemoryStore
from arcbook.testing.simulate.echoes import Echoes
from arcbook.testing.simulate.flow import Flow, Routes
from arcbook.wire.payload import CommandPayload
from arcbook.wire.protocol import (
    PLAIN,
    REQUESTS,
    Claimed,
    ClaimRequest,
    CommandNotice,
    InputRequest,
    InputTaken,
    Reported,
    ReportRequest,
    unpack,
)

AFTER_CANCEL: Final = frozenset({"command.cancelled", "playbook.cancelled", "playbook.failed"})
"""Events that may follow a requested cancellation."""

_NOTICES: Final = msgspec.json.Decoder(CommandNotice)
_CLAIMED: Final = msgspec.json.Decoder(list[Claimed])
_REPORTED: Final = msgspec.json.Decoder(Reported)
_TAKEN: Final = msgspec.json.Decoder(InputTaken)
_ASKS: Final = (b'={"ask":"claim"', b'={"ask":"report"', b'={"ask":"input"')

Known = tuple[str, int, int]
"""A command, its generation and attempt."""


class BrokenError(Exception):
    """A rule is broken.

    Attributes:
        rule: the name of the rule.
    """

    def __init__(self, rule: str, message: str) -> None:
        self.rule = rule
        super().__init__(f"{rule}: {message}")


class Checks:
    """Folds the events of every execution and checks the rules.

    Args:
        store: the store.
        asked: called with the execution, command and generation of a command that waits for a
            callback.
        echoes: records reports, and the commands that continue after one.
        mild: whether no fault can make a worker lose a command.
    """

    def __init__(
        self,
        store: MemoryStore,
        asked: Callable[[int, str, int], None],
        echoes: Echoes,
        *,
        mild: bool = False,
    ) -> None:
        self._store = store
        self._asked = asked
        self._echoes = echoes
        self._mild = mild
        self.states: dict[int, State] = {}
        self.flows: dict[int, Flow] = {}
        #: The unguarded arcs of steps, by path and step.
        self.routes: dict[str, Routes] = {}
        #: Commands and generations with an outcome in the log.
        self.applied: set[tuple[str, int]] = set()
        self.stopped: set[str] = set()
        self.checkpointed: set[tuple[str, int]] = set()
        self.cancelled: set[int] = set()
        #: Commands that were ever issued, and those that workers ever claimed.
        self.issued: set[Known] = set()
        self.given: set[tuple[Known, str]] = set()
        self.holders: dict[Known, str] = {}
        #: Commands with an accepted report.
        self.taken: set[Known] = set()
        self.broken: BrokenError | None = None
        #: Whether the run is still active; rules broken during its clean-up do not count.
        self.counts: Callable[[], bool] = lambda: True

    def fail(self, rule: str, message: str) -> None:
        """Note what is broken, unless something was before."""
        if self.broken is None and self.counts():
            self.broken = BrokenError(rule, message)

    def is_over(self, execution_id: int) -> bool:
        """Return whether an execution has ended."""
        state = self.states.get(execution_id)
        return state is not None and state.status.is_terminal

    # -- commits ----------------------------------------------------------------------

    def committed(self, changes: Sequence[Change]) -> None:
        """Look at what was stored."""
        for change in changes:
            state = self.states.get(change.execution_id)
            if state is None:
                state = self.states[change.execution_id] = State(execution_id=change.execution_id)
                self.flows[change.execution_id] = Flow(change.execution_id, self.fail, self.routes)
            self._events(state, self.flows[change.execution_id], change)
            self._projection(state, change)
        rows = self._rows()
        for change in changes:
            self._cascade(self.states[change.execution_id])
            self._commands(self.states[change.execution_id], rows.get(change.execution_id, set()))

    def _events(self, state: State, flow: Flow, change: Change) -> None:
        for row in change.events:
            event = decode(row.body)
            self._sequence(state, row.seq, event)
            self._once(state, event)
            flow.before(state, event)
            apply(state, Recorded(row.seq, row.at, event))
            if isinstance(event, CommandSuspended) and event.wait.kind is WaitKind.CALLBACK:
                command = state.command(event.command_id)
                self._asked(
                    state.execution_id, event.command_id, command.generation if command else 0
                )
        if change.events:
            flow.after(state)

    def _sequence(self, state: State, seq: int, event: AnyEvent) -> None:
        if seq != state.seq + 1:
            self.fail("sequence", f"{state.execution_id}: {seq} follows {state.seq}")
        if isinstance(event, PlaybookStarted) != (seq == 1):
            self.fail("sequence", f"{state.execution_id}: {event.type} at {seq}")
        if state.status.is_terminal:
            self.fail("terminal", f"{state.execution_id}: {event.type} after its end")
        if self._mild and event.type == "command.lost":
            self.fail("lease", f"{state.execution_id}: a command was lost, and every worker lives")
        if state.is_cancelling and event.type not in AFTER_CANCEL:
            self.fail("cancel", f"{state.execution_id}: {event.type} after a cancellation")

    def _once(self, state: State, event: AnyEvent) -> None:
        """No outcome of a command counts twice."""
        if isinstance(event, CancelRequested):
            self.cancelled.add(state.execution_id)
        elif isinstance(event, CommandCancelled):
            self.stopped.add(event.command_id)
        elif isinstance(event, CommandCheckpointed):
            command = state.command(event.command_id)
            self.checkpointed.add((event.command_id, command.generation if command else -1))
            if command is not None and 0 < event.number <= command.recorded:
                self.fail("once", f"{event.command_id} goes back to place {event.number}")
        elif isinstance(event, StepExit):
            self._step_left(state, event)
        elif isinstance(event, CommandSuspended) or (
            isinstance(event, CommandCompleted) and not event.partial
        ):
            command = state.command(event.command_id)
            if command is None or command.status is not CommandStatus.ISSUED:
                self.fail("once", f"{event.type} of {event.command_id}, which is not out")
            else:
                if isinstance(event, CommandCompleted) and event.worker:
                    self._delivered(command, event.attempt)
                self._apply(command)

    def _step_left(self, state: State, event: StepExit) -> None:
        run = state.runs.get(f"{event.step}:{event.visit}")
        if run is None:
            self.fail("once", f"{event.step}:{event.visit} left and was not there")
            return
        for command in run.commands.values():
            if event.worker and run.loop is None:
                self._delivered(command, event.attempt)
            self._apply(command)

    def _delivered(self, command: Command, attempt: int) -> None:
        """What counts is of the delivery that is out, and not of one that was taken for lost."""
        if command.status is CommandStatus.ISSUED and attempt != command.lost + 1:
            description = f"{command.command_id} ends by delivery {attempt}"
            self.fail("once", f"{description}, and {command.lost + 1} is out")

    def _apply(self, command: Command) -> None:
        if command.status is not CommandStatus.ISSUED:
            return
        key = (command.command_id, command.generation)
        if key in self.applied:
            self.fail("once", f"{key} is applied again")
        self.applied.add(key)

    def _projection(self, state: State, change: Change) -> None:
        """What is derived from events is what they say."""
        execution_id = state.execution_id
        if change.row is not None:
            projected = (change.row.status, change.row.seq, change.row.ended_at)
            if projected != (str(state.status), state.seq, state.ended_at):
                self.fail("projection", f"{execution_id}: the row says {projected}")
        elif state.status.is_terminal and change.events:
            self.fail("projection", f"{execution_id} ended, and its row does not know")
        if change.snapshot is not None:
            folded = orjson.loads(encode_state(state))
            if folded != orjson.loads(change.snapshot):
                self.fail("replay", f"{execution_id}: the snapshot is not the fold of its events")
        stored = self._store.timers.get(execution_id, {})
        if stored != state.timers():
            self.fail("timers", f"{execution_id}: stored {stored}, due {state.timers()}")
        for row in change.issued:
            known = (row.command_id, row.generation, row.attempt)
            self.issued.add(known)
            if row.worker:
                self.given.add((known, row.worker))
        for claim in change.claims:
            self.given.add(((claim.command_id, claim.generation, claim.attempt), claim.worker))

    def _cascade(self, state: State) -> None:
        """Who is cancelled has its children cancelled, in the same commit."""
        if not state.is_cancelling:
            return
        for run in state.runs.values():
            for command in run.commands.values():
                if command.wait is None or command.wait.kind is not WaitKind.CHILD:
                    continue
                child = self.states.get(command.wait.child_id)
                if child is not None and not (child.is_cancelling or child.status.is_terminal):
                    self.fail("cancel", f"{child.execution_id} goes on, and its parent does not")

    def _rows(self) -> dict[int, set[Known]]:
        rows: dict[int, set[Known]] = {}
        for row in self._store.out.values():
            known = (row.command_id, row.generation, row.attempt)
            rows.setdefault(row.execution_id, set()).add(known)
        return rows

    def _commands(self, state: State, rows: set[Known]) -> None:
        out = {
            (c.command_id, c.generation, c.lost + 1)
            for run in state.runs.values()
            for c in run.commands.values()
            if c.status is CommandStatus.ISSUED
        }
        if out != rows:
            lacking, over = sorted(out - rows), sorted(rows - out)
            self.fail(
                "rows", f"{state.execution_id}: rows lack {lacking}, and have {over} too many"
            )

    def owner_state(self, execution_id: int, events: list[Recorded], state: State) -> None:
        """Compare what an owner holds after a commit with what the events say."""
        folded = self.states.get(execution_id)
        if folded is None or (events and folded.seq < state.seq):
            self.fail("told", f"{execution_id}: {state.seq} is told and not stored")
        elif folded.seq == state.seq and events:
            mine, theirs = encode_state(folded), encode_state(state)
            if mine != theirs and orjson.loads(mine) != orjson.loads(theirs):
                self.fail("replay", f"{execution_id}: its owner holds another state at {state.seq}")

    # -- answers ----------------------------------------------------------------------

    def published(self, body: bytes) -> None:
        """Nobody is told of a command that is not stored."""
        notice = _NOTICES.decode(body)
        if (notice.command_id, notice.generation, notice.attempt) not in self.issued:
            self.fail("told", f"{notice.command_id} is published and not stored")

    def answered(self, body: bytes, answer: bytes) -> None:
        """Nobody is answered what is not stored."""
        if not body.startswith(_ASKS) or answer[:1] != PLAIN:
            return
        request, content = REQUESTS.decode(unpack(body)[0]), unpack(answer)[0]
        if isinstance(request, ClaimRequest):
            for claimed in _CLAIMED.decode(content):
                self._claimed(claimed.work, request.worker, forwarded=request.forwarded)
        elif isinstance(request, ReportRequest):
            self._reported(request, _REPORTED.decode(content), body)
        elif isinstance(request, InputRequest) and _TAKEN.decode(content).accepted:
            self._input(request)

    def _reported(self, request: ReportRequest, reported: Reported, body: bytes) -> None:
        for (execution_id, report), accepted in zip(
            request.reports, reported.accepted, strict=True
        ):
            if isinstance(report, Report) and report.suspended is not None:
                self._echoes.heard(report.command_id, body)
            elif isinstance(report, Checkpointed) and not request.forwarded:
                self._echoes.recorded(execution_id, report.command_id, body)
            if accepted is not None:
                self._answer(report, is_accepted=accepted, forwarded=request.forwarded)
        for work in reported.works:
            self._claimed(work, request.worker, forwarded=request.forwarded)

    def _answer(
        self, report: Report | Checkpointed | Stopped, *, is_accepted: bool, forwarded: bool
    ) -> None:
        if not is_accepted:
            self._refused(report)
            return
        self._accepted(report)
        if not forwarded and isinstance(report, Report):
            self._accepted_once(report)

    def _claimed(self, work: CommandPayload | None, worker: str, *, forwarded: bool) -> None:
        if work is None:
            return
        known = (work.command_id, work.generation, work.attempt)
        if (known, worker) not in self.given:
            self.fail("told", f"{known} is given to {worker}, which is not stored")
        if known in self.holders and not forwarded and self.holders[known] != worker:
            self.fail("claim", f"{known} is given to {worker} and to {self.holders[known]}")
        self.holders[known] = worker
        if work.generation and not forwarded:
            self._echoes.goes_on(work.context.execution_id, work.command_id)

    def _accepted_once(self, report: Report) -> None:
        known = (report.command_id, report.generation, report.attempt)
        if known in self.taken:
            self.fail("once", f"the report of {known} is accepted again")
        self.taken.add(known)

    def _refused(self, report: Report | Checkpointed | Stopped) -> None:
        """Take note of a report that is stale."""

    def _accepted(self, report: Report | Checkpointed | Stopped) -> None:
        if report.command_id in self.stopped:
            return
        if isinstance(report, Checkpointed):
            stored = (report.command_id, report.generation) in self.checkpointed
        elif isinstance(report, Report):
            stored = (report.command_id, report.generation) in self.applied
        else:
            stored = False
        if not stored:
            self.fail("acknowledged", f"{report.command_id} is acknowledged and not in the log")

    def _input(self, request: InputRequest) -> None:
        if request.given.__struct_config__.tag == "cancel" and (
            request.execution_id not in self.cancelled
        ):
            self.fail("acknowledged", f"the cancellation of {request.execution_id} is not stored")


def terminals(types: Sequence[str]) -> int:
    """Return the number of terminal events."""
    return sum(kind in TERMINAL for kind in types)


__all__ = ["BrokenError", "Checks", "StepEnter", "terminals"]
