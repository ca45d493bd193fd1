"""DuckDB's types as JSON, without loss.

Its Python client reads some types wrongly or not at all: an interval loses its months, a
nanosecond is cut, a time with zone needs another package, infinity becomes a
year. Those are asked for as text.
"""

from __future__ import annotations

import base64
import datetime as dt
import json
import re
from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any, Final

from arcbook.tools.sql import values
from arcbook.tools.sql.text import quoted

Reader = Callable[[Any], Any]

_AS_TEXT: Final = frozenset(
    {
        "DATE",
        "INTERVAL",
        "TIMESTAMP",
        "TIMESTAMP WITH TIME ZONE",
        "TIMESTAMP_MS",
        "TIMESTAMP_NS",
        "TIMESTAMP_S",
        "TIME WITH TIME ZONE",
        "TIME_NS",
    }
)
_MAY_NEED_TEXT: Final = re.compile(r"DATE|INTERVAL|TIME ZONE|TIMESTAMP|TIME_NS")
_WIDE: Final = frozenset({"BIGNUM", "HUGEINT", "UHUGEINT", "VARINT"})
"""Integers of more than 64 bits, among them what sums of integers are."""

_JSON_TYPES: Final = frozenset(
    ["BOOLEAN", "INTEGER", "SMALLINT", "TINYINT", "UINTEGER", "USMALLINT", "UTINYINT", "VARCHAR"]
)

_NESTED: Final = frozenset({"list", "array", "struct", "map"})


def may_need_text(type_names: Sequence[str]) -> bool:
    """Whether a type may hold values that the client does not read well."""
    return any(_MAY_NEED_TEXT.search(name) for name in type_names)


def as_text(statement: str, types: Sequence[Any]) -> str:
    """Return a query that yields the same, with text where the client needs it."""
    names = [quoted(f"c{i}") for i in range(len(types))]
    wanted = [(name, _text_type(kind)) for name, kind in zip(names, types, strict=True)]
    shown = ", ".join(f"CAST({n} AS {t})" if t else n for n, t in wanted)
    return "\n".join([f"FROM (\n{statement}\n) AS q({', '.join(names)})", f"SELECT {shown}"])


def _text_type(kind: Any) -> str | None:
    """Return a type with its unreadable parts as text; ``None`` if it has none."""
    if str(kind) in _AS_TEXT:
        return "VARCHAR"
    if kind.id not in _NESTED:
        return None
    parts = [(name, part) for name, part in kind.children if name != "size"]
    made = [(name, part, _text_type(part)) for name, part in parts]
    if all(text is None for _, _, text in made):
        return None
    inner = [(name, text or str(part)) for name, part, text in made]
    if kind.id == "struct":
        return "STRUCT(" + ", ".join(f"{quoted(name)} {text}" for name, text in inner) + ")"
    if kind.id == "map":
        return f"MAP({', '.join(text for _, text in inner)})"
    return f"{inner[0][1]}[]"


# -- reading ----------------------------------------------------------------------------


def reader(kind: Any) -> Reader:
    """Return what makes JSON of the client's values of a type."""
    name = str(kind)
    if name == "JSON":
        return _json
    if name in _WIDE:
        return lambda v: None if v is None else str(v)
    if name == "INTERVAL":
        return lambda v: values.iso_interval(v) if isinstance(v, str) else plain(v)
    if name.startswith("TIMESTAMP"):
        return lambda v: values.iso_timestamp(v) if isinstance(v, str) else plain(v)
    if name == "TIME WITH TIME ZONE":
        return lambda v: values.iso_zone(v) if isinstance(v, str) else plain(v)
    if kind.id in ("list", "array"):
        inner = reader(kind.children[0][1])
        return lambda v: None if v is None else [inner(item) for item in v]
    if kind.id == "struct":
        fields = {part: reader(inner) for part, inner in kind.children}
        return lambda v: None if v is None else {k: read(v[k]) for k, read in fields.items()}
    return _map_reader(kind) if kind.id == "map" else plain


def is_json(kind: Any) -> bool:
    """Whether JSON has the client's values of a type as they are."""
    return str(kind) in _JSON_TYPES


def is_decimal(kind: Any) -> bool:
    """Whether a type is of decimals, or of lists of such."""
    if kind.id in ("list", "array"):
        return is_decimal(kind.children[0][1])
    return kind.id == "decimal" or str(kind) in _WIDE


def rounding(read: Reader) -> Reader:
    """Return what makes floats of what a reader of decimals yields."""
    return lambda value: values.nearest(read(value))


def _map_reader(kind: Any) -> Reader:
    (_, key), (_, value) = kind.children
    read_key, read = reader(key), reader(value)
    if key.id in _NESTED:  # what cannot be a key of a mapping comes as two lists
        return lambda v: (
            None
            if v is None
            else [
                {"key": read_key(k), "value": read(item)}
                for k, item in zip(v["key"], v["value"], strict=True)
            ]
        )
    return lambda v: None if v is None else {str(read_key(k)): read(item) for k, item in v.items()}


def _json(value: Any) -> Any:
    if not isinstance(value, str):
        return plain(value)
    return json.loads(value, parse_int=values.json_integer, parse_float=values.json_real)


def plain(value: Any) -> Any:
    """Return a value of the client as JSON has it, by what it is."""
    if value is None or isinstance(value, str | bool):
        return value
    if isinstance(value, int):
        return values.integer(value)
    if isinstance(value, float):
        return values.real(value)
    if isinstance(value, Decimal):
        return values.decimal(value)
    if isinstance(value, dt.date | dt.time):
        return value.isoformat()
    if isinstance(value, dt.timedelta):
        return _duration(value)
    if isinstance(value, bytes | bytearray | memoryview):
        return base64.b64encode(bytes(value)).decode()
    if isinstance(value, dict):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return str(value)


def _duration(value: dt.timedelta) -> str:
    seconds = Decimal(value.seconds) + Decimal(value.microseconds) / 1_000_000
    clock = f"T{seconds.normalize():f}S" if seconds else ""
    days = f"{value.days}D" if value.days else ""
    return f"P{days}{clock}" if days or clock else "PT0S"
