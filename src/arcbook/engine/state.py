"""The state of one execution: the fold of its events.

It can be discarded and rebuilt at any time. It is mutable so that applying an event costs
only what the event changes, but only :mod:`arcbook.engine.fold` writes to it.
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
    """The status of an execution."""

    PENDING = "PENDING"
    RUNNING = "RUNNING"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"

    is_terminal: bool
    """Whether the execution has ended."""

    def __init__(self, value: str) -> None:
        # An attribute, as each decision asks several times.
        self.is_terminal = value not in ("PENDING", "RUNNING")


class CommandStatus(enum.StrEnum):
    """The status of a command that has not ended."""

    #: Queued for a worker or held by one.
    ISSUED = "issued"
    #: Its pipeline waits, without holding a worker.
    SUSPENDED = "suspended"


class Command(msgspec.Struct, kw_only=True, omit_defaults=True):
    """An instruction to perform a visit of a step, or some iterations of its loop."""

    command_id: str
    step: str
    visit: int
    status: CommandStatus = CommandStatus.ISSUED
    #: First iteration and their number; -1 and 1 outside loops. A cursor's frame has count 0.
    first: int = -1
    count: int = 1
    #: Incremented on each suspension and resumption, so that stale reports are recognised.
    generation: int = 0
    wait: Wait | None = None
    #: State from which a suspended or checkpointed pipeline continues.
    saved: Any = None
    #: Number of the last checkpoint of the current delivery.
    recorded: int = 0
    #: Outcome of the wait.
    resumed_with: Outcome | None = None
    #: The job that a worker is to stop, after a cancellation.
    stops: str = ""
    #: Lost deliveries, and how many of them workers returned.
    lost: int = 0
    returned: int = 0


class LoopRun(msgspec.Struct, kw_only=True, omit_defaults=True):
    """The progress of a loop. Its size does not grow with the number of iterations."""

    start: LoopStart
    #: First index not yet issued.
    next: int = 0
    done: int = 0
    success: int = 0
    failed: int = 0
    #: Issued index ranges that came back unfinished: ``[first, count]``.
    returned: list[list[int]] = []
    #: Iterations per frame, from measured durations.
    frame_size: int = 1
    #: Results by index; None once they are too large.
    kept: dict[int, StepResult] | None = {}
    kept_bytes: int = 0
    errors: list[tuple[int, ErrorInfo]] = []
    #: Frames issued so far; for a cursor, whether a claim found no more rows.
    frames: int = 0
    drained: bool = False
    #: Whether a failed iteration has stopped the loop.
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
        """Whether a worker or a child execution is still working on it."""
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
    """A point in time at which an execution must be driven."""

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
    #: Whether a name without a value is an error rather than a warning.
    strict: bool = False
    workload: dict[str, Any] = {}
    payload: dict[str, Any] = {}
    ctx: dict[str, Any] = {}
    #: The latest result of each step that has one.
    results: dict[str, StepResult | LoopResult] = {}
    #: How often each step was entered.
    visits: dict[str, int] = {}
    #: Tokens waiting at each step, in order of arrival.
    waiting: dict[str, list[Token]] = {}
    #: Steps whose join fired early and absorbs the remaining tokens of that visit.
    absorbing: list[str] = []
    #: Visits that have not ended, by ``step:visit``.
    runs: dict[str, Run] = {}
    skipped: list[str] = []
    failures: list[Failure] = []
    #: The last step that ended without taking an arc.
    last_leaf: str = ""
    cancel_reason: str | None = None
    unconfirmed: list[str] = []
    final_ran: bool = False
    #: Number of children started.
    children: int = 0
    result: Any = None
    result_ref: ResultRef | None = None
    error: ErrorInfo | None = None

    @cached_property
    def live(self) -> Live:
        """The index of tokens. Derived; not stored."""
        return Live(self)

    @property
    def is_cancelling(self) -> bool:
        """Whether a cancellation was requested and has not ended the execution yet."""
        return self.cancel_reason is not None and not self.status.is_terminal

    def command(self, command_id: str) -> Command | None:
        """Return a command that has not ended, by its id."""
        _, _, key = command_id.partition(":")
        run = self.runs.get(key) or self.runs.get(run_key_of(command_id))
        return run.commands.get(command_id) if run else None

    def due(self, timer_id: str) -> int | None:
        """Return when a timer is due in microseconds since the epoch; None if there is none."""
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
        """Return all due times by timer id, in microseconds since the epoch."""
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
    """Return the key of the visit that a command belongs to.

    Step names may hold colons; execution ids, visits and frames may not.
    """
    _, _, rest = command.partition(":")
    step, _, tail = rest.rpartition(":")
    if tail[:1] in "ifc" and not tail.isdigit():
        step, _, visit = step.rpartition(":")
        return f"{step}:{visit}"
    return f"{step}:{tail}"
