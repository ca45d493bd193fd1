"""The events of an execution: a closed union of frozen structs.

An execution is the fold of its events (:mod:`arcbook.engine.fold`). Events record decisions
with all templates rendered, so folding does not need the playbook. Sequence number and time
belong to the envelope, :class:`Recorded`.

A step without a loop takes two events: ``step.enter`` also issues its command, and
``step.exit`` also records the command's outcome, the writes and the arcs taken.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any, NamedTuple

import msgspec

from arcbook.outcome import OK, ErrorInfo, Outcome

Path = list[str]
"""A path below ``ctx``, such as ``["page", "next"]``."""

Write = tuple[Path, Any]
"""A path and the value to write there."""


class ResultRef(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A reference to a result stored outside the log."""

    #: ``noetl://execution/<id>/result/<step>/<id>``.
    ref: str
    #: Where it is stored: ``kv``, ``disk``, ``loop``, ...
    store: str
    bytes: int
    sha256: str = ""
    media_type: str = "application/json"
    #: Small fields, and the sizes of large ones (:mod:`arcbook.results.summary`).
    summary: Any = None


class Value(msgspec.Struct, frozen=True, omit_defaults=True):
    """The data of one task, inline or by reference."""

    data: Any = None
    ref: ResultRef | None = None


class StepResult(
    msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="of", tag="step"
):
    """The result of a visit of a step, or of one iteration."""

    #: Data of each task that ran, by label, ordered by last run.
    tasks: dict[str, Value] = {}
    #: Label of the task that ran last.
    last: str = ""
    status: str = OK
    #: The error that failed the step, or that a rule ignored.
    error: ErrorInfo | None = None
    #: The last task's ``output.http``, ``output.pg`` and ``output.py``.
    helpers: dict[str, Any] = {}
    #: Field of the last task's data that ``output.data`` refers to.
    body_key: str = ""
    #: Whether this is the result of a failed iteration.
    failed: bool = False
    #: Number of tries of the last task.
    attempt: int = 1


class LoopResult(
    msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="of", tag="loop"
):
    """The result of a loop."""

    total: int
    success: int = 0
    failed: int = 0
    #: Data by index, if small.
    items: list[Any] | None = None
    #: Reference to the data, if large.
    ref: ResultRef | None = None
    #: The first failures, by index. The data of a failed iteration also has its error.
    errors: list[tuple[int, ErrorInfo]] = []
    #: Whether there were more failures.
    truncated: bool = False
    #: Frames claimed, for a cursor loop.
    frames: int = 0
    #: ``error`` if the loop as a whole failed, otherwise ``ok``.
    status: str = ""


