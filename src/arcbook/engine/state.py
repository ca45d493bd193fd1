"""What is known of one execution at one moment.

A state is the fold of the execution's events and nothing else; it can be thrown away
and built again. It is mutable so that a step costs what it changes, but only
:mod:`arcbook.engine.fold` writes to it.
"""

from __future__ import annotations

import enum
from functools import cached_property
from typing import Any

import msgspec

from arcbook.engine.live import Live
from arcbook.events.types import (
    LoopResult,
    LoopStart,
    Parent,
    ResultRef,
    StepResult,
    Wait,
    WaitKind,
)
from arcbook.outcome import ErrorInfo, Outcome


class Status(enum.StrEnum):
    """How an execution stands."""

    PENDING = "PENDING"
    RUNNING = "RUNNING"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"

    @property
    def is_terminal(self) -> bool:
        """Whether nothing more can happen."""
        return self in _TERMINAL


_TERMINAL = frozenset({Status.COMPLETED, Status.FAILED, Status.CANCELLED})


class CommandStatus(enum.StrEnum):
    """How a command stands."""

    #: It is given out, or waits to be.
    ISSUED = "issued"
    #: Its pipeline waits for something and holds no worker.
    SUSPENDED = "suspended"


class Command(msgspec.Struct, kw_only=True, omit_defaults=True):
    """An instruction to perform a visit of a step, or some iterations of its loop."""

    command_id: str
    step: str
    visit: int
    status: CommandStatus = CommandStatus.ISSUED
    #: First iteration and how many; -1 and 1 outside loops; a cursor's frame has count 0.
    first: int = -1
    count: int = 1
    #: Grows each time the command is issued again after a wait: stale reports do not count.
    generation: int = 0
    wait: Wait | None = None
    #: Where a suspended or checkpointed pipeline goes on.
    saved: Any = None
    #: Number of the last checkpoint of the present delivery.
    recorded: int = 0
    #: Outcome of what was waited for.
    resumed_with: Outcome | None = None
    #: Deliveries that were lost, and of them those that their workers gave back.
    lost: int = 0
    returned: int = 0


class LoopRun(msgspec.Struct, kw_only=True, omit_defaults=True):
    """How far a loop is. Its size does not grow with the number of iterations."""

    start: LoopStart
    #: First index not yet given out.
    next: int = 0
    done: int = 0
    success: int = 0
    failed: int = 0
    #: Index ranges that were given out and came back undone: ``[first, count]``.
    returned: list[list[int]] = []
    #: Iterations of one frame, from measured durations.
    frame_size: int = 1
    #: Results by index, while they are small.
    kept: dict[int, StepResult] | None = {}
    kept_bytes: int = 0
    errors: list[tuple[int, ErrorInfo]] = []
    #: Frames given out so far, and whether a claim found no more rows, for a cursor.
    frames: int = 0
    drained: bool = False
    #: A failed iteration stops the loop.
    stopping: bool = False


class Run(msgspec.Struct, kw_only=True, omit_defaults=True):
    """A visit of a step that has not ended."""

    step: str
    visit: int
    entered_at: int
    commands: dict[str, Command] = {}
    loop: LoopRun | None = None
    #: Values of the step's lifetime.
    locals: dict[str, Any] = {}
    came_from: list[str] = []
    due_at: int | None = None
    pool: str | None = None

    @property
    def is_busy(self) -> bool:
        """Whether a worker or a child execution is still at work for it."""
        return any(
            command.status is CommandStatus.ISSUED
            or (command.wait is not None and command.wait.kind is WaitKind.CHILD)
            for command in self.commands.values()
        )


class Token(msgspec.Struct, frozen=True, omit_defaults=True):
    """Permission for one arrival at a step."""

    came_from: str
    #: Values of the step's lifetime that the arc wrote.
    locals: dict[str, Any] = {}


class Timer(msgspec.Struct, frozen=True):
    """Something that happens at a time unless it is no longer needed."""

    timer_id: str
    #: Microseconds since the epoch.
    due_at: int


