"""Entries of keychains: where each kind gets its secret, and how long it is good for.

Secrets are kept in the memory of the worker that asked, and nowhere else. However many
ask at once for what is not there, or no longer good, it is fetched once.
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
"""How long a secret is good for whose entry and source say nothing."""

EARLY_SECONDS: Final = 30.0
"""How long before a token ends it is not handed out any more."""

ENTRIES_MAX: Final = 2000
"""Secrets kept in memory."""

PER_EXECUTION: Final = frozenset({"execution", "local"})
"""Scopes in which each execution has a secret of its own."""

STORED: Final = frozenset({"credential", "credential_ref"})
"""Kinds that stand for a stored credential itself."""


class CredentialSource(Protocol):
    """Where stored credentials come from."""

    async def credential(self, alias: str, execution_id: int) -> Credential:
        """Return a credential, opened."""


class Wanted(NamedTuple):
    """An entry with its templates rendered."""

    name: str
    kind: str
    config: dict[str, Any]
    execution_id: int

    def key(self) -> str:
        """Return what two entries share that stand for the same secret."""
        scope = str(self.config.get("scope") or "global")
        # Each execution asks for a stored credential itself, so that the audit has all of them.
        is_stored = self.kind in STORED and self.config.get("type") not in minting.GOOGLE_KINDS
        owner = self.execution_id if is_stored or scope in PER_EXECUTION else 0
        facts = msgspec.json.encode([self.name, self.kind, self.config, owner], order="sorted")
        return hashlib.blake2b(facts, digest_size=16).hexdigest()


class _Kept(NamedTuple):
    credential: Credential
    #: Microseconds of the monotonic clock.
    good_until: int


class Keychain:
    """The secrets that a worker got by keychain entries."""

    def __init__(
        self, credentials: CredentialSource, clock: Clock, egress: Egress | None = None
    ) -> None:
        self._egress = egress or Egress()
        self._credentials = credentials
        self._clock = clock
        self._kept: OrderedDict[str, _Kept] = OrderedDict()
        self._under_way: dict[str, asyncio.Task[Credential]] = {}

    async def open(self, wanted: Wanted) -> Credential:
        """Return what an entry stands for.

        Raises:
            CredentialError: it cannot be had.
        """
        key = wanted.key()
        kept = self._kept.get(key)
        if kept is not None and kept.good_until > self._clock.monotonic_us():
            self._kept.move_to_end(key)
            return kept.credential
        task = self._under_way.get(key)
        if task is None:
            task = asyncio.get_running_loop().create_task(self._fetch(key, wanted))
            self._under_way[key] = task
            task.add_done_callback(lambda _: self._under_way.pop(key, None))
        # Whoever is cancelled must not take the fetch from the others.
        return await asyncio.shield(task)

    async def _fetch(self, key: str, wanted: Wanted) -> Credential:
        fetch = _INNER.get(wanted.kind) or KINDS.get(wanted.kind)
        if fetch is None:
            known = ", ".join(sorted(KINDS))
            raise KeychainError(wanted.name, f"has kind {wanted.kind!r}; known are {known}")
        minting.EGRESS.set(self._egress)  # for this task
        minted = await fetch(wanted, self._credentials)
        seconds = _seconds(wanted, minted)
        if seconds > 0:
            good_until = self._clock.monotonic_us() + int(seconds * 1_000_000)
            self._kept[key] = _Kept(minted.credential, good_until)
            while len(self._kept) > ENTRIES_MAX:
                self._kept.popitem(last=False)
        return minted.credential


def _seconds(wanted: Wanted, minted: Minted) -> float:
    """Return how long a secret is good for: never longer than its issuer says."""
    try:
        asked = float(wanted.config.get("ttl_seconds") or wanted.config.get("ttl") or 0)
    except (TypeError, ValueError):
        raise KeychainError(wanted.name, "has a 'ttl_seconds' that is no number") from None
    if minted.expires_in is None:
        return asked or TTL_SECONDS
    left = minted.expires_in - min(EARLY_SECONDS, minted.expires_in / 10)
    return min(asked, left) if asked else left


# -- kinds ---------------------------------------------------------------------------------


async def _static(wanted: Wanted, _: CredentialSource) -> Minted:
    config = wanted.config
    data = config.get("map") or config.get("data") or config.get("values")
    if not isinstance(data, dict):
        if config.get("value") in (None, ""):
            raise KeychainError(wanted.name, "needs a 'map' of its fields, or a 'value'")
        data = {"value": config["value"]}
    _refuse_empty(wanted, data)
    return Minted(_credential(wanted, data, "secret"))


async def _bearer(wanted: Wanted, _: CredentialSource) -> Minted:
    token = wanted.config.get("token") or wanted.config.get("value")
    if not isinstance(token, str) or not token.strip():
        raise KeychainError(wanted.name, "needs a 'token', and it is empty")
    return Minted(_credential(wanted, {"token": token, "access_token": token}, "bearer"))


async def _stored(wanted: Wanted, credentials: CredentialSource) -> Minted:
    config = wanted.config
    alias = str(config.get("credential") or config.get("ref") or wanted.name)
    found = await credentials.credential(alias, wanted.execution_id)
    if wanted.kind in minting.GOOGLE_KINDS or config.get("type") in minting.GOOGLE_KINDS:
        return await minting.google_access(wanted.name, config, found)
    return Minted(found)


async def _oauth2(wanted: Wanted, credentials: CredentialSource) -> Minted:
    alias = wanted.config.get("credential") or wanted.config.get("auth")
    stored = None
    if alias:
        stored = await credentials.credential(str(alias), wanted.execution_id)
    return await minting.oauth2(wanted.name, wanted.config, stored)


def token_of(credential: Credential, execution_id: int) -> Wanted | None:
    """Return the entry that stands for a credential's token; nothing if it has one already."""
    data = credential.data
    is_google = credential.type == minting.GOOGLE_OAUTH
    if credential.type in minting.ACCOUNT_TYPES or (is_google and minting.holds_account(data)):
        return Wanted(credential.name, _ACCOUNT, {"account": data}, execution_id)
    if is_google and data.get("refresh_token"):
        data = {"token_uri": minting.GOOGLE_TOKENS} | data
    has_issuer = any(data.get(name) for name in minting.ADDRESSES)
    if has_issuer or not (data.get("access_token") or data.get("token")):
        return Wanted(credential.name, _CLIENT, {"client": data}, execution_id)
    return None


