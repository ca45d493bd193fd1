"""The result that every SQL tool yields: columns, rows and counts, within limits."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

import msgspec

from arcbook.dsl.kinds import shape

ROWS_MAX: Final = 100_000
"""Rows of one statement that a call keeps."""

BYTES_MAX: Final = 64 * 1024 * 1024
"""Size of the rows that a call keeps, of all its statements, as JSON."""


MEASURED_ROWS: Final = 100
"""Rows whose size is measured at once."""


class SqlStatement(msgspec.Struct, kw_only=True):
    """What one statement yielded."""

    #: Names of its columns, each once; ``None`` if it yields no rows at all.
    columns: list[str] | None = None
    rows: list[dict[str, Any]] = []
    #: Rows that it changed, where it says.
    affected: int | None = None
    #: What the database said of it: ``INSERT 0 3``.
    message: str = ""
    #: Whether there were more rows than a call keeps.
    truncated: bool = False

    def data(self) -> dict[str, Any]:
        """Return it as the value of ``command_<i>``."""
        data: dict[str, Any] = {
            "status": "success",
            "columns": self.columns or [],
            "rows": self.rows,
            "row_count": self.row_count,
        }
        if self.message:
            data["message"] = self.message
        if self.truncated:
            data["truncated"] = True
        return data

    @property
    def row_count(self) -> int:
        """How many rows it yields, or else how many it changed."""
        return len(self.rows) if self.columns is not None else self.affected or 0


_COMMAND: Final = {
    "status": "`success`.",
    "columns": "Names of the columns, each once.",
    "rows": "Rows of the last statement that yields some, each a mapping by column.",
    "row_count": "How many rows those are; where no statement yields rows, how many it changed.",
    "message": "What the database said: `INSERT 0 3`.",
    "truncated": "`true` where there were more rows than are kept.",
}

SHAPE: Final = shape(
    {
        **_COMMAND,
        "affected_rows": "How many rows the last statement changed that says so.",
        "command_<n>": shape(_COMMAND),
    }
)
"""What the data of a call has."""


class RowLimits:
    """How many rows, and how much of them, a call may still keep."""

    def __init__(self, rows_max: int | None = None, bytes_max: int = BYTES_MAX) -> None:
        self.rows_max = ROWS_MAX if rows_max is None else min(rows_max, ROWS_MAX)
        self.bytes_left = bytes_max
        self.bytes_max = bytes_max

    @property
    def bytes_kept(self) -> int:
        """Size of the rows that were kept."""
        return self.bytes_max - max(0, self.bytes_left)

    def keep_batch(self, command: SqlStatement, batch: Sequence[Sequence[Any]]) -> bool:
        """Add rows to a command as far as the limits allow; false once a limit is reached."""
        for start in range(0, len(batch), MEASURED_ROWS):
            part = batch[start : start + MEASURED_ROWS]
            if self._keep_together(command, part):
                continue
            if not all(self.keep(command, values) for values in part):
                return False
        return True

    def _keep_together(self, command: SqlStatement, batch: Sequence[Sequence[Any]]) -> bool:
        """Add rows if all of them are within the limits."""
        if command.truncated or len(command.rows) + len(batch) > self.rows_max:
            return False
        columns = command.columns or ()
        rows = [dict(zip(columns, values, strict=True)) for values in batch]
        size = len(msgspec.json.encode(rows)) - 1  # as that of each row, and 1
        if size > self.bytes_left:
            return False
        self.bytes_left -= size
        command.rows += rows
        return True

    def keep(self, command: SqlStatement, values: Sequence[Any]) -> bool:
        """Add a row to a command; false, and never a row again, once a limit is reached."""
        if command.truncated or len(command.rows) >= self.rows_max:
            command.truncated = True
            return False
        row = dict(zip(command.columns or (), values, strict=True))
        size = len(msgspec.json.encode(row)) + 1
        if size > self.bytes_left:
            command.truncated = True
            return False
        self.bytes_left -= size
        command.rows.append(row)
        return True


def result(commands: Sequence[SqlStatement]) -> dict[str, Any]:
    """Return the data of a call: the last statement's rows, and each statement's by number."""
    yielding = [c for c in commands if c.columns is not None]
    chosen = yielding[-1] if yielding else commands[-1]
    data = {**chosen.data(), "message": commands[-1].message}
    changing = [c.affected for c in commands if c.affected is not None]
    if changing:
        data["affected_rows"] = changing[-1]
    if any(c.truncated for c in commands):
        data["truncated"] = True
    for number, command in enumerate(commands):
        data[f"command_{number}"] = command.data()
    return data


def meta(commands: Sequence[SqlStatement], limits: RowLimits) -> dict[str, Any]:
    """Return the facts about a call that its outcome carries beside the data."""
    facts: dict[str, Any] = {
        "rows": sum(len(c.rows) for c in commands),
        "bytes": limits.bytes_kept,
        "statements": len(commands),
    }
    return {**facts, "truncated": True} if any(c.truncated for c in commands) else facts


def unique(names: Iterable[str]) -> list[str]:
    """Return names such that each is there once: a repeated one gets a number."""
    written = list(names)
    taken = set(written)
    seen: set[str] = set()
    made: list[str] = []
    for name in written:
        candidate, number = name, 2
        while candidate in seen or (candidate != name and candidate in taken):
            candidate, number = f"{name}_{number}", number + 1
        seen.add(candidate)
        made.append(candidate)
    return made
