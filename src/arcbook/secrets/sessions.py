"""Sessions: authentication on a bus that anyone may read and write.

A worker enters with a token that it never sends: a code over its greeting proves it, and the
session's key comes back sealed for a key pair of that greeting, bound to the token. Each side
knows that the other has the token, and a recording of the exchange decrypts nothing.

Servers derive a session from their own token and the session's ticket, which comes with every
request. So any server knows every session, even after a restart.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import secrets
from typing import Any, Final

import msgspec

from arcbook.secrets.envelope import SealError
from arcbook.secrets.tokens import PREFIX, WORKER_SCOPE, id_of

WORKER: Final = WORKER_SCOPE
SERVER: Final = "server"

BUILT_IN: Final = "worker"
"""Id of the worker token that needs no database: it is derived from the servers' token."""

SALT_BYTES: Final = 12
"""Random bytes in the text of a worker token."""

PROOF_BYTES: Final = 32
NONCE_BYTES: Final = 12
TAG_BYTES: Final = 16

TICKET_BYTES_MAX: Final = 2048
"""Maximum size of a ticket, which is sent with each request."""

POOLS_MAX: Final = 64
"""Maximum number of pools of one worker."""


class Ticket(msgspec.Struct, frozen=True, array_like=True):
    """The owner of a session and their rights; not secret, and useless without the key."""

    kind: str
    name: str
    #: The id and salt of the token it was entered with; empty for the servers' own.
    token_id: str
    salt: bytes
    #: The tenant whose executions it may perform; empty for all.
    tenant: str
    pools: list[str]
    #: Makes each session unique.
    nonce: bytes

    @property
    def is_server(self) -> bool:
        """Whether the session belongs to a server."""
        return self.kind == SERVER


