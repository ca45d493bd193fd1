"""JWTs of an identity provider: signature, issuer, audience and times."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any, Final

import aiohttp
import msgspec

from arcbook.clock import Clock
from arcbook.http_client import read_body
from arcbook.logs import events as logged
from arcbook.secrets.tokens import SCOPES
from arcbook.settings import SettingsError

ALGORITHMS: Final = ["RS256", "ES256"]
"""Accepted signature algorithms; none that a public key could produce."""

FRESH_SECONDS: Final = 600.0
"""How long the provider's keys are cached."""

AGAIN_SECONDS: Final = 30.0
"""Time between two fetches for an unknown key."""

FETCH_SECONDS: Final = 5.0
"""Time limit for the provider's answer."""

KEYS_BYTES_MAX: Final = 1024 * 1024
"""Maximum size of the provider's answer."""

LEEWAY_SECONDS: Final = 30
"""Tolerated difference between the provider's clock and ours."""

TOKEN_CHARACTERS_MAX: Final = 16 * 1024

log = logging.getLogger(__name__)

Fetch = Callable[[str], Awaitable[Any]]


class OidcSettings(msgspec.Struct, frozen=True, kw_only=True):
    """The identity provider whose JWTs are accepted."""

    issuer: str
    audience: str
    #: The URL of its keys; discovered through the issuer by default.
    jwks_url: str = ""
    #: The claim with the scopes, as a list or a text separated by spaces ...
    scope_claim: str = "scope"
    #: ... and the prefix of our scopes in it.
    scope_prefix: str = "arcbook:"


class Identity(msgspec.Struct, frozen=True, kw_only=True):
    """The subject of a JWT, and their rights."""

    subject: str
    #: Empty if the JWT names none of our scopes.
    scope: str
    tenant: str
    organization: str


class Oidc:
    """Verifies JWTs; the provider's keys are fetched on demand and cached."""

    def __init__(self, settings: OidcSettings, clock: Clock, fetch: Fetch | None = None) -> None:
        """Initialize the verifier.

        Raises:
            SettingsError: a package or a setting is missing.
        """
        if not settings.audience:
            raise SettingsError("ARCBOOK_OIDC_ISSUER also needs ARCBOOK_OIDC_AUDIENCE")
        try:
            from joserfc import jwk, jwt  # an extra
        except ImportError:
            raise SettingsError("JWTs need joserfc; run: pip install 'arcbook[oidc]'") from None
        self._jwk, self._jwt = jwk, jwt
        self._settings = settings
        self._clock = clock
        self._fetch = fetch or fetched
        self._keys: Any = None
        self._fetched_at: int | None = None
        self._tried_at: int | None = None
        self._fetching = asyncio.Lock()

    async def identity(self, token: str) -> Identity | None:
        """Return the identity in a JWT; None if the JWT is invalid."""
        if len(token) > TOKEN_CHARACTERS_MAX:
            return None
        await self._refresh(FRESH_SECONDS)
        claims = self._claims(token)
        if claims is None and self._is_of_unknown_key(token):
            await self._refresh(AGAIN_SECONDS)
            claims = self._claims(token)
        return self._identity(claims) if claims is not None else None

    def _claims(self, token: str) -> dict[str, Any] | None:
        from joserfc.errors import JoseError  # an extra

        if self._keys is None:
            return None
        settings = self._settings
        rules = self._jwt.JWTClaimsRegistry(
            now=self._clock.now_us() // 1_000_000,
            leeway=LEEWAY_SECONDS,
            iss={"essential": True, "value": settings.issuer},
            aud={"essential": True, "value": settings.audience},
            exp={"essential": True},
            sub={"essential": True},
        )
        try:
            decoded = self._jwt.decode(token, self._keys, algorithms=ALGORITHMS)
            rules.validate(decoded.claims)
        except (JoseError, ValueError, TypeError) as error:
            log.info(logged.JWT_REFUSED, {"reason": type(error).__name__})
            return None
        return decoded.claims

    def _is_of_unknown_key(self, token: str) -> bool:
        from joserfc import jws  # an extra
        from joserfc.errors import JoseError  # an extra

        try:
            kid = jws.extract_compact(token.encode()).headers().get("kid")
        except (JoseError, ValueError, TypeError):
            return False
        return all(key.kid != kid for key in self._keys.keys) if self._keys is not None else True

    async def _refresh(self, seconds: float) -> None:
        """Fetch the keys if they are too old; keep the old ones if that fails."""
        async with self._fetching:
            now = self._clock.monotonic_us()
            if self._is_within(self._tried_at, AGAIN_SECONDS):
                return
            if self._is_within(self._fetched_at, seconds):
                return
            self._tried_at = now
            try:
                async with asyncio.timeout(FETCH_SECONDS):
                    keys = await self._fetch(await self._address())
                self._keys = self._jwk.KeySet.import_key_set(keys)
            except (aiohttp.ClientError, OSError, TimeoutError, ValueError, KeyError) as error:
                log.warning(
                    logged.JWT_KEYS_AWAY, {"issuer": self._settings.issuer, "reason": error}
                )
                return
            self._fetched_at = now

    def _is_within(self, at: int | None, seconds: float) -> bool:
        return at is not None and self._clock.monotonic_us() - at < seconds * 1_000_000

    async def _address(self) -> str:
        if self._settings.jwks_url:
            return self._settings.jwks_url
        base = self._settings.issuer.rstrip("/")
        configuration = await self._fetch(f"{base}/.well-known/openid-configuration")
        return str(configuration["jwks_uri"])

    def _identity(self, claims: dict[str, Any]) -> Identity:
        named = claims.get(self._settings.scope_claim, "")
        listed = named.split() if isinstance(named, str) else named
        prefix = self._settings.scope_prefix
        granted = set(map(str, listed)) if isinstance(listed, list) else set()
        scopes = [scope for scope in SCOPES if prefix + scope in granted]
        return Identity(
            subject=str(claims["sub"])[:200],
            scope=scopes[-1] if scopes else "",
            tenant=_label(claims.get("tenant")),
            organization=_label(claims.get("organization")),
        )


def _label(value: Any) -> str:
    return value[:200] if isinstance(value, str) else ""


async def fetched(url: str) -> Any:
    """Return the JSON at an address.

    Raises:
        aiohttp.ClientError: the address is unreachable.
        ValueError: the answer is too long, or not JSON.
    """
    timeout = aiohttp.ClientTimeout(total=FETCH_SECONDS)
    async with aiohttp.ClientSession(timeout=timeout) as session, session.get(url) as answer:
        answer.raise_for_status()
        data = await read_body(answer, KEYS_BYTES_MAX)
    return msgspec.json.decode(data)
