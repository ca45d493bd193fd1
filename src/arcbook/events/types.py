"""The facts of an execution: a closed union of frozen events.

An execution is the fold of its events (:mod:`arcbook.engine.fold`). An event holds what
was *decided*, with every template already rendered, so that folding needs no playbook.
Sequence number and time belong to the envelope, :class:`Recorded`.

A plain step takes two events: ``step.enter`` also issues its one command, ``step.exit``
also records that command's outcome, what was set and where tokens went.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any, NamedTuple

import msgspec

from arcbook.outcome import OK, ErrorInfo, Outcome

Path = list[str]
"""Where a value is written below ``ctx``: ``["page", "next"]``."""

Write = tuple[Path, Any]
"""A path and the value written there."""


class ResultRef(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A result kept outside the log."""

    #: ``noetl://execution/<id>/result/<step>/<id>``.
    ref: str
    #: Where it is kept: ``kv``, ``disk``, ``loop``, ...
    store: str
    bytes: int
    sha256: str = ""
    media_type: str = "application/json"
    #: Small fields, and the sizes of large ones (:mod:`arcbook.results.summary`).
    summary: Any = None


class Value(msgspec.Struct, frozen=True, omit_defaults=True):
    """The data of one task: in place, or by reference."""

    data: Any = None
    ref: ResultRef | None = None


class StepResult(
    msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="of", tag="step"
):
    """What a visit of a step, or one iteration of it, leaves behind."""

    #: Data of each task that ran, by label, in the order of their last runs.
    tasks: dict[str, Value] = {}
    #: Label of the task that ran last.
    last: str = ""
    status: str = OK
    #: The error that a rule let pass, or that failed the step.
    error: ErrorInfo | None = None
    #: ``output.http`` and its like, of the last task.
    helpers: dict[str, Any] = {}
    #: Field of the last task's data that ``output.data`` means.
    body_key: str = ""
    #: Whether it is of an iteration that failed.
    failed: bool = False
    #: How often the last task was tried.
    attempt: int = 1


class LoopResult(
    msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="of", tag="loop"
):
    """What a loop leaves behind."""

    total: int
    success: int = 0
    failed: int = 0
    #: Data by index, where it is small.
    items: list[Any] | None = None
    #: Where the data is otherwise.
    ref: ResultRef | None = None
    #: The first failures, by index; the data of each failed iteration has its error, too.
    errors: list[tuple[int, ErrorInfo]] = []
    #: Whether there are more failures than that.
    truncated: bool = False
    #: Frames claimed, for a cursor loop.
    frames: int = 0
    #: ``error`` where the loop failed, and not only iterations of it; else ``ok``.
    status: str = ""


