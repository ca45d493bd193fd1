"""Connections to NATS: one for each identity, and what their errors mean."""

from __future__ import annotations

import asyncio
import hashlib
import ssl
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, TypeVar
from urllib.parse import urlsplit, urlunsplit
from weakref import WeakValueDictionary

import msgspec

from arcbook.egress import Egress, EgressError
from arcbook.outcome import ErrorKind, Outcome, failed

CONNECT_SECONDS: Final = 5.0
"""How long connecting may take."""

PORT: Final = 4222
"""Port where an address has none."""

RECONNECT_SECONDS: Final = 0.1
"""Pause before the second try of a server."""

CONNECTIONS_MAX: Final = 64
"""Connections that are kept; beyond that, idle ones are closed, least recently used first."""

PING_SECONDS: Final = 30
"""Time between two looks at whether a server is still there."""

Settings = dict[str, Any]
T = TypeVar("T")


class Identity(msgspec.Struct, frozen=True, kw_only=True):
    """Where to connect, and as whom."""

    url: str
    user: str | None = None
    password: str | None = None
    token: str | None = None
    #: Files, or ``ca`` as PEM text: ``ca``, ``cert``, ``key``; and ``hostname``, ``verify``.
    tls: dict[str, Any] | None = None

    def key(self) -> str:
        """Return a digest by which the connection is found again."""
        return hashlib.blake2b(msgspec.json.encode(self), digest_size=16).hexdigest()


def identity_of(settings: Settings) -> Identity | None:
    """Return who connects where; ``None`` where no address is given."""

    def first(*names: str) -> str | None:
        values = (settings.get(name) for name in names)
        return next((str(value) for value in values if value not in (None, "")), None)

    url = first("url", "nats_url", "servers")
    if url is None:
        return None
    return Identity(
        url=url,
        user=first("user", "nats_user", "username"),
        password=first("password", "nats_password"),
        token=first("token", "nats_token"),
        tls=_tls_settings(settings, url),
    )


def _tls_settings(settings: Settings, url: str) -> dict[str, Any] | None:
    configured = settings.get("tls")
    tls = dict(configured) if isinstance(configured, dict) else {}
    for name in ("ca", "cert", "key", "hostname", "verify"):
        for spelling in (f"tls_{name}", f"nats_tls_{name}"):
            if settings.get(spelling) is not None:
                tls.setdefault(name, settings[spelling])
    return tls if tls or configured is True or url.startswith("tls://") else None


class _Connection:
    """An open connection, and the moment when it is lost."""

    def __init__(self, client: Any) -> None:
        self.client = client
        self.lost: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.complaint = ""
        #: Calls in progress.
        self.calls = 0

    async def complain(self, error: Exception) -> None:
        """Remember what the library says went wrong."""
        self.complaint = str(error)

    async def end(self) -> None:
        """Note that the connection is closed."""
        if not self.lost.done():
            self.lost.set_result(None)


