"""Credential types: required fields, their aliases and checks.

The check is as lenient as the older implementations: fields have aliases, numbers may be text, and
unknown fields are kept. It refuses what no tool could use.
"""

from __future__ import annotations

from functools import cache
from typing import Any, Final, NamedTuple

import msgspec

from arcbook.errors import InvalidError
from arcbook.plugins import Plugin, PluginError, plugins

ENTRY_POINTS: Final = "arcbook.credential_types"


class CredentialInvalidError(InvalidError):
    """The fields do not match the credential's type. The problems never quote values.

    Attributes:
        problems: one sentence for each.
    """

    code = "invalid_credential"

    def __init__(self, problems: list[str]) -> None:
        self.problems = problems
        super().__init__("; ".join(problems))


class Form(NamedTuple):
    """The requirements of a credential type.

    Other packages add types by entry points of the group ``arcbook.credential_types``. The
    entry point has the name of the type, and names an object of this class.
    """

    #: Groups of aliases; one field of each is required, and messages use the first name.
    needed: tuple[tuple[str, ...], ...] = ()
    #: Fields that must be numbers.
    numbers: tuple[str, ...] = ()
    #: Fields that replace all required ones if present.
    instead: tuple[str, ...] = ()


_PORTS: Final = ("port", "db_port", "pg_port")
_ACCOUNT: Final = (
    "service_account_json",
    "service_account_info",
    "service_account",
    "credentials_json",
    "json",
)
_ACCESS_KEY: Final = ("access_key_id", "aws_access_key_id", "access_key", "key_id", "hmac_key_id")
_SECRET_KEY: Final = (
    "secret_access_key",
    "aws_secret_access_key",
    "secret_key",
    "secret",
    "key_secret",
    "hmac_secret",
)
_TOKENS: Final = ("token", "access_token", "bearer_token", "value", "refresh_token")

_BEARER: Final = Form(needed=(_TOKENS,))
_HMAC: Final = Form(needed=(_ACCESS_KEY, _SECRET_KEY), instead=("key_file",))
_AWS: Final = Form(
    needed=(_ACCESS_KEY, _SECRET_KEY), instead=("role_arn", "aws_role_arn", "profile")
)
_GOOGLE: Final = Form(
    needed=(("client_email",), ("private_key",)), instead=(*_ACCOUNT, "key_file", "data")
)
_OAUTH2: Final = Form(
    needed=(
        ("token_url", "token_uri", "token_endpoint", "endpoint", "access_token_url", "url"),
        ("client_id",),
        ("client_secret", "private_key"),
    ),
    instead=("access_token", "refresh_token", "token", *_ACCOUNT),
)

FORMS: Final[dict[str, Form]] = {
    "api_key": Form(needed=(("api_key", "key", "value", "token"),)),
    "aws": _AWS,
    "basic": Form(needed=(("username", "user"), ("password",))),
    "bearer": _BEARER,
    "bearer_token": _BEARER,
    "gcs": Form(needed=_HMAC.needed, instead=(*_ACCOUNT, "private_key", "key_file")),
    "gcs_hmac": _HMAC,
    "generic": Form(),
    "google_oauth": Form(),
    "google_service_account": _GOOGLE,
    "http": Form(),
    "kafka": Form(
        needed=(("bootstrap_servers", "brokers", "broker", "bootstrap.servers", "servers", "host"),)
    ),
    "nats": Form(needed=(("url", "nats_url", "servers", "host"),), numbers=("port",)),
    "oauth2": _OAUTH2,
    "oauth2_client_credentials": _OAUTH2,
    "postgres": Form(
        needed=(("host", "db_host", "pg_host", "hostname"),),
        numbers=_PORTS,
        instead=("dsn", "connection_string", "connection", "url", "uri", "service"),
    ),
    "pubsub": Form(
        needed=(("project", "project_id", "gcp_project"),), instead=(*_ACCOUNT, "private_key")
    ),
    "s3": _AWS,
    "secret": Form(),
    "service_account": _GOOGLE,
    "snowflake": Form(
        needed=(
            ("account", "sf_account"),
            ("user", "username", "sf_user"),
            (
                "password",
                "sf_password",
                "private_key",
                "sf_private_key",
                "private_key_path",
                "token",
                "authenticator",
                "sf_authenticator",
            ),
        )
    ),
}
"""The built-in types."""

