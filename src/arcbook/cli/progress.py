"""Show a run in progress: as a live view on a terminal, as lines elsewhere."""

from __future__ import annotations

import sys
import time
from copy import copy
from itertools import islice
from threading import Lock
from typing import Any, Final, Protocol, Self

import click

from arcbook.cli.text import count, duration
from arcbook.compose.embedded import Embedded
from arcbook.engine.state import State
from arcbook.events.types import Recorded
from arcbook.executions import Progress, StepView
from arcbook.outcome import ErrorInfo
from arcbook.secrets.taint import shown

REFRESH_PER_SECOND: Final = 12
PRINTED_LINES_MAX: Final = 6
"""Most lines of a step's output that are shown."""

FRAME_LINES_MAX: Final = 4
"""Most lines of failed code that are shown."""

MARKS: Final = {
    "done": ("✓", "green"),
    "failed": ("✗", "red"),
    "recovered": ("!", "yellow"),
    "running": ("▸", "cyan"),
    "skipped": ("·", "bright_black"),
    "cancelled": ("■", "yellow"),
}


class View(Protocol):
    """Port: shows a run."""

    def __enter__(self) -> Self:
        """Begin."""

    def __exit__(self, *exc: object) -> None:
        """End."""

    def listen(self, execution_id: int, events: list[Recorded], state: State) -> None:
        """Show newly committed events."""

    def recall(self, execution_id: int, event: Recorded, *, is_child: bool) -> None:
        """Replay events committed before this process."""

    def cut_off(self, execution_id: int) -> list[str]:
        """Return the steps that a cancellation ended."""

    def warnings(self) -> list[str]:
        """Return the distinct warnings of the run and its children."""


class Silent:
    """Shows nothing during a run; collects the warnings for its end."""

    def __init__(self) -> None:
        self.progress: dict[int, Progress] = {}

    def warnings(self) -> list[str]:
        """Return the distinct warnings of the run and its children."""
        every = [w for progress in self.progress.values() for w in progress.all_warnings()]
        return list(dict.fromkeys(every))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        return None

    def listen(self, execution_id: int, events: list[Recorded], state: State) -> None:
        self.progress.setdefault(execution_id, Progress()).add(events)

    def recall(self, execution_id: int, event: Recorded, *, is_child: bool) -> None:
        self.progress.setdefault(execution_id, Progress()).add([event])

    def cut_off(self, execution_id: int) -> list[str]:
        """Return the steps that a cancellation ended."""
        progress = self.progress.get(execution_id, Progress())
        return [step.name for step in progress.steps.values() if step.status == "cancelled"]


class Lines(Silent):
    """Writes a line when a step ends."""

    def __init__(self) -> None:
        super().__init__()
        self._told: set[tuple[int, str, int]] = set()

    def listen(self, execution_id: int, events: list[Recorded], state: State) -> None:
        progress = self.progress.setdefault(execution_id, Progress())
        progress.add(events)
        indent = "  " if state.parent is not None else ""
        for _, _, event in events:
            step = progress.steps.get(getattr(event, "step", ""))
            if step is None or event.type not in ("step.exit", "step.skipped"):
                continue
            click.echo(indent + line_of(step), err=True)


def view_of(title: str, *, silent: bool, watch: bool | None = None) -> View:
    """Return the view of a run: live on a terminal by default."""
    if silent:
        return Silent()
    if watch or (watch is None and sys.stderr.isatty()):
        return Live(title)
    return Lines()


async def recalled(embedded: Embedded, view: View, execution_id: int) -> None:
    """Replay the events of an execution and its unfinished children from before this process."""
    children = [i for i in await embedded.store.unfinished() if i != execution_id]
    for identity in (execution_id, *children):
        row = await embedded.reader.row(identity)
        if identity == execution_id or row.parent_execution_id:
            async for event in embedded.reader.events(identity):
                view.recall(identity, event, is_child=bool(row.parent_execution_id))


def line_of(step: StepView) -> str:
    """Format a step as one line, followed by its error and output."""
    mark, colour = MARKS.get(step.status, ("▸", "cyan"))
    parts = [click.style(mark, fg=colour), step.name, *facts(step)]
    text = "  ".join(parts)
    if step.error is not None:
        cause = str(shown(step.error.message)).strip().splitlines() or [""]
        text += "".join("\n      " + click.style(line, fg=colour) for line in cause[:4])
        text += "".join(f"\n      {line}" for line in frames(step.error))
    for line in printed_lines(step):
        text += "\n      " + click.style(f"│ {line}", dim=True)
    return text


