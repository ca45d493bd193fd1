"""Format tables, times and values for the terminal."""

from __future__ import annotations

import datetime as dt
import shutil
import sys
from collections.abc import Sequence
from typing import Any, Final

import click

from arcbook.secrets.taint import shown
from arcbook.template.text import to_json

STATUS_COLOURS: Final = {
    "COMPLETED": "green",
    "FAILED": "red",
    "CANCELLED": "yellow",
    "RUNNING": "cyan",
}


def table(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Format rows as a table; on a terminal, fit it to the width."""
    widths = [max(len(str(row[i])) for row in (headers, *rows)) for i in range(len(headers))]
    room = shutil.get_terminal_size((120, 24)).columns if sys.stdout.isatty() else None
    if room is not None and sum(widths[:-1]) + 2 * len(widths) > room:
        return "\n\n".join(_block(headers, row, room) for row in rows)
    lines = [_line(headers, widths)] + [_line(row, widths) for row in rows]
    return "\n".join(line[:room].rstrip() for line in lines)


def _block(headers: Sequence[str], row: Sequence[str], room: int) -> str:
    """Format a row as one line for each cell, for a terminal too narrow for the table."""
    width = max(map(len, headers))
    cells = [(header, str(cell)) for header, cell in zip(headers, row, strict=True) if cell]
    return "\n".join(f"{header.ljust(width)}  {cell}"[:room] for header, cell in cells)


def _line(row: Sequence[str], widths: Sequence[int]) -> str:
    return "  ".join(str(cell).ljust(width) for cell, width in zip(row, widths, strict=True))


def coloured(status: str) -> str:
    """Return a status in its colour."""
    return click.style(status, fg=STATUS_COLOURS.get(status))


def moment(at_us: int) -> str:
    """Format a time in the local time zone."""
    if not at_us:
        return ""
    return dt.datetime.fromtimestamp(at_us / 1e6).astimezone().strftime("%Y-%m-%d %H:%M:%S")


def zoned(at_us: int, zone: str = "") -> str:
    """Format a time with its time zone, by default the local one."""
    from zoneinfo import ZoneInfo  # only for schedules

    at = dt.datetime.fromtimestamp(at_us / 1e6, dt.UTC)
    return at.astimezone(ZoneInfo(zone) if zone else None).strftime("%Y-%m-%d %H:%M:%S %Z")


def count(number: int, noun: str, many: str = "") -> str:
    """Format a number with its noun, singular or plural."""
    return f"{number:,} {noun if number == 1 else many or f'{noun}s'}"


RESULT_LINES_MAX: Final = 100
RESULT_CHARACTERS_MAX: Final = 16_000
"""Most lines and characters of a result that a terminal shows at the end of a run."""


def on_terminal(text: str, command: str) -> str:
    """Shorten a text if stdout is a terminal, and name the command that prints all of it."""
    if not sys.stdout.isatty():
        return text
    lines = text.splitlines()
    beginning = "\n".join(lines[:RESULT_LINES_MAX])[:RESULT_CHARACTERS_MAX]
    if beginning == text:
        return text
    rest = len(lines) - RESULT_LINES_MAX
    more = f"{count(rest, 'more line')}" if rest > 0 else f"of {len(text):,} characters"
    return f"{beginning}\n… {more}; all of it: {command}"


LINE_MAX: Final = 200
"""Longest sentence, in characters, that is shown on a line with other text."""


def short_line(text: str) -> str:
    """Cut a sentence to the length for a shared line."""
    return text if len(text) <= LINE_MAX else text[: LINE_MAX - 1] + "…"


def duration(microseconds: int) -> str:
    """Format a duration for people."""
    seconds = microseconds / 1e6
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"


def value(data: Any) -> str:
    """Format a value as indented JSON, secrets as ``***``."""
    return to_json(shown(data), indent=2)


def short(data: Any, limit: int) -> str:
    """Format a value as one line of JSON, cut to a length."""
    text = to_json(shown(data))
    return text if len(text) <= limit else text[: limit - 1] + "…"
