"""Envelope encryption: each record has its own data key, sealed by an external key.

A sealed record names its algorithm, the key that sealed its data key, and the version of
that key. The record's name is part of the authenticated data, so that a record cannot be
replaced by another one.
"""

from __future__ import annotations

import base64
import os
from typing import Any, Final, Protocol

import msgspec

from arcbook.errors import UnavailableError

ALGORITHM: Final = "AES-256-GCM"
KEY_BYTES: Final = 32
_NONCE_BYTES: Final = 12


class SealError(UnavailableError):
    """A record cannot be sealed or opened; the message says what to do."""

    code = "no_key"


class KeyProvider(Protocol):
    """Seals and opens the data keys of records."""

    @property
    def provider(self) -> str:
        """The name of the provider in sealed records."""

    @property
    def blocks(self) -> bool:
        """Whether its calls block and need a thread."""

    def seal_key(self, key: bytes) -> tuple[str, bytes]:
        """Seal a data key; return the id of the sealing key and the sealed bytes."""

    def open_key(self, key_id: str, sealed: bytes) -> bytes:
        """Open a sealed data key.

        Raises:
            SealError: the key that sealed it is not available.
        """


class LocalKey:
    """A sealing key in the memory of this process."""

    provider = "local"
    blocks = False

    def __init__(self, key: bytes, source: str) -> None:
        if len(key) != KEY_BYTES:
            raise SealError(f"the key in {source} has {len(key)} bytes; it must have {KEY_BYTES}")
        self._key = key
        self._source = source
        self.key_id = "local:" + fingerprint(key)

    @classmethod
    def from_text(cls, text: str, source: str) -> LocalKey:
        """Decode a key from Base64.

        Raises:
            SealError: it is not Base64, or has the wrong length.
        """
        try:
            return cls(base64.b64decode(text.strip(), validate=True), source)
        except ValueError:
            raise SealError(f"the key in {source} is not Base64 of {KEY_BYTES} bytes") from None

    def seal_key(self, key: bytes) -> tuple[str, bytes]:
        return self.key_id, encrypt(self._key, key, b"key")

    def open_key(self, key_id: str, sealed: bytes) -> bytes:
        if key_id != self.key_id:
            raise SealError(
                f"the record was sealed by key {key_id}, but {self._source} holds {self.key_id}: "
                "use the key that sealed it"
            )
        return decrypt(self._key, sealed, b"key")


class _SealedKey(msgspec.Struct, frozen=True, kw_only=True):
    provider: str = "local"
    key_id: str
    ct: bytes


class _Sealed(msgspec.Struct, frozen=True, kw_only=True):
    v: int = 1
    alg: str = ALGORITHM
    ct: bytes
    dek: _SealedKey


def seal(name: str, value: Any, keys: KeyProvider) -> bytes:
    """Seal a value under the name of its record.

    Raises:
        SealError: there is no sealing key.
    """
    data_key = os.urandom(KEY_BYTES)
    key_id, sealed_key = keys.seal_key(data_key)
    text = encrypt(data_key, msgspec.json.encode(value), name.encode())
    dek = _SealedKey(provider=keys.provider, key_id=key_id, ct=sealed_key)
    return msgspec.json.encode(_Sealed(ct=text, dek=dek))


def unseal(name: str, sealed: bytes, keys: KeyProvider) -> Any:
    """Open a sealed record.

    Raises:
        SealError: the key is the wrong one, or the record was changed.
    """
    record = _record(sealed)
    data_key = _opened(record, keys)
    return msgspec.json.decode(decrypt(data_key, record.ct, name.encode()))


def rewrap(sealed: bytes, keys: KeyProvider) -> bytes:
    """Reseal the data key of a record with the current key; its content stays the same.

    Raises:
        SealError: the key that sealed it is not available.
    """
    record = _record(sealed)
    key_id, sealed_key = keys.seal_key(_opened(record, keys))
    dek = _SealedKey(provider=keys.provider, key_id=key_id, ct=sealed_key)
    return msgspec.json.encode(msgspec.structs.replace(record, dek=dek))


def key_of_record(sealed: bytes) -> str:
    """Return the id of the key that sealed a record.

    Raises:
        SealError: the record is damaged.
    """
    return _record(sealed).dek.key_id


def _record(sealed: bytes) -> _Sealed:
    try:
        record = msgspec.json.decode(sealed, type=_Sealed)
    except msgspec.DecodeError:
        raise SealError("the sealed record is damaged") from None
    if record.v != 1 or record.alg != ALGORITHM:
        raise SealError(f"the record uses the unknown format {record.alg} version {record.v}")
    return record


def _opened(record: _Sealed, keys: KeyProvider) -> bytes:
    if record.dek.provider != keys.provider:
        raise SealError(
            f"the record was sealed by a key of provider {record.dek.provider!r}, but "
            f"{keys.provider!r} is configured: use the provider that sealed it"
        )
    return keys.open_key(record.dek.key_id, record.dek.ct)


def encrypt(key: bytes, text: bytes, bound: bytes) -> bytes:
    """Encrypt text, authenticated together with bound data."""
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM  # heavy: only where used

    nonce = os.urandom(_NONCE_BYTES)
    return nonce + AESGCM(key).encrypt(nonce, text, bound)


def decrypt(key: bytes, sealed: bytes, bound: bytes) -> bytes:
    """Decrypt and authenticate a sealed text.

    Raises:
        SealError: the key or the bound data is wrong, or the text was changed.
    """
    from cryptography.exceptions import InvalidTag  # heavy: only where used
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    try:
        return AESGCM(key).decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], bound)
    except (InvalidTag, ValueError):
        raise SealError("the record was changed, or its key is wrong") from None


def fingerprint(key: bytes) -> str:
    """Return an id for a key that reveals nothing about it."""
    import hashlib  # only where a key is used

    return hashlib.blake2b(key, digest_size=6, person=b"arcbook-key").hexdigest()
