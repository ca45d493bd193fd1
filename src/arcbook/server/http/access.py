"""Authentication and authorization of the API.

Without authentication the API is open, but only on loopback: :func:`check_binding` refuses any
other address at start. An open API refuses foreign host names and web origins, so that a page
in the user's own browser cannot control it.
"""

from __future__ import annotations

import hmac
import ipaddress
import re
from typing import Final
from urllib.parse import urlsplit

import msgspec
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from arcbook.clock import Clock
from arcbook.secrets.sessions import BUILT_IN, WORKER, qualified
from arcbook.secrets.tokens import SCOPES as TOKEN_SCOPES
from arcbook.secrets.tokens import digest_of
from arcbook.server.http.connections import CROWDED
from arcbook.server.http.errors import REFUSALS, ApiError, error_response, refusal_of
from arcbook.server.http.limits import RateLimit
from arcbook.server.http.oidc import Oidc
from arcbook.server.http.settings import HttpSettings
from arcbook.server.http.token_book import TokenBook
from arcbook.settings import SettingsError
from arcbook.store.access import Tokens

SCOPES: Final = ("open", *TOKEN_SCOPES)
"""The scopes; each includes those before it."""

INTERNAL: Final = "internal"
"""The scope of the internal token; it includes no other."""

OPEN_PATHS: Final = frozenset({"/health", "/api/health", "/api/runtime/contract"})
"""Paths that need no token: health checks."""

SESSION_PATH: Final = "/api/auth/validate"
"""The path that describes the caller's own token; it answers without one too."""

INTERNAL_PATHS: Final = re.compile(r"/api/(internal/.*|commands/.*|credentials/[^/]+/sealed)")
"""The paths that need the internal token."""

SAFE_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS"})

FAILURES_PER_SECOND: Final = 5.0
"""Wrong tokens allowed from one address before its requests are refused."""

ADDRESS_CHARACTERS_MAX: Final = 100
"""The key for clients without a valid address."""

NETWORK_BITS: Final = 64
"""Prefix of an IPv6 address that counts as one address: one client usually has all of it."""


class UnsafeBindingError(SettingsError):
    """The API would be open to other machines without authentication."""

    code = "unsafe_binding"


class Caller(msgspec.Struct, frozen=True, kw_only=True):
    """The caller of a request, and what they may do."""

    name: str
    scope: str
    #: Whether they presented a token; false for callers of an open API.
    is_known: bool = False
    #: The tenant of their executions; empty if not set.
    tenant: str = ""
    organization: str = ""
    #: The id of the stored token that they presented.
    token_id: str = ""

    @property
    def may_crowd(self) -> bool:
        """Whether the caller is answered even when the server refuses others."""
        return self.is_known and self.scope in (INTERNAL, SCOPES[-1])

    @property
    def labels(self) -> dict[str, str]:
        """The labels of executions that the caller starts."""
        labels = {"tenant": self.tenant, "organization": self.organization}
        if self.is_known:
            labels["started_by"] = self.name
        return {name: value for name, value in labels.items() if value}


def hash_token(token: str) -> str:
    """Return a token's digest, as it is written in the settings."""
    return digest_of(token)


def is_loopback(host: str) -> bool:
    """Return whether an address is reachable from this machine only."""
    host = host.strip("[]")
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def check_binding(host: str, settings: HttpSettings) -> None:
    """Refuse to listen on other addresses than loopback without authentication.

    Raises:
        UnsafeBindingError: no token is configured and the host is not loopback.
    """
    is_guarded = settings.tokens or settings.oidc is not None or settings.has_stored_tokens
    if not is_guarded and not is_loopback(host):
        raise UnsafeBindingError(
            f"the API would be open to anyone who can reach {host or 'any address'}: "
            "configure API tokens ('arcbook token add'), or listen on 127.0.0.1"
        )


