"""Values as code gets them, and as the parent takes them."""

from __future__ import annotations

import base64
import datetime as dt
import enum
import inspect
import json
import math
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Any, Final

_dumps: Final = json.dumps
"""As it is before the code runs, which may replace it."""

NESTING_MAX: Final = 100
"""Levels of mappings and lists in a result."""

INTEGER_DIGITS_MAX: Final = 4300
"""Digits of an integer that JSON is read with."""

INTEGER_MAX: Final = 10**INTEGER_DIGITS_MAX

LISTS: Final[tuple[type[Iterable[Any]], ...]] = (
    list,
    tuple,
    set,
    frozenset,
    range,
    deque,
    type({}.keys()),
    type({}.values()),
    type({}.items()),
)
"""What is a list in JSON."""

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


class NoFormError(TypeError):
    """A value has no form in JSON."""


class DepthError(ValueError):
    """A result nests too deeply."""


def encodable(value: Any, depth: int = 0) -> Any:
    """Return a value as JSON has it, whatever the code made.

    Raises:
        NoFormError: something in it has no such form.
        DepthError: it nests too deeply.
    """
    kind = type(value)
    if kind in (str, bool, type(None)):
        return value
    if kind is int:
        if -INTEGER_MAX < value < INTEGER_MAX:
            return value
        raise NoFormError(f"an integer of more than {INTEGER_DIGITS_MAX:,} digits: make it text")
    if kind is float:
        return value if math.isfinite(value) else None
    if depth > NESTING_MAX:
        raise DepthError(f"the result nests deeper than {NESTING_MAX} levels, or contains itself")
    if isinstance(value, dict):
        encoded = {_key(k): encodable(v, depth + 1) for k, v in dict.items(value)}
        if len(encoded) != dict.__len__(value):
            raise _repeated(dict.keys(value))
        return encoded
    if isinstance(value, LISTS):
        return [encodable(v, depth + 1) for v in value]
    return _unusual(value, depth)


def place_of(value: Any, place: str = "result", depth: int = 0) -> str:
    """Return where in a result the first value is that has no form in JSON."""
    if isinstance(value, dict):
        inner = [(f"{place}[{str(k)[:80]!r}]", v) for k, v in dict.items(value)]
    elif isinstance(value, LISTS) and not isinstance(value, (set, frozenset)):
        inner = [(f"{place}[{i}]", v) for i, v in enumerate(value)]
    else:
        return place
    for where, one in inner:
        try:
            encodable(one, depth + 1)
        except NoFormError:
            return place_of(one, where, depth + 1)
        except ValueError:
            continue
    return place


def _repeated(keys: Iterable[Any]) -> NoFormError:
    """Return the error of a mapping two keys of which are the same text in JSON."""
    ((name, _),) = Counter(map(_key, keys)).most_common(1)
    return NoFormError(f"two keys are {name[:80]!r} in JSON: make one of them another text")


def _key(key: Any) -> str:
    if isinstance(key, str):
        return key
    return _dumps(key) if isinstance(key, (bool, int, float, type(None))) else str(key)


def _unusual(value: Any, depth: int) -> Any:
    if type(value).__name__ in NOTHING:
        return None
    if isinstance(value, (dt.datetime, dt.date, dt.time)):
        return value.isoformat()
    if isinstance(value, (bytes, bytearray, memoryview)):
        return base64.b64encode(bytes(value)).decode()
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, (int, float)):
        return encodable(int(value) if isinstance(value, int) else float(value), depth)
    if isinstance(value, enum.Enum):
        return encodable(value.value, depth + 1)
    if isinstance(value, Mapping):
        items = [(_key(k), encodable(value[k], depth + 1)) for k in value]
        if len(encoded := dict(items)) != len(items):
            raise _repeated(value)
        return encoded
    return _by_its_methods(value, depth)


def _by_its_methods(value: Any, depth: int) -> Any:
    """Return what an object says that it is, as the libraries have it whose objects they are."""
    if not isinstance(value, type):
        plain = _of_library(value)
        if plain is not value:
            return encodable(plain, depth + 1)
        if fields := _fields(value):
            return {name: encodable(getattr(value, name), depth + 1) for name in fields}
        if hasattr(value, "__next__") or isinstance(value, (Sequence, AbstractSet)):
            return [encodable(v, depth + 1) for v in value]
        if getattr(type(value), "__str__", None) is not object.__str__:
            return encodable(str(value), depth)
    if inspect.iscoroutine(value):
        value.close()
    what = f"a value of the type {type(value).__name__} has no form in JSON"
    raise NoFormError(f"{what}: make it text, a number, a list or a mapping")


NOTHING: Final = frozenset({"NAType", "NaTType"})
"""Types whose only value says that there is none."""

METHODS: Final = (
    *("to_dicts", "to_pylist", "tolist", "to_list", "to_dict", "model_dump", "as_py"),
    *("_asdict", "item", "isoformat"),
)
"""Methods that return plain data; tables of libraries become lists of their rows."""


def _of_library(value: Any) -> Any:
    """Return the plain data that an object gives, or the object."""
    kind = getattr(getattr(value, "dtype", None), "kind", None)
    if kind in ("m", "M") and type(value).__module__ == "numpy":
        return value.astype(str).tolist()  # else nanoseconds, which are numbers
    if hasattr(value, "columns") and callable(getattr(value, "to_dict", None)):
        rows = getattr(value, "to_dicts", None)
        return rows() if callable(rows) else value.to_dict("records")
    for name in METHODS:
        method = getattr(value, name, None)
        if callable(method):
            return method()
    return value


def _fields(value: Any) -> Iterable[str]:
    """Return the names of the fields of a class that declares them."""
    kind = type(value)
    if declared := getattr(kind, "__dataclass_fields__", None):
        return list(declared)
    if names := getattr(kind, "__struct_fields__", None):
        return list(names)
    return [field.name for field in getattr(kind, "__attrs_attrs__", ())]
