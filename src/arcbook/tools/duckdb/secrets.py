"""What a credential is to DuckDB: a secret in memory, for the time of one call."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final

import duckdb

from arcbook.tools.api import Credential, CredentialError
from arcbook.tools.texts import text_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from arcbook.tools.duckdb.files import DuckdbSession

TYPES: Final = {"aws": "s3", "gcs": "gcs", "gcs_hmac": "gcs", "s3": "s3"}
"""Types of credentials, and what DuckDB calls them."""

NAME: Final = "arcbook_call"

DROP: Final = f"DROP TEMPORARY SECRET IF EXISTS {NAME}"

_FIELDS: Final = {
    "KEY_ID": ("access_key_id", "aws_access_key_id", "access_key", "key_id", "hmac_key_id"),
    "SECRET": (
        "secret_access_key", "aws_secret_access_key", "secret_key", "secret", "key_secret",
        "hmac_secret",
    ),
    "SESSION_TOKEN": ("session_token", "aws_session_token"),
    "REGION": ("region", "aws_region"),
    "ENDPOINT": ("endpoint", "endpoint_url"),
    "URL_STYLE": ("url_style",),
    "SCOPE": ("scope",),
}  # fmt: skip
"""What DuckDB wants, and what a credential may call it."""


class ExtensionError(RuntimeError):
    """DuckDB has no extension that knows such secrets."""


def statement_of(auth: Any) -> str:
    """Return the statement that makes a secret of a credential, or of fields written out.

    Raises:
        CredentialError: it is of another type, or holds no keys.
    """
    written = auth if isinstance(auth, Mapping) else {}
    name = auth.name if isinstance(auth, Credential) else ""
    kind = auth.type if isinstance(auth, Credential) else str(written.get("type") or "")
    data = auth.data if isinstance(auth, Credential) else written
    known = TYPES.get(kind.lower())
    if known is None:
        listed = ", ".join(sorted(TYPES))
        raise CredentialError(
            name, f"has type {kind!r}; duckdb takes {listed}, and 'transfer' moves rows of others"
        )
    parts = [f"TYPE {known}"]
    for option, names in _FIELDS.items():
        text = next((t for n in names if (t := text_of(data.get(n)))), "")
        if text:
            plain = text.partition("://")[2] or text if option == "ENDPOINT" else text
            parts.append(f"{option} {_literal(plain)}")
            if plain != text and text.startswith("http://"):
                parts.append("USE_SSL false")
        elif option in ("KEY_ID", "SECRET"):
            raise CredentialError(name, f"has no {names[0]!r}, which duckdb needs")
    return f"CREATE OR REPLACE TEMPORARY SECRET {NAME} ({', '.join(parts)})"


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


@asynccontextmanager
async def secret(work: DuckdbSession, statement: str) -> AsyncIterator[None]:
    """Let a database know a secret for a while; its calls take turns, so no other sees it.

    Raises:
        ExtensionError: DuckDB cannot take it. What it says itself may quote the secret.
    """
    if not statement:
        yield
        return
    try:
        await work.do(work.connection.execute, statement)
    except duckdb.Error as error:
        raise ExtensionError(type(error).__name__) from None
    try:
        yield
    finally:
        # A database that keeps a secret is of no more use.
        kept = True
        with contextlib.suppress(duckdb.Error):
            await work.do(work.connection.execute, DROP)
            kept = False
        work.broken = work.broken or kept
