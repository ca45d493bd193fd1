"""Keychain entries: where each kind gets its secret, and how long the secret is valid.

Secrets are cached only in the memory of the worker that asked. Concurrent requests for a missing
or expired secret share one fetch.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Any, Final, NamedTuple, Protocol

import msgspec

from arcbook.clock import Clock
from arcbook.egress import Egress
from arcbook.secrets import minting
from arcbook.secrets.api import Credential, CredentialError, KeychainError
from arcbook.secrets.minting import Minted
from arcbook.secrets.providers import fetched

TTL_SECONDS: Final = 300.0
"""Validity of a secret if neither its entry nor its source sets one."""

EARLY_SECONDS: Final = 30.0
"""A token is renewed this long before it expires."""

ENTRIES_MAX: Final = 2000
"""Secrets cached in memory."""

PER_EXECUTION: Final = frozenset({"execution", "local"})
"""Scopes in which each execution has its own secret."""

STORED: Final = frozenset({"credential", "credential_ref"})
"""Kinds that refer to a stored credential."""


class CredentialSource(Protocol):
    """Port: the source of stored credentials."""

    async def credential(self, alias: str, execution_id: int) -> Credential:
        """Return a credential, decrypted."""


class RenderedEntry(NamedTuple):
    """A keychain entry with its templates rendered."""

    name: str
    kind: str
    config: dict[str, Any]
    execution_id: int

    def key(self) -> str:
        """Return the cache key, shared by entries that refer to the same secret."""
        scope = str(self.config.get("scope") or "global")
        # Each execution requests a stored credential itself, so that the audit records all of them.
        is_stored = self.kind in STORED and self.config.get("type") not in minting.GOOGLE_KINDS
        owner = self.execution_id if is_stored or scope in PER_EXECUTION else 0
        facts = msgspec.json.encode([self.name, self.kind, self.config, owner], order="sorted")
        return hashlib.blake2b(facts, digest_size=16).hexdigest()


class _CachedSecret(NamedTuple):
    credential: Credential
    #: In microseconds of the monotonic clock.
    good_until: int


class Keychain:
    """The secrets that a worker obtained through keychain entries."""

    def __init__(
        self, credentials: CredentialSource, clock: Clock, egress: Egress | None = None
    ) -> None:
        self._egress = egress or Egress()
        self._credentials = credentials
        self._clock = clock
        self._cache: OrderedDict[str, _CachedSecret] = OrderedDict()
        self._under_way: dict[str, asyncio.Task[Credential]] = {}

    async def open(self, entry: RenderedEntry) -> Credential:
        """Return the secret of an entry.

        Raises:
            CredentialError: it cannot be obtained.
        """
        key = entry.key()
        cached = self._cache.get(key)
        if cached is not None and cached.good_until > self._clock.monotonic_us():
            self._cache.move_to_end(key)
            return cached.credential
        task = self._under_way.get(key)
        if task is None:
            task = asyncio.get_running_loop().create_task(self._fetch(key, entry))
            self._under_way[key] = task
            task.add_done_callback(lambda _: self._under_way.pop(key, None))
        # Cancelling one waiter must not cancel the fetch for the others.
        return await asyncio.shield(task)

    async def _fetch(self, key: str, entry: RenderedEntry) -> Credential:
        fetch = _INNER.get(entry.kind) or KINDS.get(entry.kind)
        if fetch is None:
            known = ", ".join(sorted(KINDS))
            raise KeychainError(entry.name, f"has kind {entry.kind!r}; known are {known}")
        minting.EGRESS.set(self._egress)  # for this task
        minted = await fetch(entry, self._credentials)
        seconds = _seconds(entry, minted)
        if seconds > 0:
            good_until = self._clock.monotonic_us() + int(seconds * 1_000_000)
            self._cache[key] = _CachedSecret(minted.credential, good_until)
            while len(self._cache) > ENTRIES_MAX:
                self._cache.popitem(last=False)
        return minted.credential


def _seconds(entry: RenderedEntry, minted: Minted) -> float:
    """Return how long a secret is valid, limited by its issuer."""
    try:
        ttl = float(entry.config.get("ttl_seconds") or entry.config.get("ttl") or 0)
    except (TypeError, ValueError):
        raise KeychainError(entry.name, "has a 'ttl_seconds' that is not a number") from None
    if minted.expires_in is None:
        return ttl or TTL_SECONDS
    remaining = minted.expires_in - min(EARLY_SECONDS, minted.expires_in / 10)
    return min(ttl, remaining) if ttl else remaining


# -- kinds ---------------------------------------------------------------------------------


async def _static(entry: RenderedEntry, _: CredentialSource) -> Minted:
    config = entry.config
    data = config.get("map") or config.get("data") or config.get("values")
    if not isinstance(data, dict):
        if config.get("value") in (None, ""):
            raise KeychainError(entry.name, "needs a 'map' of its fields, or a 'value'")
        data = {"value": config["value"]}
    _refuse_empty(entry, data)
    return Minted(_credential(entry, data, "secret"))


async def _bearer(entry: RenderedEntry, _: CredentialSource) -> Minted:
    token = entry.config.get("token") or entry.config.get("value")
    if not isinstance(token, str) or not token.strip():
        raise KeychainError(entry.name, "has an empty 'token'")
    return Minted(_credential(entry, {"token": token, "access_token": token}, "bearer"))


async def _stored(entry: RenderedEntry, credentials: CredentialSource) -> Minted:
    config = entry.config
    alias = str(config.get("credential") or config.get("ref") or entry.name)
    stored = await credentials.credential(alias, entry.execution_id)
    if entry.kind in minting.GOOGLE_KINDS or config.get("type") in minting.GOOGLE_KINDS:
        return await minting.google_access(entry.name, config, stored)
    return Minted(stored)


async def _oauth2(entry: RenderedEntry, credentials: CredentialSource) -> Minted:
    alias = entry.config.get("credential") or entry.config.get("auth")
    stored = None
    if alias:
        stored = await credentials.credential(str(alias), entry.execution_id)
    return await minting.oauth2(entry.name, entry.config, stored)


def token_of(credential: Credential, execution_id: int) -> RenderedEntry | None:
    """Return the entry for a credential's token; None if it already has one."""
    data = credential.data
    is_google = credential.type == minting.GOOGLE_OAUTH
    if credential.type in minting.ACCOUNT_TYPES or (is_google and minting.holds_account(data)):
        return RenderedEntry(credential.name, _ACCOUNT, {"account": data}, execution_id)
    if is_google and data.get("refresh_token"):
        data = {"token_uri": minting.GOOGLE_TOKENS} | data
    has_issuer = any(data.get(name) for name in minting.ADDRESSES)
    if has_issuer or not (data.get("access_token") or data.get("token")):
        return RenderedEntry(credential.name, _CLIENT, {"client": data}, execution_id)
    return None