class Failure(msgspec.Struct, frozen=True):
    """A step that failed, and whether an arc caught it."""

    step: str
    error: ErrorInfo
    recovered: bool = False


class State(msgspec.Struct, kw_only=True, omit_defaults=True, dict=True):
    """One execution."""

    execution_id: int
    status: Status = Status.PENDING
    #: Number of the last event.
    seq: int = 0
    path: str = ""
    version: int = 0
    catalog_id: int = 0
    started_at: int = 0
    ended_at: int = 0
    due_at: int | None = None
    parent: Parent | None = None
    pool: str | None = None
    labels: dict[str, str] = {}
    #: A name without a value is an error and no warning.
    strict: bool = False
    workload: dict[str, Any] = {}
    payload: dict[str, Any] = {}
    ctx: dict[str, Any] = {}
    #: The latest result of each step that has one.
    results: dict[str, StepResult | LoopResult] = {}
    #: How often each step was entered.
    visits: dict[str, int] = {}
    #: Tokens that wait at each step, in the order of arrival.
    waiting: dict[str, list[Token]] = {}
    #: Steps whose join fired early and still absorbs the tokens of that visit.
    absorbing: list[str] = []
    #: Visits that have not ended, by ``step:visit``.
    runs: dict[str, Run] = {}
    skipped: list[str] = []
    failures: list[Failure] = []
    #: The step that ended last without going on.
    last_leaf: str = ""
    cancel_reason: str | None = None
    unconfirmed: list[str] = []
    final_ran: bool = False
    #: Children that it has started.
    children: int = 0
    result: Any = None
    result_ref: ResultRef | None = None
    error: ErrorInfo | None = None

    @cached_property
    def live(self) -> Live:
        """Where the tokens are: derived, and no part of what is stored."""
        return Live(self)

    @property
    def is_cancelling(self) -> bool:
        """Whether a cancellation was asked for and has not ended the execution yet."""
        return self.cancel_reason is not None and not self.status.is_terminal

    def command(self, command_id: str) -> Command | None:
        """Return a command that has not ended, by its id."""
        _, _, key = command_id.partition(":")
        run = self.runs.get(key) or self.runs.get(run_key_of(command_id))
        return run.commands.get(command_id) if run else None

    def due(self, timer_id: str) -> int | None:
        """Return when a timer is due, in microseconds since the epoch; None without it."""
        if self.status.is_terminal:
            return None
        kind, _, rest = timer_id.partition(":")
        if kind == "playbook":
            return self.due_at
        if kind == "step":
            run = self.runs.get(rest)
            return None if run is None else run.due_at
        identity, _, generation = rest.rpartition(":")
        command = self.command(identity)
        if command is None or command.wait is None or str(command.generation) != generation:
            return None
        return command.wait.due_at

    def timers(self) -> dict[str, int]:
        """Return what is due, by timer id, in microseconds since the epoch."""
        due: dict[str, int] = {}
        if self.status.is_terminal:
            return due
        if self.due_at is not None:
            due["playbook"] = self.due_at
        for key, run in self.runs.items():
            if run.due_at is not None:
                due[f"step:{key}"] = run.due_at
            for command in run.commands.values():
                if command.wait is not None and command.wait.due_at is not None:
                    due[f"wait:{command.command_id}:{command.generation}"] = command.wait.due_at
        return due


def run_key(step: str, visit: int) -> str:
    """Return the key of a visit: ``load:2``."""
    return f"{step}:{visit}"


def command_id(execution_id: int, step: str, visit: int, frame: str = "") -> str:
    """Return a command's id: ``<execution>:<step>:<visit>``, with ``:<frame>`` in loops."""
    base = f"{execution_id}:{step}:{visit}"
    return f"{base}:{frame}" if frame else base


def run_key_of(command: str) -> str:
    """Return the key of the visit to which a command belongs.

    Step names may hold colons; execution ids, visits and frames may not.
    """
    _, _, rest = command.partition(":")
    step, _, tail = rest.rpartition(":")
    if tail[:1] in "ifc" and not tail.isdigit():
        step, _, visit = step.rpartition(":")
        return f"{step}:{visit}"
    return f"{step}:{tail}"
