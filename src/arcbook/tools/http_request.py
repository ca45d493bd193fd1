"""A request as it goes out: its parts checked and written as HTTP wants them."""

from __future__ import annotations

import re
from typing import Any, Final, Self
from urllib.parse import quote, urlencode

import msgspec
from multidict import CIMultiDict
from yarl import URL

from arcbook.jsons import read, write
from arcbook.outcome import ErrorKind
from arcbook.template.characters import whole_text
from arcbook.tools.api import CredentialError, ToolCall, ToolContext
from arcbook.tools.http_auth import AuthError, Grant, basic_grant, grant_of
from arcbook.tools.http_params import METHODS, HttpParams
from arcbook.tools.texts import text_of

REQUEST_BYTES_MAX: Final = 64 * 1024 * 1024
"""Size of a request's body."""

USER_AGENT: Final = "arcbook"

JSON: Final = "application/json"
FORM: Final = "application/x-www-form-urlencoded"

#: All that another server than the one that was asked is told, after a redirect to it.
_KEPT_ABROAD: Final = frozenset({"accept", "accept-language", "content-type", "user-agent"})

#: What describes a body, and goes with it when a redirect drops it.
_OF_THE_BODY: Final = frozenset(
    {"content-encoding", "content-language", "content-length", "content-type", "idempotency-key"}
)

#: Redirects that every client answers with GET, though the standard came to say otherwise.
_BECOMES_GET: Final = frozenset({(301, "POST"), (302, "POST")})

_TOKEN: Final = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_CONTROL: Final = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_ADDRESS: Final = re.compile(
    r"https?://[^/?#]+((?:/(?:[-!$&'()*+,./:;=@\w~]|%[0-9A-F]{2})*)?)"
    r"(?:\?((?:[-!$&'()*+,./:;=?@\w~]|%[0-9A-F]{2})*))?(?:#.*)?",
    re.ASCII | re.IGNORECASE,
)
"""An address that needs no repair, with its path and its query."""

_DOTS: Final = re.compile(r"/\.{1,2}(?:/|$)")
_USERINFO: Final = re.compile(r"//[^/@]*@")


class RequestError(ValueError):
    """A request cannot be made as it is written; the message says why."""

    def __init__(
        self,
        message: str,
        kind: ErrorKind = ErrorKind.CONFIG,
        code: str = "",
        *,
        retryable: bool = False,
    ) -> None:
        self.retryable = retryable
        self.kind = kind
        self.code = code or kind.name
        super().__init__(message)


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """One request. What proves who asks is kept apart from the rest."""

    method: str
    url: URL
    headers: CIMultiDict[str]
    body: bytes | None
    grant: Grant

    @property
    def shown(self) -> str:
        """Method and address for messages, without what may be secret in it."""
        return f"{self.method} {self.url.with_query(None)}"

    def sent_url(self) -> URL:
        """Return the address with the credential that belongs in it."""
        added = self.grant.query
        if any(name in self.url.query for name in added):
            return self.url.update_query(added)
        return _with_query(self.url, added)

    def sent_headers(self) -> CIMultiDict[str]:
        """Return the headers with the credential; it wins over what the task wrote."""
        headers = self.headers.copy()
        for name, value in self.grant.headers.items():
            headers[name] = value
        return headers

    def redirected(self, status: int, location: str) -> Self:
        """Return the request that a redirect asks for.

        Raises:
            RequestError: it leads to something that is not HTTP.
        """
        target = _target(self.url, location)
        if target.scheme not in ("http", "https") or not target.host:
            message = f"{self.shown} redirects to what is not an HTTP address"
            raise RequestError(message, ErrorKind.CONNECTION, "REDIRECT")
        target = _without_query(target.with_user(None).with_fragment(None), self.grant.query)
        method, headers, body = self.method, self.headers, self.body
        if (status, method) in _BECOMES_GET or (status == 303 and method != "HEAD"):
            method, body = "GET", None
            headers = _filtered(headers, lambda name: name not in _OF_THE_BODY)
        grant = self.grant
        if not _same_server(self.url, target):
            grant = Grant()
            headers = _filtered(headers, lambda name: name in _KEPT_ABROAD)
        return type(self)(method=method, url=target, headers=headers, body=body, grant=grant)


async def request_of(params: HttpParams, call: ToolCall, context: ToolContext) -> Request:
    """Return the request that a call asks for.

    Raises:
        RequestError: it cannot be made.
    """
    method = (params.method or "GET").strip().upper()
    if method not in METHODS:
        raise RequestError(f"'method' must be one of {', '.join(METHODS)}, not {method!r}")
    try:
        grant = await grant_of(call.auth, context)
    except AuthError as error:
        raise RequestError(str(error), ErrorKind.AUTH, "CREDENTIAL") from None
    except CredentialError as error:
        again = error.retryable
        raise RequestError(str(error), ErrorKind.AUTH, "CREDENTIAL", retryable=again) from None
    query, data = _split(params.data)
    url = _url(params.url)
    if url.user is not None and not grant.headers:
        grant = basic_grant(url.user, url.password or "")
    if "@" in url.raw_authority:
        url = url.with_user(None)
    url = _with_query(url, {**query, **(params.params or {})})
    headers = _headers(params.headers or {}, grant)
    body, content_type = _body(params, data, headers.get("Content-Type", "").lower())
    if body is not None and len(body) > REQUEST_BYTES_MAX:
        message = f"the body has {len(body):,} bytes; the limit is {REQUEST_BYTES_MAX:,}"
        raise RequestError(message, ErrorKind.LIMIT, "REQUEST_TOO_LARGE")
    headers.setdefault("User-Agent", USER_AGENT)
    if content_type:
        headers.setdefault("Content-Type", content_type)
    if method in ("POST", "PATCH") and params.idempotency is not False and call.idempotency_key:
        headers.setdefault("Idempotency-Key", quote(call.idempotency_key, safe=":"))
    return Request(method=method, url=url, headers=headers, body=body, grant=grant)


