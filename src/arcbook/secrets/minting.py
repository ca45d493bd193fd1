"""Tokens from issuers: OAuth 2, and Google service accounts."""

from __future__ import annotations

import asyncio
import base64
import time
from contextvars import ContextVar
from typing import Any, Final, NamedTuple

import msgspec

from arcbook.egress import Egress
from arcbook.http_client import BodyTooLargeError, read_body
from arcbook.secrets.api import Credential, KeychainError

TOKEN_SECONDS: Final = 20.0
"""Time limit for an issuer's answer."""

ANSWER_BYTES_MAX: Final = 1024 * 1024
"""Maximum size of an issuer's answer."""

GOOGLE_KINDS: Final = ("google", "google_oauth", "google_service_account")
"""Kinds of entries, and types, for access tokens of service accounts."""

ADDRESSES: Final = (
    "endpoint", "token_url", "token_uri", "token_endpoint", "access_token_url", "url",
)  # fmt: skip
"""Field names for the URL of an issuer."""

OAUTH2_TYPES: Final = ("oauth2", "oauth2_client_credentials")
"""Credential types for clients of an OAuth 2 issuer."""

ACCOUNT_TYPES: Final = ("google_service_account", "service_account")
"""Credential types for Google service accounts."""

GOOGLE_OAUTH: Final = "google_oauth"
"""Credential type for a source of Google tokens: an account, or a client with a refresh token."""

MINTED: Final = frozenset({*OAUTH2_TYPES, *ACCOUNT_TYPES, GOOGLE_OAUTH})
"""Credential types that an issuer exchanges for a token."""

ACCOUNT_FIELDS: Final = (
    "service_account_json", "service_account_info", "credentials_json", "json",
)  # fmt: skip
"""Fields that may contain a whole service account."""

SHARINGS: Final = frozenset({"catalog", "execution", "global", "local", "playbook", "shared"})
"""Values of ``scope`` that say who shares the token; any other value is the OAuth scope."""

GOOGLE_TOKENS: Final = "https://oauth2.googleapis.com/token"
GOOGLE_SCOPE: Final = "https://www.googleapis.com/auth/cloud-platform"
JWT_GRANT: Final = "urn:ietf:params:oauth:grant-type:jwt-bearer"
JWT_SECONDS: Final = 3600

_FORM: Final = "application/x-www-form-urlencoded"
_JSON: Final = "application/json"


class Minted(NamedTuple):
    """A secret, and its validity in seconds if its issuer sets one."""

    credential: Credential
    expires_in: float | None = None


async def oauth2(name: str, config: dict[str, Any], stored: Credential | None) -> Minted:
    """Return a token from an OAuth 2 issuer.

    Raises:
        KeychainError: no token could be obtained.
    """
    known = {**(stored.data if stored else {}), **config}
    if config.get("scope") in SHARINGS:
        known["scope"] = stored.data.get("scope") if stored else None
    url = _first(known, *ADDRESSES)
    if not url:
        raise KeychainError(name, "needs an 'endpoint', the URL of its issuer")
    headers = {str(k): str(v) for k, v in (config.get("headers") or {}).items()}
    form = config.get("data") or config.get("body")
    if not isinstance(form, dict):
        refreshes = bool(known.get("refresh_token"))
        form = {"grant_type": "refresh_token" if refreshes else "client_credentials"}
        for field in ("refresh_token", "client_id", "client_secret", "scope", "audience"):
            if known.get(field):
                form[field] = known[field]
    empty = sorted(str(key) for key, value in form.items() if value in (None, ""))
    if empty:
        raise KeychainError(name, f"has nothing for {', '.join(empty)}")
    answer = await _asked(name, str(config.get("method") or "POST"), url, headers, form)
    return _minted(name, answer, msgspec.json.encode(form, order="sorted").decode())


async def google_id_token(name: str, config: dict[str, Any], account: Credential) -> Minted:
    """Return an identity token of a service account.

    Raises:
        KeychainError: no token could be obtained.
    """
    audience = config.get("target_audience") or config.get("audience")
    if not audience:
        raise KeychainError(name, "needs a 'target_audience'")
    answer = await _google(name, account, {"target_audience": str(audience)})
    token = answer.get("id_token")
    if not isinstance(token, str):
        raise KeychainError(name, "got an answer without an id_token")
    data = {"id_token": token, "token": token, "access_token": token}
    root = _service_account(name, account)["private_key"]
    credential = Credential(name=name, type="bearer", data=data, root=str(root))
    return Minted(credential, float(JWT_SECONDS))


async def google_access(name: str, config: dict[str, Any], account: Credential) -> Minted:
    """Return an access token of a service account.

    Raises:
        KeychainError: no token could be obtained.
    """
    scopes = config.get("scopes") or GOOGLE_SCOPE
    scope = " ".join(scopes) if isinstance(scopes, list) else str(scopes)
    root = str(_service_account(name, account)["private_key"])
    return _minted(name, await _google(name, account, {"scope": scope}), root)