def frames(error: ErrorInfo) -> list[str]:
    """Return the innermost lines of code in an error's traceback."""
    lines = str(shown(error.traceback or "")).splitlines()
    code = [line for line in lines if line.startswith("  ") and line.strip(" ^~")]
    return code[-FRAME_LINES_MAX:]


def tries(step: StepView) -> list[str]:
    """List the failed tries of a step's calls, with their outcomes and pauses."""
    lines: list[str] = []
    for index, one in step.tries:
        where = f"{one.task} of item {index}" if index >= 0 else one.task
        came_to = one.status
        if one.error is not None:
            cause = str(shown(one.error.message)).splitlines() or [""]
            came_to = f"{one.error.kind}: {cause[0]}"
        lines.append(f"try {one.number} of {where}: {came_to}; then {one.pause:g} s")
    return lines


def facts(step: StepView) -> list[str]:
    """List the key figures of a step: items, visits, retries, duration."""
    parts: list[str] = []
    if step.total >= 0 or step.done:
        done = f"{step.done:,} of " if step.total >= 0 else ""
        parts.append(done + count(step.total if step.total >= 0 else step.done, "item"))
    if step.failed:
        parts.append(click.style(f"{step.failed:,} failed", fg="red"))
    if step.visits > 1:
        parts.append(f"visit {step.visits}")
    if step.retries:
        parts.append(click.style(count(step.retries, "retry", "retries"), fg="yellow"))
    if step.waits_for and not step.ended_at:
        parts.append(f"waits for {step.waits_for}")
    if step.status == "skipped":
        parts.append("skipped")
    elif step.status == "cancelled":
        parts.append("cancelled")
    elif step.ended_at:
        parts.append(click.style(duration(step.duration_us), dim=True))
    return parts


def printed_lines(step: StepView) -> list[str]:
    """Return the last lines that a step printed."""
    lines = str(shown(step.printed)).rstrip().splitlines()
    if len(lines) <= PRINTED_LINES_MAX:
        return lines
    return [f"… {count(len(lines) - PRINTED_LINES_MAX, 'line')}", *lines[-PRINTED_LINES_MAX:]]


class Live(Silent):
    """Redraws the steps as they progress, with bars for loops."""

    def __init__(self, title: str) -> None:
        from rich.console import Console  # heavy; only for a live view
        from rich.live import Live as RichLive

        super().__init__()
        self.title = title
        self._root = 0
        #: Guards the steps against changes while the drawing thread copies them.
        self._changing = Lock()
        self._console = Console(stderr=True)
        self._live = RichLive(
            get_renderable=self._draw,
            console=self._console,
            refresh_per_second=REFRESH_PER_SECOND,
            transient=False,
        )

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._live.stop()

    def listen(self, execution_id: int, events: list[Recorded], state: State) -> None:
        with self._changing:
            if state.parent is None:
                self._root = execution_id
            self.progress.setdefault(execution_id, Progress()).add(events)

    def _latest(self, most: int) -> list[StepView] | None:
        """Return copies of the latest steps; None before the first event."""
        with self._changing:
            progress = self.progress.get(self._root)
            if progress is None:
                return None
            latest = list(islice(reversed(progress.steps.values()), most))
            return [copy(step) for step in reversed(latest)]

    def recall(self, execution_id: int, event: Recorded, *, is_child: bool) -> None:
        if not is_child:
            self._root = execution_id
        super().recall(execution_id, event, is_child=is_child)

    def _draw(self) -> Any:
        from rich.console import Group
        from rich.text import Text

        steps = self._latest(max(4, self._console.height - 4))
        if steps is None:
            return Text(self.title)
        return Group(*(self._row(step) for step in steps))

    def _row(self, step: StepView) -> Any:
        from rich.columns import Columns
        from rich.progress_bar import ProgressBar
        from rich.spinner import Spinner
        from rich.text import Text

        if step.ended_at:
            return Text.from_ansi(line_of(step))
        elapsed = max(0, int(time.time() * 1e6) - step.entered_at)
        label = Text.from_ansi("  ".join([step.name, *facts(step)]))
        label.append(f"  {duration(elapsed)}", style="dim")
        parts: list[Any] = [Spinner("dots", style="cyan"), label]
        if step.total > 0:
            parts.append(ProgressBar(total=step.total, completed=step.done, width=30))
        return Columns(parts)
