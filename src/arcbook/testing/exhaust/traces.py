"""Whether what the runtime does is what the model allows.

Each command of a simulated run is followed through the model, by what is committed and what
is answered. What nobody sees - messages on their way, what workers hold, what servers
believe - is left open: all states are kept in which the model may be. None left means that
the runtime did what the model forbids.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

from arcbook.engine.inputs import Checkpointed, Report, Stopped
from arcbook.engine.state import Command, State
from arcbook.events.types import (
    TERMINAL,
    AnyEvent,
    CancelRequested,
    CommandCancelled,
    CommandCheckpointed,
    CommandCompleted,
    CommandLost,
    CommandResumed,
    CommandSuspended,
    StepExit,
)
from arcbook.store.api import Change, CommandRow
from arcbook.store.memory import MemoryStore
from arcbook.testing.exhaust.known import NOBODY, Bounds, Known, Label, Message
from arcbook.testing.exhaust.model import Model
from arcbook.testing.simulate.checks import Checks
from arcbook.testing.simulate.echoes import Echoes
from arcbook.testing.simulate.flow import Flow
from arcbook.testing.simulate.run import tell
from arcbook.testing.simulate.scenario import scenario_of
from arcbook.testing.simulate.story import Story
from arcbook.testing.simulate.world import World
from arcbook.wire.payload import CommandPayload

States = frozenset[Known]
"""States of the model."""

GROWING: Final = frozenset({"publish", "_begin", "_perform", "_ask-to-record", "_may", "_stop"})
"""What nobody sees and what only adds to what may follow: it is done at once."""

OPEN: Final = frozenset({"_take-over", "_fenced"})
"""What nobody sees and what may have been done or not."""

ANY: Final = -2
"""Stands for what was not seen."""

WORKERS_MAX: Final = 4
"""Workers that are told apart for one command; further ones take the numbers again."""

_MODEL: Final = Model(Bounds(workers=WORKERS_MAX, attempts_max=99, never=True, endless=True))


class TracePlace:
    """Where the model may be, and where it may be after what is seen; worked out once."""

    __slots__ = ("_after", "_heard", "states")

    def __init__(self, states: States) -> None:
        self.states = states
        self._after: dict[Label, TracePlace] = {}
        self._heard: dict[Message, TracePlace] = {}

    def after(self, observed: Label) -> TracePlace:
        """Return where the model may be after something was seen to be done."""
        place = self._after.get(observed)
        if place is None:
            reached = {
                after
                for known in self.states
                for done, after in _MODEL.steps(known)
                if _is_seen_as(done, observed)
            }
            place = self._after[observed] = _place(_closed(reached))
        return place

    def heard(self, expected: Message) -> TracePlace:
        """Return where the model may be if something is on its way."""
        place = self._heard.get(expected)
        if place is None:
            matching = {k for k in self.states if any(_is_heard_as(m, expected) for m in k.way)}
            place = self._heard[expected] = _place(frozenset(matching))
        return place


_places: dict[States, TracePlace] = {}


def _place(states: States) -> TracePlace:
    return _places.setdefault(states, TracePlace(states))


_FIRST: Final[dict[int, TracePlace]] = {}


def first_place(worker: int = NOBODY) -> TracePlace:
    """Return where the model may be when a command was given out, or handed over."""
    if worker not in _FIRST:
        _FIRST[worker] = _place(_closed({_MODEL.first(worker)}))
    return _FIRST[worker]


def _is_heard_as(message: Message, expected: Message) -> bool:
    """Whether a message is what was heard; what was not heard of it may be anything."""
    return (
        (message.kind, message.key) == (expected.kind, expected.key)
        and expected.detail in ("", message.detail)
        and expected.worker in (ANY, message.worker)
    )


def _is_seen_as(done: Label, observed: Label) -> bool:
    """Whether a step of the model is what was seen; what was not seen of it may be anything."""
    if done.verb != observed.verb:
        return False
    pairs = zip(done[2:], observed[2:], strict=True)
    return all(observed_part in (ANY, actual) for actual, observed_part in pairs)


def _closed(states: set[Known]) -> States:
    """Add where the model may have gone unseen."""
    remaining = [_grown(known) for known in states]
    closed = set(remaining)
    while remaining:
        for label, after in _MODEL.steps(remaining.pop()):
            if label.verb in OPEN and (grown := _grown(after)) not in closed:
                closed.add(grown)
                remaining.append(grown)
    return frozenset(closed)


def _grown(known: Known) -> Known:
    """Do at once what nobody sees and what only adds: it takes nothing from what may follow."""
    while True:
        way, workers = known.way, known.workers
        for label, after in _MODEL.steps(known):
            if label.verb in GROWING:
                way |= after.way
                pairs = zip(workers, after.workers, strict=True)
                workers = tuple((a or frozenset()) | (b or frozenset()) for a, b in pairs)
        if (way, workers) == (known.way, known.workers):
            return known
        known = known._replace(way=way, workers=workers)


class Follower:
    """Follows one command through the model."""

    def __init__(self, worker: str = "") -> None:
        self._numbers: dict[str, int] = {}
        number = self._number(worker)
        self._place = first_place(number)
        self.seen = [Label("given out", worker=number)]

    def _number(self, worker: str) -> int:
        """Return a worker's number, in the order in which workers are met."""
        if not worker:
            return NOBODY
        return self._numbers.setdefault(worker, len(self._numbers) % WORKERS_MAX)

    def see(
        self, verb: str, *, generation: int = ANY, attempt: int = ANY, worker: str | None = None
    ) -> bool:
        """See something done; return whether the model allows it."""
        number = ANY if worker is None else self._number(worker)
        label = Label(verb, 0, generation, attempt, number)
        self.seen.append(label)
        self._place = self._place.after(label)
        return bool(self._place.states)

    def hear(self, expected: Message, worker: str | None = None) -> bool:
        """Hear something said; return whether it can have been."""
        number = ANY if worker is None else self._number(worker)
        self.seen.append(Label(f"hears {expected.detail or expected.kind}", *expected.key, number))
        self._place = self._place.heard(expected._replace(worker=number))
        return bool(self._place.states)


