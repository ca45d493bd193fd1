"""An execution as people and notebooks see it, read off its events."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from arcbook.engine.state import State, Status
from arcbook.events.types import (
    CommandCompleted,
    CommandIssued,
    CommandSuspended,
    LoopResult,
    PlaybookCompleted,
    PlaybookFailed,
    PlaybookStarted,
    Recorded,
    StepEnter,
    StepExit,
    StepResult,
    StepSkipped,
)
from arcbook.outcome import ERROR, ErrorInfo


class StepView(msgspec.Struct, kw_only=True):
    """A step of an execution: its latest visit."""

    name: str
    #: ``running``, ``waiting``, ``done``, ``failed``, ``recovered`` or ``skipped``.
    status: str = "running"
    visits: int = 0
    #: Microseconds since the epoch.
    entered_at: int = 0
    ended_at: int = 0
    retries: int = 0
    #: Iterations of its loop: all, done and failed; -1 where there are none.
    total: int = -1
    done: int = 0
    failed: int = 0
    error: ErrorInfo | None = None
    printed: str = ""
    warnings: list[str] = []
    waits_for: str = ""
    result: StepResult | LoopResult | None = None

    @property
    def duration_us(self) -> int:
        """How long the latest visit took, in microseconds; 0 while it runs."""
        return max(0, self.ended_at - self.entered_at) if self.ended_at else 0


class Progress:
    """The steps of an execution, kept up to date by its events."""

    def __init__(self) -> None:
        self.steps: dict[str, StepView] = {}
        self.path = ""
        self.started_at = 0
        self.ended_at = 0
        self.error: ErrorInfo | None = None
        self.failed_steps: list[str] = []
        self.warnings: list[str] = []

    def add(self, events: Iterable[Recorded]) -> None:
        """Take further events."""
        for _, at, event in events:
            handler = getattr(self, "_" + type(event).__name__, None)
            if handler is not None:
                handler(at, event)

    def _step(self, name: str) -> StepView:
        if name not in self.steps:
            self.steps[name] = StepView(name=name)
        return self.steps[name]

    def _PlaybookStarted(self, at: int, event: PlaybookStarted) -> None:  # noqa: N802  # by event
        self.path = event.path
        self.started_at = at
        self.warnings += event.warnings

    def _StepEnter(self, at: int, event: StepEnter) -> None:  # noqa: N802
        step = self._step(event.step)
        step.status, step.visits = "running", event.visit
        step.entered_at, step.ended_at = at, 0
        step.total = event.loop.total if event.loop else -1
        step.done = step.failed = 0
        step.error, step.waits_for = None, ""
        step.warnings = list(event.warnings)

    def _StepExit(self, at: int, event: StepExit) -> None:  # noqa: N802
        step = self._step(event.step)
        step.ended_at = at
        step.retries = event.retries
        step.error = event.error or (event.result.error if event.result else None)
        step.printed = event.printed
        step.warnings += event.warnings
        step.result = event.loop if event.loop is not None else event.result
        step.waits_for = ""
        step.status = "done"
        if event.status == ERROR:
            step.status = "recovered" if event.recovered else "failed"
        if event.loop is not None:
            step.total, step.done = event.loop.total, event.loop.success + event.loop.failed
            step.failed = event.loop.failed

    def _StepSkipped(self, at: int, event: StepSkipped) -> None:  # noqa: N802
        step = self._step(event.step)
        step.status = "skipped"
        step.entered_at = step.ended_at = at

    def _CommandIssued(self, at: int, event: CommandIssued) -> None:  # noqa: ARG002, N802
        self._step(event.step).waits_for = ""

    def _CommandCompleted(self, at: int, event: CommandCompleted) -> None:  # noqa: ARG002, N802
        step = self._step(event.step)
        step.done += event.count
        step.failed += len(event.failed)

    def _CommandSuspended(self, at: int, event: CommandSuspended) -> None:  # noqa: ARG002, N802
        wait = event.wait
        self._step(event.step).waits_for = {
            "timer": "the next try",
            "child": f"playbook {wait.path} ({wait.child_id})",
        }.get(wait.kind, wait.kind)

    def _PlaybookCompleted(self, at: int, event: PlaybookCompleted) -> None:  # noqa: ARG002, N802
        self.ended_at = at

    def _PlaybookFailed(self, at: int, event: PlaybookFailed) -> None:  # noqa: N802
        self.ended_at = at
        self.error = event.error
        self.failed_steps = event.failed_steps


class Execution(msgspec.Struct, kw_only=True):
    """A finished execution, as :func:`arcbook.run` returns it."""

    execution_id: int
    path: str
    status: Status
    #: The playbook's result.
    result: Any = None
    error: ErrorInfo | None = None
    #: Steps by name, in the order in which they were first entered.
    steps: dict[str, StepView] = {}
    events: list[Recorded] = []
    #: Data of each step that has a result, by the step's name.
    data: dict[str, Any] = {}

    @property
    def is_completed(self) -> bool:
        """Whether it ended well."""
        return self.status is Status.COMPLETED

    def __bool__(self) -> bool:
        return self.is_completed


def status_of(state: State) -> str:
    """Return an execution's status, as people read it."""
    return "CANCELLING" if state.is_cancelling else str(state.status)
