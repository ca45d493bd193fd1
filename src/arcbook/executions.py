"""Views of an execution for people and notebooks, built from its events."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final

import msgspec

from arcbook.engine.state import State, Status
from arcbook.events.types import (
    CommandCompleted,
    CommandIssued,
    CommandSuspended,
    LoopResult,
    PlaybookCancelled,
    PlaybookCompleted,
    PlaybookFailed,
    PlaybookStarted,
    Recorded,
    StepEnter,
    StepExit,
    StepResult,
    StepSkipped,
    Try,
    WaitKind,
)
from arcbook.outcome import ERROR, ErrorInfo
from arcbook.secrets.taint import shown
from arcbook.template.text import to_json


class StepView(msgspec.Struct, kw_only=True):
    """The latest visit of a step."""

    name: str
    #: ``running``, ``waiting``, ``done``, ``failed``, ``recovered``, ``skipped`` or ``cancelled``.
    status: str = "running"
    visits: int = 0
    #: Microseconds since the epoch.
    entered_at: int = 0
    ended_at: int = 0
    retries: int = 0
    #: Iterations of its loop: all (-1 without a loop), done and failed.
    total: int = -1
    done: int = 0
    failed: int = 0
    error: ErrorInfo | None = None
    #: Attempts that were retried, with the index of their iteration or -1.
    tries: list[tuple[int, Try]] = []
    printed: str = ""
    warnings: list[str] = []
    waits_for: str = ""
    result: StepResult | LoopResult | None = None

    @property
    def duration_us(self) -> int:
        """Duration of the latest visit in microseconds; 0 while it runs."""
        return max(0, self.ended_at - self.entered_at) if self.ended_at else 0


PRINTED_MAX: Final = 256 * 1024
"""Maximum characters kept of a loop's printed output."""

TRIES_MAX: Final = 1000
"""Maximum number of attempts kept for one step."""

WARNINGS_MAX: Final = 100
"""Maximum number of warnings kept for one step."""


def _add_warnings(warnings: list[str], new: list[str]) -> None:
    """Add new warnings to a step's, without duplicates."""
    for warning in new:
        if warning not in warnings and len(warnings) < WARNINGS_MAX:
            warnings.append(warning)


class Progress:
    """The steps of an execution, updated from its events."""

    def __init__(self) -> None:
        self.steps: dict[str, StepView] = {}
        self.path = ""
        self.started_at = 0
        self.ended_at = 0
        self.error: ErrorInfo | None = None
        self.failed_steps: list[str] = []
        #: Why it was cancelled; None if it was not.
        self.cancel_reason: str | None = None
        self.warnings: list[str] = []

    def add(self, events: Iterable[Recorded]) -> None:
        """Apply further events."""
        for _, at, event in events:
            handler = _HANDLERS.get(type(event))
            if handler is not None:
                handler(self, at, event)

    def all_warnings(self) -> list[str]:
        """Return the warnings of the execution and its steps, without duplicates."""
        own = [w for step in self.steps.values() for w in step.warnings]
        return list(dict.fromkeys([*self.warnings, *own]))

    def step(self, name: str, at: int) -> StepView:
        """Return a step, creating it with a start time if it is new."""
        if name not in self.steps:
            self.steps[name] = StepView(name=name, entered_at=at)
        return self.steps[name]


def _playbook_started(progress: Progress, at: int, event: PlaybookStarted) -> None:
    progress.path = event.path
    progress.started_at = at
    progress.warnings += event.warnings


def _step_enter(progress: Progress, at: int, event: StepEnter) -> None:
    step = progress.step(event.step, at)
    step.status, step.visits = "running", event.visit
    step.entered_at, step.ended_at = at, 0
    step.total = event.loop.total if event.loop else -1
    step.done = step.failed = 0
    step.error, step.waits_for = None, ""
    step.printed, step.retries, step.tries = "", 0, []
    _add_warnings(step.warnings, event.warnings)


def _step_exit(progress: Progress, at: int, event: StepExit) -> None:
    step = progress.step(event.step, at)
    step.ended_at = at
    step.retries += event.retries
    step.tries += [(-1, attempt) for attempt in event.tries]
    step.error = event.error or (event.result.error if event.result else None)
    step.printed += event.printed
    _add_warnings(step.warnings, event.warnings)
    step.result = event.loop if event.loop is not None else event.result
    step.waits_for = ""
    step.status = "done"
    if event.status == ERROR:
        step.status = "recovered" if event.recovered else "failed"
    if event.loop is not None:
        step.total, step.done = event.loop.total, event.loop.success + event.loop.failed
        step.failed = event.loop.failed


def _step_skipped(progress: Progress, at: int, event: StepSkipped) -> None:
    step = progress.step(event.step, at)
    step.status = "skipped"
    _add_warnings(step.warnings, event.warnings)
    step.entered_at = step.ended_at = at


def _command_issued(progress: Progress, at: int, event: CommandIssued) -> None:
    progress.step(event.step, at).waits_for = ""


