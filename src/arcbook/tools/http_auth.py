"""What ``auth`` adds to a request: headers, or query parameters.

A credential that cannot be applied is an error: a request that should carry one never
goes out without it. Messages name the credential, never what is in it.
"""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any, Final

import msgspec

from arcbook.secrets.minting import MINTED
from arcbook.tools.api import Credential, ToolContext
from arcbook.tools.texts import text_of


class AuthError(ValueError):
    """A credential cannot be applied; the message says which and why."""


class Grant(msgspec.Struct, frozen=True, kw_only=True):
    """What proves to a server who asks. It goes to that server only."""

    headers: dict[str, str] = {}
    query: dict[str, str] = {}

    def __repr__(self) -> str:
        return "Grant(***)"

    __str__ = __repr__


async def grant_of(auth: Any, context: ToolContext) -> Grant:
    """Return what a call's ``auth`` adds to its request.

    Raises:
        AuthError: it cannot be applied.
        CredentialError: it cannot be had.
    """
    if auth is None:
        return Grant()
    credential = auth if isinstance(auth, Credential) else await _inline(auth, context)
    kind = credential.type.strip().lower()
    if kind in MINTED:
        return _bearer(await context.token(credential))
    make = _GRANTS.get(kind)
    if make is None:
        known = ", ".join(sorted(TYPES))
        raise AuthError(f"{_named(credential)} has type {kind!r}; http takes {known}")
    return make(credential)


async def _inline(auth: Any, context: ToolContext) -> Credential:
    """Return the credential that a task writes out, or names as its ``source``."""
    if not isinstance(auth, dict) or not auth:
        raise AuthError("'auth' must be the alias of a credential, or a mapping with a 'type'")
    source = str(auth.get("source") or "inline").lower()
    if source == "credential":
        stored = await context.credential(str(auth.get("key") or auth.get("name") or ""))
        kind = str(auth.get("type") or stored.type)
        return Credential(name=stored.name, type=kind, data=stored.data)
    if source != "inline":
        raise AuthError(f"'auth.source' must be credential or inline, not {source!r}")
    return Credential(name="", type=str(auth.get("type") or ""), data=auth)


def _bearer(credential: Credential) -> Grant:
    token = _field(credential, "token", "access_token", "bearer_token", "value")
    return Grant(headers={"Authorization": f"Bearer {token}"})


def _basic(credential: Credential) -> Grant:
    user = _field(credential, "username", "user")
    password = text_of(credential.data.get("password")) or ""
    return basic_grant(user, password)


def basic_grant(user: str, password: str) -> Grant:
    """Return what a user's name and password add to a request."""
    pair = base64.b64encode(f"{user}:{password}".encode()).decode()
    return Grant(headers={"Authorization": f"Basic {pair}"})


def _api_key(credential: Credential) -> Grant:
    key = _field(credential, "api_key", "key", "value", "token")
    data = credential.data
    place = str(data.get("in") or data.get("location") or "header").lower()
    if place == "query":
        return Grant(query={str(data.get("param") or data.get("name") or "api_key"): key})
    if place != "header":
        raise AuthError(f"{_named(credential)} goes in header or query, not in {place!r}")
    return Grant(headers={str(data.get("header") or data.get("header_name") or "X-API-Key"): key})


def _nothing(credential: Credential) -> Grant:
    return Grant()


_GRANTS: Final[dict[str, Callable[[Credential], Grant]]] = {
    "api_key": _api_key,
    "basic": _basic,
    "bearer": _bearer,
    "bearer_token": _bearer,
    "none": _nothing,
}

KEYS: Final = (
    "type", "source", "key", "name", "token", "access_token", "bearer_token", "value", "username",
    "user", "password", "api_key", "in", "location", "param", "header", "header_name", "scopes",
    "scope", "audience", "token_url", "client_id", "client_secret", "refresh_token", "credential",
    "service_account_json",
)  # fmt: skip
"""Fields of a credential that a task writes out."""

TYPES: Final = (*_GRANTS, *sorted(MINTED))
"""Types of credentials that a request can carry."""


def _field(credential: Credential, *names: str) -> str:
    for name in names:
        text = text_of(credential.data.get(name))
        if text and text.strip():
            return text.strip()
    raise AuthError(f"{_named(credential)} has no {names[0]!r}")


def _named(credential: Credential) -> str:
    return f"credential {credential.name!r}" if credential.name else "'auth'"
