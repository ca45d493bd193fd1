"""Rows of and for files: CSV, Parquet and JSON lines, read and written by DuckDB."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

from arcbook.outcome import ErrorKind
from arcbook.tools.transfer.duck import DuckPlace, DuckSource, copied_into
from arcbook.tools.transfer.ends import Rows, SourceParams, TargetParams, Written, fault

READERS: Final = {
    "csv": "read_csv({path})",
    "jsonl": "read_json({path}, format = 'newline_delimited')",
    "parquet": "read_parquet({path})",
}
_WRITERS: Final = {
    "csv": "FORMAT csv, HEADER true",
    "jsonl": "FORMAT json",
    "parquet": "FORMAT parquet",
}
_ENDINGS: Final = {".csv": "csv", ".jsonl": "jsonl", ".ndjson": "jsonl", ".parquet": "parquet"}


def format_of(path: str, written: Any) -> str:
    """Return the format of a file: as it is written, or by the file's ending.

    Raises:
        EndError: neither says it.
    """
    name = str(written or _ENDINGS.get(Path(path).suffix.lower(), "")).lower()
    if name not in READERS:
        known = ", ".join(READERS)
        raise fault(f"'format' must be one of {known}: the ending of {path!r} does not say it")
    return name


class FileSource:
    """A file whose rows are read."""

    def __init__(self, place: DuckPlace, params: SourceParams, path: str, form: str) -> None:
        self._place = place
        self._path = path
        reader = READERS[form].format(path=_literal(path))
        query = params.query
        text = f"FROM {reader}" if query is None else f"WITH file AS (FROM {reader}) {query}"
        self._source = DuckSource(place, SourceParams(query=text, params=params.params))

    @asynccontextmanager
    async def open(self) -> AsyncIterator[Rows]:
        if not Path(self._path).is_file():
            raise fault(f"there is no file {self._path!r}", ErrorKind.NOT_FOUND, "FILE")
        async with self._source.open() as rows:
            yield rows


class FileTarget:
    """A file that is written as a whole, and appears when it is complete."""

    def __init__(self, place: DuckPlace, params: TargetParams, path: str, form: str) -> None:
        self._place = place
        self._params = params
        self._path = path
        self._form = form

    async def write(self, rows: Rows, mode: str) -> Written:
        if mode != "replace":
            raise fault("a file is written as a whole: write 'mode: replace'")
        # Beside the file, so that it takes its place in one step.
        part = f"{self._path}.{uuid.uuid4().hex[:12]}.arcbook-part"
        copy = f"COPY {{table}} TO {_literal(part)} ({_WRITERS[self._form]})"
        try:
            written = await copied_into(self._place, self._params, rows, copy)
            Path(part).replace(self._path)
        finally:
            Path(part).unlink(missing_ok=True)
        return Written(rows=written.rows, table=self._path, columns=written.columns)


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
