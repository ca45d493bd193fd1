"""Connecting to PostgreSQL, and its errors as sentences that never hold the password."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final
from urllib.parse import unquote, urlsplit

import asyncpg

from arcbook.store.api import StoreError, UnstorableError

SCHEMA: Final = "arcbook"
"""The schema of PostgreSQL that holds our tables."""

CONNECT_SECONDS: Final = 10.0
"""How long the server may take to accept a connection."""

STATEMENT_SECONDS: Final = 30.0
"""How long a statement may run before it is cancelled."""

LOCK_SECONDS: Final = 15.0
"""How long a statement waits for a row or a table that somebody else holds."""

PLANNER: Final = {
    "jit": "off",
    # Planning takes longer than what is planned: once for each connection is enough. Some
    # plans are made while a table is still small, and must be right for what it becomes:
    # look rows up, one by one.
    "plan_cache_mode": "force_generic_plan",
    "enable_seqscan": "off",
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
}
"""How statements are planned."""


async def _leave_as_is(_connection: Any) -> None:
    """Let a connection go back to the pool: nothing that we run leaves anything to reset.

    The driver's own reset would be one more round trip for each statement.
    """


SECRET_CHARACTERS_MIN: Final = 6
"""Length from which a password is hidden inside of words as well."""


class Address:
    """Where the database is, and how errors name it."""

    def __init__(self, dsn: str) -> None:
        """Take a connection URL.

        Raises:
            StoreError: it is none.
        """
        advice = "the DSN must be postgresql://USER:PASSWORD@HOST:PORT/DATABASE"
        try:
            parts = urlsplit(dsn)
            port = parts.port or 5432
        except ValueError:
            raise StoreError(f"{advice}, with special characters in % notation") from None
        if parts.scheme not in ("postgres", "postgresql"):
            raise StoreError(advice)
        self.dsn = dsn
        self._secrets = {parts.password or "", unquote(parts.password or "")} - {""}
        self._name = f"PostgreSQL at {parts.hostname or 'localhost'}:{port}{parts.path}"

    def options(self) -> dict[str, Any]:
        """Return what a connection is opened with."""
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
        """Return a connection outside any pool.

        Raises:
            StoreError: there is no way in.
        """
        with self.translated():
            return await asyncpg.connect(**self.options())

    async def pool(self, size: int) -> Any:
        """Return a pool of connections, with one of them open.

        Raises:
            StoreError: there is no way in.
        """
        with self.translated():
            return await asyncpg.create_pool(
                min_size=1, max_size=size, reset=_leave_as_is, **self.options()
            )

    @contextmanager
    def translated(self) -> Iterator[None]:
        """Turn errors of the driver and the server into ours, each with what to do."""
        try:
            yield
        except (asyncpg.DataError, UnicodeEncodeError) as error:
            raise self._error("a value cannot be stored", error, UnstorableError) from error
        except asyncpg.PostgresError as error:
            raise self._error(_advice(error), error) from error
        except asyncpg.exceptions.ClientConfigurationError:
            raise self._error("the DSN is refused") from None  # its own words may quote it
        except (asyncpg.InterfaceError, asyncpg.InternalClientError) as error:
            if isinstance(error, ValueError):
                raise self._error("a value cannot be stored", error, UnstorableError) from error
            raise self._error("the connection failed", error) from error
        except TimeoutError as error:
            raise self._error("it does not answer in time") from error
        except OSError as error:
            raise self._error("it cannot be reached: is it running?", error) from error
        except ValueError:
            raise self._error("the DSN is refused") from None

    def _error(
        self, advice: str, reason: object = "", kind: type[StoreError] = StoreError
    ) -> StoreError:
        """Return an error of ours; only the words of others could hold the password."""
        said = getattr(reason, "strerror", None) or str(reason)
        for secret in self._secrets:
            # A short one stands in many words that are not it: by itself only it is one.
            said = re.sub(rf"(?<!\w){re.escape(secret)}(?!\w)", "***", said)
            if len(secret) >= SECRET_CHARACTERS_MIN:
                said = said.replace(secret, "***")
        return kind(f"{self._name}: {advice}" + (f" ({said})" if said else ""))


def _advice(error: Any) -> str:
    known = {
        asyncpg.InvalidPasswordError: "it refuses the user or the password",
        asyncpg.InvalidAuthorizationSpecificationError: "it refuses the user",
        asyncpg.InvalidCatalogNameError: "there is no such database: create it first",
        asyncpg.UndefinedTableError: "its tables are missing: run: arcbook db upgrade",
        asyncpg.UndefinedFunctionError: "its functions are missing: run: arcbook db upgrade",
        asyncpg.InsufficientPrivilegeError: "the user may not do that",
        asyncpg.TooManyConnectionsError: "it has no connection left: raise max_connections",
        asyncpg.DiskFullError: "its disk is full: make room",
        asyncpg.ReadOnlySQLTransactionError: "it only reads: is it a standby?",
        asyncpg.QueryCanceledError: "a statement took too long",
        asyncpg.LockNotAvailableError: "somebody else holds what is needed for too long",
    }
    for kind, advice in known.items():
        if isinstance(error, kind):
            return advice
    return "it refuses"