def _command_completed(progress: Progress, at: int, event: CommandCompleted) -> None:
    step = progress.step(event.step, at)
    step.done += event.count
    step.failed += len(event.failed)
    step.retries += event.retries
    step.tries = [*step.tries, *event.tries][:TRIES_MAX]
    for index, text in event.printed:
        lines = "".join(f"[{index}] {line}\n" for line in text.splitlines())
        step.printed = (step.printed + lines)[-PRINTED_MAX:]
    _add_warnings(step.warnings, event.warnings)


def _command_suspended(progress: Progress, at: int, event: CommandSuspended) -> None:
    wait = event.wait
    progress.step(event.step, at).waits_for = {
        WaitKind.TIMER: "the next try",
        WaitKind.CHILD: f"playbook {wait.path} ({wait.child_id})",
        WaitKind.CALLBACK: "a callback",
        WaitKind.JOB: f"job {wait.key.rpartition('/')[2].partition(' ')[0]}",
    }[wait.kind]


def _playbook_completed(progress: Progress, at: int, event: PlaybookCompleted) -> None:
    progress.ended_at = at
    progress.warnings += event.warnings


def _playbook_failed(progress: Progress, at: int, event: PlaybookFailed) -> None:
    progress.ended_at = at
    progress.error = event.error
    progress.failed_steps = event.failed_steps


def _playbook_cancelled(progress: Progress, at: int, event: PlaybookCancelled) -> None:
    progress.ended_at = at
    progress.cancel_reason = event.reason
    for step in progress.steps.values():
        if not step.ended_at:
            step.status, step.ended_at, step.waits_for = "cancelled", at, ""


_HANDLERS: Final[dict[type, Callable[..., None]]] = {
    PlaybookStarted: _playbook_started,
    StepEnter: _step_enter,
    StepExit: _step_exit,
    StepSkipped: _step_skipped,
    CommandIssued: _command_issued,
    CommandCompleted: _command_completed,
    CommandSuspended: _command_suspended,
    PlaybookCompleted: _playbook_completed,
    PlaybookFailed: _playbook_failed,
    PlaybookCancelled: _playbook_cancelled,
}


class Execution(msgspec.Struct, kw_only=True):
    """A finished execution, as :func:`arcbook.run` returns it.

    It is true if the playbook completed. A notebook shows it as a table of its steps::

        execution = arcbook.run("playbook.yaml")
        if not execution:
            print(execution.error.message)
        execution.result                    # of the playbook
        execution.data["load"]              # of a step
        execution.steps["load"].status      # "done", "failed", "recovered", "skipped"
    """

    execution_id: int
    path: str
    status: Status
    #: The playbook's result.
    result: Any = None
    error: ErrorInfo | None = None
    #: Steps by name, in the order in which they were first entered.
    steps: dict[str, StepView] = {}
    #: Names without a value, and values that cannot be read.
    warnings: list[str] = []
    events: list[Recorded] = []
    #: Data of each step that has a result, by the step's name.
    data: dict[str, Any] = {}

    @property
    def is_completed(self) -> bool:
        """Whether the playbook completed."""
        return self.status is Status.COMPLETED

    @property
    def duration_ms(self) -> float:
        """Duration in milliseconds."""
        if not self.events:
            return 0.0
        return (self.events[-1].at - self.events[0].at) / 1000

    def __bool__(self) -> bool:
        return self.is_completed

    def __repr__(self) -> str:
        cause = "" if self.error is None else f", {_excerpt(self.error.message)!r}"
        name = f"{self.path} {self.status} in {self.duration_ms:.0f} ms"
        return f"<Execution {self.execution_id} {name}{cause}>"

    def _repr_html_(self) -> str:
        """Return HTML for notebooks: the status, the steps and the result."""
        from html import escape  # only for notebooks

        rows = "".join(_row(step) for step in self.steps.values())
        last = self.result if self.error is None else self.error.message
        text = "" if last is None else f"<pre>{escape(_excerpt(last, HTML_MAX))}</pre>"
        head = escape(f"{self.path} {self.status}")
        return (
            f"<b>{head}</b> execution {self.execution_id}, {self.duration_ms:.0f} ms"
            "<table><tr><th>step</th><th>status</th><th>items</th><th>ms</th></tr>"
            f"{rows}</table>{text}"
        )


EXCERPT_MAX: Final = 120
"""Maximum characters of a value on one line."""

HTML_MAX: Final = 2000
"""Maximum characters of a result in a notebook."""


def _excerpt(value: Any, limit: int = EXCERPT_MAX) -> str:
    """Return a value as text, with secrets as ``***``, truncated."""
    text = shown(value) if isinstance(value, str) else to_json(shown(value))
    return text if len(text) <= limit else text[: limit - 1] + "…"


def _row(step: StepView) -> str:
    from html import escape  # only for notebooks

    items = f"{step.done} of {step.total}" if step.total >= 0 else ""
    cells = (step.name, step.status, items, f"{step.duration_us / 1000:.1f}")
    return "<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in cells) + "</tr>"


def status_of(state: State) -> str:
    """Return an execution's status for display."""
    return "CANCELLING" if state.is_cancelling else str(state.status)
