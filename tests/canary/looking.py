"""Looking for a secret: every form in which it must not stand anywhere."""

from __future__ import annotations

import base64
import html
import json
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from urllib.parse import quote, quote_plus

from yarl import URL

_BYTEA = re.compile(r"\\\\?x([0-9a-f]{8,})")
"""Bytes, as a dump of PostgreSQL writes them."""

_RUN = re.compile(r"[A-Za-z0-9]{12,}")

_LINE = 20


def needles(secret: str) -> list[bytes]:
    """Return the forms, made without the code that hides them.

    A secret of several lines must not stand anywhere line by line either; and what can be
    guessed by nobody, its run of letters and digits, must not stand anywhere alone.
    """
    lines = [line for line in secret.splitlines() if len(line) > _LINE and "-----" not in line]
    parts = lines if len(lines) > 1 else _RUN.findall(secret)
    plain = {one for part in parts for one in (part, part.lower(), part.upper())}
    plain |= {one for part in parts for one in _base64(part.encode())}
    return sorted(_needles(secret) | {one.encode() for one in plain})


def _needles(secret: str) -> set[bytes]:
    data = secret.encode()
    dumped = json.dumps(secret)[1:-1]
    texts = {
        secret,
        dumped,
        json.dumps(dumped)[1:-1],
        json.dumps(secret, ensure_ascii=False)[1:-1],
        quote(secret),
        quote(secret, safe=""),
        quote_plus(secret),
        html.escape(secret),
        secret.upper(),
        secret.lower(),
        secret.title(),
        secret.capitalize(),
        secret.swapcase(),
        quote(quote(secret, safe=""), safe=""),
        quote(dumped),
        str(URL("http://h").with_query(q=secret)).partition("=")[2],
        secret[::-1],
        data.hex(),
        data.decode("latin-1"),
        repr(secret)[1:-1],
    }
    for once in (data, dumped.encode()):
        for inner in _base64(once):
            texts |= {inner, *_base64(inner.encode())}
    return {text.encode() for text in texts} | {secret.encode("latin-1", "replace")}


def _base64(data: bytes) -> set[str]:
    """Return Base64 without the ends, which depend on what stands beside it."""
    return {
        encode(b"\0" * shift + data).decode()[4:-4]
        for shift in range(3)
        for encode in (base64.b64encode, base64.urlsafe_b64encode)
    }


class Looking:
    """Counts where forms of some secrets stand."""

    def __init__(self, secrets: Iterable[str]) -> None:
        self._needles = {form for secret in secrets for form in needles(secret)}
        self.hits: list[str] = []
        #: Bytes looked at, by the kind of place.
        self.looked: dict[str, int] = {}

    def text(self, kind: str, where: str, text: str | bytes) -> None:
        """Look at a text."""
        data = text.encode("utf-8", "replace") if isinstance(text, str) else text
        self.looked[kind] = self.looked.get(kind, 0) + len(data)
        for needle in self._needles:
            at = data.find(needle)
            if at >= 0:
                around = data[max(0, at - 120) : at + len(needle) + 40]
                self.hits.append(f"{kind}, {where}: {needle!r} in {around!r}")

    def shown(self, kind: str, where: str, text: str | bytes) -> None:
        """Look at what people see, where not even the marks of secrets stand."""
        self.text(kind, where, text)
        data = text.encode("utf-8", "replace") if isinstance(text, str) else text
        for mark in (b"\xe2\x9f\xa6secret:", b"\\u27e6secret:"):
            at = data.find(mark)
            if at >= 0:
                self.hits.append(f"{kind}, {where}: a mark in {data[max(0, at - 120) : at + 80]!r}")

    def dump(self, kind: str, where: str, text: str) -> None:
        """Look at a dump of a database, and at the bytes that stand in it as digits."""
        self.text(kind, where, text)
        for n, found in enumerate(_BYTEA.finditer(text)):
            digits = found[1][: len(found[1]) // 2 * 2]
            self.text(kind, f"{where}, bytes {n}", bytes.fromhex(digits))

    def folder(self, kind: str, folder: Path, but: Path | None = None) -> None:
        """Look at every file below a folder."""
        for path in _files(folder):
            if but is None or but not in path.parents:
                self.text(kind, str(path), path.read_bytes())
                self.text(kind, f"the name of {path}", str(path))


def _files(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.rglob("*")):
        if path.is_file() and not path.is_symlink():
            yield path