# -- address --------------------------------------------------------------------------


def _url(text: str) -> URL:
    text = text.strip()
    clean = _USERINFO.sub("//", text.partition("?")[0])
    if not text:
        raise RequestError("'url' is empty")
    try:
        url = _as_written(URL(text), text)
        url = url.with_fragment(None) if "#" in text else url
    except ValueError as error:
        raise RequestError(f"{clean!r} is not a URL: {error}") from None
    if url.scheme not in ("http", "https"):
        raise RequestError(f"{clean!r} must begin with http:// or https://")
    if not url.host or " " in url.host:
        raise RequestError(f"{clean!r} names no host")
    return url


def _as_written(url: URL, text: str) -> URL:
    """Return an address whose path and query are sent as they are written.

    A library makes them plainer, which says the same; but a signature counts each character.
    """
    match = _ADDRESS.fullmatch(text)
    if match is None:
        return url
    path, query = match.groups()
    path = url.raw_path if _DOTS.search(path) else path
    is_the_same = path in ("", url.raw_path) and (query or "") == url.raw_query_string
    return url if is_the_same else _with_raw(url, path, query or "")


def _with_raw(url: URL, path: str, query: str) -> URL:
    authority = url.raw_authority
    return URL.build(
        scheme=url.scheme, authority=authority, path=path, query_string=query, encoded=True
    )


def _target(url: URL, location: str) -> URL:
    """Return where a redirect leads to; an empty address if that is none."""
    try:
        written = URL(location)
        if (written.scheme or location.startswith("//")) and not written.host:
            return URL()
        return _as_written(url.join(written), location)
    except ValueError:
        return URL()


def _with_query(url: URL, params: dict[str, Any]) -> URL:
    """Add parameters to a query; what it has already stays as it is written."""
    pairs = _pairs(params)
    if not pairs:
        return url
    added = URL.build(query=pairs).raw_query_string
    written = url.raw_query_string
    return _with_raw(url, url.raw_path, f"{written}&{added}" if written else added)


def _without_query(url: URL, names: dict[str, str]) -> URL:
    if not any(name in url.query for name in names):
        return url
    return url.with_query([(k, v) for k, v in url.query.items() if k not in names])


def _pairs(values: dict[str, Any]) -> list[tuple[str, str]]:
    """Return names and values as text; a list repeats its name, a null is left out."""
    pairs: list[tuple[str, str]] = []
    for name, value in values.items():
        for one in value if isinstance(value, (list, tuple)) else [value]:
            text = text_of(one)
            if text is not None:
                pairs.append((str(name), text))
    return pairs


def _same_server(url: URL, other: URL) -> bool:
    """Whether two addresses are of one server; its plain and its safe port are the same."""
    if url.host != other.host:
        return False
    if (url.scheme, url.port) == (other.scheme, other.port):
        return True
    return (url.scheme, url.port, other.scheme, other.port) == ("http", 80, "https", 443)


# -- headers --------------------------------------------------------------------------


def _headers(written: dict[str, Any], grant: Grant) -> CIMultiDict[str]:
    headers: CIMultiDict[str] = CIMultiDict()
    for name, value in written.items():
        text = text_of(value)
        if text is not None:
            headers[name] = text.strip()
    for name, value in (*headers.items(), *grant.headers.items()):
        if not _TOKEN.fullmatch(name):
            raise RequestError(f"{name!r} cannot be the name of a header")
        if _CONTROL.search(value):
            raise RequestError(f"header {name!r} has a line break or another control character")
    return headers


def _filtered(headers: CIMultiDict[str], keep: Any) -> CIMultiDict[str]:
    return CIMultiDict((k, v) for k, v in headers.items() if keep(k.lower()))


# -- body -----------------------------------------------------------------------------


def _split(data: Any) -> tuple[dict[str, Any], Any]:
    """Return the query and the body that ``data`` holds.

    A mapping of nothing but ``query`` and ``body`` is both at once; any other is the body.
    """
    if not isinstance(data, dict) or not data or set(data) - {"query", "body"}:
        return {}, data
    query = data.get("query")
    if query is None:
        return {}, data.get("body")
    if not isinstance(query, dict) or any(isinstance(v, dict) for v in query.values()):
        return {}, data
    return query, data.get("body")


def _body(params: HttpParams, data: Any, content_type: str) -> tuple[bytes | None, str]:
    """Return a request's body, and its content type if the task does not say it."""
    if params.json is not None:
        return _json(params.json), JSON
    if params.form is not None:
        return _form(params.form), FORM
    content = params.body if data is None else data
    if content is None:
        return None, ""
    if isinstance(content, str):
        return _encoded(content), ""
    if "multipart/" in content_type:
        raise RequestError("a multipart body can only be given as text")
    if FORM in content_type:
        return _form(content), FORM
    return _json(content), JSON


def _json(value: Any) -> bytes:
    """Return a value as JSON; text that is a JSON object or list already stays as it is."""
    try:
        if isinstance(value, str) and value.lstrip()[:1] in ("{", "["):
            read(value)
            return whole_text(value).encode()
    except ValueError:
        pass
    try:
        return write(value)
    except TypeError as error:
        raise RequestError(f"the body cannot be written as JSON: {error}") from None


def _form(value: Any) -> bytes:
    if isinstance(value, str):
        return _encoded(value)
    if not isinstance(value, dict):
        raise RequestError("a form must be a mapping of names to values")
    return urlencode(_pairs(value)).encode()


def _encoded(text: str) -> bytes:
    return whole_text(text).encode()
