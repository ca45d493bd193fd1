"""Sending requests: connections, redirects, limits, and what may go wrong on the way."""

from __future__ import annotations

import asyncio
import io
import time
from typing import Final
from urllib.request import getproxies, proxy_bypass

import aiohttp
from aiohttp.http_exceptions import ContentEncodingError
from yarl import URL

from arcbook.egress import Egress, EgressError
from arcbook.http_client import BodyTooLargeError, read_body, reason_of
from arcbook.jsons import TooDeepError
from arcbook.nesting import NESTING_MAX
from arcbook.outcome import ERROR, ErrorInfo, ErrorKind, Outcome
from arcbook.tools.api import ToolCall, ToolContext
from arcbook.tools.http_params import HttpParams
from arcbook.tools.http_request import Request, RequestError, request_of
from arcbook.tools.http_response import Answer, outcome_of

REQUEST_TIMEOUT_SECONDS: Final = 60.0
"""How long a call may take where the task says nothing, with redirects and the body."""

REDIRECTS_MAX: Final = 10
"""Redirects that one call follows."""

CONNECTIONS_MAX: Final = 400
"""Connections at once; further calls wait for one."""

CONNECTIONS_PER_HOST_MAX: Final = 200
"""Connections at once to one host and port."""

HEADER_BYTES_MAX: Final = 64 * 1024
"""Length of one header of an answer."""

FAULTS: Final[tuple[tuple[type[aiohttp.ClientError], str, bool], ...]] = (
    (aiohttp.ClientConnectorCertificateError, "TLS_CERTIFICATE", False),
    (aiohttp.ClientSSLError, "TLS", True),
    (aiohttp.ClientConnectorDNSError, "DNS", True),
    (aiohttp.ClientProxyConnectionError, "PROXY", True),
    (aiohttp.ClientHttpProxyError, "PROXY", True),
    (aiohttp.ClientConnectorError, "CONNECT", True),
    (aiohttp.ServerDisconnectedError, "DISCONNECTED", True),
    (aiohttp.ClientPayloadError, "DISCONNECTED", True),
    (aiohttp.ClientOSError, "DISCONNECTED", True),
    (aiohttp.ClientError, "PROTOCOL", True),
)
"""What may go wrong on the way, with a code and whether another try may help; first match."""


