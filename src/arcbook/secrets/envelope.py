"""Envelope encryption: each record has a key of its own, sealed by a key from outside.

A sealed record describes itself: algorithm, which key sealed its data key, and which
version of that key. The record's name is bound into it, so that one record's bytes are
of no use in the place of another's.
"""

from __future__ import annotations

import base64
import os
import stat
from pathlib import Path
from typing import Any, Final, Protocol

import msgspec

ALGORITHM: Final = "AES-256-GCM"
KEY_BYTES: Final = 32
_NONCE_BYTES: Final = 12


class SealError(RuntimeError):
    """A record cannot be sealed or opened; the message says what to do."""


class KeyProvider(Protocol):
    """Seals and opens the data keys of records."""

    def seal_key(self, key: bytes) -> tuple[str, bytes]:
        """Return the id of the sealing key, and the data key sealed by it."""

    def open_key(self, key_id: str, sealed: bytes) -> bytes:
        """Return a data key.

        Raises:
            SealError: the key that sealed it is not here.
        """


class LocalKey:
    """A sealing key that this process holds."""

    def __init__(self, key: bytes, source: str) -> None:
        if len(key) != KEY_BYTES:
            raise SealError(f"the key in {source} has {len(key)} bytes; it must have {KEY_BYTES}")
        self._key = key
        self._source = source
        self.key_id = "local:" + _fingerprint(key)

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

    @classmethod
    def from_file(cls, path: Path) -> LocalKey:
        """Return the key in a file, which is made if it is not there.

        Raises:
            SealError: others can read the file, or it holds no key.
        """
        try:
            if not path.exists():
                _make_key_file(path)
            if path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
                raise SealError(f"{path} can be read by others: chmod 600 {path}")
            return cls.from_text(path.read_text("ascii"), str(path))
        except OSError as error:
            raise SealError(f"the key file {path} cannot be used: {error.strerror}") from None

    def seal_key(self, key: bytes) -> tuple[str, bytes]:
        return self.key_id, _encrypt(self._key, key, b"key")

    def open_key(self, key_id: str, sealed: bytes) -> bytes:
        if key_id != self.key_id:
            raise SealError(
                f"the record was sealed by key {key_id}, and {self._source} holds {self.key_id}: "
                "use the key that sealed it"
            )
        return _decrypt(self._key, sealed, b"key")


class _SealedKey(msgspec.Struct, frozen=True, kw_only=True):
    key_id: str
    ct: bytes


class _Sealed(msgspec.Struct, frozen=True, kw_only=True):
    v: int = 1
    alg: str = ALGORITHM
    ct: bytes
    dek: _SealedKey


def seal(name: str, value: Any, keys: KeyProvider) -> bytes:
    """Return a value sealed under the name of its record."""
    data_key = os.urandom(KEY_BYTES)
    key_id, sealed_key = keys.seal_key(data_key)
    text = _encrypt(data_key, msgspec.json.encode(value), name.encode())
    return msgspec.json.encode(_Sealed(ct=text, dek=_SealedKey(key_id=key_id, ct=sealed_key)))


def unseal(name: str, sealed: bytes, keys: KeyProvider) -> Any:
    """Return the value of a sealed record.

    Raises:
        SealError: the key is another, or the record was changed.
    """
    try:
        record = msgspec.json.decode(sealed, type=_Sealed)
    except msgspec.DecodeError:
        raise SealError("the sealed record is damaged") from None
    if record.v != 1 or record.alg != ALGORITHM:
        raise SealError(f"the record was sealed by {record.alg} version {record.v}, unknown here")
    data_key = keys.open_key(record.dek.key_id, record.dek.ct)
    return msgspec.json.decode(_decrypt(data_key, record.ct, name.encode()))


def _make_key_file(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    text = base64.b64encode(os.urandom(KEY_BYTES))
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return
    with os.fdopen(handle, "wb") as file:
        file.write(text + b"\n")


def _encrypt(key: bytes, text: bytes, bound: bytes) -> bytes:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM  # heavy: only where used

    nonce = os.urandom(_NONCE_BYTES)
    return nonce + AESGCM(key).encrypt(nonce, text, bound)


def _decrypt(key: bytes, sealed: bytes, bound: bytes) -> bytes:
    from cryptography.exceptions import InvalidTag  # heavy: only where used
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    try:
        return AESGCM(key).decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], bound)
    except (InvalidTag, ValueError):
        raise SealError("the record does not open: it was changed, or its key is wrong") from None


def _fingerprint(key: bytes) -> str:
    import hashlib  # a name for the key that says nothing about it

    return hashlib.blake2b(key, digest_size=6, person=b"arcbook-key").hexdigest()