class NatsPool:
    """The connections of a runtime."""

    def __init__(self) -> None:
        self._connections: dict[str, _Connection] = {}
        #: Held while a connection is opened; each goes with the last call that waits for it.
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def use(
        self, identity: Identity, work: Callable[[Any], Awaitable[T]], egress: Egress
    ) -> T:
        """Run ``work`` with the connection of an identity, which is opened if need be.

        Raises:
            ConnectionResetError: the connection was lost meanwhile. The library alone would
                let the work wait for an answer until its time is over.
        """
        connection = await self._connection(identity, egress)
        connection.calls += 1
        task = asyncio.ensure_future(work(connection.client))
        awaited: set[asyncio.Future[Any]] = {task, connection.lost}
        try:
            await asyncio.wait(awaited, return_when=asyncio.FIRST_COMPLETED)
            if not task.done():
                raise ConnectionResetError("the connection was lost")
            return task.result()
        finally:
            connection.calls -= 1
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def _connection(self, identity: Identity, egress: Egress) -> _Connection:
        key = identity.key()
        lock = self._locks.get(key) or asyncio.Lock()
        self._locks[key] = lock
        async with lock:
            connection = self._connections.pop(key, None)
            if connection is None or not connection.client.is_connected:
                await self._make_room()
                return await self._open(identity, key, egress)
            self._connections[key] = connection  # the most recently used is the last
            return connection

    async def _make_room(self) -> None:
        """Close idle connections, least recently used first, until another one may be opened."""
        while len(self._connections) >= CONNECTIONS_MAX:
            idle = next((k for k, c in self._connections.items() if not c.calls), None)
            if idle is None:
                return  # calls in progress are limited elsewhere
            await self._connections.pop(idle).client.close()

    async def _open(self, identity: Identity, key: str, egress: Egress) -> _Connection:
        from nats.aio.client import Client

        options: dict[str, Any] = {}
        if identity.tls is not None:
            options["tls"] = _context(identity.tls)
            if identity.tls.get("hostname"):
                options["tls_hostname"] = str(identity.tls["hostname"])
        servers, hostname = await servers_of(identity.url, egress)
        if hostname:
            options.setdefault("tls_hostname", hostname)
        client = Client()
        connection = self._connections[key] = _Connection(client)
        connection.calls += 1
        # A connection that is lost is not mended behind a call's back: the call fails as
        # retryable, and the next one opens another.
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                await client.connect(
                    servers,
                    name="arcbook",
                    user=identity.user,
                    password=identity.password,
                    token=identity.token,
                    allow_reconnect=False,
                    max_reconnect_attempts=1,
                    reconnect_time_wait=RECONNECT_SECONDS,  # type: ignore[arg-type]  # a float is well
                    connect_timeout=int(CONNECT_SECONDS),
                    ping_interval=PING_SECONDS,
                    error_cb=connection.complain,
                    closed_cb=connection.end,
                    **options,
                )
            _check_encrypted(client, identity)
        except BaseException:
            await client.close()
            raise
        finally:
            connection.calls -= 1
        return connection

    def complaint(self, identity: Identity) -> str:
        """Return what was last wrong with the connection of an identity."""
        connection = self._connections.get(identity.key())
        return connection.complaint if connection else ""

    async def discard(self, identity: Identity) -> None:
        """Close the connection of an identity; what waits on it ends."""
        connection = self._connections.pop(identity.key(), None)
        if connection is not None:
            await connection.client.close()

    async def close(self) -> None:
        """Close every connection; closing twice is well."""
        connections, self._connections = list(self._connections.values()), {}
        for connection in connections:
            await connection.client.close()


async def servers_of(url: str, egress: Egress) -> tuple[list[str], str]:
    """Return the servers by the addresses that were looked at, and the name that all have.

    Raises:
        EgressError: one of them is not reached.
        OSError: there is no such host.
    """
    written = [part.strip() for part in url.split(",") if part.strip()]
    parsed = [urlsplit(part if "://" in part else f"nats://{part}") for part in written]
    hosts = {part.hostname or "" for part in parsed}
    servers: list[str] = []
    for part in parsed:
        addresses = await egress.resolve(part.hostname or "", part.port or PORT)
        user = part.netloc.rpartition("@")[0]
        for address in addresses:
            host = f"[{address}]" if ":" in address else address
            netloc = f"{user}@{host}" if user else host
            servers.append(urlunsplit(part._replace(netloc=f"{netloc}:{part.port or PORT}")))
    # Several names cannot be told to the library, which checks certificates by one.
    return (servers, hosts.pop()) if len(hosts) == 1 else (written, "")


class PlaintextError(ConnectionError):
    """TLS was asked for, and the server does not speak it."""

    def __init__(self) -> None:
        super().__init__("TLS was asked for, but the server does not offer it")


def server_info(client: Any) -> dict[str, Any]:
    """Return what the server said of itself when it was connected to."""
    info: dict[str, Any] = client._server_info  # noqa: SLF001  # nothing public has all of it
    return info


def _check_encrypted(client: Any, identity: Identity) -> None:
    """Make sure that TLS is on where it was asked for; the library would go on without.

    Raises:
        PlaintextError: it is not.
    """
    if identity.tls is not None and not server_info(client).get("tls_required"):
        raise PlaintextError


def _context(tls: dict[str, Any]) -> ssl.SSLContext:
    """Return the TLS context that settings describe."""
    ca = str(tls["ca"]) if tls.get("ca") else None
    is_text = ca is not None and "-----BEGIN" in ca
    context = ssl.create_default_context(
        cafile=ca if ca and not is_text else None, cadata=ca if is_text else None
    )
    if tls.get("cert"):
        key = str(Path(tls["key"])) if tls.get("key") else None
        context.load_cert_chain(str(Path(tls["cert"])), key)
    if tls.get("verify") in (False, "false"):
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