async def _minted_by_account(wanted: Wanted, _: CredentialSource) -> Minted:
    data = wanted.config["account"]
    account = Credential(name=wanted.name, type="google_service_account", data=data)
    return await minting.google_access(wanted.name, {"scopes": data.get("scopes")}, account)


async def _minted_by_client(wanted: Wanted, _: CredentialSource) -> Minted:
    client = Credential(name=wanted.name, type="oauth2", data=wanted.config["client"])
    # Names that an entry has for the request are a stored client's as well.
    names = ("headers", "method")
    config: dict[str, Any] = {n: client.data[n] for n in names if n in client.data}
    return await minting.oauth2(wanted.name, config, client)


async def _google_id_token(wanted: Wanted, credentials: CredentialSource) -> Minted:
    config = wanted.config
    alias = config.get("service_account_credential") or config.get("credential")
    if alias:
        account = await credentials.credential(str(alias), wanted.execution_id)
    elif config.get("service_account_secret"):
        path = str(config["service_account_secret"])
        options = {**config, "provider": config.get("provider") or "gcp"}
        text = await fetched(wanted.name, path, options, await _auth_of(wanted, credentials))
        account = _credential(wanted, {"service_account_json": text}, "google_service_account")
    else:
        raise KeychainError(
            wanted.name, "needs 'service_account_credential' or 'service_account_secret'"
        )
    return await minting.google_id_token(wanted.name, config, account)


async def _secrets(wanted: Wanted, credentials: CredentialSource) -> Minted:
    config = wanted.config
    paths = config.get("map") or {"value": config.get("path") or config.get("ref") or wanted.name}
    if not isinstance(paths, dict):
        raise KeychainError(wanted.name, "needs a 'map' of fields to paths")
    _refuse_empty(wanted, paths)
    auth = await _auth_of(wanted, credentials)
    texts = await asyncio.gather(
        *(fetched(wanted.name, str(path), config, auth) for path in paths.values())
    )
    return Minted(_credential(wanted, dict(zip(paths, texts, strict=True)), "secret"))


async def _auth_of(wanted: Wanted, credentials: CredentialSource) -> Credential | None:
    """Return the credential by which an entry asks its provider."""
    alias = wanted.config.get("auth")
    if not alias:
        return None
    return await credentials.credential(str(alias), wanted.execution_id)


def _refuse_empty(wanted: Wanted, data: dict[str, Any]) -> None:
    """A template that found nothing must not become an empty secret."""
    empty = [str(key) for key, value in data.items() if value in (None, "")]
    if empty or not data:
        raise KeychainError(wanted.name, f"has nothing for {', '.join(empty) or 'its fields'}")


def _credential(wanted: Wanted, data: dict[str, Any], kind: str) -> Credential:
    config = wanted.config
    written = config.get("credential_type") or config.get("token_type") or kind
    return Credential(name=wanted.name, type=str(written).lower(), data=data)


_ACCOUNT: Final = "account itself"
_CLIENT: Final = "client itself"

KINDS: Final[dict[str, Callable[[Wanted, CredentialSource], Awaitable[Minted]]]] = {
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
"""Kinds that no playbook can write: tokens of stored credentials."""

__all__ = ["Credential", "CredentialError", "Keychain", "Wanted"]
