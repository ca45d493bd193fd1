"""Rows that a web service answers."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, Final

from msgspec.structs import replace

from arcbook.outcome import ErrorKind, Outcome
from arcbook.tools.api import ToolCall
from arcbook.tools.http_params import HttpParams
from arcbook.tools.transfer.ends import BATCH_ROWS, Batch, EndError, Rows, SourceParams, fault

_OTHER_NAMES: Final = {"endpoint": "url", "payload": "json", "verify": "verify_ssl"}


class WebRows:
    """Mappings that came all at once."""

    def __init__(self, records: list[dict[str, Any]], names: list[str]) -> None:
        self._records = records
        columns = dict.fromkeys(str(name) for record in records for name in record)
        self.columns = list(columns) or names
        self.kinds = [_kind([record.get(name) for record in records]) for name in self.columns]

    async def batches(self) -> AsyncIterator[Batch]:
        for start in range(0, len(self._records), BATCH_ROWS):
            part = self._records[start : start + BATCH_ROWS]
            yield [[record.get(name) for name in self.columns] for record in part]


class WebSource:
    """One request, and the rows in its answer."""

    def __init__(
        self, send: Callable[[], Awaitable[Outcome]], params: SourceParams, names: list[str]
    ) -> None:
        self._send = send
        self._path = params.data_path or ""
        #: Fields that are wanted, be there rows or not.
        self._names = names

    @asynccontextmanager
    async def open(self) -> AsyncIterator[Rows]:
        outcome = await self._send()
        if not outcome.is_ok:
            raise EndError(outcome)
        records = records_of(outcome.data["data"], self._path)
        yield WebRows(_reached(records, self._names), self._names)


def request(call: ToolCall, fields: dict[str, Any], auth: Any) -> ToolCall:
    """Return the call of the http tool that a source stands for."""
    known = set(HttpParams.__struct_fields__)
    named = {_OTHER_NAMES.get(name, name): value for name, value in fields.items()}
    config = {name: value for name, value in named.items() if name in known}
    return replace(call, kind="http", config=config, auth=auth)


def records_of(body: Any, path: str) -> list[dict[str, Any]]:
    """Return the rows in a body.

    Raises:
        EndError: there are none where they should be.
    """
    for part in path.split(".") if path else ():
        value = body.get(part) if isinstance(body, dict) else None
        if isinstance(body, list) and part.isdigit() and int(part) < len(body):
            value = body[int(part)]
        if value is None:
            message = f"the answer has nothing at {path!r}"
            raise fault(message, ErrorKind.SCHEMA, "DATA_PATH")
        body = value
    records = [body] if isinstance(body, dict) else body
    if not isinstance(records, list) or not all(isinstance(r, dict) for r in records):
        message = "the answer is no list of mappings; 'source.data_path' says where in it they are"
        raise fault(message, ErrorKind.SCHEMA, "DATA_PATH")
    return records


def _reached(records: list[dict[str, Any]], names: list[str]) -> list[dict[str, Any]]:
    """Return records with the fields that stand deeper in them: ``address.city``."""
    deep = [name for name in names if "." in name]
    if not deep:
        return records
    return [{**{n: _at(record, n) for n in deep}, **record} for record in records]


def _at(record: Any, name: str) -> Any:
    for part in name.split("."):
        record = record.get(part) if isinstance(record, dict) else None
    return record


def _kind(values: list[Any]) -> str:
    """Return the type that takes all of some JSON values."""
    types = {type(value) for value in values if value is not None}
    if types & {dict, list}:
        return "JSON"
    if types == {bool}:
        return "BOOLEAN"
    if types == {int}:
        return "BIGINT"
    return "DOUBLE" if types and types <= {int, float} else "VARCHAR"