class Try(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A call that was retried: its outcome, and the pause before the next try."""

    #: Label of its task.
    task: str
    #: Number of the try, from 1.
    number: int
    status: str = OK
    error: ErrorInfo | None = None
    #: Seconds until the next try.
    pause: float = 0.0


class Parent(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The command that waits for an execution."""

    execution_id: int
    command_id: str = ""
    #: The step whose result it waits for; if empty, the playbook's result.
    return_step: str = ""
    #: Number of ancestors of the started execution.
    depth: int = 0


class LoopStart(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A loop's snapshot of its items and limits, taken once."""

    #: Number of items; -1 for a cursor.
    total: int
    items: list[Any] | None = None
    #: Reference to the items, if they are large.
    ref: ResultRef | None = None
    #: ``start``, ``stop`` and ``step``, if the items are a range.
    range: tuple[int, int, int] | None = None
    in_flight_max: int
    #: Maximum rows of a cursor's frame.
    rows_max: int = 1
    row_concurrency: int = 1


class ArcTaken(msgspec.Struct, frozen=True, omit_defaults=True):
    """An arc that fired."""

    #: Position of the arc among the step's arcs.
    arc: int
    to: str
    set: list[Write] = []
    #: Values for the target's next visit only.
    locals: dict[str, Any] = {}
    #: Whether the target's join had already fired and absorbs the token.
    absorbed: bool = False


class WaitKind(StrEnum):
    """The kinds of wait."""

    TIMER = "timer"
    CHILD = "child"
    CALLBACK = "callback"
    JOB = "job"


class Wait(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a suspended command waits for."""

    kind: WaitKind
    #: Due time of a timer or a deadline, in microseconds since the epoch.
    due_at: int | None = None
    #: Id of the child execution; 0 for other kinds.
    child_id: int = 0
    path: str = ""
    #: Key by which a callback finds the command; of a job, its name to the tool that runs it.
    key: str = ""


class Event(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="type"):
    """Base of the events, a closed set."""

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
    #: The request's own values, unchanged.
    payload: dict[str, Any] = {}
    parent: Parent | None = None
    #: Step at which it starts.
    entry: str = ""
    #: Deadline, in microseconds since the epoch.
    due_at: int | None = None
    pool: str | None = None
    labels: dict[str, str] = {}
    #: Initial variables and results, if it continues another execution.
    ctx: dict[str, Any] = {}
    results: dict[str, StepResult | LoopResult] = {}
    #: Whether a name without a value is an error rather than a warning.
    strict: bool = False
    warnings: list[str] = []


class TokenPlaced(Event, frozen=True, kw_only=True, omit_defaults=True, tag="token.placed"):
    """The engine placed a token at the final step."""

    step: str
    came_from: str = ""


class StepEnter(Event, frozen=True, kw_only=True, omit_defaults=True, tag="step.enter"):
    """A step fired for the tokens that had arrived, and its command was issued."""

    step: str
    visit: int
    #: Steps that the tokens came from.
    came_from: list[str] = []
    loop: LoopStart | None = None
    #: Values of the step's lifetime, such as an arc's ``step.`` writes.
    locals: dict[str, Any] = {}
    due_at: int | None = None
    pool: str | None = None
    #: Whether the join fired before all tokens had arrived; the remaining ones are absorbed.
    early: bool = False
    warnings: list[str] = []


class StepExit(Event, frozen=True, kw_only=True, omit_defaults=True, tag="step.exit"):
    """A visit of a step ended, and tokens left along the arcs that fired."""

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
    #: Number of retries.
    retries: int = 0
    #: The first tries that were followed by a retry.
    tries: list[Try] = []
    worker: str = ""
    attempt: int = 1
    #: When the call started, in microseconds since the epoch.
    started_at: int = 0


class StepSkipped(Event, frozen=True, kw_only=True, omit_defaults=True, tag="step.skipped"):
    """A step was not admitted, or has become unreachable."""

    step: str
    #: ``guard``, ``denied`` or ``unreachable``.
    reason: str
    #: Arcs that the tokens of a step that was not admitted took.
    took: list[ArcTaken] = []
    set: list[Write] = []
    visit: int = 0
    warnings: list[str] = []


class JoinClosed(Event, frozen=True, kw_only=True, omit_defaults=True, tag="join.closed"):
    """No token is left that a join which fired early would absorb."""

    step: str


class CommandIssued(Event, frozen=True, kw_only=True, omit_defaults=True, tag="command.issued"):
    """A frame of a loop was issued."""

    command_id: str
    step: str
    visit: int
    #: First index and number of iterations; a cursor's frame has its own number and 0.
    first: int
    count: int
    #: Saved state of the frame, such as rows that an earlier frame claimed.
    state: Any = None


class CommandCompleted(
    Event, frozen=True, kw_only=True, omit_defaults=True, tag="command.completed"
):
    """Iterations of a frame completed."""

    command_id: str
    step: str
    visit: int
    #: Index of the first completed iteration.
    first: int
    #: Number of completed iterations.
    count: int = 0
    #: Their results in order, unless they are large and stored by reference.
    results: list[StepResult] = []
    ref: ResultRef | None = None
    #: Errors of failed iterations, by index.
    failed: list[tuple[int, ErrorInfo]] = []
    #: Whether a failure ends the loop.
    stop: bool = False
    set: list[Write] = []
    bytes: int = 0
    duration_us: int = 0
    #: Rows that a cursor's frame claimed; 0 when none are left.
    rows: int = -1
    #: Whether the command continues with a suspended iteration.
    partial: bool = False
    warnings: list[str] = []
    #: The end of the printed output by index, within the limit of a frame.
    printed: list[tuple[int, str]] = []
    #: Number of retries.
    retries: int = 0
    #: The first tries that were followed by a retry, by index.
    tries: list[tuple[int, Try]] = []
    worker: str = ""
    attempt: int = 1


class CommandSuspended(
    Event, frozen=True, kw_only=True, omit_defaults=True, tag="command.suspended"
):
    """A pipeline started to wait, and released its worker."""

    command_id: str
    step: str
    visit: int
    wait: Wait
    #: State from which the pipeline continues (:class:`arcbook.engine.pipeline.Saved`).
    state: Any
    #: Index of the waiting iteration; -1 outside loops.
    index: int = -1


class CommandCheckpointed(
    Event, frozen=True, kw_only=True, omit_defaults=True, tag="command.checkpointed"
):
    """A pipeline saved its state before a call that must not run twice."""

    command_id: str
    step: str
    visit: int
    state: Any
    index: int = -1
    #: Number within its delivery, from 1; 0 if it was not counted.
    number: int = 0


class CommandResumed(Event, frozen=True, kw_only=True, omit_defaults=True, tag="command.resumed"):
    """A suspended command's wait ended, and the command was issued again."""

    command_id: str
    step: str
    visit: int
    #: Outcome of the wait; ``None`` for a timer.
    outcome: Outcome | None = None
    #: The caller's name for the callback; empty if it has none.
    key: str = ""
    #: The job that its worker is to stop, instead of continuing; set after a cancellation.
    stops: str = ""


class CommandLost(Event, frozen=True, kw_only=True, omit_defaults=True, tag="command.lost"):
    """The worker that held a command is gone; the command is issued again or fails."""

    command_id: str
    step: str
    visit: int
    attempt: int
    reason: str = ""
    #: Whether the worker is alive and returned the command, which is not counted as a loss.
    returned: bool = False


class CommandCancelled(
    Event, frozen=True, kw_only=True, omit_defaults=True, tag="command.cancelled"
):
    """A command's tool stopped after a cancellation."""

    command_id: str
    step: str
    visit: int
    #: Whether the tool confirmed that it has stopped completely.
    confirmed: bool = True


class CancelRequested(
    Event, frozen=True, kw_only=True, omit_defaults=True, tag="playbook.cancel_requested"
):
    """A cancellation was requested: no new work starts, and running work is stopped."""

    reason: str = ""


class PlaybookCompleted(
    Event, frozen=True, kw_only=True, omit_defaults=True, tag="playbook.completed"
):
    """The execution succeeded."""

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
    """The execution was cancelled and all its commands have stopped."""

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
"""All events."""

TERMINAL = frozenset({"playbook.completed", "playbook.failed", "playbook.cancelled"})
"""Types that end an execution: it has at most one of them, as its last event."""


class Recorded(NamedTuple):
    """An event with its sequence number, gapless within the execution, and time."""

    seq: int
    #: Microseconds since the epoch.
    at: int
    event: AnyEvent