async def _minted_by_account(entry: RenderedEntry, _: CredentialSource) -> Minted:
    data = entry.config["account"]
    account = Credential(name=entry.name, type="google_service_account", data=data)
    return await minting.google_access(entry.name, {"scopes": data.get("scopes")}, account)


async def _minted_by_client(entry: RenderedEntry, _: CredentialSource) -> Minted:
    client = Credential(name=entry.name, type="oauth2", data=entry.config["client"])
    # A stored client may use the same field names as an entry.
    names = ("headers", "method")
    config: dict[str, Any] = {n: client.data[n] for n in names if n in client.data}
    return await minting.oauth2(entry.name, config, client)


async def _google_id_token(entry: RenderedEntry, credentials: CredentialSource) -> Minted:
    config = entry.config
    alias = config.get("service_account_credential") or config.get("credential")
    if alias:
        account = await credentials.credential(str(alias), entry.execution_id)
    elif config.get("service_account_secret"):
        path = str(config["service_account_secret"])
        options = {**config, "provider": config.get("provider") or "gcp"}
        text = await fetched(entry.name, path, options, await _auth_of(entry, credentials))
        account = _credential(entry, {"service_account_json": text}, "google_service_account")
    else:
        raise KeychainError(
            entry.name, "needs 'service_account_credential' or 'service_account_secret'"
        )
    return await minting.google_id_token(entry.name, config, account)


async def _secrets(entry: RenderedEntry, credentials: CredentialSource) -> Minted:
    config = entry.config
    paths = config.get("map") or {"value": config.get("path") or config.get("ref") or entry.name}
    if not isinstance(paths, dict):
        raise KeychainError(entry.name, "needs a 'map' of fields to paths")
    _refuse_empty(entry, paths)
    auth = await _auth_of(entry, credentials)
    texts = await asyncio.gather(
        *(fetched(entry.name, str(path), config, auth) for path in paths.values())
    )
    return Minted(_credential(entry, dict(zip(paths, texts, strict=True)), "secret"))


async def _auth_of(entry: RenderedEntry, credentials: CredentialSource) -> Credential | None:
    """Return the credential for an entry's provider."""
    alias = entry.config.get("auth")
    if not alias:
        return None
    return await credentials.credential(str(alias), entry.execution_id)


def _refuse_empty(entry: RenderedEntry, data: dict[str, Any]) -> None:
    """Refuse empty fields: a template without a value must not become an empty secret."""
    empty = [str(key) for key, value in data.items() if value in (None, "")]
    if empty or not data:
        raise KeychainError(entry.name, f"has nothing for {', '.join(empty) or 'its fields'}")


def _credential(entry: RenderedEntry, data: dict[str, Any], kind: str) -> Credential:
    config = entry.config
    written = config.get("credential_type") or config.get("token_type") or kind
    return Credential(name=entry.name, type=str(written).lower(), data=data)


_ACCOUNT: Final = "account itself"
_CLIENT: Final = "client itself"

KINDS: Final[dict[str, Callable[[RenderedEntry, CredentialSource], Awaitable[Minted]]]] = {
    "bearer": _bearer,
    "credential": _stored,
    "credential_ref": _stored,
    "google_id_token": _google_id_token,
    **dict.fromkeys(minting.GOOGLE_KINDS, _stored),
    "oauth2": _oauth2,
    "secret_manager": _secrets,
    "secrets": _secrets,
    "static": _static,
}
"""The kinds of entries."""

_INNER: Final = {_ACCOUNT: _minted_by_account, _CLIENT: _minted_by_client}
"""Internal kinds that playbooks cannot use: tokens of stored credentials."""

__all__ = ["Credential", "CredentialError", "Keychain", "RenderedEntry"]