class TracedChecks(Checks):
    """Checks a run, and follows each of its commands through the model."""

    def __init__(
        self,
        store: MemoryStore,
        asked: Callable[[int, str, int], None],
        echoes: Echoes,
        *,
        mild: bool = False,
    ) -> None:
        super().__init__(store, asked, echoes, mild=mild)
        self.followed: dict[str, Follower] = {}
        self._rows_now: dict[str, CommandRow] = {}

    def committed(self, changes: Sequence[Change]) -> None:
        """Look at what was stored."""
        self._rows_now = {row.command_id: row for change in changes for row in change.issued}
        super().committed(changes)

    def _see(self, command_id: str, verb: str, **facts: object) -> None:
        follower = self.followed.get(command_id)
        if follower is not None and not follower.see(verb, **facts):  # type: ignore[arg-type]
            self._lost_track(command_id)

    def _lost_track(self, command_id: str) -> None:
        """The runtime did what the model forbids."""
        observed = self.followed.pop(command_id).seen
        text = "\n  ".join(
            f"{one.verb} {one.generation}.{one.attempt} worker {one.worker}" for one in observed
        )
        self.fail("model", f"{command_id} goes no way of the model:\n  {text}")

    # -- commits ----------------------------------------------------------------------

    def _events(self, state: State, flow: Flow, change: Change) -> None:
        # A claim is of what was there before; had an event come first, it would be refused.
        for claim in change.claims:
            facts = {"generation": claim.generation, "attempt": claim.attempt}
            self._see(claim.command_id, "claim", worker=claim.worker, **facts)
        super()._events(state, flow, change)

    def _once(self, state: State, event: AnyEvent) -> None:
        super()._once(state, event)
        see = _SEES.get(type(event))
        if see is not None:
            see(self, state, event)
        if event.type in TERMINAL:
            self._withdraw(_commands(state))

    def _withdraw(self, commands: Sequence[Command]) -> None:
        for command in commands:
            self._see(command.command_id, "withdraw")
            self.followed.pop(command.command_id, None)

    def _lose(self, state: State, event: CommandLost) -> None:
        self._see(event.command_id, "lose", attempt=event.attempt)

    def _wait(self, state: State, event: CommandSuspended) -> None:
        self._see(event.command_id, "wait")

    def _resume(self, state: State, event: CommandResumed) -> None:
        command, row = state.command(event.command_id), self._rows_now.get(event.command_id)
        is_last = command and row and row.generation == command.generation + 1
        worker = row.worker if row is not None and is_last else ""
        self._see(event.command_id, "resume", worker=worker)

    def _record(self, state: State, event: CommandCheckpointed) -> None:
        self._see(event.command_id, "record")

    def _complete(self, state: State, event: CommandCompleted) -> None:
        if not event.partial:
            facts = {"attempt": event.attempt, "worker": event.worker or None}
            self._see(event.command_id, "done", **facts)

    def _exit(self, state: State, event: StepExit) -> None:
        run = state.runs.get(f"{event.step}:{event.visit}")
        commands = list(run.commands.values()) if run is not None else []
        if event.worker and len(commands) == 1:
            command_id = commands[0].command_id
            self._see(command_id, "done", attempt=event.attempt, worker=event.worker)
        else:
            self._withdraw(commands)

    def _cancel(self, state: State, event: CancelRequested) -> None:
        for command in _commands(state):
            self._see(command.command_id, "cancel")

    def _stop(self, state: State, event: CommandCancelled) -> None:
        self._see(event.command_id, "stopped")

    def _projection(self, state: State, change: Change) -> None:
        super()._projection(state, change)
        for row in change.issued:
            if (row.generation, row.attempt) == (0, 1):
                self.followed[row.command_id] = Follower(row.worker)
                if state.is_cancelling:
                    self._see(row.command_id, "cancel")  # in the commit that gives it out

    # -- answers ----------------------------------------------------------------------

    def _claimed(self, work: CommandPayload | None, worker: str, *, forwarded: bool) -> None:
        super()._claimed(work, worker, forwarded=forwarded)
        if work is not None:
            self._hear(work.command_id, "claimed", (work.generation, work.attempt), "", worker)

    def _accepted(self, report: Report | Checkpointed | Stopped) -> None:
        super()._accepted(report)
        if not isinstance(report, Stopped):
            detail = "recorded" if isinstance(report, Checkpointed) else "accepted"
            at = (report.generation, report.attempt)
            self._hear(report.command_id, "answer", at, detail, None)

    def _refused(self, report: Report | Checkpointed | Stopped) -> None:
        super()._refused(report)
        if isinstance(report, Report):
            facts = {"generation": report.generation, "attempt": report.attempt}
            self._see(report.command_id, "refuse", **facts)

    def _hear(
        self, command_id: str, kind: str, at: tuple[int, int], detail: str, worker: str | None
    ) -> None:
        follower = self.followed.get(command_id)
        if follower is not None and not follower.hear(
            Message(kind, (0, *at), detail=detail), worker
        ):
            self._lost_track(command_id)


_SEES: Final[dict[type, Callable[[TracedChecks, State, Any], None]]] = {
    CancelRequested: TracedChecks._cancel,
    CommandCancelled: TracedChecks._stop,
    CommandCheckpointed: TracedChecks._record,
    CommandCompleted: TracedChecks._complete,
    CommandLost: TracedChecks._lose,
    CommandResumed: TracedChecks._resume,
    CommandSuspended: TracedChecks._wait,
    StepExit: TracedChecks._exit,
}


def _commands(state: State) -> list[Command]:
    return [command for run in state.runs.values() for command in run.commands.values()]


def traced(seed: int) -> tuple[int, str]:
    """Simulate a seed and follow it; return how many executions, and what is broken."""
    world = World(scenario_of(seed), checks=TracedChecks)
    tell(Story(world))
    return len(world.store.log), str(world.checks.broken or "")