async def _google(name: str, account: Credential, claims: dict[str, Any]) -> dict[str, Any]:
    facts = _service_account(name, account)
    url = str(facts.get("token_uri") or GOOGLE_TOKENS)
    now = int(time.time())
    claims |= {
        "iss": facts["client_email"],
        "sub": facts["client_email"],
        "aud": url,
        "iat": now,
        "exp": now + JWT_SECONDS,
    }
    header = {"alg": "RS256", "typ": "JWT", "kid": str(facts.get("private_key_id") or "")}
    assertion = await asyncio.to_thread(_signed, name, header, claims, str(facts["private_key"]))
    form = {"grant_type": JWT_GRANT, "assertion": assertion}
    return await _asked(name, "POST", url, {}, form)


def holds_account(data: dict[str, Any]) -> bool:
    """Return whether fields are those of a service account, or contain one."""
    return any(data.get(name) for name in (*ACCOUNT_FIELDS, "service_account", "private_key"))


def _service_account(name: str, account: Credential) -> dict[str, Any]:
    """Return the fields of a service account, which may be stored as one text."""
    for field in ACCOUNT_FIELDS:
        value = account.data.get(field)
        if isinstance(value, str):
            try:
                value = msgspec.json.decode(value)
            except msgspec.DecodeError:
                raise KeychainError(name, f"has a {field!r} that is not JSON") from None
        if isinstance(value, dict):
            return _checked(name, value)
    nested = account.data.get("service_account")
    return _checked(name, nested if isinstance(nested, dict) else account.data)


def _checked(name: str, facts: dict[str, Any]) -> dict[str, Any]:
    for field in ("client_email", "private_key"):
        if not facts.get(field):
            raise KeychainError(name, f"has a service account without {field!r}")
    return facts


def _signed(name: str, header: dict[str, Any], claims: dict[str, Any], pem: str) -> str:
    from cryptography.hazmat.primitives import hashes, serialization  # heavy: only where used
    from cryptography.hazmat.primitives.asymmetric import padding, rsa

    text = ".".join(_b64url(msgspec.json.encode(part)) for part in (header, claims))
    try:
        key = serialization.load_pem_private_key(pem.encode(), password=None)
    except (ValueError, TypeError):
        raise KeychainError(name, "has a 'private_key' that is not a PEM key") from None
    if not isinstance(key, rsa.RSAPrivateKey):
        raise KeychainError(name, "has a 'private_key' that is not an RSA key")
    signature = key.sign(text.encode(), padding.PKCS1v15(), hashes.SHA256())
    return f"{text}.{_b64url(signature)}"


def _b64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _minted(name: str, answer: dict[str, Any], root: str) -> Minted:
    token = answer.get("access_token") or answer.get("token") or answer.get("id_token")
    if not isinstance(token, str) or not token:
        raise KeychainError(name, "got an answer without an access_token")
    data = {**answer, "access_token": token, "token": token}
    try:
        seconds = float(answer["expires_in"]) if "expires_in" in answer else None
    except (TypeError, ValueError):
        seconds = None
    return Minted(Credential(name=name, type="bearer", data=data, root=root), seconds)


EGRESS: Final[ContextVar[Egress]] = ContextVar("egress")
"""The egress policy for the entry being fetched."""


async def _asked(
    name: str, method: str, url: str, headers: dict[str, str], form: dict[str, Any]
) -> dict[str, Any]:
    """Send a request to an issuer. Errors never quote its answer, which may echo secrets.

    Raises:
        KeychainError: it does not issue a token.
    """
    import aiohttp  # heavy: only where used

    kind = next((v for k, v in headers.items() if k.lower() == "content-type"), _FORM)
    sent = {k: v for k, v in headers.items() if k.lower() != "content-type"}
    body: dict[str, Any] = (
        {"json": form} if kind.startswith(_JSON) else {"data": {k: str(v) for k, v in form.items()}}
    )
    timeout = aiohttp.ClientTimeout(total=TOKEN_SECONDS)
    try:
        async with (
            aiohttp.ClientSession(
                timeout=timeout, connector=EGRESS.get(Egress()).connector()
            ) as session,
            session.request(
                # The request's secrets are for this issuer only, so redirects are not followed.
                method.upper(),
                url,
                headers=sent,
                allow_redirects=False,
                **body,
            ) as response,
        ):
            status, data = response.status, await read_body(response, ANSWER_BYTES_MAX)
    except BodyTooLargeError as error:
        raise KeychainError(
            name, f"got an answer from its issuer that is not a token: {error}"
        ) from None
    except (aiohttp.ClientError, TimeoutError, ValueError) as error:
        reason = type(error).__name__
        raise KeychainError(name, f"cannot reach its issuer: {reason}", retryable=True) from None
    if status >= 400:
        may_pass = status in (408, 429) or status >= 500
        raise KeychainError(name, f"is refused by its issuer: HTTP {status}", retryable=may_pass)
    if status >= 300:
        raise KeychainError(name, "is redirected by its issuer: set the final address")
    try:
        answer = msgspec.json.decode(data)
    except msgspec.DecodeError:
        answer = None
    if not isinstance(answer, dict):
        raise KeychainError(name, "got an answer from its issuer that is not a JSON object")
    return answer


def _first(data: dict[str, Any], *names: str) -> str:
    values = (data.get(name) for name in names)
    return next((str(value) for value in values if value not in (None, "")), "")
