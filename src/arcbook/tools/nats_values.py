"""Values of ``nats`` as bytes, and back."""

from __future__ import annotations

import base64
import binascii
from typing import Any

import msgspec

from arcbook.outcome import ErrorKind
from arcbook.tools.nats_pool import refuse


def encode_value(value: Any, encoding: str | None) -> bytes:
    """Return a value as bytes: text as it is, anything else as JSON.

    Raises:
        Refusal: it is said to be Base64 and is not.
    """
    if not isinstance(value, str):
        return msgspec.json.encode(value)
    if encoding != "base64":
        return value.encode()
    try:
        return base64.b64decode(value, validate=True)
    except binascii.Error as error:
        message = f"the value is not Base64: {error}"
        raise refuse(ErrorKind.CONFIG, message, code="NATS_BASE64") from None


def decode_value(data: bytes, encoding: str | None) -> dict[str, Any]:
    """Return bytes as a value, and how they are written if they are not text.

    JSON mappings and lists come back as such; other text stays text, for nothing says
    whether ``5`` was a number.
    """
    if encoding == "base64":
        return {"value": base64.b64encode(data).decode(), "encoding": "base64"}
    try:
        text = data.decode()
    except UnicodeDecodeError:
        return {"value": base64.b64encode(data).decode(), "encoding": "base64"}
    if encoding is None and text[:1] in ("{", "["):
        try:
            return {"value": msgspec.json.decode(data)}
        except msgspec.DecodeError:
            pass
    return {"value": text}
