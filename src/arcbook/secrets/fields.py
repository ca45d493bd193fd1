"""Which fields of a credential are secret, and under which names they are tracked."""

from __future__ import annotations

import json
import re
from typing import Any, Final
from urllib.parse import unquote

LINE_CHARACTERS_MIN: Final = 16
"""Length from which a line of a secret is itself secret, as in key files."""

PUBLIC_FIELDS: Final = frozenset(
    [
        "access_token_url",
        "account",
        "account_name",
        "api_version",
        "application",
        "auth_type",
        "auth_url",
        "authenticator",
        "authorization_url",
        "aws_region",
        "base_url",
        "bootstrap_servers",
        "bucket",
        "catalog",
        "client_email",
        "client_id",
        "client_name",
        "cluster",
        "content_type",
        "database",
        "database_name",
        "db",
        "db_host",
        "db_name",
        "db_port",
        "db_user",
        "dbname",
        "description",
        "dialect",
        "domain",
        "driver",
        "encoding",
        "endpoint",
        "engine",
        "format",
        "grant_type",
        "header",
        "header_name",
        "host",
        "hostname",
        "id",
        "in",
        "instance",
        "issuer",
        "kind",
        "location",
        "mechanism",
        "method",
        "mode",
        "name",
        "namespace",
        "nats_url",
        "nats_user",
        "network",
        "organization",
        "param",
        "path",
        "pool",
        "port",
        "project",
        "project_id",
        "protocol",
        "provider",
        "realm",
        "region",
        "role",
        "schema",
        "scheme",
        "scope",
        "scopes",
        "security_protocol",
        "server",
        "servers",
        "service",
        "sf_account",
        "sf_database",
        "sf_role",
        "sf_schema",
        "sf_user",
        "sf_warehouse",
        "source",
        "ssl",
        "sslmode",
        "stage",
        "stream",
        "subject",
        "tenant",
        "tenant_id",
        "timeout",
        "timezone",
        "tls",
        "token_endpoint",
        "token_type",
        "token_uri",
        "token_url",
        "type",
        "uri",
        "url",
        "user",
        "user_name",
        "username",
        "vault_url",
        "version",
        "warehouse",
        "workspace",
        "zone",
    ]
)
"""Fields of credentials that are not secret; all others are."""

USERINFO: Final = re.compile(r"://[^/?#\s:@]*:([^/?#\s]+)@")
"""The password in a URL."""

PIECE_CHARACTERS_MIN: Final = 10
"""Length from which an alphanumeric piece of a secret is itself secret."""

PIECES_MAX: Final = 50
"""Maximum number of pieces of one secret."""

_PIECE: Final = re.compile(
    rf"(?=[A-Za-z0-9]*[0-9])(?=[A-Za-z0-9]*[A-Za-z])[A-Za-z0-9]{{{PIECE_CHARACTERS_MIN},}}"
)

_ADDRESS: Final = re.compile(
    r"://([^/?#\s:@]+)@|(?<=[?&])[^=&#\s]*=([^&#\s]+)",
)
"""User information without a password, and query values, in a URL."""

_FENCE: Final = "-----"
"""Prefixes of the lines that frame a key."""


def secret_fields(name: str, data: dict[str, Any]) -> dict[str, str | int]:
    """Return the secrets of a credential by ``name.field``."""
    secrets: dict[str, str | int] = {}
    for field, value in data.items():
        is_public = str(field).lower() in PUBLIC_FIELDS
        secrets |= _secrets_in(f"{name}.{field}", value, is_public=is_public)
    return secrets


def _secrets_in(name: str, value: Any, *, is_public: bool) -> dict[str, str | int]:
    if isinstance(value, dict):
        return secret_fields(name, value)
    if isinstance(value, list):
        parts = (
            _secrets_in(f"{name}.{i}", item, is_public=is_public) for i, item in enumerate(value)
        )
        return {key: item for part in parts for key, item in part.items()}
    if isinstance(value, bool) or not isinstance(value, (str, int)):
        return {}
    secrets: dict[str, str | int] = {} if is_public else {name: value}
    if isinstance(value, str):
        secrets |= _passwords_in(name, value)
        if not is_public:
            secrets |= _parts_of(name, value)
    return secrets


def _passwords_in(name: str, text: str) -> dict[str, str | int]:
    secrets: dict[str, str | int] = {}
    for i, password in enumerate(USERINFO.findall(text)):
        secrets[f"{name}.password{i or ''}"] = password
        secrets[f"{name}.plain{i or ''}"] = unquote(password)
    for i, token in enumerate(_tokens_in(text)):
        secrets[f"{name}.address{i}"] = token
        secrets[f"{name}.addressed{i}"] = unquote(token)
    return secrets


def _tokens_in(text: str) -> list[str]:
    """Return likely secrets in the user information and the query of URLs."""
    parts = [match[0] or match[1] for match in _ADDRESS.findall(text)]
    return [token for part in parts for token in part.split("&") if _PIECE.search(token)]


def _parts_of(name: str, text: str) -> dict[str, str | int]:
    """Return the parts of a secret text that are secret themselves: JSON fields, lines, pieces."""
    if text.lstrip().startswith("{"):
        try:
            parsed = json.loads(text)
        except (ValueError, RecursionError):
            parsed = None
        if isinstance(parsed, dict):
            return secret_fields(name, parsed)
    lines = [line.strip() for line in text.splitlines()]
    if len(lines) > 1:
        return {
            f"{name}.line{number}": line
            for number, line in enumerate(lines, 1)
            if len(line) >= LINE_CHARACTERS_MIN and not line.startswith(_FENCE)
        }
    pieces = [match[0] for match in _PIECE.finditer(text)][:PIECES_MAX]
    return {
        f"{name}.piece{number}": piece for number, piece in enumerate(pieces, 1) if piece != text
    }
