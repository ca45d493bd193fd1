"""Envelope encryption: each record has a key of its own, sealed by a key from outside.

A sealed record describes itself: algorithm, which key sealed its data key, and which
version of that key. The record's name is bound into it, so that one record's bytes are
of no use in the place of another's.
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
        """What a record says of where its sealing key is."""

    @property
    def blocks(self) -> bool:
        """Whether its calls take long enough to need a thread."""

    def seal_key(self, key: bytes) -> tuple[str, bytes]:
        """Return the id of the sealing key, and the data key sealed by it."""

    def open_key(self, key_id: str, sealed: bytes) -> bytes:
        """Return a data key.

        Raises:
            SealError: the key that sealed it is not here.
        """


class LocalKey:
    """A sealing key that this process holds."""

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
        """Return the key that Base64 text holds.

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
                f"the record was sealed by key {key_id}, and {self._source} holds {self.key_id}: "
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
    """Return a value sealed under the name of its record.

    Raises:
        SealError: there is no key to seal it with.
    """
    data_key = os.urandom(KEY_BYTES)
    key_id, sealed_key = keys.seal_key(data_key)
    text = encrypt(data_key, msgspec.json.encode(value), name.encode())
    dek = _SealedKey(provider=keys.provider, key_id=key_id, ct=sealed_key)
    return msgspec.json.encode(_Sealed(ct=text, dek=dek))


def unseal(name: str, sealed: bytes, keys: KeyProvider) -> Any:
    """Return the value of a sealed record.

    Raises:
        SealError: the key is another, or the record was changed.
    """
    record = _record(sealed)
    data_key = _opened(record, keys)
    return msgspec.json.decode(decrypt(data_key, record.ct, name.encode()))


def rewrap(sealed: bytes, keys: KeyProvider) -> bytes:
    """Return a record whose data key is sealed by the present key; its text stays as it is.

    Raises:
        SealError: the key that sealed it is not here.
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
        raise SealError(f"the record was sealed by {record.alg} version {record.v}, unknown here")
    return record


def _opened(record: _Sealed, keys: KeyProvider) -> bytes:
    if record.dek.provider != keys.provider:
        raise SealError(
            f"the record was sealed by a key of provider {record.dek.provider!r}, and "
            f"{keys.provider!r} is set: use the provider that sealed it"
        )
    return keys.open_key(record.dek.key_id, record.dek.ct)


def encrypt(key: bytes, text: bytes, bound: bytes) -> bytes:
    """Return text encrypted, with what it is bound to."""
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM  # heavy: only where used

    nonce = os.urandom(_NONCE_BYTES)
    return nonce + AESGCM(key).encrypt(nonce, text, bound)


def decrypt(key: bytes, sealed: bytes, bound: bytes) -> bytes:
    """Return what was encrypted.

    Raises:
        SealError: it does not open.
    """
    from cryptography.exceptions import InvalidTag  # heavy: only where used
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    try:
        return AESGCM(key).decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], bound)
    except (InvalidTag, ValueError):
        raise SealError("the record does not open: it was changed, or its key is wrong") from None


def fingerprint(key: bytes) -> str:
    """Return a name for a key that says nothing about it."""
    import hashlib  # only where a key is used

    return hashlib.blake2b(key, digest_size=6, person=b"arcbook-key").hexdigest()
