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
    """Return the cache folder, whose content may be deleted at any time."""
    base = os.environ.get("XDG_CACHE_HOME")
    return Path(base) / "arcbook" if base else Path.home() / ".cache" / "arcbook"


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """The settings of a process."""

    home: Annotated[Path, Doc("Folder for the embedded store, results and keys.")]
    encryption_key: Annotated[
        str,
        Doc(
            "Key of the credential store: 32 bytes in Base64. By default, a file in the home.",
            is_secret=True,
        ),
    ] = ""
    encryption_keys_old: Annotated[
        tuple[str, ...],
        Doc(
            "Previous keys of the credential store, for decryption only; see `wallet rotate`.",
            is_secret=True,
        ),
    ] = ()
    key_provider: Annotated[
        str, Doc("Provider of the credential store's key: local, vault, aws, gcp or azure.")
    ] = "local"
    key_name: Annotated[str, Doc("Name of the key at a provider other than local.")] = ""
    template_env: Annotated[
        tuple[str, ...],
        Doc("Environment variables that templates may read as `env.NAME`."),
    ] = ()
    concurrency: Annotated[
        int, Doc("Commands that one process performs concurrently.", least=1, most=10_000)
    ] = 128
    python_memory_bytes: Annotated[
        int, Doc("Memory that one call of the python tool may use, in bytes.", least=32 * 1024**2)
    ] = 4 * 1024**3
    python_index: Annotated[
        tuple[str, ...],
        Doc(
            "Package indexes for `dependencies` of Python code; the first that has a package is "
            "used for it. By default, PyPI.",
            is_secret=True,
        ),
    ] = ()
    python_find_links: Annotated[
        tuple[str, ...],
        Doc("Folders and pages with further packages for `dependencies`."),
    ] = ()
    python_offline: Annotated[
        bool,
        Doc("Whether `dependencies` come only from folders and what was downloaded before."),
    ] = False
    python_environments: Annotated[
        int, Doc("Environments of `dependencies` that are kept in the home.", least=1, most=10_000)
    ] = 50
    isolation: Annotated[
        str,
        Doc(
            "Isolation of users' code from the worker: process, user or sandbox; `auto` picks the "
            "strongest that the machine supports."
        ),
    ] = "auto"
    isolation_uid: Annotated[
        int,
        Doc(
            "First of 16,384 user ids under which code runs if the worker is root.",
            least=1,
            most=2**32 - 20_000,
        ),
    ] = 20_000
    isolation_network: Annotated[bool, Doc("Whether code in a sandbox has network access.")] = True
    egress_allow: Annotated[
        tuple[str, ...],
        Doc("The only hosts and networks that tools may reach: `*.example.com 10.0.0.0/8`."),
    ] = ()
    egress_deny: Annotated[
        tuple[str, ...], Doc("Hosts and networks that tools must not connect to.")
    ] = ()
    egress_private: Annotated[
        bool, Doc("Whether tools may connect to loopback and private networks without a rule.")
    ] = True
    folders: Annotated[
        tuple[str, ...],
        Doc("Folders that tools may use in addition to the execution's own."),
    ] = ()
    jobs_backend: Annotated[
        str,
        Doc(
            "Who runs the jobs of the kinds container and script: kubernetes, or process, which "
            "runs their commands on the worker's machine without their image.",
            choices=("kubernetes", "process"),
        ),
    ] = "kubernetes"
    jobs_namespace: Annotated[
        str, Doc("Kubernetes namespace of jobs whose task names none; else that of the context.")
    ] = ""
    kubeconfig: Annotated[
        str, Doc("File that says how Kubernetes is reached; by default the usual places.")
    ] = ""
    kube_context: Annotated[str, Doc("Context of that file; by default its current one.")] = ""
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
            "Addresses of NATS, `nats://host:4222` or `tls://host:4222`, separated by commas.",
            is_secret=True,
        ),
    ] = ""
    nats_base: Annotated[str, Doc("Prefix of all NATS subjects, streams and consumers.")] = "noetl"
    nats_user: Annotated[str, Doc("NATS user.", is_secret=True)] = ""
    nats_password: Annotated[str, Doc("Password of the NATS user.", is_secret=True)] = ""
    nats_token: Annotated[str, Doc("NATS token, instead of a user.", is_secret=True)] = ""
    nats_creds: Annotated[str, Doc("NATS credentials file with a JWT and its seed.")] = ""
    nats_nkey_seed: Annotated[str, Doc("Seed of an NKEY registered with NATS.", is_secret=True)] = (
        ""
    )
    nats_tls_ca: Annotated[str, Doc("CA certificates file for NATS; the system's by default.")] = ""
    nats_tls_cert: Annotated[str, Doc("Client certificate file, if NATS requires one.")] = ""
    nats_tls_key: Annotated[str, Doc("Key file of the client certificate.")] = ""
    postgres_open: Annotated[
        bool,
        Doc(
            "Whether a server may start on a remote PostgreSQL without authentication, with a "
            "warning; by default it refuses."
        ),
    ] = False
    nats_open: Annotated[
        bool,
        Doc(
            "Whether a server may start on a remote NATS without authentication, with a warning; "
            "by default it refuses."
        ),
    ] = False
    host: Annotated[str, Doc("Address on which a server listens.")] = "127.0.0.1"
    port: Annotated[
        int, Doc("Port on which a server listens; 0 picks a free one.", most=65_535)
    ] = 8082
    api_tokens: Annotated[
        tuple[str, ...],
        Doc(
            "API tokens as `SCOPE=SHA256` of the token, in addition to those in the database.",
            is_secret=True,
        ),
    ] = ()
    origins: Annotated[
        tuple[str, ...], Doc("Origins of web pages that may call the API: `https://gui.example`.")
    ] = ()
    requests_per_second: Annotated[
        float, Doc("Average requests per second allowed for one caller; 0 means no limit.")
    ] = 5000.0
    proxies: Annotated[
        tuple[str, ...],
        Doc("Addresses and networks of proxies whose `X-Forwarded-For` is trusted."),
    ] = ()
    connections: Annotated[
        int,
        Doc(
            "Concurrent API connections; beyond them, only essential requests are answered.",
            least=1,
        ),
    ] = 1000
    head_seconds: Annotated[
        float,
        Doc("Time limit in seconds for receiving a request's header.", least=0.1),
    ] = 10.0
    body_seconds: Annotated[
        float, Doc("Time limit in seconds for the next part of a request's body.", least=0.1)
    ] = 20.0
    write_seconds: Annotated[
        float,
        Doc("Time limit in seconds for a caller to receive a part of a response.", least=0.1),
    ] = 30.0
    streams: Annotated[int, Doc("Event streams that may be open concurrently on one server.")] = (
        1000
    )
    body_bytes: Annotated[int, Doc("Maximum size in bytes of a request's body.", least=1024)] = (
        4 * 1024 * 1024
    )
    result_bytes: Annotated[
        int, Doc("Maximum size in bytes of a body that uploads a result.", least=1024)
    ] = 64 * 1024 * 1024
    oidc_issuer: Annotated[str, Doc("Identity provider whose JWTs are accepted: its `iss`.")] = ""
    oidc_audience: Annotated[str, Doc("Required audience of a JWT: its `aud`.")] = ""
    oidc_jwks_url: Annotated[
        str, Doc("URL of the provider's keys; discovered through the issuer by default.")
    ] = ""
    oidc_scope_claim: Annotated[str, Doc("JWT claim that holds the scopes.")] = "scope"
    oidc_scope_prefix: Annotated[str, Doc("Prefix of Arcbook's scopes in that claim.")] = "arcbook:"
    tls_cert: Annotated[str, Doc("Certificate file of a server.")] = ""
    tls_key: Annotated[str, Doc("Key file of the server's certificate.")] = ""
    tls_client_ca: Annotated[
        str, Doc("CA file for client certificates; by default, none are required.")
    ] = ""
    server_url: Annotated[
        str,
        Doc("URL at which clients and system playbooks reach a server; loopback by default."),
    ] = ""
    server_token: Annotated[
        str, Doc("API token that clients send to a server.", is_secret=True)
    ] = ""
    internal_token: Annotated[
        str,
        Doc(
            "Token shared by a cluster's servers, for `/api/internal` and the bus; only playbooks "
            "`system/*` receive it. By default, the bus uses a token file in the home.",
            is_secret=True,
        ),
    ] = ""
    worker_token: Annotated[
        str,
        Doc(
            "Token of scope `worker` with which a worker registers; by default the internal one.",
            is_secret=True,
        ),
    ] = ""
    retention_days: Annotated[
        float,
        Doc("Days after which a clean-up may delete ended executions."),
    ] = 30.0
    adaptive: Annotated[
        bool,
        Doc("Whether a worker lowers its concurrency under load."),
    ] = False
    pools: Annotated[
        tuple[str, ...], Doc("Pools from which a worker pulls, separated by commas.")
    ] = ("shared",)
    pool_of_kinds: Annotated[
        tuple[str, ...],
        Doc("Pools by tool kind as `KIND=POOL`, separated by commas."),
    ] = ("agent=python",)
    routing: Annotated[
        bool, Doc("Whether commands are routed to pools; otherwise all go to `shared`.")
    ] = True
    lease_seconds: Annotated[
        float,
        Doc(
            "Time without a heartbeat after which a worker's commands go to another one.", least=0.1
        ),
    ] = 15.0
    drain_seconds: Annotated[
        float, Doc("Time a worker has to finish its commands when it is stopped.")
    ] = 30.0
    log_format: Annotated[
        str,
        Doc("Log format of servers and workers: console or json.", choices=("console", "json")),
    ] = "console"
    log_level: Annotated[
        str,
        Doc(
            "Lowest level that is logged: debug, info, warning or error.",
            choices=("debug", "info", "warning", "error"),
        ),
    ] = "info"
    debug: Annotated[bool, Doc("Whether internal errors of Arcbook show their traceback.")] = False

    def template_names(self) -> dict[str, str]:
        """Return the environment that templates may read."""
        return {name: os.environ[name] for name in self.template_env if name in os.environ}


