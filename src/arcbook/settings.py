"""Settings: the only place that reads the environment.

One frozen value for a process, made by the application that starts it and handed down.
Every setting has a default, a unit and a sentence; the reference page is made from them.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, get_args, get_type_hints

import msgspec

from arcbook.initial import wipe
from arcbook.setting_kinds import PREFIX, Doc, SettingsError, check, check_names, convert

__all__ = [
    "PREFIX",
    "Settings",
    "SettingsError",
    "drop_secrets",
    "environment_for",
    "load_settings",
    "named_server",
    "named_token",
    "reference",
    "secrets_of",
]


def _default_home() -> Path:
    base = os.environ.get("XDG_DATA_HOME")
    return Path(base) / "arcbook" if base else Path.home() / ".local" / "share" / "arcbook"


def cache_folder() -> Path:
    """Return the folder for what may be lost at any time."""
    base = os.environ.get("XDG_CACHE_HOME")
    return Path(base) / "arcbook" if base else Path.home() / ".cache" / "arcbook"


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """The settings of a process."""

    home: Annotated[Path, Doc("Folder that holds the embedded store, results and keys.")]
    encryption_key: Annotated[
        str,
        Doc(
            "Key of the credential store: 32 bytes in Base64; else a file in the home.",
            is_secret=True,
        ),
    ] = ""
    encryption_keys_old: Annotated[
        tuple[str, ...],
        Doc(
            "Keys that sealed credentials before; they open, and `wallet rotate` replaces them.",
            is_secret=True,
        ),
    ] = ()
    key_provider: Annotated[
        str, Doc("Who holds the key of the credential store: local, vault, aws, gcp or azure.")
    ] = "local"
    key_name: Annotated[str, Doc("The key's name at a provider that is not local.")] = ""
    template_env: Annotated[
        tuple[str, ...],
        Doc("Names of environment variables that templates may read as `env.NAME`."),
    ] = ()
    concurrency: Annotated[
        int, Doc("Commands that one process performs at once.", least=1, most=10_000)
    ] = 128
    python_memory_bytes: Annotated[
        int, Doc("Memory that one call of the python tool may use, in bytes.", least=32 * 1024**2)
    ] = 4 * 1024**3
    isolation: Annotated[
        str,
        Doc(
            "How far apart a worker runs code of users: process, user or sandbox; `auto` is the "
            "strongest that the machine allows."
        ),
    ] = "auto"
    isolation_uid: Annotated[
        int,
        Doc(
            "First of 16,384 user ids that code runs as, where the worker is root.",
            least=1,
            most=2**32 - 20_000,
        ),
    ] = 20_000
    isolation_network: Annotated[bool, Doc("Whether code in a sandbox reaches the network.")] = True
    egress_allow: Annotated[
        tuple[str, ...],
        Doc("Hosts and networks that tools connect to, and no others: `*.example.com 10.0.0.0/8`."),
    ] = ()
    egress_deny: Annotated[
        tuple[str, ...], Doc("Hosts and networks that tools do not connect to.")
    ] = ()
    egress_private: Annotated[
        bool, Doc("Whether tools connect to loopback and private networks without a rule.")
    ] = True
    folders: Annotated[
        tuple[str, ...],
        Doc("Folders that tools of a worker may use beside the execution's own."),
    ] = ()
    dsn: Annotated[
        str,
        Doc(
            "PostgreSQL of the cluster: postgresql://USER:PASSWORD@HOST:PORT/DATABASE.",
            is_secret=True,
        ),
    ] = ""
    nats_url: Annotated[
        str,
        Doc(
            "Address of NATS, `nats://host:4222` or `tls://host:4222`; commas between several.",
            is_secret=True,
        ),
    ] = ""
    nats_base: Annotated[str, Doc("First part of all subjects, streams and consumers.")] = "noetl"
    nats_user: Annotated[str, Doc("User of NATS.", is_secret=True)] = ""
    nats_password: Annotated[str, Doc("Password of the user of NATS.", is_secret=True)] = ""
    nats_token: Annotated[str, Doc("Token that NATS wants instead of a user.", is_secret=True)] = ""
    nats_creds: Annotated[str, Doc("File of NATS credentials: a JWT and its seed.")] = ""
    nats_nkey_seed: Annotated[str, Doc("Seed of an NKEY that NATS knows.", is_secret=True)] = ""
    nats_tls_ca: Annotated[
        str, Doc("File of certificates that NATS may show; those of the system by default.")
    ] = ""
    nats_tls_cert: Annotated[str, Doc("File of our certificate, if NATS wants one.")] = ""
    nats_tls_key: Annotated[str, Doc("File of our certificate's key.")] = ""
    nats_open: Annotated[
        bool,
        Doc(
            "Whether a server starts on a NATS elsewhere that asks nobody who they are, with a "
            "warning; it does not by default."
        ),
    ] = False
    host: Annotated[str, Doc("Address on which a server listens.")] = "127.0.0.1"
    port: Annotated[
        int, Doc("Port on which a server listens; 0 takes a free one.", most=65_535)
    ] = 8082
    api_tokens: Annotated[
        tuple[str, ...],
        Doc(
            "API tokens as `SCOPE=SHA256` of the token; those of the database count as well.",
            is_secret=True,
        ),
    ] = ()
    origins: Annotated[
        tuple[str, ...], Doc("Origins of web pages that may call the API: `https://gui.example`.")
    ] = ()
    requests_per_second: Annotated[
        float, Doc("Requests of one caller in a second, on average; 0 sets no limit.")
    ] = 5000.0
    proxies: Annotated[
        tuple[str, ...],
        Doc("Addresses and networks of proxies whose `X-Forwarded-For` is believed."),
    ] = ()
    connections: Annotated[
        int,
        Doc("Connections to the API at once; beyond them, only what must be is answered.", least=1),
    ] = 1000
    head_seconds: Annotated[
        float,
        Doc("Seconds that a connection has for the whole head of its next request.", least=0.1),
    ] = 10.0
    body_seconds: Annotated[
        float, Doc("Seconds within which the next part of a request's body has to come.", least=0.1)
    ] = 20.0
    write_seconds: Annotated[
        float,
        Doc("Seconds within which a caller has to take a part of what it is sent.", least=0.1),
    ] = 30.0
    streams: Annotated[int, Doc("Event streams that may be open at once on one server.")] = 1000
    body_bytes: Annotated[int, Doc("Bytes of a request's body.", least=1024)] = 4 * 1024 * 1024
    result_bytes: Annotated[int, Doc("Bytes of a body that puts a result.", least=1024)] = (
        64 * 1024 * 1024
    )
    oidc_issuer: Annotated[str, Doc("Identity provider whose JWTs are taken: its `iss`.")] = ""
    oidc_audience: Annotated[str, Doc("Audience that a JWT must be for: its `aud`.")] = ""
    oidc_jwks_url: Annotated[
        str, Doc("Where the provider's keys are; found through the issuer by default.")
    ] = ""
    oidc_scope_claim: Annotated[str, Doc("Claim of a JWT that holds scopes.")] = "scope"
    oidc_scope_prefix: Annotated[str, Doc("How our scopes begin in that claim.")] = "arcbook:"
    tls_cert: Annotated[str, Doc("File of the certificate by which a server shows itself.")] = ""
    tls_key: Annotated[str, Doc("File of that certificate's key.")] = ""
    tls_client_ca: Annotated[
        str, Doc("File of certificates that clients must be signed by; none are asked by default.")
    ] = ""
    server_url: Annotated[
        str,
        Doc("Where clients and system playbooks reach a server; loopback and its port if empty."),
    ] = ""
    server_token: Annotated[
        str, Doc("API token that clients show to a server.", is_secret=True)
    ] = ""
    internal_token: Annotated[
        str,
        Doc(
            "Token that the servers of a cluster share, of `/api/internal` and of the bus; only "
            "playbooks `system/*` get it. Without one, a file in the home is that of the bus.",
            is_secret=True,
        ),
    ] = ""
    worker_token: Annotated[
        str,
        Doc(
            "Token of the scope `worker`, by which a worker enters; else the internal one.",
            is_secret=True,
        ),
    ] = ""
    retention_days: Annotated[
        float,
        Doc("Days for which executions that ended are kept before a clean-up may purge them."),
    ] = 30.0
    adaptive: Annotated[
        bool,
        Doc("Whether a worker performs fewer commands at once while it is under pressure."),
    ] = False
    pools: Annotated[
        tuple[str, ...], Doc("Pools from which a worker pulls, with commas between several.")
    ] = ("shared",)
    pool_of_kinds: Annotated[
        tuple[str, ...],
        Doc("Pools of kinds of tools, as `KIND=POOL`, with commas between several."),
    ] = ("agent=python",)
    routing: Annotated[
        bool, Doc("Whether pools are chosen at all; without, everything goes to `shared`.")
    ] = True
    lease_seconds: Annotated[
        float,
        Doc("How long a worker may be silent before its commands go to another one.", least=0.1),
    ] = 15.0
    drain_seconds: Annotated[
        float, Doc("Time that a worker has to finish its commands when it is told to stop.")
    ] = 30.0
    log_format: Annotated[
        str,
        Doc(
            "How servers and workers write their log: console or json.", choices=("console", "json")
        ),
    ] = "console"
    log_level: Annotated[
        str,
        Doc(
            "The least that they log: debug, info, warning or error.",
            choices=("debug", "info", "warning", "error"),
        ),
    ] = "info"
    debug: Annotated[bool, Doc("Whether faults of Arcbook itself show their traceback.")] = False

    def template_names(self) -> dict[str, str]:
        """Return the environment that templates may read."""
        return {name: os.environ[name] for name in self.template_env if name in os.environ}


def named_server() -> str:
    """Return the server that the environment names, for whoever needs no other setting."""
    return os.environ.get(PREFIX + "SERVER_URL", "")


def no_colour() -> bool:
    """Return whether the environment asks programs to write without colours."""
    return bool(os.environ.get("NO_COLOR"))


def named_token() -> bool:
    """Return whether the environment names a token for a server."""
    return bool(os.environ.get(PREFIX + "SERVER_TOKEN"))


def load_settings(environment: Mapping[str, str] | None = None, **given: Any) -> Settings:
    """Return the settings of this process.

    Args:
        environment: the environment to read; that of the process by default.
        given: settings that the command line gives; ``None`` means not given.

    Raises:
        SettingsError: a variable cannot be what its setting is.
    """
    source = os.environ if environment is None else environment
    hints = get_type_hints(Settings, include_extras=True)
    values: dict[str, Any] = {}
    for name, hint in hints.items():
        text = source.get(PREFIX + name.upper())
        if given.get(name) is not None:
            values[name] = given[name]
        elif text is not None:
            values[name] = convert(name, text, hint)
        if name in values:
            check(name, values[name], hint)
    check_names(source, Settings.__struct_fields__, values.get("template_env", ()))
    values.setdefault("home", _default_home())
    values["home"] = Path(values["home"]).expanduser()
    return Settings(**values)


def drop_secrets() -> None:
    """Take what opens something out of the environment, once the settings are read.

    What is started later inherits none of it, and none of it is in ``/proc``, where the
    environment stays as it was at the start.
    """
    names = [PREFIX + name.upper() for name in _secret_names()]
    held = {name: value for name in names if (value := os.environ.pop(name, None)) is not None}
    for name, value in held.items():
        wipe(f"{name}={value}".encode())


def secrets_of(settings: Settings) -> dict[str, str]:
    """Return what opens something, by its setting."""
    found: dict[str, str] = {}
    for name in _secret_names():
        value = getattr(settings, name)
        for index, text in enumerate([value] if isinstance(value, str) else value):
            found[f"{name}.{index}" if index else name] = text
    return found


def _secret_names() -> list[str]:
    hints = get_type_hints(Settings, include_extras=True)
    return [
        name
        for name, hint in hints.items()
        if any(isinstance(doc, Doc) and doc.is_secret for doc in get_args(hint)[1:])
    ]


def reference() -> list[tuple[str, str, str]]:
    """Return each setting's variable, default and sentence, for the docs."""
    rows: list[tuple[str, str, str]] = []
    hints = get_type_hints(Settings, include_extras=True)
    for field in msgspec.structs.fields(Settings):
        doc = next(d for d in get_args(hints[field.name])[1:] if isinstance(d, Doc))
        default = "" if field.default is msgspec.NODEFAULT else str(field.default)
        if field.name == "home":
            default = "~/.local/share/arcbook"
        rows.append((PREFIX + field.name.upper(), default, doc.text))
    return rows


def environment_for(**given: str) -> dict[str, str]:
    """Return the environment of a process that is to have some settings.

    It has this process's own, without what names a database, a bus or an address.
    """
    own = ("DSN", "NATS", "HOST", "PORT", "POOLS", "HOME", "SERVER")
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(tuple(PREFIX + part for part in own))
    }
    return {**kept, **{PREFIX + name.upper(): value for name, value in given.items()}}