class Try(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A call that was made again: what it came to, and how long the pause after it was."""

    #: Label of its task.
    task: str
    #: The how many-th it was, from 1.
    number: int
    status: str = OK
    error: ErrorInfo | None = None
    #: Seconds until the next one.
    pause: float = 0.0


class Parent(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The command that waits for an execution."""

    execution_id: int
    command_id: str = ""
    #: The step whose result it wants; else the playbook's result.
    return_step: str = ""
    #: How many executions are above the one that it started.
    depth: int = 0


class LoopStart(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A loop's snapshot of its items and limits, taken once."""

    #: Number of items; -1 for a cursor.
    total: int
    items: list[Any] | None = None
    #: The items, where they are large.
    ref: ResultRef | None = None
    #: The items, where they are ``range(start, stop, step)``.
    range: tuple[int, int, int] | None = None
    in_flight_max: int
    #: Rows of a cursor's frame.
    rows_max: int = 1
    row_concurrency: int = 1


class ArcTaken(msgspec.Struct, frozen=True, omit_defaults=True):
    """An arc that fired."""

    #: Position of the arc among the step's arcs.
    arc: int
    to: str
    set: list[Write] = []
    #: Values for the next visit of the target alone.
    locals: dict[str, Any] = {}
    #: The target's join had fired already; the token ends there.
    absorbed: bool = False


class WaitKind(StrEnum):
    """The kinds of wait."""

    TIMER = "timer"
    CHILD = "child"
    CALLBACK = "callback"


class Wait(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a suspended command waits for."""

    kind: WaitKind
    #: Microseconds since the epoch, for a timer or a deadline.
    due_at: int | None = None
    #: The child execution, or 0 while it could not be started.
    child_id: int = 0
    path: str = ""
    #: Name by which a callback finds the command.
    key: str = ""


class Event(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="type"):
    """A fact. Subclasses are the whole set."""

    @property
    def type(self) -> str:
        """The event's name: ``step.exit``."""
        return str(self.__struct_config__.tag)


class PlaybookStarted(Event, frozen=True, kw_only=True, omit_defaults=True, tag="playbook.started"):
    """An execution was accepted. The first event of each log."""

    path: str
    version: int = 0
    catalog_id: int = 0
    workload: dict[str, Any] = {}
    #: The request's own values, as they came.
    payload: dict[str, Any] = {}
    parent: Parent | None = None
    #: Step at which it starts.
    entry: str = ""
    #: Microseconds since the epoch by which it must have ended.
    due_at: int | None = None
    pool: str | None = None
    labels: dict[str, str] = {}
    #: Variables and results that it begins with, when it goes on from another execution.
    ctx: dict[str, Any] = {}
    results: dict[str, StepResult | LoopResult] = {}
    #: A name without a value is an error and no warning.
    strict: bool = False
    warnings: list[str] = []


class TokenPlaced(Event, frozen=True, kw_only=True, omit_defaults=True, tag="token.placed"):
    """A token was put at a step by the engine itself: the final step's turn has come."""

    step: str
    came_from: str = ""


class StepEnter(Event, frozen=True, kw_only=True, omit_defaults=True, tag="step.enter"):
    """A step fired for the tokens that had arrived; its command is issued."""

    step: str
    visit: int
    #: Steps from which the tokens came.
    came_from: list[str] = []
    loop: LoopStart | None = None
    #: Values of the step's lifetime, such as an arc's ``step.`` writes.
    locals: dict[str, Any] = {}
    due_at: int | None = None
    pool: str | None = None
    #: The join fired before all tokens had come; the rest of them will be absorbed.
    early: bool = False
    warnings: list[str] = []


class StepExit(Event, frozen=True, kw_only=True, omit_defaults=True, tag="step.exit"):
    """A visit of a step ended; tokens went along the arcs that fired."""

    step: str
    visit: int
    status: str = OK
    result: StepResult | None = None
    loop: LoopResult | None = None
    error: ErrorInfo | None = None
    set: list[Write] = []
    took: list[ArcTaken] = []
    #: Whether an arc caught the failure.
    recovered: bool = False
    warnings: list[str] = []
    #: The end of what the tasks printed.
    printed: str = ""
    #: Tries beyond the first of each call.
    retries: int = 0
    #: The first of the tries that were not the last of their call.
    tries: list[Try] = []
    worker: str = ""
    attempt: int = 1
    #: Microseconds since the epoch when the call began.
    started_at: int = 0


class StepSkipped(Event, frozen=True, kw_only=True, omit_defaults=True, tag="step.skipped"):
    """A step was passed over (its guard is false), or no token can reach it any more."""

    step: str
    #: ``guard``, ``denied`` or ``unreachable``.
    reason: str
    #: Where the tokens of a step that was passed over went.
    took: list[ArcTaken] = []
    set: list[Write] = []
    visit: int = 0
    warnings: list[str] = []


class JoinClosed(Event, frozen=True, kw_only=True, omit_defaults=True, tag="join.closed"):
    """No token that belongs to a join that fired early is left."""

    step: str


class CommandIssued(Event, frozen=True, kw_only=True, omit_defaults=True, tag="command.issued"):
    """A frame of a loop was given out."""

    command_id: str
    step: str
    visit: int
    #: First index, and how many iterations; a cursor's frame has its number and 0.
    first: int
    count: int
    #: State of a pipeline that was suspended in this frame before.
    state: Any = None


class CommandCompleted(
    Event, frozen=True, kw_only=True, omit_defaults=True, tag="command.completed"
):
    """Iterations of a frame are done."""

    command_id: str
    step: str
    visit: int
    #: Index of the first iteration that is done.
    first: int
    #: How many iterations are done.
    count: int = 0
    #: Their results in order, unless they are large and kept elsewhere.
    results: list[StepResult] = []
    ref: ResultRef | None = None
    #: The iterations that failed, by index, and why.
    failed: list[tuple[int, ErrorInfo]] = []
    #: A failure ends the loop.
    stop: bool = False
    set: list[Write] = []
    bytes: int = 0
    duration_us: int = 0
    #: For a cursor's frame: rows claimed, which is 0 when there are no more.
    rows: int = -1
    #: One iteration of the frame goes on as its command.
    partial: bool = False
    warnings: list[str] = []
    #: The end of what iterations printed, by index, as far as a frame may keep it.
    printed: list[tuple[int, str]] = []
    #: Tries beyond the first of each call.
    retries: int = 0
    #: The first of the tries that were not the last of their call, by index.
    tries: list[tuple[int, Try]] = []
    worker: str = ""
    attempt: int = 1


class CommandSuspended(
    Event, frozen=True, kw_only=True, omit_defaults=True, tag="command.suspended"
):
    """A pipeline waits, and holds no worker while it does."""

    command_id: str
    step: str
    visit: int
    wait: Wait
    #: Where the pipeline goes on (:class:`arcbook.engine.pipeline.Saved`).
    state: Any
    #: The iteration that waits; -1 outside loops.
    index: int = -1


class CommandCheckpointed(
    Event, frozen=True, kw_only=True, omit_defaults=True, tag="command.checkpointed"
):
    """A pipeline recorded where it is, before something that must not happen twice."""

    command_id: str
    step: str
    visit: int
    state: Any
    index: int = -1
    #: The how many-th it is of its delivery, from 1; 0 where that was not counted.
    number: int = 0


class CommandResumed(Event, frozen=True, kw_only=True, omit_defaults=True, tag="command.resumed"):
    """What a suspended command waited for came; it is issued again."""

    command_id: str
    step: str
    visit: int
    #: Outcome of what was waited for; ``None`` for a timer.
    outcome: Outcome | None = None
    #: What the caller from outside calls it; an empty text where it has no name.
    key: str = ""


class CommandLost(Event, frozen=True, kw_only=True, omit_defaults=True, tag="command.lost"):
    """A worker that held the command is gone; it is issued again."""

    command_id: str
    step: str
    visit: int
    attempt: int
    reason: str = ""
    #: It is not gone: it gave the command back, which counts as no loss.
    returned: bool = False


class CommandCancelled(
    Event, frozen=True, kw_only=True, omit_defaults=True, tag="command.cancelled"
):
    """A command's tool has stopped after a cancellation: the receipt."""

    command_id: str
    step: str
    visit: int
    #: Whether the tool confirmed that nothing of it runs any more.
    confirmed: bool = True


class CancelRequested(
    Event, frozen=True, kw_only=True, omit_defaults=True, tag="playbook.cancel_requested"
):
    """Nothing new starts any more; what runs is being stopped."""

    reason: str = ""


class PlaybookCompleted(
    Event, frozen=True, kw_only=True, omit_defaults=True, tag="playbook.completed"
):
    """The execution ended well."""

    result: Any = None
    ref: ResultRef | None = None
    #: Steps whose failure an arc caught.
    recovered: list[str] = []
    warnings: list[str] = []


class PlaybookFailed(Event, frozen=True, kw_only=True, omit_defaults=True, tag="playbook.failed"):
    """The execution failed."""

    error: ErrorInfo
    failed_steps: list[str] = []


class PlaybookCancelled(
    Event, frozen=True, kw_only=True, omit_defaults=True, tag="playbook.cancelled"
):
    """The execution was cancelled and nothing of it runs any more."""

    reason: str = ""
    #: Commands whose tools did not confirm that they stopped.
    unconfirmed: list[str] = []


AnyEvent = (
    PlaybookStarted
    | TokenPlaced
    | StepEnter
    | StepExit
    | StepSkipped
    | JoinClosed
    | CommandIssued
    | CommandCompleted
    | CommandSuspended
    | CommandCheckpointed
    | CommandResumed
    | CommandLost
    | CommandCancelled
    | CancelRequested
    | PlaybookCompleted
    | PlaybookFailed
    | PlaybookCancelled
)
"""Every event that there is."""

TERMINAL = frozenset({"playbook.completed", "playbook.failed", "playbook.cancelled"})
"""Types of which each execution has at most one, as its last."""


class Recorded(NamedTuple):
    """An event in its place: gapless number within the execution, and time."""

    seq: int
    #: Microseconds since the epoch.
    at: int
    event: AnyEvent