class HttpClient:
    """Sends requests; calls share its connections."""

    def __init__(self, response_bytes_max: int, egress: Egress) -> None:
        self._response_bytes_max = response_bytes_max
        self._egress = egress
        #: By whether certificates are checked, and whether a proxy makes the connections.
        self._sessions: dict[tuple[bool, bool], aiohttp.ClientSession] = {}
        self._proxies = getproxies()

    async def call(self, params: HttpParams, call: ToolCall, context: ToolContext) -> Outcome:
        """Perform one call of the tool."""
        seconds = REQUEST_TIMEOUT_SECONDS if call.timeout_seconds is None else call.timeout_seconds
        shown = "the request"
        try:
            request = await request_of(params, call, context)
            shown = request.shown
            async with asyncio.timeout(seconds):
                answer = await self._answer(request, params)
        except EgressError as error:
            return _failed(ErrorKind.CONFIG, f"{shown}: {error}", "EGRESS", retryable=False)
        except RequestError as error:
            return _failed(error.kind, str(error), error.code, retryable=error.retryable)
        except TimeoutError:
            message = f"{shown} was not answered within {seconds:g} seconds"
            return _failed(ErrorKind.TIMEOUT, message, "TIMEOUT", retryable=True)
        except aiohttp.InvalidURL:
            return _failed(ErrorKind.CONFIG, f"{shown}: not a valid URL", "CONFIG", retryable=False)
        except aiohttp.ClientError as error:
            return _lost(shown, error)
        except UnicodeError:
            message = f"{shown}: the host is not a valid name"
            return _failed(ErrorKind.CONFIG, message, "CONFIG", retryable=False)
        try:
            return outcome_of(answer, params.response_type)
        except TooDeepError:
            message = f"the answer to {shown} nests deeper than {NESTING_MAX} levels"
            return _failed(ErrorKind.CONFIG, message, "TOO_DEEP", retryable=False)

    async def _answer(self, request: Request, params: HttpParams) -> Answer:
        """Return what the server answers, after the redirects that are followed."""
        verify = params.verify_ssl is not False
        began = time.perf_counter()
        for _ in range(REDIRECTS_MAX + 1):
            proxy = self._proxy(request.url)
            if proxy is not None:
                await self._egress.admit(request.url.host or "", request.url.port or 0)
            session = self._session(verify=verify, proxied=proxy is not None)
            async with session.request(
                request.method,
                request.sent_url(),
                headers=request.sent_headers(),
                data=None if request.body is None else io.BytesIO(request.body),
                skip_auto_headers=("Content-Type",),
                allow_redirects=False,
                proxy=proxy,
            ) as response:
                location = response.headers.get("Location")
                goes_on = response.status in (301, 302, 303, 307, 308) and location
                if not goes_on or params.follow_redirects is False:
                    return Answer(
                        request=request,
                        status=response.status,
                        headers=response.headers,
                        body=await self._read(request, response),
                        elapsed_seconds=time.perf_counter() - began,
                    )
                request = request.redirected(response.status, location or "")
        message = f"{request.shown}: more than {REDIRECTS_MAX} redirects"
        raise RequestError(message, ErrorKind.LIMIT, "TOO_MANY_REDIRECTS")

    async def _read(self, request: Request, response: aiohttp.ClientResponse) -> bytes:
        try:
            return await read_body(response, self._response_bytes_max)
        except BodyTooLargeError:
            response.close()
            message = f"{request.shown} answered with more than {self._response_bytes_max:,} bytes"
            raise RequestError(message, ErrorKind.LIMIT, "RESPONSE_TOO_LARGE") from None

    def _session(self, *, verify: bool, proxied: bool) -> aiohttp.ClientSession:
        session = self._sessions.get((verify, proxied))
        if session is None:
            # The proxy itself is the settings', wherever it is.
            make = aiohttp.TCPConnector if proxied else self._egress.connector
            connector = make(
                ssl=verify, limit=CONNECTIONS_MAX, limit_per_host=CONNECTIONS_PER_HOST_MAX
            )
            session = self._sessions[verify, proxied] = aiohttp.ClientSession(
                connector=connector,
                # Cookies of one execution are no business of another's.
                cookie_jar=aiohttp.DummyCookieJar(),
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=None),
                max_line_size=HEADER_BYTES_MAX,
                max_field_size=HEADER_BYTES_MAX,
            )
        return session

    def _proxy(self, url: URL) -> str | None:
        if not self._proxies or proxy_bypass(url.host or "", self._proxies):
            return None
        return self._proxies.get(url.scheme)

    async def close(self) -> None:
        """Close all connections."""
        sessions, self._sessions = list(self._sessions.values()), {}
        for session in sessions:
            await session.close()


def _lost(shown: str, error: aiohttp.ClientError) -> Outcome:
    """Return the outcome of a request that got no answer."""
    refused = getattr(error, "os_error", None)
    if isinstance(refused, EgressError):
        message = f"{shown}: {refused}"
        return _failed(ErrorKind.CONFIG, message, "EGRESS", retryable=False)
    code, retryable = next((c, r) for kind, c, r in FAULTS if isinstance(error, kind))
    if isinstance(error.__cause__, ContentEncodingError):
        code = "PROTOCOL"
    message = f"{shown}: {_reason(error)}"
    return _failed(ErrorKind.CONNECTION, message, code, retryable=retryable)


def _reason(error: aiohttp.ClientError) -> str:
    """Say what went wrong, without the address: it may hold secrets."""
    if isinstance(error, aiohttp.ClientConnectorError):
        return f"cannot connect: {reason_of(error)}"
    if isinstance(error, aiohttp.ClientPayloadError):
        if isinstance(error.__cause__, ContentEncodingError):
            return "the body of the answer is not packed as its Content-Encoding says"
        return "the connection broke off before the end of the answer"
    if isinstance(error, aiohttp.ClientResponseError):
        return f"the server does not speak HTTP as it should: {error.message}"
    if isinstance(error, aiohttp.ServerDisconnectedError):
        return "the server closed the connection without an answer"
    return reason_of(error)


def _failed(kind: ErrorKind, message: str, code: str, *, retryable: bool) -> Outcome:
    """Return an outcome without an answer: ``output.http`` is there, and empty."""
    error = ErrorInfo(kind=kind, message=message, code=code, retryable=retryable)
    return Outcome(status=ERROR, error=error, http={})