class Access:
    """Checks tokens and scopes."""

    def __init__(self, settings: HttpSettings, store: Tokens, clock: Clock) -> None:
        unknown = {s for s in settings.tokens.values() if s not in SCOPES}
        if unknown:
            raise ValueError(f"unknown scopes of tokens: {', '.join(sorted(unknown))}")
        self._settings = settings
        self.tokens = TokenBook(store, clock)
        self._oidc = Oidc(settings.oidc, clock) if settings.oidc is not None else None
        self._requests = RateLimit(clock, settings.requests_per_second)
        self._failures = RateLimit(clock, FAILURES_PER_SECOND)

    @property
    def is_open(self) -> bool:
        """Whether anyone on this machine may do anything."""
        settings = self._settings
        is_guarded = settings.tokens or self._oidc is not None or self.tokens.has_any
        return settings.is_local and not is_guarded and not settings.has_stored_tokens

    async def caller(self, headers: Headers) -> Caller | None:
        """Return the caller that a request's headers identify; None for a wrong token.

        Raises:
            StoreError: the store, which keeps the tokens, does not answer.
        """
        scheme, _, token = headers.get("authorization", "").partition(" ")
        return await self.bearer(token.strip() if scheme.lower() == "bearer" else "")

    async def bearer(self, token: str) -> Caller | None:
        """Return the caller that a token identifies; None for a wrong one.

        Raises:
            StoreError: the store, which keeps the tokens, does not answer.
        """
        if token and self._is_internal(token):
            return Caller(name=INTERNAL, scope=INTERNAL, is_known=True)
        if token and self._is_workers(token):
            return Caller(name=WORKER, scope=WORKER, is_known=True, token_id=BUILT_IN)
        if self.is_open:
            await self.tokens.look()
        if self.is_open:
            return Caller(name="local", scope="admin")
        if not token:
            return None
        return self._configured(token) or await self._stored(token) or await self._signed(token)

    def _is_internal(self, token: str) -> bool:
        expected = self._settings.internal_token
        return bool(expected) and hmac.compare_digest(digest_of(expected), digest_of(token))

    def _is_workers(self, token: str) -> bool:
        expected = self._settings.worker_token
        return bool(expected) and hmac.compare_digest(digest_of(expected), digest_of(token))

    def _configured(self, token: str) -> Caller | None:
        digest = digest_of(token)
        caller: Caller | None = None
        for configured, scope in self._settings.tokens.items():
            if hmac.compare_digest(configured, digest):
                caller = Caller(name=f"token:{configured[:8]}", scope=scope, is_known=True)
        return caller

    async def _stored(self, token: str) -> Caller | None:
        row = await self.tokens.find(token)
        if row is None:
            return None
        return Caller(
            name=f"token:{row.token_id} {row.name}",
            scope=row.scope,
            is_known=True,
            token_id=row.token_id,
            tenant=_label(row.tenant),
            organization=_label(row.organization),
        )

    async def _signed(self, token: str) -> Caller | None:
        if self._oidc is None or token.count(".") != 2:
            return None
        identity = await self._oidc.identity(token)
        if identity is None:
            return None
        return Caller(
            name=f"oidc:{identity.subject}",
            scope=identity.scope or "open",
            is_known=True,
            tenant=_label(identity.tenant),
            organization=_label(identity.organization),
        )

    def refusal(self, scope: Scope, headers: Headers) -> ApiError | None:
        """Return why the host name or the origin of a request is refused; None if it is not."""
        origin = headers.get("origin", "")
        own = headers.get("host", "")
        is_foreign = origin and urlsplit(origin).netloc != own
        may_look = scope["method"] in SAFE_METHODS and not self.is_open
        if is_foreign and origin not in self._settings.origins and not may_look:
            return ApiError(403, f"web pages of {origin[:100]} may not call this API")
        if self.is_open and not is_loopback(_name_of(own)):
            return ApiError(403, "without authentication the API answers on loopback only")
        return None

    def failed(self, remote: str) -> bool:
        """Count a wrong token; return whether more are allowed from its address."""
        return self._failures.take(remote)

    def is_within_rate(self, caller: Caller, remote: str) -> bool:
        """Count a request; return whether the caller is within the rate limit."""
        return self._requests.take(caller.name if caller.is_known else remote)

    def require(self, caller: Caller, scope: str, *, for_workers: bool = False) -> None:
        """Check that a caller has a scope, or a worker token where those are accepted.

        Raises:
            ApiError: the caller lacks the scope.
        """
        if for_workers and caller.scope == WORKER:
            return
        if scope == INTERNAL:
            if not self._settings.internal_token:
                raise ApiError(503, "no internal token is configured", "no_internal_token")
            if caller.scope != INTERNAL:
                raise ApiError(403, "this needs the internal token")
        elif _rank(caller.scope) < _rank(scope):
            raise ApiError(403, f"this needs the scope {scope!r}; the token has {caller.scope!r}")


