"""Where a task's PostgreSQL is: from the task's own fields and from its credential."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from typing import Any, Final

import msgspec
import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from arcbook.tools.api import Credential, CredentialError, ToolContext
from arcbook.tools.confinement import OutsideError
from arcbook.tools.postgres.pool import CONNECT_SECONDS

FIELDS: Final[dict[str, tuple[str, ...]]] = {
    "host": ("host", "db_host", "pg_host", "hostname"),
    "port": ("port", "db_port", "pg_port"),
    "user": ("user", "username", "db_user", "pg_user"),
    "password": ("password", "db_password", "pg_password"),
    "dbname": ("database", "dbname", "db_name", "pg_database"),
    "sslmode": ("sslmode", "ssl_mode"),
    "dsn": ("dsn", "connection_string", "connection", "url", "uri"),
    "schema": ("schema", "db_schema", "search_path"),
}
"""What a credential or a task may call each part of an address."""

_TYPES: Final = frozenset({"postgres", "postgresql", "pg"})

_DEFAULTS: Final = {
    "connect_timeout": CONNECT_SECONDS,
    "client_encoding": "UTF8",
    "keepalives_idle": 30,
    "keepalives_interval": 10,
    "keepalives_count": 3,
    "port": 5432,
    # What the worker's own user and environment hold is not for playbooks.
    # libpq warns of a file that is none, and says nothing of one that cannot be there.
    "passfile": f"{os.devnull}/none",
    "password": "",
}


_PLAIN: Final = frozenset(
    [
        "application_name",
        "channel_binding",
        "client_encoding",
        "connect_timeout",
        "dbname",
        "fallback_application_name",
        "gssencmode",
        "host",
        "hostaddr",
        "keepalives",
        "keepalives_count",
        "keepalives_idle",
        "keepalives_interval",
        "load_balance_hosts",
        "options",
        "password",
        "port",
        "require_auth",
        "ssl_max_protocol_version",
        "ssl_min_protocol_version",
        "sslcertmode",
        "sslcompression",
        "sslmode",
        "sslnegotiation",
        "sslpassword",
        "sslsni",
        "target_session_attrs",
        "tcp_user_timeout",
        "user",
    ]
)
"""Parts of a connection that name no file."""

_FILES: Final = frozenset({"sslcert", "sslcrl", "sslcrldir", "sslkey", "sslrootcert"})
"""Parts of a connection that do."""


CHECKED_MAX: Final = 64
"""Connection strings that are remembered; as many as there are pools."""

_CHECKED: Final[dict[str, str]] = {}


class AddressError(ValueError):
    """A task does not say, or says wrongly, where its database is."""


class Address(msgspec.Struct, frozen=True, kw_only=True):
    """A database and who asks. Its text never shows the password."""

    conninfo: str
    #: Schemas that unqualified names mean, as the task writes them.
    schema: str
    #: Tells addresses apart without showing what is in them.
    key: str

    def __repr__(self) -> str:
        return f"Address(key={self.key!r})"


def address(task: Mapping[str, Any], auth: Any, context: ToolContext) -> Address:
    """Return the address; what the task says wins over its credential.

    Args:
        task: the task's own fields, by any of their names.
        auth: a credential, inline fields, or nothing.
        context: the call's services.

    Raises:
        AddressError: there is no address in them.
        CredentialError: the credential is of another type.
    """
    parts: dict[str, Any] = {}
    schema = ""
    for fields in (_credential_fields(auth), task):
        found = {name: _first(fields, aliases) for name, aliases in FIELDS.items()}
        dsn = found.pop("dsn")
        schema = str(found.pop("schema") or schema)
        if dsn is not None:
            parts |= _parsed(str(dsn))
        parts |= {name: value for name, value in found.items() if value is not None}
    if not (parts.get("host") or parts.get("hostaddr") or parts.get("service")):
        raise AddressError(
            "there is no connection: name a credential in 'auth', or write 'host' and "
            "'database', or a 'dsn'"
        )
    _keep_within(parts, context)
    key = hashlib.blake2b(repr(sorted(parts.items())).encode(), digest_size=16).hexdigest()
    return Address(conninfo=_conninfo(key, parts), schema=schema, key=key)


def _conninfo(key: str, parts: Mapping[str, Any]) -> str:
    """Return a connection string, which takes libpq as long as a small query to check.

    Raises:
        AddressError: libpq does not know a part.
    """
    conninfo = _CHECKED.get(key)
    if conninfo is None:
        try:
            conninfo = make_conninfo(**{**_DEFAULTS, **parts})
        except psycopg.Error as error:
            raise AddressError(f"the connection cannot be read: {error}") from None
        if len(_CHECKED) >= CHECKED_MAX:
            _CHECKED.clear()
        _CHECKED[key] = conninfo
    return conninfo


def _keep_within(parts: Mapping[str, Any], context: ToolContext) -> None:
    """Let a worker open no file for a connection that its execution may not reach.

    Raises:
        AddressError: a part names such a file, or may name one.
    """
    if context.confinement.is_open:
        return
    for name, value in parts.items():
        text = str(value)
        is_socket = name == "host" and any(h.startswith(("/", "@")) for h in text.split(","))
        if (name in _PLAIN and not is_socket) or (name, text) == ("sslrootcert", "system"):
            continue
        if (name not in _FILES and not is_socket) or "@" in text:
            raise AddressError(f"a worker takes no {name!r} of a connection")
        try:
            context.confinement.resolve(text, context.workspace)
        except OutsideError as error:
            raise AddressError(f"{name!r}: {error}") from None


def _credential_fields(auth: Any) -> Mapping[str, Any]:
    if isinstance(auth, Credential):
        if auth.type.lower() not in _TYPES:
            raise CredentialError(auth.name, f"is of type {auth.type!r}, not postgres")
        return auth.data
    return auth if isinstance(auth, Mapping) else {}


def _first(fields: Mapping[str, Any], names: tuple[str, ...]) -> Any:
    """Return what is written under one of some names; nothing written means nothing said."""
    for name in names:
        value = fields.get(name)
        if value not in (None, ""):
            return value
    return None


def _parsed(dsn: str) -> dict[str, Any]:
    scheme, mark, rest = dsn.partition("://")
    plain = f"{scheme.partition('+')[0]}://{rest}" if mark else dsn
    try:
        return dict(conninfo_to_dict(plain))
    except psycopg.Error:
        # The driver's message quotes the text, password and all.
        raise AddressError("the 'dsn' is not a PostgreSQL connection string") from None
