"""The forms in which a secret may appear: as it is, encoded, or in other letter cases."""

from __future__ import annotations

import base64
import html
import json
import quopri
import re
from collections.abc import Callable, Iterator
from functools import partial
from typing import Final
from urllib.parse import quote, quote_plus

SECRET_CHARACTERS_MIN: Final = 6
"""Minimum length of a secret that can be recognised."""

_LOWER_ESCAPES: Final = re.compile(r"%[0-9A-F]{2}")

_UNESCAPED: Final = (
    "",
    "/",
    "!'()*",
    "!$&'()*+,;=",
    "!$'()*,/:;=@",
    "!'()*,/:@?",
    "!$&'()*+,/:;=@",
)
"""Characters that URL encoders leave unchanged in some part of a URL."""

_AROUND: Final = 3
"""Bytes that may precede or follow a secret in one group of Base64."""


_SEPARATORS: Final = {
    "colon": ":",
    "space": " ",
    "dash": "-",
    "under": "_",
    "comma": ",",
    "commas": ", ",
    "escape": "\\x",
    "number": ", 0x",
    "line": "\n",
}
"""Separators between the digits of two bytes, by name."""


def forms(secret: str) -> Iterator[tuple[str, str]]:
    """Yield each form in which a secret may appear, with the form's name.

    These are the secret itself, one encoding by any of many encoders, two encodings by the most
    common ones in any order, and the secret in other letter cases.
    """
    known: set[str] = set()
    for name, text in _candidates(secret):
        if len(text) >= SECRET_CHARACTERS_MIN and text not in known:
            known.add(text)
            yield name, text


def _candidates(secret: str) -> Iterator[tuple[str, str]]:
    yield "raw", secret
    for name, encode in _ENCODERS.items():
        yield name, encode(secret)
    yield from _letters(secret)
    yield from _addresses(secret, "url")
    dumped = _json(secret)
    if dumped != secret:
        yield from _addresses(dumped, "jsonxurl")
    for name, encode in _COMMON.items():
        once = encode(secret)
        for further, encode_again in _COMMON.items():
            yield f"{name}x{further}", encode_again(once)


def _letters(secret: str) -> Iterator[tuple[str, str]]:
    yield "upper", secret.upper()
    yield "lower", secret.lower()
    yield "title", secret.title()
    yield "titlein", f"a{secret}".title()[1:]
    yield "capital", secret.capitalize()
    yield "swapped", secret.swapcase()
    yield "reversed", secret[::-1]


def _addresses(text: str, name: str) -> Iterator[tuple[str, str]]:
    """Yield the URL-encoded forms that common encoders produce."""
    for number, unescaped in enumerate(_UNESCAPED):
        path, query = quote(text, unescaped), quote_plus(text, unescaped)
        yield f"{name}{number}", path
        yield f"{name}plus{number}", query
        yield f"{name}low{number}", _LOWER_ESCAPES.sub(lambda m: m[0].lower(), path)


def _json(text: str) -> str:
    return json.dumps(text)[1:-1]


def _json_plain(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)[1:-1]


def _json_for_pages(text: str) -> str:
    """Return JSON escaped for HTML."""
    text = _json(text)
    for character in "<>&'":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


def _markup(text: str) -> str:
    return html.escape(text).replace("&quot;", "&#34;").replace("&#x27;", "&#39;")


def _base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def _base64_url(text: str) -> str:
    return base64.urlsafe_b64encode(text.encode()).decode()


def _base64_inside(shift: int) -> Callable[[str], str]:
    """Return a function for the part of Base64 that does not depend on neighbouring bytes."""

    def encode(text: str) -> str:
        data = text.encode()
        encoded = base64.b64encode(bytes(shift) + data + bytes(_AROUND)).decode()
        return encoded[-(-shift * 8 // 6) : (shift + len(data)) * 8 // 6]

    return encode


def _base64_url_inside(shift: int) -> Callable[[str], str]:
    inside = _base64_inside(shift)
    return lambda text: inside(text).replace("+", "-").replace("/", "_")


def _each(text: str, form: str, separator: str = "") -> str:
    """Format each byte of a text."""
    return separator.join(form.format(byte) for byte in text.encode())


def _by_the_byte() -> dict[str, Callable[[str], str]]:
    """Return formatters for hexadecimal digits with each separator."""
    encoders: dict[str, Callable[[str], str]] = {}
    for name, separator in _SEPARATORS.items():
        encoders[f"hex{name}"] = partial(_each, form="{:02x}", separator=separator)
        encoders[f"hex{name}upper"] = partial(_each, form="{:02X}", separator=separator)
    return encoders


def _quoted_printable(text: str) -> str:
    """Return a text in quoted-printable, without soft line breaks."""
    return quopri.encodestring(text.encode()).decode().replace("=\n", "")


def _backwards(encode: Callable[[str], str]) -> Callable[[str], str]:
    return lambda text: encode(text)[::-1]


def _of_backwards(encode: Callable[[str], str]) -> Callable[[str], str]:
    return lambda text: encode(text[::-1])


_COMMON: Final[dict[str, Callable[[str], str]]] = {
    "json": _json,
    "jsonu": _json_plain,
    "url": lambda text: quote(text, ""),
    "urlplus": quote_plus,
    **{f"b64in{shift}": _base64_inside(shift) for shift in range(_AROUND)},
    **{f"b64urlin{shift}": _base64_url_inside(shift) for shift in range(_AROUND)},
}
"""Encoders that are often applied twice."""

_ENCODERS: Final[dict[str, Callable[[str], str]]] = {
    **_COMMON,
    "jsonpage": _json_for_pages,
    "repr": lambda text: repr(text)[1:-1],
    "ascii": lambda text: ascii(text)[1:-1],
    "html": html.escape,
    "markup": _markup,
    "hex": lambda text: text.encode().hex(),
    "hexupper": lambda text: text.encode().hex().upper(),
    "latin": lambda text: text.encode().decode("latin-1"),
    "b64": _base64,
    "b64url": _base64_url,
    # Formats for bytes, one by one or reversed.
    "bytes": lambda text: repr(text.encode())[2:-1],
    "bytesquoted": lambda text: repr(text.encode() + b"'\"")[2:-4],
    "percents": lambda text: _each(text, "%{:02X}"),
    "percentslow": lambda text: _each(text, "%{:02x}"),
    **_by_the_byte(),
    "qp": _quoted_printable,
    "qpall": lambda text: _each(text, "={:02X}"),
    "qpheader": lambda text: _quoted_printable(text).replace(" ", "_"),
    **{f"b64back{shift}": _backwards(_base64_inside(shift)) for shift in range(_AROUND)},
    **{f"b64urlback{shift}": _backwards(_base64_url_inside(shift)) for shift in range(_AROUND)},
    **{f"backb64in{shift}": _of_backwards(_base64_inside(shift)) for shift in range(_AROUND)},
    "hexback": lambda text: text.encode().hex()[::-1],
    "backhex": lambda text: text[::-1].encode().hex(),
}