class Greeting(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A worker's request to enter."""

    worker: str
    pools: list[str]
    #: The public key of a key pair made for this greeting.
    public: bytes
    token_id: str = ""
    salt: bytes = b""
    #: A code made with the token over all fields above.
    proof: bytes = b""

    def proved(self, verifier: bytes) -> Greeting:
        """Return the greeting with a proof made with a token."""
        return msgspec.structs.replace(self, proof=self._proof(verifier))

    def is_proved(self, verifier: bytes) -> bool:
        """Return whether the sender has a token."""
        return hmac.compare_digest(self._proof(verifier), self.proof)

    def _proof(self, verifier: bytes) -> bytes:
        plain = msgspec.structs.replace(self, proof=b"")
        return _code(verifier, b"greeting", msgspec.json.encode(plain))


class Welcome(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The answer: a sealed :class:`Granted`, or an unauthenticated reason for a refusal."""

    public: bytes = b""
    sealed: bytes = b""
    refused: str = ""


class Granted(msgspec.Struct, frozen=True, kw_only=True):
    """A worker's rights: its ticket, the session's key, and the key of notices to it."""

    ticket: bytes
    key: bytes
    notices: bytes


class WorkerToken:
    """The token of a worker. Its representation hides it.

    Args:
        text: a token of the scope ``worker``, or the servers' own.
    """

    __slots__ = ("_text", "salt", "token_id")

    def __init__(self, text: str) -> None:
        self._text = text
        self.token_id, self.salt = parts_of(text)

    def __repr__(self) -> str:
        return f"WorkerToken({self.token_id!r})"

    @property
    def verifier(self) -> bytes:
        """The key that proves the token."""
        return verifier_of(self._text)

    def name_for(self, name: str) -> str:
        """Return the full name of a worker with this token; no other token allows it."""
        return qualified(self.token_id, name)


def qualified(token_id: str, name: str) -> str:
    """Return a worker's name, prefixed as its token requires."""
    if token_id in ("", BUILT_IN) or name.startswith(f"{token_id}."):
        return name
    return f"{token_id}.{name}"


def parts_of(text: str) -> tuple[str, bytes]:
    """Return the id and salt of a worker token; empty for the servers' own."""
    token_id = id_of(text)
    if not token_id:
        return "", b""
    try:
        secret = base64.urlsafe_b64decode(text.split("_", 2)[2])
    except (binascii.Error, ValueError):
        return "", b""
    is_ours = len(secret) == SALT_BYTES + PROOF_BYTES
    return (token_id, secret[:SALT_BYTES]) if is_ours else ("", b"")


def verifier_of(text: str) -> bytes:
    """Return the key that proves a token."""
    return hashlib.sha256(b"arcbook-bus-verifier|" + text.encode("utf-8", "surrogatepass")).digest()


class Root:
    """The servers' shared secret: all keys of their bus derive from it. Its representation hides it.

    Args:
        text: the servers' token.
    """

    __slots__ = ("_key", "_verifier")

    def __init__(self, text: str) -> None:
        self._key = _code(text.encode("utf-8", "surrogatepass"), b"root", b"arcbook-bus-v1")
        self._verifier = verifier_of(text)

    def session_key(self, ticket: bytes) -> bytes:
        """Return the key of a session."""
        return _code(self._key, b"session", ticket)

    def notices_key(self, worker: str) -> bytes:
        """Return the key of notices to a worker."""
        return _code(self._key, b"notices", worker.encode())

    def worker_token(self, token_id: str, salt: bytes | None = None) -> str:
        """Return the text of a worker token; only the servers can make or recover it."""
        salt = secrets.token_bytes(SALT_BYTES) if salt is None else salt
        key = salt + _code(self._key, b"token", token_id.encode() + b"|" + salt)
        return f"{PREFIX}_{token_id}_{base64.urlsafe_b64encode(key).decode()}"

    @property
    def built_in(self) -> str:
        """The built-in worker token."""
        return self.worker_token(BUILT_IN, bytes(SALT_BYTES))

    def verifier(self, token_id: str, salt: bytes) -> bytes:
        """Return the key that proves a token; the servers' own token has no id."""
        if not token_id:
            return self._verifier
        return verifier_of(self.worker_token(token_id, salt))

    def own_ticket(self, server_id: str) -> bytes:
        """Return a new ticket for a server."""
        return encoded(Ticket(SERVER, server_id, "", b"", "", [], secrets.token_bytes(16)))

    def grant(self, greeting: Greeting, tenant: str) -> Welcome:
        """Grant a session to a worker whose token is proved.

        Raises:
            SealError: its public key is invalid, or its pools exceed the ticket size.
        """
        name, pools = greeting.worker, greeting.pools
        nonce = secrets.token_bytes(16)
        issued = Ticket(WORKER, name, greeting.token_id, greeting.salt, tenant, pools, nonce)
        ticket = encoded(issued)
        if len(ticket) > TICKET_BYTES_MAX:
            raise SealError(f"a worker's name and pools have at most {TICKET_BYTES_MAX} bytes")
        granted = Granted(
            ticket=ticket, key=self.session_key(ticket), notices=self.notices_key(name)
        )
        private, public = _pair()
        verifier = self.verifier(greeting.token_id, greeting.salt)
        key = _welcome_key(private, greeting.public, verifier, public)
        sealed = Cipher(key).seal(msgspec.json.encode(granted), greeting.proof)
        return Welcome(public=public, sealed=sealed)


class Handshake:
    """The worker's side of an entry: sends a greeting and opens the answer."""

    def __init__(self, token: WorkerToken, worker: str, pools: list[str]) -> None:
        self._token = token
        self._private, public = _pair()
        plain = Greeting(
            worker=worker, pools=pools, public=public, token_id=token.token_id, salt=token.salt
        )
        self.greeting = plain.proved(token.verifier)

    def granted(self, welcome: Welcome) -> Granted:
        """Open a welcome and return the rights it grants.

        Raises:
            SealError: the responder does not have the token.
        """
        public = self.greeting.public
        key = _welcome_key(self._private, welcome.public, self._token.verifier, public)
        text = Cipher(key).open(welcome.sealed, self.greeting.proof)
        return msgspec.json.decode(text, type=Granted)


class Cipher:
    """Encrypts and decrypts with one key."""

    __slots__ = ("_aead", "_invalid")

    def __init__(self, key: bytes) -> None:
        from cryptography.exceptions import InvalidTag  # heavy: only where used
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        self._aead = AESGCM(key)
        self._invalid: Any = InvalidTag

    def seal(self, text: bytes, bound: bytes) -> bytes:
        """Encrypt a text; decryption needs the same bound data."""
        nonce = secrets.token_bytes(NONCE_BYTES)
        return nonce + self._aead.encrypt(nonce, text, bound)

    def open(self, sealed: bytes, bound: bytes) -> bytes:
        """Decrypt a sealed text.

        Raises:
            SealError: it was sealed with another key or other bound data, or was changed.
        """
        if len(sealed) < NONCE_BYTES + TAG_BYTES:
            raise SealError("a sealed message is truncated")
        try:
            return self._aead.decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], bound)
        except self._invalid:
            raise SealError("a sealed message cannot be decrypted") from None


def encoded(ticket: Ticket) -> bytes:
    """Encode a ticket for requests."""
    return msgspec.json.encode(ticket)


def decoded(ticket: bytes) -> Ticket:
    """Decode a ticket. Trust it only after its key has opened a request."""
    return _TICKETS.decode(ticket)


_TICKETS: Final = msgspec.json.Decoder(Ticket)


def _code(key: bytes, purpose: bytes, text: bytes) -> bytes:
    return hmac.digest(key, purpose + b"|" + text, "sha256")


def _pair() -> tuple[Any, bytes]:
    from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey  # heavy

    private = X25519PrivateKey.generate()
    return private, private.public_key().public_bytes_raw()


def _welcome_key(private: Any, other: bytes, verifier: bytes, public: bytes) -> bytes:
    """Derive the key of one welcome from both key pairs and the token."""
    from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PublicKey  # heavy

    try:
        shared = private.exchange(X25519PublicKey.from_public_bytes(other))
    except ValueError:
        raise SealError("a public key is invalid") from None
    both = b"".join(sorted((public, other)))
    return _code(_code(verifier, b"welcome", shared), b"pair", both)
