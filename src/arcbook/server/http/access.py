"""Who may call the API.

Without authentication the API is open, and then only on loopback: :func:`check_binding`
refuses any other address at start. An open API answers no foreign host names and no foreign
web pages, so that a page in the user's own browser cannot drive it.
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
"""What a caller may: each includes those before it."""

INTERNAL: Final = "internal"
"""The scope of the holder of the internal token, who may nothing else."""

OPEN_PATHS: Final = frozenset({"/health", "/api/health", "/api/runtime/contract"})
"""Paths that need no token, for what watches whether the server is there."""

SESSION_PATH: Final = "/api/auth/validate"
"""The path that tells what a token is good for; who asks need not show one besides."""

INTERNAL_PATHS: Final = re.compile(r"/api/(internal/.*|commands/.*|credentials/[^/]+/sealed)")
"""The paths that need the internal token."""

SAFE_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS"})

FAILURES_PER_SECOND: Final = 5.0
"""Wrong tokens that one address may show before it is told to wait."""

ADDRESS_CHARACTERS_MAX: Final = 100
"""What is kept of an address that is none."""

NETWORK_BITS: Final = 64
"""Of an IPv6 address, what counts as one address: whoever has one has all of those."""


class UnsafeBindingError(SettingsError):
    """The API would be reachable from other machines by anybody."""

    code = "unsafe_binding"


class Caller(msgspec.Struct, frozen=True, kw_only=True):
    """Who calls, and what they may."""

    name: str
    scope: str
    #: Whether they showed a token; an open API knows nobody.
    is_known: bool = False
    #: Whose work it is; an empty text where nobody says.
    tenant: str = ""
    organization: str = ""
    #: The token of the store that they showed.
    token_id: str = ""

    @property
    def may_crowd(self) -> bool:
        """Whether it is answered even when others are not."""
        return self.is_known and self.scope in (INTERNAL, SCOPES[-1])

    @property
    def labels(self) -> dict[str, str]:
        """What the caller's executions are labelled with."""
        found = {"tenant": self.tenant, "organization": self.organization}
        if self.is_known:
            found["started_by"] = self.name
        return {name: value for name, value in found.items() if value}


def hash_token(token: str) -> str:
    """Return the form in which a token stands in the settings."""
    return digest_of(token)


def is_loopback(host: str) -> bool:
    """Return whether an address reaches this machine only."""
    host = host.strip("[]")
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def check_binding(host: str, settings: HttpSettings) -> None:
    """Refuse to listen for other machines without authentication.

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
        """Whether everybody on this machine may do everything."""
        given = self._settings
        is_guarded = given.tokens or self._oidc is not None or self.tokens.has_any
        return given.is_local and not is_guarded and not given.has_stored_tokens

    async def caller(self, headers: Headers) -> Caller | None:
        """Return who a request's headers say that calls; nothing for a wrong token.

        Raises:
            StoreError: the store, which knows tokens, does not answer.
        """
        scheme, _, token = headers.get("authorization", "").partition(" ")
        return await self.bearer(token.strip() if scheme.lower() == "bearer" else "")

    async def bearer(self, token: str) -> Caller | None:
        """Return who calls with a token; nothing for a wrong one.

        Raises:
            StoreError: the store, which knows tokens, does not answer.
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
        known = self._settings.internal_token
        return bool(known) and hmac.compare_digest(digest_of(known), digest_of(token))

    def _is_workers(self, token: str) -> bool:
        known = self._settings.worker_token
        return bool(known) and hmac.compare_digest(digest_of(known), digest_of(token))

    def _configured(self, token: str) -> Caller | None:
        given = digest_of(token)
        found: Caller | None = None
        for known, scope in self._settings.tokens.items():
            if hmac.compare_digest(known, given):
                found = Caller(name=f"token:{known[:8]}", scope=scope, is_known=True)
        return found

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
        found = await self._oidc.identity(token)
        if found is None:
            return None
        return Caller(
            name=f"oidc:{found.subject}",
            scope=found.scope or "open",
            is_known=True,
            tenant=_label(found.tenant),
            organization=_label(found.organization),
        )

    def refusal(self, scope: Scope, headers: Headers) -> ApiError | None:
        """Return why a request is refused before it is looked at, if it is."""
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
        """Count a wrong token; return whether its address may show another one."""
        return self._failures.take(remote)

    def is_within_rate(self, caller: Caller, remote: str) -> bool:
        """Count a request; return whether its caller may ask that often."""
        return self._requests.take(caller.name if caller.is_known else remote)

    def require(self, caller: Caller, scope: str, *, for_workers: bool = False) -> None:
        """Check that a caller may do what needs a scope, or a worker's token as well.

        Raises:
            ApiError: they may not.
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
    """Return a worker's name, as its caller may have it.

    Raises:
        ApiError: it is another's.
    """
    if caller.scope == WORKER and qualified(caller.token_id, name) != name:
        raise ApiError(403, f"with this token a worker's name begins with '{caller.token_id}.'")
    return name


def _rank(scope: str) -> int:
    return SCOPES.index(scope) if scope in SCOPES else 0


def _label(text: str) -> str:
    """Return a label as every store can hold it."""
    return text.replace("\x00", "\ufffd")


def _name_of(host: str) -> str:
    """Return a Host header without its port."""
    if host.startswith("["):
        return host.partition("]")[0].strip("[")
    return host.partition(":")[0]


class AccessMiddleware:
    """Puts the caller into the scope of each request, or refuses it."""

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
        """Return who calls.

        Raises:
            ApiError: the request is refused, whatever it asks for.
        """
        access, path = self._access, scope["path"]
        remote = counted(remote_of(scope))
        refused = access.refusal(scope, headers)
        if refused is not None:
            raise refused
        if not scope["query_string"].isascii():
            raise ApiError(400, "the query holds characters that must be in % notation")
        if path in OPEN_PATHS:
            return Caller(name="anyone", scope="open")
        # A good token is never refused for the wrong ones that came from the same address.
        caller = await access.caller(headers)
        if caller is None and _shows_token(headers) and not access.failed(remote):
            raise ApiError(429, "too many wrong tokens came from this address")
        if scope.get(CROWDED) and (caller is None or not caller.may_crowd):
            raise ApiError(503, "too many connections are open; try again", "crowded")
        if caller is None and INTERNAL_PATHS.fullmatch(path) is not None:
            return Caller(name="anyone", scope="open")
        if caller is None and path == SESSION_PATH:
            caller = Caller(name="anyone", scope="open")
        if caller is None:
            raise ApiError(401, "this needs 'Authorization: Bearer <token>'")
        if not access.is_within_rate(caller, remote):
            raise ApiError(429, "this caller asks too often; wait a moment")
        return caller


def _shows_token(headers: Headers) -> bool:
    """Return whether a request shows a token at all: none is no wrong one."""
    return bool(headers.get("authorization", "").partition(" ")[2].strip())


def remote_of(scope: Scope) -> str:
    """Return the address from which a request came."""
    client = scope.get("client")
    return str(client[0])[:ADDRESS_CHARACTERS_MAX] if client else ""


def counted(remote: str) -> str:
    """Return what counts as one with an address."""
    try:
        address = ipaddress.ip_address(remote)
    except ValueError:
        return remote
    if isinstance(address, ipaddress.IPv4Address):
        return remote
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(ipaddress.ip_network((int(address), NETWORK_BITS), strict=False))
