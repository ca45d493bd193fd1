"""PostgreSQL's types as JSON, without loss.

Each loader reads the text form of a value. Text that it does not know, such as a date
style of the user's own, stays the text that it is.
"""

from __future__ import annotations

import base64
import json
import re
from typing import Any, Final

from psycopg import AsyncConnection
from psycopg.abc import Buffer
from psycopg.adapt import Loader, Transformer
from psycopg.pq import Format
from psycopg.types.json import Jsonb

from arcbook.tools.sql import values

_UNUSUAL_NUMBER: Final = re.compile(rb"\d{19}|\d[eE]\+?\d{3}")
_PLAIN: Final = (str, int, float, bool, type(None))


class _Text(Loader):
    """Text as it is: names, networks, identifiers, enums, ranges, composites."""

    def load(self, data: Buffer) -> Any:
        return bytes(data).decode()


class _Real(Loader):
    def load(self, data: Buffer) -> Any:
        value = float(bytes(data))
        # Neither infinite nor none; quicker than to ask for each of them.
        return value if value - value == 0.0 else values.real(value)


class _Numeric(Loader):
    def load(self, data: Buffer) -> Any:
        return bytes(data).decode()


class _Bytes(Loader):
    """Bytes as base64, however the server is set to write them."""

    def load(self, data: Buffer) -> Any:
        return base64.b64encode(bytea(bytes(data))).decode()


class _Timestamp(Loader):
    def load(self, data: Buffer) -> Any:
        return values.iso_timestamp(bytes(data).decode())


class _TimeZoned(Loader):
    def load(self, data: Buffer) -> Any:
        return values.iso_zone(bytes(data).decode())


class _Interval(Loader):
    def load(self, data: Buffer) -> Any:
        return values.iso_interval(bytes(data).decode())


class _Json(Loader):
    def load(self, data: Buffer) -> Any:
        raw = bytes(data)
        if _UNUSUAL_NUMBER.search(raw):
            return json.loads(raw, parse_int=values.json_integer, parse_float=values.json_real)
        return json.loads(raw)


_RANGES: Final = [
    f"{name}{suffix}"
    for name in ("int4", "int8", "num", "date", "ts", "tstz")
    for suffix in ("range", "multirange")
]
_LOADERS: Final[dict[type[Loader], list[str]]] = {
    _Text: ["date", "time", "uuid", "inet", "cidr", "record", *_RANGES],
    _Real: ["float4", "float8"],
    _Numeric: ["numeric"],
    _Bytes: ["bytea"],
    _Timestamp: ["timestamp", "timestamptz"],
    _TimeZoned: ["timetz"],
    _Interval: ["interval"],
    _Json: ["json", "jsonb"],
}


def register(connection: AsyncConnection[Any]) -> None:
    """Make a connection read values as JSON has them."""
    for loader, names in _LOADERS.items():
        for name in names:
            connection.adapters.register_loader(name, loader)


# -- types of the database's own ---------------------------------------------------------

ARRAY_QUERY: Final = """
SELECT a.oid, CASE WHEN e.typtype = 'd' THEN e.typbasetype ELSE e.oid END
FROM pg_catalog.pg_type a JOIN pg_catalog.pg_type e ON e.oid = a.typelem
WHERE a.oid = ANY(%s) AND a.typcategory = 'A' AND e.typdelim = ','
"""
"""Which of some types are arrays, and of what: enums, composites and domains have them."""

_ARRAY_TOKEN: Final = re.compile(r'"((?:[^"\\]|\\.)*)"|([{}])|([^{}",][^{},]*)', re.DOTALL)


_DECIMALS: Final = frozenset({1700, 1231})
"""The types ``numeric`` and ``numeric[]``, which every database has under these numbers."""


def is_decimal(oid: int) -> bool:
    """Whether a type is of decimals."""
    return oid in _DECIMALS


def is_known(connection: AsyncConnection[Any], oid: int) -> bool:
    """Whether a type is PostgreSQL's own, so that a connection reads its arrays by itself."""
    return connection.adapters.types.get(oid) is not None


def array(connection: AsyncConnection[Any], text: str, element: int) -> list[Any]:
    """Return the list that an array's text form stands for.

    Args:
        connection: it knows how to read the elements.
        text: such as ``{{a,NULL},{"b c",d}}``.
        element: the type of the elements.
    """
    load = Transformer(connection).get_loader(element, Format.TEXT).load
    stack: list[list[Any]] = [[]]
    start = text.index("{")
    for quoted, brace, plain in _ARRAY_TOKEN.findall(text, start):
        if brace == "{":
            stack.append([])
        elif brace == "}":
            inner = stack.pop()
            stack[-1].append(inner)
        elif plain:
            stack[-1].append(None if plain == "NULL" else load(plain.encode()))
        else:
            stack[-1].append(load(re.sub(r"\\(.)", r"\1", quoted, flags=re.DOTALL).encode()))
    found: list[Any] = stack[0][0]
    return found


# -- text forms -------------------------------------------------------------------------


def bytea(data: bytes) -> bytes:
    """Return what the text form of ``bytea`` stands for."""
    if data.startswith(b"\\x"):
        return bytes.fromhex(data[2:].decode())
    return re.sub(
        rb"\\(\\|[0-3][0-7]{2})",
        lambda m: b"\\" if m[1] == b"\\" else bytes([int(m[1], 8)]),
        data,
    )


# -- parameters -------------------------------------------------------------------------


def bound(value: Any) -> Any:
    """Return a JSON value as a parameter: mappings, and lists that are no array, as ``jsonb``."""
    if isinstance(value, dict) or (isinstance(value, list) and not _is_array(value)):
        return Jsonb(value)
    return value


def _is_array(value: list[Any]) -> bool:
    """Whether a list can be an SQL array: plain values of one type, or lists of such."""
    if all(isinstance(item, list) for item in value):
        return all(_is_array(item) for item in value) and len({len(i) for i in value}) <= 1
    if not all(isinstance(item, _PLAIN) for item in value):
        return False
    kinds = {type(item) for item in value if item is not None}
    return len(kinds) <= 1
