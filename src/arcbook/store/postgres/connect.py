"""Connect to PostgreSQL, and translate its errors into messages without the password."""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final
from urllib.parse import unquote, urlsplit

import asyncpg

from arcbook.store.api import StoreError, UnstorableError

SCHEMA: Final = "arcbook"
"""The PostgreSQL schema of the tables."""

CONNECT_SECONDS: Final = 10.0
"""Time limit for opening a connection."""

STATEMENT_SECONDS: Final = 30.0
"""Time after which a statement is cancelled."""

LOCK_SECONDS: Final = 15.0
"""Time limit for waiting for a lock on a row or a table."""

PLANNER: Final = {
    "jit": "off",
    # Planning takes longer than execution, so each connection plans a statement only once.
    # A plan made while a table is small must also suit a large one: use the indexes.
    "plan_cache_mode": "force_generic_plan",
    "enable_seqscan": "off",
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
}
"""Settings of the query planner."""


_IDENTIFIED: Final = """
    select exists (select from pg_stat_ssl where pid = pg_backend_pid() and client_dn is not null)
        or exists (select from pg_stat_gssapi where pid = pg_backend_pid() and gss_authenticated)
"""


async def _leave_as_is(_connection: Any) -> None:
    """Return a connection to the pool without a reset.

    No statement changes the state of a session, and the driver's reset would cost a round
    trip for each statement.
    """


SECRET_CHARACTERS_MIN: Final = 6
"""Minimum length of a password that is also redacted inside of words."""


class Address:
    """The address of the database."""

    def __init__(self, dsn: str) -> None:
        """Parse a connection URL.

        Raises:
            StoreError: the URL is invalid.
        """
        advice = "the DSN must be postgresql://USER:PASSWORD@HOST:PORT/DATABASE"
        try:
            parts = urlsplit(dsn)
            port = parts.port or 5432
        except ValueError:
            raise StoreError(f"{advice}, with special characters percent-encoded") from None
        if parts.scheme not in ("postgres", "postgresql"):
            raise StoreError(advice)
        self.dsn = dsn
        #: The host; empty if it is this machine.
        self.host = parts.hostname or ""
        self._secrets = {parts.password or "", unquote(parts.password or "")} - {""}
        self._name = f"PostgreSQL at {parts.hostname or 'localhost'}:{port}{parts.path}"

    def options(self) -> dict[str, Any]:
        """Return the driver's options for a connection."""
        settings = {
            **PLANNER,
            "search_path": SCHEMA,
            "application_name": "arcbook",
            "statement_timeout": str(int(STATEMENT_SECONDS * 1000)),
            "lock_timeout": str(int(LOCK_SECONDS * 1000)),
            "idle_in_transaction_session_timeout": str(int(STATEMENT_SECONDS * 1000)),
        }
        return {
            "dsn": self.dsn,
            "timeout": CONNECT_SECONDS,
            "command_timeout": STATEMENT_SECONDS + LOCK_SECONDS,
            "server_settings": settings,
        }

    async def connect(self) -> Any:
        """Open a connection outside any pool.

        Raises:
            StoreError: the connection fails.
        """
        with self.translated():
            return await asyncpg.connect(**self.options())

    async def admits_anyone(self) -> bool:
        """Return whether the server lets a caller in whose password is wrong.

        A client certificate and GSSAPI identify a caller without a password.

        Raises:
            StoreError: the server cannot be reached.
        """
        try:
            with self.translated():
                connection = await asyncpg.connect(
                    **self.options(), password=secrets.token_urlsafe()
                )
        except StoreError as error:
            if isinstance(error.__cause__, asyncpg.InvalidAuthorizationSpecificationError):
                return False
            raise
        try:
            with self.translated():
                return not await connection.fetchval(_IDENTIFIED)
        finally:
            await connection.close()

    async def pool(self, size: int) -> Any:
        """Create a pool of connections, and open the first one.

        Raises:
            StoreError: the connection fails.
        """
        with self.translated():
            return await asyncpg.create_pool(
                min_size=1, max_size=size, reset=_leave_as_is, **self.options()
            )

    @contextmanager
    def translated(self) -> Iterator[None]:
        """Convert errors of the driver and the server into StoreErrors with advice."""
        try:
            yield
        except (asyncpg.DataError, UnicodeEncodeError) as error:
            raise self._error("a value cannot be stored", error, UnstorableError) from error
        except asyncpg.PostgresError as error:
            raise self._error(_advice(error), error) from error
        except asyncpg.exceptions.ClientConfigurationError:
            raise self._error("the DSN is invalid") from None  # the driver's message may quote it
        except (asyncpg.InterfaceError, asyncpg.InternalClientError) as error:
            if isinstance(error, ValueError):
                raise self._error("a value cannot be stored", error, UnstorableError) from error
            raise self._error("the connection failed", error) from error
        except TimeoutError as error:
            raise self._error("the server does not answer in time") from error
        except OSError as error:
            raise self._error("the server cannot be reached: is it running?", error) from error
        except ValueError:
            raise self._error("the DSN is invalid") from None

    def _error(
        self, advice: str, reason: object = "", kind: type[StoreError] = StoreError
    ) -> StoreError:
        """Return a StoreError; redact the password in the driver's message."""
        details = getattr(reason, "strerror", None) or str(reason)
        for secret in self._secrets:
            # A short password is part of many other words, so only redact it as a whole word.
            details = re.sub(rf"(?<!\w){re.escape(secret)}(?!\w)", "***", details)
            if len(secret) >= SECRET_CHARACTERS_MIN:
                details = details.replace(secret, "***")
        return kind(f"{self._name}: {advice}" + (f" ({details})" if details else ""))


def _advice(error: Any) -> str:
    known = {
        asyncpg.InvalidPasswordError: "the user or the password is wrong",
        asyncpg.InvalidAuthorizationSpecificationError: "the server rejects this user",
        asyncpg.InvalidCatalogNameError: "the database does not exist: create it first",
        asyncpg.UndefinedTableError: "the tables are missing; run: arcbook db upgrade",
        asyncpg.UndefinedFunctionError: "the functions are missing; run: arcbook db upgrade",
        asyncpg.InsufficientPrivilegeError: "the user lacks a privilege",
        asyncpg.TooManyConnectionsError: "too many connections: raise max_connections",
        asyncpg.DiskFullError: "the disk is full: free some space",
        asyncpg.ReadOnlySQLTransactionError: "the database is read-only: is it a standby?",
        asyncpg.QueryCanceledError: "a statement took too long",
        asyncpg.LockNotAvailableError: "waiting for a lock took too long",
    }
    for kind, advice in known.items():
        if isinstance(error, kind):
            return advice
    return "the statement failed"
