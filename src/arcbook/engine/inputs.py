"""What can happen to an execution: the inputs of ``decide``, and what comes out of it."""

from __future__ import annotations

from typing import Any

import msgspec

from arcbook.engine.pipeline import IterationResult
from arcbook.events.types import LoopResult, Parent, Recorded, ResultRef, StepResult, WaitKind
from arcbook.outcome import ErrorInfo, Outcome


class Input(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="input"):
    """Something that happened. Subclasses are the whole set."""


class Start(Input, frozen=True, kw_only=True, omit_defaults=True, tag="start"):
    """The execution is to begin."""

    path: str
    version: int = 0
    catalog_id: int = 0
    payload: dict[str, Any] = {}
    parent: Parent | None = None
    pool: str | None = None
    labels: dict[str, str] = {}
    #: Begin at this step and not at the entry.
    entry: str | None = None
    #: Results and variables to begin with, for a run that goes on from another's.
    ctx: dict[str, Any] = {}
    results: dict[str, StepResult | LoopResult] = {}
    #: A name without a value is an error and no warning.
    strict: bool = False


class Suspension(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A pipeline that waits, as its worker reports it."""

    kind: WaitKind
    state: Any
    #: Iteration that waits; -1 outside loops.
    index: int = -1
    #: Seconds, for a timer, or the longest wait for the others.
    seconds: float | None = None
    #: The playbook to run, for a child.
    path: str = ""
    version: int | None = None
    catalog_id: int | None = None
    payload: dict[str, Any] = {}
    #: Whether to go on at once, with the child's id as data.
    detached: bool = False
    #: The child's step whose result is wanted, or the name by which a callback comes.
    key: str = ""


class Report(Input, frozen=True, kw_only=True, omit_defaults=True, tag="report"):
    """A worker's account of a command."""

    command_id: str
    generation: int = 0
    #: Iterations done, in order from ``first``; one outside loops.
    done: list[IterationResult] = []
    first: int = -1
    suspended: Suspension | None = None
    #: The frame cannot be performed at all; the loop fails.
    fatal: ErrorInfo | None = None
    #: Rows of a cursor's frame, and what it claimed and leaves to another frame.
    rows: int = -1
    rest: list[Any] = []
    #: Results kept outside, for a frame whose results are large.
    ref: ResultRef | None = None
    bytes: int = 0
    #: Every value that the report keeps by reference.
    kept: list[ResultRef] = []
    duration_us: int = 0
    started_at: int = 0
    worker: str = ""
    attempt: int = 1


class Checkpointed(Input, frozen=True, kw_only=True, omit_defaults=True, tag="checkpointed"):
    """A pipeline records where it is before something that must not happen twice."""

    command_id: str
    generation: int = 0
    attempt: int = 1
    state: Any = None
    index: int = -1
    #: The how many-th it is of this delivery, from 1: one that comes late must not put an
    #: earlier place over a later one.
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
    """What a parked command waits for came from outside."""

    command_id: str
    #: The command's generation while it waits; whichever it is, if negative.
    generation: int = -1
    outcome: Outcome
    #: What the caller calls it, so that it can be recognised when it comes again.
    key: str = ""


class Lost(Input, frozen=True, kw_only=True, omit_defaults=True, tag="lost"):
    """A worker that held a command is gone."""

    command_id: str
    generation: int = 0
    attempt: int = 1
    reason: str = ""
    #: No further delivery: the command fails.
    final: bool = False
    #: It is not gone: it gave the command back.
    returned: bool = False


class Cancel(Input, frozen=True, kw_only=True, omit_defaults=True, tag="cancel"):
    """Stop."""

    reason: str = ""


class Abort(Input, frozen=True, kw_only=True, omit_defaults=True, tag="abort"):
    """Fail at once: deciding itself went wrong."""

    error: ErrorInfo


class Stopped(Input, frozen=True, kw_only=True, omit_defaults=True, tag="stopped"):
    """A command's tool has stopped after a cancellation, or could not be stopped."""

    command_id: str
    confirmed: bool = True


class Settle(Input, frozen=True, kw_only=True, omit_defaults=True, tag="settle"):
    """Nothing new; go on with what was left, after data was fetched or a reload."""


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
    """What follows from one input. The state has already been advanced by the events."""

    events: list[Recorded] = []
    #: Commands to give to workers, by id.
    commands: list[str] = []
    children: list[StartChild] = []
    #: Commands whose tools are to be stopped.
    stop: list[str] = []
    #: Children to cancel.
    cancel_children: list[int] = []
    #: Values to keep by reference before the events are stored.
    keep: list[tuple[ResultRef, list[Any]]] = []
    #: Data to fetch before going on ...
    needs: list[ResultRef] = []
    #: ... with the same input again, or else with ``Settle``.
    again: bool = False
    #: There is more to do than one decision does: ``Settle`` goes on with it.
    more: bool = False
    #: Whether the input was taken; a stale or repeated one is not.
    accepted: bool = True