SYNONYMS: Final = {
    "apikey": "api_key",
    "postgresql": "postgres",
    "pg": "postgres",
    "oauth": "oauth2",
    "hmac": "gcs_hmac",
    "token": "bearer",
    "httpbearerauth": "bearer",
    "httpbearertoken": "bearer",
    "google_cloud_service_account": "google_service_account",
}
"""Other names of types, from the older implementations."""

PORT_MAX: Final = 65535

_LISTS: Final = frozenset({"bootstrap.servers", "bootstrap_servers", "brokers", "servers"})


def types() -> list[str]:
    """Return the names of all types, those that other packages add included."""
    return sorted({*FORMS, *_added()})


def _form(kind: str) -> Form | None:
    """Return the requirements of a type, or ``None`` if the type is unknown.

    Raises:
        PluginError: the package that adds the type is broken.
    """
    form = FORMS.get(kind)
    if form is not None:
        return form
    plugin = _added().get(kind)
    return plugin.load(Form) if plugin is not None else None


@cache
def _added() -> dict[str, Plugin]:
    """Return the types that other packages add; of two with one name the first."""
    added: dict[str, Plugin] = {}
    for plugin in plugins(ENTRY_POINTS):
        added.setdefault(type_of(plugin.name), plugin)
    return added


def type_of(kind: str) -> str:
    """Return the canonical name of a type; an unknown one unchanged."""
    plain = kind.strip().lower().replace("-", "_")
    return SYNONYMS.get(plain, plain)


def problems_of(kind: str, data: dict[str, Any]) -> list[str]:
    """Return the reasons why fields do not make a credential of a type."""
    try:
        form = _form(type_of(kind))
    except PluginError as error:
        return [f"credential type {kind[:60]!r} cannot be used: {error}; {error.advice}"]
    if form is None:
        return [f"credential type {kind[:60]!r} is not known: {', '.join(types())}"]
    if not data:
        return ["a credential needs at least one field: data is empty"]
    checked = [_problem_of_number(name, data[name]) for name in form.numbers if name in data]
    problems = [problem for problem in checked if problem]
    if any(_is_there(data.get(name)) for name in form.instead):
        return problems
    for group in form.needed:
        if not any(_is_there(data.get(name)) for name in group):
            others = f" (or {', '.join(group[1:])})" if group[1:] else ""
            problems.append(f"a credential of type {kind!r} needs {group[0]!r}{others}")
    fields = {field for group in form.needed for field in group} - _LISTS
    return problems + [
        f"{name!r} must be text, not {_kind_of(data[name])}"
        for name in sorted(fields)
        if isinstance(data.get(name), (list, dict))
    ]


def checked(kind: str, data: dict[str, Any]) -> str:
    """Return the canonical type if the fields match it.

    Raises:
        CredentialInvalidError: they do not.
    """
    canonical = type_of(kind)
    problems = problems_of(kind, data)
    try:
        msgspec.json.encode(data)
    except (TypeError, ValueError, RecursionError):
        problems.append("its fields must be JSON values")
    if problems:
        raise CredentialInvalidError(problems)
    return canonical


def _is_there(value: Any) -> bool:
    return value not in (None, "") and not (isinstance(value, str) and not value.strip())


def _problem_of_number(name: str, value: Any) -> str:
    text = str(value).strip() if isinstance(value, (str, int)) else ""
    if isinstance(value, bool) or not (text.isascii() and text.isdigit()):
        return f"{name!r} must be a number"
    if not 0 < int(text[:20]) <= PORT_MAX:
        return f"{name!r} must be between 1 and {PORT_MAX}"
    return ""


def _kind_of(value: Any) -> str:
    return "a list" if isinstance(value, list) else "a mapping"
