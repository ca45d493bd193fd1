"""API tokens: texts that nobody can guess, of which only the digest is kept."""

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
"""What the holder of a token may: each includes those before it."""

WORKER_SCOPE: Final = "worker"
"""What the holder of a worker's token may: enter as a worker, and nothing of the others."""

PREFIX: Final = "arcbook"
"""How every token begins, so that people and scanners recognise one."""

SECRET_BYTES: Final = 32

NAME_CHARACTERS_MAX: Final = 200

_RANDOM_BITS: Final = 22


WorkersText = Callable[[str], str]


class TokenError(InvalidError):
    """A token cannot be as asked."""

    code = "invalid_token"


def digest_of(text: str) -> str:
    """Return the form in which a token is kept."""
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
    """Return a new token's text, which is told once, and what is kept of it.

    Args:
        name: what it is for.
        scope: what its holder may.
        now_us: the time.
        seconds: how long it is good; 0 means until it is removed.
        tenant: what its executions are labelled with.
        organization: the same, within the tenant.
        workers: makes the texts of workers' tokens, which the servers can make again.

    Raises:
        TokenError: there is no such scope, or the name is none.
    """
    if scope not in (*SCOPES, WORKER_SCOPE):
        known = ", ".join((*SCOPES, WORKER_SCOPE))
        raise TokenError(f"a scope is one of {known}, not {scope[:40]!r}")
    if not name.strip() or len(name) > NAME_CHARACTERS_MAX:
        raise TokenError(f"a token has a name, of at most {NAME_CHARACTERS_MAX} characters")
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
    """Return a new text for a token; the old one is good for a while yet.

    Raises:
        TokenError: it is a worker's, and nothing makes its text.
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
    """Return the id in a token's text; an empty text if it is no token of ours."""
    prefix, _, rest = text.partition("_")
    token_id, separator, secret = rest.partition("_")
    return token_id if prefix == PREFIX and separator and secret else ""


def is_good(row: TokenRow, text: str, now_us: int) -> bool:
    """Return whether a text is a token's, at a time. It takes as long for a wrong one."""
    given = digest_of(text)
    is_new = hmac.compare_digest(row.digest, given)
    is_old = hmac.compare_digest(row.old_digest or row.digest, given)
    if row.expires_at and row.expires_at <= now_us:
        return False
    return is_new or (is_old and bool(row.old_digest) and now_us < row.old_until)


def note_id(now_us: int) -> int:
    """Return an id for a row of the audit: it grows with time, and needs no server's number."""
    return (now_us // 1000 - EPOCH_MS) << _RANDOM_BITS | secrets.randbits(_RANDOM_BITS)


def _text(token_id: str, scope: str, workers: WorkersText | None) -> str:
    if scope == WORKER_SCOPE:
        if workers is None:
            raise TokenError("a worker's token is made where the servers' own is known")
        return workers(token_id)
    return f"{PREFIX}_{token_id}_{secrets.token_urlsafe(SECRET_BYTES)}"