class Refusal(Exception):  # noqa: N818  # it carries an outcome, it is not one more error
    """A call that cannot succeed, with the outcome that says why."""

    def __init__(self, outcome: Outcome) -> None:
        self.outcome = outcome
        super().__init__(outcome.error.message if outcome.error else "")


def refuse(kind: ErrorKind, message: str, *, code: str, retryable: bool = False) -> Refusal:
    """Return the refusal of a call."""
    return Refusal(failed(kind, message, code=code, retryable=retryable))


@contextmanager
def translated(complaint: Callable[[], str]) -> Iterator[None]:
    """Turn the library's errors into refusals.

    Args:
        complaint: says what the connection last complained of; the library's own errors
            often hide it.

    Raises:
        Refusal: something went wrong; its outcome says what.
    """
    import nats.errors

    try:
        yield
    except (nats.errors.Error, OSError, ValueError) as error:
        raise refusal_of(error, complaint()) from None


def refusal_of(error: Exception, complaint: str = "") -> Refusal:
    """Return what an error of the library, or of the network, means."""
    import nats.errors
    import nats.js.errors as js

    text = _text(error)
    if isinstance(error, EgressError):
        return refuse(ErrorKind.CONFIG, text, code="EGRESS")
    if isinstance(error, TimeoutError):
        if "permission" in complaint.lower():
            return refuse(ErrorKind.AUTH, complaint, code="NATS_AUTH")
        return refuse(ErrorKind.TIMEOUT, text, code="NATS_TIMEOUT", retryable=True)
    if isinstance(error, (js.NoStreamResponseError, nats.errors.NoRespondersError)):
        text = "no stream takes that subject, or JetStream is not on"
        return refuse(ErrorKind.NOT_FOUND, text, code="NATS_NO_STREAM", retryable=True)
    if isinstance(error, js.APIError):
        return _refused(error)
    if isinstance(error, nats.errors.MaxPayloadError):
        text = "the value passes the size of a message that the server takes"
        return refuse(ErrorKind.LIMIT, text, code="NATS_PAYLOAD")
    if isinstance(error, ssl.SSLError):
        return refuse(ErrorKind.CONFIG, f"TLS: {text}", code="NATS_TLS")
    if isinstance(error, js.InvalidBucketNameError):
        text = "a bucket's name has only letters, digits, '-' and '_'"
        return refuse(ErrorKind.CONFIG, text, code="NATS_CONFIG")
    config = (PlaintextError, ValueError, nats.errors.BadSubjectError, nats.errors.BadHeaderError)
    if isinstance(error, config):
        return refuse(ErrorKind.CONFIG, text, code="NATS_CONFIG")
    return _broken(error, complaint)


def _refused(error: Any) -> Refusal:
    """Return what an answer of JetStream means."""
    import nats.js.errors as js

    code = getattr(error, "code", None)
    text = getattr(error, "description", None) or _text(error)
    if isinstance(error, js.NotFoundError) or code == 404:
        return refuse(ErrorKind.NOT_FOUND, text, code="NATS_NOT_FOUND")
    if isinstance(error, js.ServiceUnavailableError):
        message = f"JetStream does not answer: is it on? ({text})"
        return refuse(ErrorKind.CONNECTION, message, code="NATS_UNAVAILABLE", retryable=True)
    number = f"NATS_{getattr(error, 'err_code', None) or code or 'API'}"
    if "maximum" in text or "insufficient" in text or "storage" in text:
        return refuse(ErrorKind.STORAGE_QUOTA, text, code=number)
    if code is not None and code >= 500:
        return refuse(ErrorKind.SERVER_ERROR, text, code=number, retryable=True)
    return refuse(ErrorKind.CLIENT_ERROR, text, code=number)


def _broken(error: Exception, complaint: str) -> Refusal:
    """Return what it means that the connection is not there."""
    import nats.errors

    text = _text(error)
    if isinstance(error, nats.errors.NoServersError) and complaint:
        text = f"{text} ({complaint})"
    auth = (nats.errors.AuthorizationError, nats.errors.InvalidUserCredentialsError)
    if isinstance(error, auth) or "authorization" in text.lower() or "authent" in text.lower():
        return refuse(ErrorKind.AUTH, text, code="NATS_AUTH")
    return refuse(ErrorKind.CONNECTION, text, code="NATS_CONNECTION", retryable=True)


def _text(error: BaseException) -> str:
    return str(error).removeprefix("nats: ").strip() or type(error).__name__