def a_worker(caller: Caller, name: str) -> str:
    """Return the name of a worker if the caller may use it.

    Raises:
        ApiError: the name belongs to another token.
    """
    if caller.scope == WORKER and qualified(caller.token_id, name) != name:
        raise ApiError(403, f"with this token a worker's name must begin with '{caller.token_id}.'")
    return name


def _rank(scope: str) -> int:
    return SCOPES.index(scope) if scope in SCOPES else 0


def _label(text: str) -> str:
    """Return a label without characters that a store cannot hold."""
    return text.replace("\x00", "\ufffd")


def _name_of(host: str) -> str:
    """Return a Host header without its port."""
    if host.startswith("["):
        return host.partition("]")[0].strip("[")
    return host.partition(":")[0]


class AccessMiddleware:
    """Adds the caller to the scope of each request, or refuses the request."""

    def __init__(self, app: ASGIApp, access: Access) -> None:
        self._app = app
        self._access = access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        try:
            scope["arcbook.caller"] = await self._admitted(scope, Headers(scope=scope))
        except ApiError as error:
            await error_response(error)(scope, receive, send)
        except REFUSALS as error:
            await error_response(refusal_of(error))(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    async def _admitted(self, scope: Scope, headers: Headers) -> Caller:
        """Authenticate the caller.

        Raises:
            ApiError: the request is refused, whatever its route.
        """
        access, path = self._access, scope["path"]
        remote = counted(remote_of(scope))
        refused = access.refusal(scope, headers)
        if refused is not None:
            raise refused
        if not scope["query_string"].isascii():
            raise ApiError(400, "the query contains non-ASCII characters; percent-encode them")
        if path in OPEN_PATHS:
            return Caller(name="anyone", scope="open")
        # A valid token is accepted even after wrong ones from the same address.
        caller = await access.caller(headers)
        if caller is None and _shows_token(headers) and not access.failed(remote):
            raise ApiError(429, "too many wrong tokens from this address; try again later")
        if scope.get(CROWDED) and (caller is None or not caller.may_crowd):
            raise ApiError(503, "too many connections are open; try again", "crowded")
        if caller is None and INTERNAL_PATHS.fullmatch(path) is not None:
            return Caller(name="anyone", scope="open")
        if caller is None and path == SESSION_PATH:
            caller = Caller(name="anyone", scope="open")
        if caller is None:
            raise ApiError(401, "this needs 'Authorization: Bearer <token>'")
        if not access.is_within_rate(caller, remote):
            raise ApiError(429, "too many requests from this caller; try again later")
        return caller


def _shows_token(headers: Headers) -> bool:
    """Return whether a request presents a token at all; a missing one is not a wrong one."""
    return bool(headers.get("authorization", "").partition(" ")[2].strip())


def remote_of(scope: Scope) -> str:
    """Return the client address of a request."""
    client = scope.get("client")
    return str(client[0])[:ADDRESS_CHARACTERS_MAX] if client else ""


def counted(remote: str) -> str:
    """Return the key under which an address is counted."""
    try:
        address = ipaddress.ip_address(remote)
    except ValueError:
        return remote
    if isinstance(address, ipaddress.IPv4Address):
        return remote
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(ipaddress.ip_network((int(address), NETWORK_BITS), strict=False))
