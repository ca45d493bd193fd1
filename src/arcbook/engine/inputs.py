"""The inputs of ``decide``, and the decision it returns."""

from __future__ import annotations

from typing import Any

import msgspec

from arcbook.engine.pipeline import IterationResult
from arcbook.events.types import LoopResult, Parent, Recorded, ResultRef, StepResult, WaitKind
from arcbook.outcome import ErrorInfo, Outcome


class Input(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="input"):
    """Base of the inputs, a closed set."""


class Start(Input, frozen=True, kw_only=True, omit_defaults=True, tag="start"):
    """Start the execution."""

    path: str
    version: int = 0
    catalog_id: int = 0
    payload: dict[str, Any] = {}
    parent: Parent | None = None
    pool: str | None = None
    labels: dict[str, str] = {}
    #: Step to start at instead of the playbook's entry.
    entry: str | None = None
    #: Initial results and variables, for an execution that continues another one.
    ctx: dict[str, Any] = {}
    results: dict[str, StepResult | LoopResult] = {}
    #: Whether a name without a value is an error rather than a warning.
    strict: bool = False


class Suspension(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A suspended pipeline, as its worker reports it."""

    kind: WaitKind
    state: Any
    #: Index of the waiting iteration; -1 outside loops.
    index: int = -1
    #: Duration of a timer; for a job, when to look at it again; else the longest wait.
    seconds: float | None = None
    #: The playbook to run, for a child.
    path: str = ""
    version: int | None = None
    catalog_id: int | None = None
    payload: dict[str, Any] = {}
    #: Whether to resume at once, with the child's id as data.
    detached: bool = False
    #: The child's step whose result to return, the key of a callback, or a job's name.
    key: str = ""


class Report(Input, frozen=True, kw_only=True, omit_defaults=True, tag="report"):
    """A worker's report on a command."""

    command_id: str
    generation: int = 0
    #: Completed iterations, in order from ``first``; one outside loops.
    done: list[IterationResult] = []
    first: int = -1
    suspended: Suspension | None = None
    #: Why the command cannot be performed at all; the step fails.
    fatal: ErrorInfo | None = None
    #: Rows that a cursor's frame claimed, and those it leaves to another frame.
    rows: int = -1
    rest: list[Any] = []
    #: Where the frame's results are stored, if they are large.
    ref: ResultRef | None = None
    bytes: int = 0
    #: All references that the report holds.
    kept: list[ResultRef] = []
    duration_us: int = 0
    started_at: int = 0
    worker: str = ""
    attempt: int = 1


class Checkpointed(Input, frozen=True, kw_only=True, omit_defaults=True, tag="checkpointed"):
    """A pipeline saved its state before a call that must not run twice."""

    command_id: str
    generation: int = 0
    attempt: int = 1
    state: Any = None
    index: int = -1
    #: Number within this delivery, from 1, so that a late checkpoint does not overwrite a
    #: newer one.
    number: int = 0


class TimerFired(Input, frozen=True, kw_only=True, omit_defaults=True, tag="timer"):
    """A timer is due."""

    timer_id: str


class ChildEnded(Input, frozen=True, kw_only=True, omit_defaults=True, tag="child"):
    """A child execution ended, or could not start."""

    command_id: str
    child_id: int
    status: str
    result: Any = None
    ref: ResultRef | None = None
    error: ErrorInfo | None = None
    path: str = ""


class CalledBack(Input, frozen=True, kw_only=True, omit_defaults=True, tag="callback"):
    """A callback for a parked command arrived."""

    command_id: str
    #: Generation of the waiting command; any, if negative.
    generation: int = -1
    outcome: Outcome
    #: The caller's name for the callback, to recognise a repeated one.
    key: str = ""


class Lost(Input, frozen=True, kw_only=True, omit_defaults=True, tag="lost"):
    """The worker that held a command is gone, or returned it."""

    command_id: str
    generation: int = 0
    attempt: int = 1
    reason: str = ""
    #: Whether the command fails instead of being delivered again.
    final: bool = False
    #: Whether the worker is alive and returned the command.
    returned: bool = False


class Cancel(Input, frozen=True, kw_only=True, omit_defaults=True, tag="cancel"):
    """Cancel the execution."""

    reason: str = ""


class Abort(Input, frozen=True, kw_only=True, omit_defaults=True, tag="abort"):
    """Fail the execution at once, because deciding itself failed."""

    error: ErrorInfo


class Stopped(Input, frozen=True, kw_only=True, omit_defaults=True, tag="stopped"):
    """A command's tool has stopped after a cancellation, or could not be stopped."""

    command_id: str
    confirmed: bool = True


class Settle(Input, frozen=True, kw_only=True, omit_defaults=True, tag="settle"):
    """Continue pending work, after data was fetched or the execution was reloaded."""


AnyInput = (
    Start | Report | Checkpointed | TimerFired | ChildEnded | CalledBack | Lost | Cancel | Abort
    | Stopped | Settle
)  # fmt: skip


class StartChild(msgspec.Struct, frozen=True, kw_only=True):
    """Effect: start another playbook as a child."""

    execution_id: int
    path: str
    version: int | None
    catalog_id: int | None
    payload: dict[str, Any]
    parent: Parent
    pool: str | None = None


class Decision(msgspec.Struct, kw_only=True):
    """The result of deciding one input. Its events are already folded into the state."""

    events: list[Recorded] = []
    #: Commands to give to workers, by id.
    commands: list[str] = []
    children: list[StartChild] = []
    #: Commands whose tools to stop.
    stop: list[str] = []
    #: Children to cancel.
    cancel_children: list[int] = []
    #: Values to store by reference before the events are stored.
    keep: list[tuple[ResultRef, list[Any]]] = []
    #: Data to fetch before the next decision.
    needs: list[ResultRef] = []
    #: Whether that decision takes the same input again rather than ``Settle``.
    again: bool = False
    #: Whether the event limit was reached; ``Settle`` continues.
    more: bool = False
    #: Whether the input was accepted; a stale or repeated one is not.
    accepted: bool = True