def named_server() -> str:
    """Return the server's URL from the environment, without loading all settings."""
    return os.environ.get(PREFIX + "SERVER_URL", "")


def no_colour() -> bool:
    """Return whether the environment disables coloured output."""
    return bool(os.environ.get("NO_COLOR"))


def named_token() -> bool:
    """Return whether the environment sets a server token."""
    return bool(os.environ.get(PREFIX + "SERVER_TOKEN"))


def load_settings(environment: Mapping[str, str] | None = None, **options: Any) -> Settings:
    """Return the settings of this process.

    Args:
        environment: the environment to read; that of the process by default.
        options: settings from the command line; ``None`` means unset.

    Raises:
        SettingsError: a variable cannot be what its setting is.
    """
    source = os.environ if environment is None else environment
    hints = get_type_hints(Settings, include_extras=True)
    values: dict[str, Any] = {}
    for name, hint in hints.items():
        text = source.get(PREFIX + name.upper())
        if options.get(name) is not None:
            values[name] = options[name]
        elif text is not None:
            values[name] = convert(name, text, hint)
        if name in values:
            check(name, values[name], hint)
    check_names(source, Settings.__struct_fields__, values.get("template_env", ()))
    values.setdefault("home", _default_home())
    values["home"] = Path(values["home"]).expanduser()
    return Settings(**values)


