"""Sealed delivery: only the requesting worker can read the server's answer.

The worker makes a key pair for each request and sends the public key; the server makes one too, and
both derive the same key. The bus, its disks and its logs never see a credential.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from arcbook.secrets.envelope import SealError

DELIVERY: Final = "x25519-hkdf-sha256-chacha20-poly1305"
VERSION: Final = 1
INFO: Final = b"noetl-sealed-v1"
PUBLIC_BYTES: Final = 32
_KEY_BYTES: Final = 32
_NONCE_BYTES: Final = 12


class Delivery(msgspec.Struct, frozen=True, kw_only=True):
    """A sealed answer."""

    alg: str = DELIVERY
    v: int = VERSION
    #: The server's public key for this answer.
    eph_pub: bytes
    ciphertext: bytes


class AnswerKey:
    """The worker's key pair for one answer."""

    def __init__(self) -> None:
        from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey  # heavy

        self._private: Any = X25519PrivateKey.generate()
        self.public: bytes = self._private.public_key().public_bytes_raw()

    def open(self, delivery: Delivery, bound: str) -> bytes:
        """Decrypt an answer for this key pair.

        Raises:
            SealError: it was sealed for another key pair, or changed on the way.
        """
        from cryptography.exceptions import InvalidTag  # heavy: only where used
        from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PublicKey
        from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

        if delivery.alg != DELIVERY or delivery.v != VERSION:
            raise SealError(f"the answer is sealed with {delivery.alg[:60]!r}, which is unknown")
        try:
            other = X25519PublicKey.from_public_bytes(delivery.eph_pub)
            key, nonce = _derived(self._private.exchange(other), delivery.eph_pub, self.public)
            text = ChaCha20Poly1305(key).decrypt(nonce, delivery.ciphertext, _bound(bound))
        except (InvalidTag, ValueError):
            raise SealError("the sealed answer is not for this worker, or was changed") from None
        return text


def deliver(text: bytes, public: bytes, bound: str) -> Delivery:
    """Seal a text for the holder of a private key.

    Args:
        text: the answer.
        public: the worker's public key.
        bound: identifies the request; the answer opens for this request only.

    Raises:
        SealError: the public key is invalid.
    """
    from cryptography.hazmat.primitives.asymmetric.x25519 import (  # heavy: only where used
        X25519PrivateKey,
        X25519PublicKey,
    )
    from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

    if len(public) != PUBLIC_BYTES:
        raise SealError("the request has no public key to seal the answer for")
    private = X25519PrivateKey.generate()
    own = private.public_key().public_bytes_raw()
    try:
        shared = private.exchange(X25519PublicKey.from_public_bytes(public))
    except ValueError:
        raise SealError("the request's public key is invalid") from None
    key, nonce = _derived(shared, own, public)
    sealed = ChaCha20Poly1305(key).encrypt(nonce, text, _bound(bound))
    return Delivery(eph_pub=own, ciphertext=sealed)


def _derived(shared: bytes, server: bytes, worker: bytes) -> tuple[bytes, bytes]:
    """Derive the key and the nonce; both are used once."""
    from cryptography.hazmat.primitives import hashes  # heavy: only where used
    from cryptography.hazmat.primitives.kdf.hkdf import HKDF

    size = _KEY_BYTES + _NONCE_BYTES
    derived = HKDF(hashes.SHA256(), size, server + worker, INFO).derive(shared)
    return derived[:_KEY_BYTES], derived[_KEY_BYTES:]


def _bound(bound: str) -> bytes:
    return f"{DELIVERY}|{VERSION}|{bound}".encode()
