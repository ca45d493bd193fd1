"""Read and write JSON with exact integers and text that is always valid UTF-8.

NaN, the infinities and numbers too large for a float become null. Lone surrogates and bytes
that are not UTF-8 become U+FFFD. A fast parser handles all ordinary input.
"""

from __future__ import annotations

import json
import math
from typing import Any, Final

import orjson

from arcbook.errors import InvalidError
from arcbook.template.characters import whole, whole_text

INTEGER_DIGITS_MAX: Final = 4300
"""Maximum digits of an integer, the limit of exact JSON readers."""


_ZEROS: Final = bytes.maketrans(b"123456789", b"000000000")
_LONG: Final = b"0" * 19
"""Length from which the fast parser may read digits as a float."""


class JsonError(InvalidError):
    """A text is not JSON, or holds an unsupported value; the message says which."""

    code = "invalid_json"


class TooDeepError(JsonError):
    """A text or a value nests too deeply to be read or written."""

    code = "nested_too_deeply"


def read(source: bytes | str) -> Any:
    """Parse a JSON text.

    Raises:
        JsonError: If the text is not JSON.
        TooDeepError: If the text nests too deeply.
    """
    raw = source.encode("utf-8", "surrogatepass") if isinstance(source, str) else source
    if _LONG not in raw.translate(_ZEROS):
        try:
            return orjson.loads(raw)
        except orjson.JSONDecodeError:  # unusual numbers or characters, or not JSON
            pass
    return _read_exactly(source)


def _read_exactly(source: bytes | str) -> Any:
    text = source.decode("utf-8-sig", "replace") if isinstance(source, bytes) else source
    try:
        value = json.loads(
            text, parse_int=_integer, parse_float=_real, parse_constant=lambda _: None
        )
    except JsonError:
        raise
    except json.JSONDecodeError as error:
        raise JsonError(str(error)) from None
    except RecursionError:
        raise TooDeepError("the JSON text nests too deeply to be read") from None
    return whole(value)


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
    """Serialize data as JSON; values of types that JSON lacks become text.

    Raises:
        TypeError: If the data cannot be serialized.
        TooDeepError: If the data nests too deeply.
    """
    options = orjson.OPT_NON_STR_KEYS | (orjson.OPT_INDENT_2 if indented else 0)
    try:
        return orjson.dumps(value, option=options, default=str)
    except TypeError:  # integers of more than 64 bits, or lone surrogates
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
    """Return a value with null for NaN and the infinities."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {k: _finite(v) for k, v in value.items()}
    return [_finite(v) for v in value] if isinstance(value, (list, tuple)) else value
