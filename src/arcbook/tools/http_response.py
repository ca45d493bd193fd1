"""An answer as an outcome: what its body is, and what kind of error its status means."""

from __future__ import annotations

import base64
import datetime as dt
import re
from email.utils import parsedate_to_datetime
from functools import lru_cache
from typing import Any, Final

import msgspec
from multidict import CIMultiDictProxy

from arcbook.jsons import JsonError, TooDeepError, read
from arcbook.outcome import ERROR, ErrorInfo, ErrorKind, Outcome
from arcbook.tools.http_request import Request

BODY_KEY: Final = "data"
"""Field of the result that is the body."""

EXCERPT_CHARS_MAX: Final = 200
"""What of an answer's body an error message shows."""

RETRY_AFTER_SECONDS_MAX: Final = 86_400.0
"""Longest wait that a server may ask for; one that names a longer one is taken to mean this."""

CONTENT_TYPES_MAX: Final = 256
"""Content types whose charset is remembered."""

_NOT_JSON: Final = object()

_KINDS: Final[dict[int, tuple[ErrorKind, bool]]] = {
    401: (ErrorKind.AUTH, False),
    403: (ErrorKind.AUTH, False),
    404: (ErrorKind.NOT_FOUND, False),
    408: (ErrorKind.TIMEOUT, True),
    425: (ErrorKind.TIMEOUT, True),
    429: (ErrorKind.RATE_LIMIT, True),
    501: (ErrorKind.SERVER_ERROR, False),
    505: (ErrorKind.SERVER_ERROR, False),
}
"""Kinds of error, and whether another try may help, where the hundreds do not say it."""


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What a server answered, read to its end."""

    #: The last request, after redirects.
    request: Request
    status: int
    headers: CIMultiDictProxy[str]
    body: bytes
    elapsed_seconds: float


def outcome_of(answer: Answer, response_type: str) -> Outcome:
    """Return an answer as the outcome of its call; one that is not 2xx is an error."""
    headers = _plain_headers(answer.headers)
    body = _body(answer, response_type)
    error = None if 200 <= answer.status < 300 else _error(answer, headers)
    if body is _NOT_JSON:
        body = _text(answer.body, _charset(answer))
        error = error or _not_json(answer)
    data = {
        "status_code": answer.status,
        "headers": headers,
        "url": str(answer.request.url),
        "elapsed": round(answer.elapsed_seconds, 6),
        "data": body,
        "body": body,
    }
    return Outcome(
        status="ok" if error is None else ERROR,
        data=data,
        error=error,
        http={"status": answer.status, "headers": headers},
        body_key=BODY_KEY,
        meta={"bytes": len(answer.body)},
    )


# -- errors ---------------------------------------------------------------------------


def _error(answer: Answer, headers: dict[str, str]) -> ErrorInfo:
    kind, retryable = kind_of(answer.status)
    message = f"{answer.request.shown} answered HTTP {answer.status}"
    excerpt = _excerpt(answer)
    return ErrorInfo(
        kind=kind,
        message=f"{message}: {excerpt}" if excerpt else message,
        code=f"HTTP_{answer.status}",
        retryable=retryable,
        retry_after=retry_after(headers) if retryable else None,
        http_status=answer.status,
    )


def _not_json(answer: Answer) -> ErrorInfo:
    what = _excerpt(answer) or f"{len(answer.body):,} bytes"
    return ErrorInfo(
        kind=ErrorKind.PARSE,
        message=f"{answer.request.shown} answered what is not JSON: {what}",
        code="NOT_JSON",
        http_status=answer.status,
    )


def kind_of(status: int) -> tuple[ErrorKind, bool]:
    """Return the kind of error that a status means, and whether another try may help."""
    if status in _KINDS:
        return _KINDS[status]
    if 400 <= status < 500:
        return ErrorKind.CLIENT_ERROR, False
    if status >= 500:
        return ErrorKind.SERVER_ERROR, True
    return ErrorKind.UNKNOWN, False


def retry_after(headers: dict[str, str]) -> float | None:
    """Return after how many seconds the server asks to be called again.

    A date is compared with the server's own, so its clock need not agree with ours.
    """
    text = headers.get("retry-after", "").strip()
    if re.fullmatch(r"\d+(\.\d+)?", text):
        return min(float(text), RETRY_AFTER_SECONDS_MAX)
    until = _date(text)
    if until is None:
        return None
    now = _date(headers.get("date", "")) or dt.datetime.now(dt.UTC)
    return min(max((until - now).total_seconds(), 0.0), RETRY_AFTER_SECONDS_MAX)


def _date(text: str) -> dt.datetime | None:
    try:
        found = parsedate_to_datetime(text)
    except ValueError:
        return None
    return found.replace(tzinfo=dt.UTC) if found.tzinfo is None else found


def _excerpt(answer: Answer) -> str:
    """Return the beginning of a body on one line, or nothing if it is not text."""
    text = _text(answer.body[: 8 * EXCERPT_CHARS_MAX], _charset(answer))
    line = " ".join(text.split())
    if not line.isprintable() or "\ufffd" in line[:EXCERPT_CHARS_MAX]:
        return ""
    return line if len(line) <= EXCERPT_CHARS_MAX else line[: EXCERPT_CHARS_MAX - 1] + "…"


# -- headers and body -----------------------------------------------------------------


def _plain_headers(headers: CIMultiDictProxy[str]) -> dict[str, str]:
    """Return headers under their names in lower case, and under those that were sent."""
    found: dict[str, str] = {}
    for name in dict.fromkeys(headers):
        # Bytes that are no UTF-8 arrive as surrogates, which are not JSON.
        clean = ", ".join(headers.getall(name))
        if not clean.isascii():
            clean = clean.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
        found[name.lower()] = found[str(name)] = clean
    return found


def _body(answer: Answer, response_type: str) -> Any:
    """Return a body as what it is asked to be, or as what its content type says it is."""
    raw, charset = answer.body, _charset(answer)
    if response_type == "binary":
        return _binary(raw)
    if response_type == "text":
        return _text(raw, charset)
    content_type = _content_type(answer)
    if response_type == "json" or is_json(content_type) or _looks_like_json(raw, content_type):
        value = _json(raw, charset)
        if value is not _NOT_JSON or (response_type == "json" and not _has_none(answer)):
            return value
        if response_type == "json":
            return None
    if charset or content_type.startswith("text/"):
        return _text(raw, charset)
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        return _binary(raw)


def _has_none(answer: Answer) -> bool:
    """Return whether an answer is of a kind that has no body."""
    return not answer.body and (answer.status in (204, 205) or answer.request.method == "HEAD")


def _binary(raw: bytes) -> dict[str, Any]:
    return {"data": base64.b64encode(raw).decode(), "size": len(raw)}


def _content_type(answer: Answer) -> str:
    return answer.headers.get("Content-Type", "").partition(";")[0].strip().lower()


def _charset(answer: Answer) -> str:
    return _charset_of(answer.headers.get("Content-Type", ""))


@lru_cache(CONTENT_TYPES_MAX)
def _charset_of(content_type: str) -> str:
    charset = re.search(r"charset=\"?([\w.:-]+)", content_type, re.IGNORECASE)
    return charset[1].lower() if charset else ""


def is_json(content_type: str) -> bool:
    """Whether a content type says that the body is JSON."""
    return content_type in ("application/json", "text/json") or content_type.endswith("+json")


def _looks_like_json(raw: bytes, content_type: str) -> bool:
    """Whether a body that is only called text may be a JSON object or list."""
    return content_type in ("", "text/plain") and raw.lstrip()[:1] in (b"{", b"[")


def _json(raw: bytes, charset: str) -> Any:
    try:
        return read(raw if charset in ("", "utf-8", "utf8") else _text(raw, charset))
    except TooDeepError:
        raise
    except JsonError:
        return _NOT_JSON


def _text(raw: bytes, charset: str) -> str:
    """Return bytes as text, with a mark where they are not what they are said to be."""
    if charset not in ("", "utf-8", "utf8"):
        try:
            # There are charsets that yield surrogates, which are not JSON.
            return raw.decode(charset, "replace").encode("utf-8", "replace").decode()
        except (LookupError, UnicodeError):
            pass
    return raw.decode("utf-8-sig", "replace")