def drop_secrets() -> None:
    """Remove secrets from the environment once the settings are loaded.

    What is started later inherits none of it, and none of it is in ``/proc``, where the
    environment stays as it was at the start.
    """
    names = [PREFIX + name.upper() for name in _secret_names()]
    values = {name: value for name in names if (value := os.environ.pop(name, None)) is not None}
    for name, value in values.items():
        wipe(f"{name}={value}".encode())


def secrets_of(settings: Settings) -> dict[str, str]:
    """Return the secrets among the settings, by name."""
    secrets: dict[str, str] = {}
    for name in _secret_names():
        value = getattr(settings, name)
        for index, text in enumerate([value] if isinstance(value, str) else value):
            secrets[f"{name}.{index}" if index else name] = text
    return secrets


def _secret_names() -> list[str]:
    hints = get_type_hints(Settings, include_extras=True)
    return [
        name
        for name, hint in hints.items()
        if any(isinstance(doc, Doc) and doc.is_secret for doc in get_args(hint)[1:])
    ]


def reference() -> list[tuple[str, str, str]]:
    """Return each setting's variable, default and description, for the docs."""
    rows: list[tuple[str, str, str]] = []
    hints = get_type_hints(Settings, include_extras=True)
    for field in msgspec.structs.fields(Settings):
        doc = next(d for d in get_args(hints[field.name])[1:] if isinstance(d, Doc))
        default = "" if field.default is msgspec.NODEFAULT else str(field.default)
        if field.name == "home":
            default = "~/.local/share/arcbook"
        rows.append((PREFIX + field.name.upper(), default, doc.text))
    return rows


def environment_for(**options: str) -> dict[str, str]:
    """Return the environment of a child process with some settings.

    It has this process's own, without what names a database, a bus or an address.
    """
    own = ("DSN", "NATS", "HOST", "PORT", "POOLS", "HOME", "SERVER")
    inherited = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(tuple(PREFIX + part for part in own))
    }
    return {**inherited, **{PREFIX + name.upper(): value for name, value in options.items()}}
