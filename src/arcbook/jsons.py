"""JSON as it comes in and goes out: numbers keep their value, and every text has a UTF-8 form.

Integers are exact. What JSON has no number for, NaN and the infinities, is null, whether a
document names it or writes a number as large. Half of a surrogate pair, and bytes that are
no UTF-8, become U+FFFD. The quick way is taken for all that is plain.
"""

from __future__ import annotations

import json
import math
from typing import Any, Final

import orjson

from arcbook.errors import InvalidError
from arcbook.template.characters import whole, whole_text

INTEGER_DIGITS_MAX: Final = 4300
"""Digits of an integer: what JSON readers that are exact take."""


_ZEROS: Final = bytes.maketrans(b"123456789", b"000000000")
_LONG: Final = b"0" * 19
"""Digits of which a quick reader may make a float."""


class JsonError(InvalidError):
    """A text is no JSON, or holds what no value can be; the message says what."""

    code = "invalid_json"


class TooDeepError(JsonError):
    """A text or a value nests deeper than can be read or written."""

    code = "nested_too_deeply"


def read(source: bytes | str) -> Any:
    """Return the value of a JSON text.

    Raises:
        JsonError: it is none.
        TooDeepError: it nests too deeply.
    """
    raw = source.encode("utf-8", "surrogatepass") if isinstance(source, str) else source
    if _LONG not in raw.translate(_ZEROS):
        try:
            return orjson.loads(raw)
        except orjson.JSONDecodeError:  # unusual numbers or characters, or no JSON
            pass
    return _read_exactly(source)


def _read_exactly(source: bytes | str) -> Any:
    text = source.decode("utf-8-sig", "replace") if isinstance(source, bytes) else source
    try:
        found = json.loads(
            text, parse_int=_integer, parse_float=_real, parse_constant=lambda _: None
        )
    except JsonError:
        raise
    except json.JSONDecodeError as error:
        raise JsonError(str(error)) from None
    except RecursionError:
        raise TooDeepError("the JSON text nests too deeply to be read") from None
    return whole(found)


def _integer(digits: str) -> int:
    if len(digits.lstrip("-")) > INTEGER_DIGITS_MAX:
        raise JsonError(
            f"an integer has {len(digits):,} digits; the limit is {INTEGER_DIGITS_MAX:,}"
        )
    return int(digits)


def _real(digits: str) -> float | None:
    value = float(digits)
    return value if math.isfinite(value) else None


def write(value: Any, *, indented: bool = False) -> bytes:
    """Return data as JSON; what is of no type that JSON has becomes text.

    Raises:
        TypeError: it cannot be written.
        TooDeepError: it nests too deeply.
    """
    options = orjson.OPT_NON_STR_KEYS | (orjson.OPT_INDENT_2 if indented else 0)
    try:
        return orjson.dumps(value, option=options, default=str)
    except TypeError:  # integers of more than 64 bits, or characters without a UTF-8 form
        pass
    try:
        text = json.dumps(
            _finite(value),
            default=str,
            ensure_ascii=False,
            indent=2 if indented else None,
            separators=None if indented else (",", ":"),
        )
    except RecursionError:
        raise TooDeepError("the value nests too deeply to be written") from None
    except ValueError as error:
        raise TypeError(str(error)) from None
    return whole_text(text).encode()


def _finite(value: Any) -> Any:
    """Return a value with null for the numbers that JSON lacks."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {k: _finite(v) for k, v in value.items()}
    return [_finite(v) for v in value] if isinstance(value, (list, tuple)) else value
