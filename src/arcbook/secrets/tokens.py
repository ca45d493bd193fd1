"""API tokens: random texts of which only the digest is stored."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Callable
from typing import Final

import msgspec

from arcbook.errors import InvalidError
from arcbook.ids import EPOCH_MS
from arcbook.store.access import TokenRow

SCOPES: Final = ("viewer", "operator", "editor", "admin")
"""The scopes of tokens; each includes those before it."""

WORKER_SCOPE: Final = "worker"
"""The scope of worker tokens: entering as a worker, and nothing else."""

PREFIX: Final = "arcbook"
"""The prefix of every token, so that people and scanners recognise one."""

SECRET_BYTES: Final = 32

NAME_CHARACTERS_MAX: Final = 200

_RANDOM_BITS: Final = 22


WorkersText = Callable[[str], str]


class TokenError(InvalidError):
    """The requested token is invalid."""

    code = "invalid_token"


def digest_of(text: str) -> str:
    """Return the digest under which a token is stored."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def new_token(
    name: str,
    scope: str,
    now_us: int,
    *,
    seconds: float = 0,
    tenant: str = "",
    organization: str = "",
    workers: WorkersText | None = None,
) -> tuple[str, TokenRow]:
    """Return the text of a new token, shown only once, and its row.

    Args:
        name: its purpose.
        scope: the rights of its holder.
        now_us: the current time.
        seconds: how long it is valid; 0 means until it is removed.
        tenant: the tenant label of its executions.
        organization: the organization label, within the tenant.
        workers: makes the texts of worker tokens, which servers can derive again.

    Raises:
        TokenError: the scope is unknown, or the name is invalid.
    """
    if scope not in (*SCOPES, WORKER_SCOPE):
        known = ", ".join((*SCOPES, WORKER_SCOPE))
        raise TokenError(f"the scope must be one of {known}, not {scope[:40]!r}")
    if not name.strip() or len(name) > NAME_CHARACTERS_MAX:
        raise TokenError(f"a token needs a name of 1 to {NAME_CHARACTERS_MAX} characters")
    token_id = secrets.token_hex(6)
    text = _text(token_id, scope, workers)
    row = TokenRow(
        token_id=token_id,
        name=name,
        scope=scope,
        digest=digest_of(text),
        created_at=now_us,
        expires_at=now_us + int(seconds * 1_000_000) if seconds else 0,
        tenant=tenant,
        organization=organization,
    )
    return text, row


def rotated(
    row: TokenRow, now_us: int, grace_seconds: float = 0, *, workers: WorkersText | None = None
) -> tuple[str, TokenRow]:
    """Replace the text of a token; the old one stays valid for a grace period.

    Raises:
        TokenError: it is a worker token, and ``workers`` is missing.
    """
    text = _text(row.token_id, row.scope, workers)
    return text, msgspec.structs.replace(
        row,
        digest=digest_of(text),
        old_digest=row.digest if grace_seconds else "",
        old_until=now_us + int(grace_seconds * 1_000_000) if grace_seconds else 0,
        rotated_at=now_us,
    )


def id_of(text: str) -> str:
    """Return the id in a token's text; empty if it is not one of our tokens."""
    prefix, _, rest = text.partition("_")
    token_id, separator, secret = rest.partition("_")
    return token_id if prefix == PREFIX and separator and secret else ""


def is_good(row: TokenRow, text: str, now_us: int) -> bool:
    """Return whether a text is a valid token at a time, in constant time."""
    digest = digest_of(text)
    is_new = hmac.compare_digest(row.digest, digest)
    is_old = hmac.compare_digest(row.old_digest or row.digest, digest)
    if row.expires_at and row.expires_at <= now_us:
        return False
    return is_new or (is_old and bool(row.old_digest) and now_us < row.old_until)


def note_id(now_us: int) -> int:
    """Return an id for an audit row: ordered by time, and independent of a server."""
    return (now_us // 1000 - EPOCH_MS) << _RANDOM_BITS | secrets.randbits(_RANDOM_BITS)


def _text(token_id: str, scope: str, workers: WorkersText | None) -> str:
    if scope == WORKER_SCOPE:
        if workers is None:
            raise TokenError("a worker token can only be created where the internal token is known")
        return workers(token_id)
    return f"{PREFIX}_{token_id}_{secrets.token_urlsafe(SECRET_BYTES)}"
