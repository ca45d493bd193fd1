"""Who may call the API.

Without tokens the API is open, and then only on loopback: :func:`check_binding` refuses
any other address at start. An open API answers no foreign host names and no foreign web
pages, so that a page in the user's own browser cannot drive it.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
from typing import Final
from urllib.parse import urlsplit

import msgspec
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from arcbook.server.http.errors import ApiError, error_response
from arcbook.server.http.settings import HttpSettings
from arcbook.settings import SettingsError

SCOPES: Final = ("open", "viewer", "operator", "editor", "admin")
"""What a caller may: each includes those before it."""

OPEN_PATHS: Final = frozenset({"/health", "/api/health"})
"""Paths that need no token, for what watches whether the server is there."""

INTERNAL_PREFIX: Final = "/api/internal/"
"""Paths that ask for a token of their own, and let nobody in who has only the API's."""

SAFE_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS"})


class UnsafeBindingError(SettingsError):
    """The API would be reachable from other machines by anybody."""


class Caller(msgspec.Struct, frozen=True, kw_only=True):
    """Who calls, and what they may."""

    name: str
    scope: str
    #: Whether they showed a token; an open API knows nobody.
    is_known: bool = False


def hash_token(token: str) -> str:
    """Return the form in which a token stands in the settings."""
    return hashlib.sha256(token.encode()).hexdigest()


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
    if not settings.tokens and not is_loopback(host):
        raise UnsafeBindingError(
            f"the API would be open to anyone who can reach {host or 'any address'}: "
            "configure API tokens, or listen on 127.0.0.1"
        )


class Access:
    """Checks tokens and scopes."""

    def __init__(self, settings: HttpSettings) -> None:
        unknown = {s for s in settings.tokens.values() if s not in SCOPES}
        if unknown:
            raise ValueError(f"unknown scopes of tokens: {', '.join(sorted(unknown))}")
        self._settings = settings

    def caller(self, headers: Headers) -> Caller | None:
        """Return who a request's headers say that calls; nothing for a wrong token."""
        scheme, _, token = headers.get("authorization", "").partition(" ")
        if not self._settings.tokens:
            return Caller(name="local", scope="admin")
        if scheme.lower() != "bearer":
            return None
        given = hash_token(token.strip())
        found: Caller | None = None
        for known, scope in self._settings.tokens.items():
            if hmac.compare_digest(known, given):
                found = Caller(name=f"token:{known[:8]}", scope=scope, is_known=True)
        return found

    def refusal(self, scope: Scope, headers: Headers) -> ApiError | None:
        """Return why a request is refused before it is looked at, if it is."""
        origin = headers.get("origin", "")
        own = headers.get("host", "")
        is_foreign = origin and urlsplit(origin).netloc != own
        may_look = scope["method"] in SAFE_METHODS and self._settings.tokens
        if is_foreign and origin not in self._settings.origins and not may_look:
            return ApiError(403, f"web pages of {origin[:100]} may not call this API")
        if not self._settings.tokens and not is_loopback(_name_of(own)):
            return ApiError(403, "without authentication the API answers on loopback only")
        return None

    @staticmethod
    def require(caller: Caller, scope: str) -> None:
        """Check that a caller may do what needs a scope.

        Raises:
            ApiError: they may not.
        """
        if SCOPES.index(caller.scope) < SCOPES.index(scope):
            raise ApiError(403, f"this needs the scope {scope!r}; the token has {caller.scope!r}")


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
        headers = Headers(scope=scope)
        refused = self._access.refusal(scope, headers)
        if refused is None:
            caller = self._access.caller(headers)
            if scope["path"].startswith(INTERNAL_PREFIX):
                caller = Caller(name="internal", scope="open")
            elif caller is None and scope["path"] in OPEN_PATHS:
                caller = Caller(name="anyone", scope="open")
            if caller is not None:
                scope["arcbook.caller"] = caller
                await self._app(scope, receive, send)
                return
            refused = ApiError(401, "this needs 'Authorization: Bearer <token>'")
        await error_response(refused)(scope, receive, send)
