"""Make text encodable as UTF-8, by removing lone surrogates."""

from __future__ import annotations

from typing import Any


def whole_text(text: str) -> str:
    """Return a text with surrogate pairs joined and lone surrogates replaced by U+FFFD."""
    if text.isascii():
        return text
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return text


def whole(value: Any) -> Any:
    """Return JSON data with lone surrogates replaced in all of its text."""
    if type(value) is str:
        return whole_text(value)
    if type(value) is list:
        return [whole(v) for v in value]
    if type(value) is dict:
        return {whole_text(k): whole(v) for k, v in value.items()}
    return value
