"""Content of objects and files as values: JSON, text, or Base64."""

from __future__ import annotations

import base64
from typing import Any, Final

from arcbook.jsons import read, write

CONTENT_BYTES_MAX: Final = 64 * 1024 * 1024
"""Size of content that is read into a result; larger content goes to a file."""


class ContentError(ValueError):
    """Content is not what its encoding says."""


def bytes_of(value: Any, encoding: str) -> bytes:
    """Return what is put as bytes.

    Raises:
        ContentError: it is said to be Base64 and is not.
    """
    if not isinstance(value, str):
        return write(value)
    if encoding != "base64":
        return value.encode()
    try:
        return base64.b64decode(value, validate=True)
    except ValueError as error:
        raise ContentError(f"the content is not Base64: {error}") from None


def content_of(data: bytes, encoding: str) -> dict[str, Any]:
    """Return bytes as a value: JSON, text, or Base64."""
    if encoding == "base64":
        return {"data": base64.b64encode(data).decode(), "encoding": "base64"}
    try:
        text = data.decode()
    except UnicodeDecodeError:
        return {"data": base64.b64encode(data).decode(), "encoding": "base64"}
    if encoding == "json" or (encoding == "auto" and text.lstrip()[:1] in ("{", "[")):
        try:
            return {"data": read(data)}
        except ValueError:
            if encoding == "json":
                raise ContentError("the object is not JSON") from None
    return {"data": text}
