"""Values as code gets them, and as the parent takes them."""

from __future__ import annotations

import base64
import datetime as dt
import json
import math
from collections.abc import Iterator
from typing import Any, Final

ROWSET_DEPTH_MAX: Final = 3
"""How deep row sets are looked for: a step, its task, a statement."""


class RowSet(dict[str, Any]):
    """A query's result: a mapping that is also the list of its rows, and its first row.

    Playbooks treat what a query yields in all three ways.
    """

    __slots__ = ()

    @property  # type: ignore[misc]  # code asks whether it is a list
    def __class__(self) -> type:
        return list

    def __getitem__(self, key: Any) -> Any:
        if isinstance(key, (int, slice)):
            return dict.get(self, "rows", [])[key]
        try:
            return dict.__getitem__(self, key)
        except KeyError:
            rows = dict.get(self, "rows")
            if rows and isinstance(rows[0], dict) and key in rows[0]:
                return rows[0][key]
            raise

    def get(self, key: Any, default: Any = None) -> Any:
        try:
            return self[key]
        except KeyError:
            return default

    def __iter__(self) -> Iterator[Any]:
        return iter(dict.get(self, "rows", []))

    def __len__(self) -> int:
        return len(dict.get(self, "rows", []))

    def __bool__(self) -> bool:
        return True


def with_rowsets(value: Any, depth: int = 0) -> Any:
    """Return a value in which what queries yielded are row sets, also below a step's result."""
    if type(value) is not dict or depth > ROWSET_DEPTH_MAX:
        return value
    if _is_rowset(value):
        return RowSet(value)
    for key, inner in value.items():
        if type(inner) is dict:
            value[key] = with_rowsets(inner, depth + 1)
    return value


def _is_rowset(value: dict[str, Any]) -> bool:
    return (
        type(value) is dict
        and isinstance(value.get("rows"), list)
        and "columns" in value
        and "row_count" in value
    )


def encodable(value: Any, depth: int = 0) -> Any:
    """Return a value as JSON has it, whatever the code made."""
    kind = type(value)
    if kind in (str, int, bool, type(None)):
        return value
    if kind is float:
        return value if math.isfinite(value) else None
    if depth > 100:
        raise ValueError("the result nests deeper than 100 levels, or contains itself")
    if isinstance(value, dict):
        return {_key(k): encodable(v, depth + 1) for k, v in dict.items(value)}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [encodable(v, depth + 1) for v in value]
    return _unusual(value, depth)


def _key(key: Any) -> str:
    if isinstance(key, str):
        return key
    return json.dumps(key) if isinstance(key, (bool, int, float, type(None))) else str(key)


def _unusual(value: Any, depth: int) -> Any:
    if isinstance(value, (dt.datetime, dt.date, dt.time)):
        return value.isoformat()
    if type(value).__name__ in ("Decimal", "UUID"):
        return str(value)
    if isinstance(value, (bytes, bytearray, memoryview)):
        return base64.b64encode(bytes(value)).decode()
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, int):
        return int(value)
    for name in ("tolist", "to_dict", "_asdict", "item", "isoformat"):
        method = getattr(value, name, None)
        if callable(method) and not isinstance(value, type):
            return encodable(method(), depth + 1)
    fields = getattr(value, "__dataclass_fields__", None)
    if fields and not isinstance(value, type):
        return {name: encodable(getattr(value, name), depth + 1) for name in fields}
    if hasattr(value, "__next__"):
        return [encodable(v, depth + 1) for v in value]
    return str(value)
