"""Sealed delivery: what a server tells a worker, only that worker can read.

The worker makes a key pair for each request and sends the public half; the server makes
one as well, and both derive the same key. Who sees the bus, its disks or its logs sees
nothing of a credential.
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
    #: The server's public key, made for this answer.
    eph_pub: bytes
    ciphertext: bytes


class Letterbox:
    """A worker's side: a key pair for one answer."""

    def __init__(self) -> None:
        from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey  # heavy

        self._private: Any = X25519PrivateKey.generate()
        self.public: bytes = self._private.public_key().public_bytes_raw()

    def open(self, delivery: Delivery, bound: str) -> bytes:
        """Return what was sealed for this letterbox.

        Raises:
            SealError: it was sealed for another, or changed on the way.
        """
        from cryptography.exceptions import InvalidTag  # heavy: only where used
        from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PublicKey
        from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

        if delivery.alg != DELIVERY or delivery.v != VERSION:
            raise SealError(f"the answer is sealed by {delivery.alg[:60]!r}, unknown here")
        try:
            other = X25519PublicKey.from_public_bytes(delivery.eph_pub)
            key, nonce = _derived(self._private.exchange(other), delivery.eph_pub, self.public)
            text = ChaCha20Poly1305(key).decrypt(nonce, delivery.ciphertext, _bound(bound))
        except (InvalidTag, ValueError):
            raise SealError("the sealed answer does not open: it is not for this worker") from None
        return text


def deliver(text: bytes, public: bytes, bound: str) -> Delivery:
    """Return a text sealed for whoever holds the private half of a key.

    Args:
        text: what is told.
        public: the worker's public key.
        bound: what the answer is to; it opens as the answer to that only.

    Raises:
        SealError: the public key is none.
    """
    from cryptography.hazmat.primitives.asymmetric.x25519 import (  # heavy: only where used
        X25519PrivateKey,
        X25519PublicKey,
    )
    from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

    if len(public) != PUBLIC_BYTES:
        raise SealError("the request brings no public key to seal the answer for")
    private = X25519PrivateKey.generate()
    own = private.public_key().public_bytes_raw()
    try:
        shared = private.exchange(X25519PublicKey.from_public_bytes(public))
    except ValueError:
        raise SealError("the request's public key cannot be used") from None
    key, nonce = _derived(shared, own, public)
    sealed = ChaCha20Poly1305(key).encrypt(nonce, text, _bound(bound))
    return Delivery(eph_pub=own, ciphertext=sealed)


def _derived(shared: bytes, server: bytes, worker: bytes) -> tuple[bytes, bytes]:
    """Return the key and the nonce; both are used once, as the server's pair is."""
    from cryptography.hazmat.primitives import hashes  # heavy: only where used
    from cryptography.hazmat.primitives.kdf.hkdf import HKDF

    size = _KEY_BYTES + _NONCE_BYTES
    made = HKDF(hashes.SHA256(), size, server + worker, INFO).derive(shared)
    return made[:_KEY_BYTES], made[_KEY_BYTES:]


def _bound(bound: str) -> bytes:
    return f"{DELIVERY}|{VERSION}|{bound}".encode()
