"""The HTTP layer of the client: one session, one way to send requests, one way to fail."""

from __future__ import annotations

import asyncio
from typing import Any, Final, Self, TypeVar
from urllib.parse import quote

import aiohttp
import msgspec

from arcbook.client.errors import ClientError, FaultedError, RefusedError, ServerAwayError
from arcbook.client.operations import Operation
from arcbook.http_client import BodyTooLargeError, read_body, reason_of

REQUEST_SECONDS: Final = 60.0
"""Time limit for an answer."""

CONNECT_SECONDS: Final = 10.0

ANSWER_BYTES_MAX: Final = 256 * 1024 * 1024
"""Maximum size of an answer."""

Answer = TypeVar("Answer")

_ENCODER: Final = msgspec.json.Encoder()


class ServerLink:
    """A session with a server.

    Args:
        url: the base URL of its API, such as ``http://127.0.0.1:8082``.
        token: an API token, if the server requires one.
    """

    def __init__(self, url: str, token: str = "") -> None:
        self.url = url.rstrip("/")
        #: The token; empty without one.
        self.caller = token
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_SECONDS)
        self._session = aiohttp.ClientSession(headers=self._headers, timeout=timeout)
        return self

    async def __aexit__(self, *exc: object) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None

    @property
    def session(self) -> aiohttp.ClientSession:
        """The session.

        Raises:
            ClientError: it is not open.
        """
        if self._session is None:
            raise ClientError("the client is not open: use it with 'async with'")
        return self._session

    def address(self, operation: Operation[Any], **parts: str) -> str:
        """Return the URL of an operation."""
        quoted = {name: quote(part, safe="") for name, part in parts.items()}
        return self.url + operation.path.format(**quoted)

    async def ask(
        self,
        operation: Operation[Answer],
        body: Any = None,
        query: dict[str, Any] | None = None,
        headers: dict[str, str] | None = None,
        **parts: str,
    ) -> Answer:
        """Send a request and return the answer.

        Raises:
            ServerAwayError: the server does not answer.
            RefusedError: the server refused it.
        """
        data = None if body is None else _ENCODER.encode(body)
        all_headers = dict(headers or {})
        if data is not None:
            all_headers["Content-Type"] = "application/json"
        url = self.address(operation, **parts)
        try:
            async with (
                asyncio.timeout(REQUEST_SECONDS),
                self.session.request(
                    operation.method, url, data=data, params=_plain(query), headers=all_headers
                ) as response,
            ):
                body = await read_body(response, ANSWER_BYTES_MAX)
        except BodyTooLargeError as error:
            raise ClientError(f"the answer of {url} is too large: {error}") from None
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise away(self.url, error) from None
        if response.status >= 400:
            raise refused(response.status, body, self.url)
        try:
            return msgspec.json.decode(body, type=operation.answer)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise ClientError(f"{url} answered in an unexpected format: {error}") from None


def away(url: str, error: BaseException) -> ServerAwayError:
    """Return the error for a server that does not answer."""
    return ServerAwayError(f"no server answers at {url}: {reason_of(error)}")


def refused(status: int, body: bytes, url: str) -> RefusedError:
    """Return the error for a refusal."""
    kind = FaultedError if status >= 500 else RefusedError
    return kind(status, _json(body), url)


def _json(body: bytes) -> Any:
    try:
        return msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None


def _plain(query: dict[str, Any] | None) -> dict[str, str]:
    """Return a query with all values as strings, without the unset ones."""
    return {
        name: str(value).lower() if isinstance(value, bool) else str(value)
        for name, value in (query or {}).items()
        if value is not None and value != ""
    }
