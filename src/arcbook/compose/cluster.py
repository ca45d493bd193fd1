"""The composition root of a cluster: assembles servers and workers from their settings.

PostgreSQL is the store and holds the blobs, and NATS is the bus; without NATS, PostgreSQL is
the bus as well.
"""

from __future__ import annotations

import ipaddress
import logging
import os
import re
import socket
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from typing import Final, NamedTuple

from arcbook.blobs.api import Blobs
from arcbook.blobs.postgres import PostgresBlobs
from arcbook.bus.api import Bus, Connection
from arcbook.bus.nats import NatsAccess, NatsBus
from arcbook.bus.postgres import PostgresBus
from arcbook.clock import SystemClock
from arcbook.compose.admission import check_bus, check_database
from arcbook.compose.working import confinement_of, egress_of, jobs_of, packages_of
from arcbook.logs import events as logged
from arcbook.logs.context import LogContext
from arcbook.owner.pools import PoolRules
from arcbook.owner.rehearsal import rehearse
from arcbook.performer.execute import Performer
from arcbook.results.store import ResultStore
from arcbook.secrets.credentials import CredentialBook
from arcbook.secrets.envelope import SealError
from arcbook.secrets.keys import BUS_FILE, ENTRY_FILE, keys_of, leave_token, token_in
from arcbook.secrets.sessions import Root, WorkerToken
from arcbook.secrets.tokens import SCOPES
from arcbook.server.core import Server
from arcbook.server.guard import GuardedBus
from arcbook.server.http.access import is_loopback
from arcbook.server.http.app import create_app
from arcbook.server.http.oidc import OidcSettings
from arcbook.server.http.serving import Tls, listening, served
from arcbook.server.http.settings import HttpSettings
from arcbook.server.system import Housekeeping, SystemCredentials
from arcbook.settings import Settings, SettingsError
from arcbook.store.api import ClusterStore, StoreError
from arcbook.store.postgres import PostgresStore
from arcbook.tools.confinement import Confinement
from arcbook.tools.isolation import choose
from arcbook.tools.registry import Registry
from arcbook.worker.adapting import adapt
from arcbook.worker.control import Control, RemoteBlobs
from arcbook.worker.core import Worker
from arcbook.worker.over_http import HttpBus
from arcbook.worker.sealed import SealedBus

log = logging.getLogger(__name__)

_DIGEST: Final = re.compile("[0-9a-fA-F]{64}")

BEATS_PER_LEASE = 4
"""Number of a worker's heartbeats during a lease."""


class ControlPlane(NamedTuple):
    """A server and the services of its API."""

    server: Server
    store: ClusterStore
    credentials: CredentialBook


class Parts(NamedTuple):
    """The open services that a server uses; their opener closes them."""

    store: ClusterStore
    bus: Bus
    blobs: Blobs


Opening = Callable[[Settings], AbstractAsyncContextManager[Parts]]
"""Opens the services that a server uses."""


def bus_of(settings: Settings) -> Bus:
    """Return the bus that the settings name.

    Raises:
        SettingsError: no bus is configured.
    """
    if settings.nats_url:
        access = NatsAccess(
            user=settings.nats_user,
            password=settings.nats_password,
            token=settings.nats_token,
            creds=settings.nats_creds,
            nkey_seed=settings.nats_nkey_seed,
            tls_ca=settings.nats_tls_ca,
            tls_cert=settings.nats_tls_cert,
            tls_key=settings.nats_tls_key,
        )
        return NatsBus(settings.nats_url, settings.nats_base, access)
    if settings.dsn:
        return PostgresBus(settings.dsn)
    raise SettingsError("name the bus: ARCBOOK_NATS_URL, or ARCBOOK_DSN for PostgreSQL alone")


def worker_bus_of(settings: Settings) -> Connection:
    """Return the bus of a worker: the API of a server, if no other one is configured.

    Raises:
        SettingsError: no bus is configured, or the token is missing.
    """
    if settings.nats_url or settings.dsn:
        return bus_of(settings)
    if not settings.server_url:
        raise SettingsError(
            "name the bus: ARCBOOK_NATS_URL, ARCBOOK_DSN for PostgreSQL alone, or a server by "
            "--server"
        )
    token = _entry_of(settings)
    if not token:
        raise SettingsError(
            "a worker over HTTP needs ARCBOOK_WORKER_TOKEN, or the servers' ARCBOOK_INTERNAL_TOKEN"
        )
    return HttpBus(settings.server_url, token)


def bus_token(settings: Settings) -> str:
    """Return the internal token, which the servers of a cluster share.

    Raises:
        SettingsError: no token is configured, and the token file cannot be used.
    """
    return settings.internal_token or token_in(settings.home / BUS_FILE)


def leave_entry(settings: Settings, root: Root) -> None:
    """Write the token file for workers of the same home; other workers need their own token."""
    try:
        leave_token(settings.home / ENTRY_FILE, root.built_in)
    except SealError as error:
        log.warning(logged.WORKER_TOKEN_UNKEPT, {"reason": error})


def worker_token_of(settings: Settings) -> WorkerToken:
    """Return the current token of a worker.

    Raises:
        SettingsError: no token is configured, and the token file cannot be used.
    """
    return WorkerToken(_entry_of(settings) or Root(bus_token(settings)).built_in)


def _entry_of(settings: Settings) -> str:
    """Return the configured token, or the one in the home's token file; empty if neither exists."""
    configured = settings.worker_token or settings.internal_token
    entry_file = settings.home / ENTRY_FILE
    return configured or (token_in(entry_file) if entry_file.exists() else "")


def rules_of(settings: Settings) -> PoolRules:
    """Return the rules that choose a command's pool.

    Raises:
        SettingsError: a rule is not ``KIND=POOL``.
    """
    kinds: dict[str, str] = {}
    for rule in settings.pool_of_kinds:
        kind, separator, pool = rule.partition("=")
        if not (kind and separator and pool):
            raise SettingsError(f"ARCBOOK_POOL_OF_KINDS has {rule!r}: write KIND=POOL")
        kinds[kind] = pool
    return PoolRules(kinds=kinds, routing=settings.routing)


def http_of(
    settings: Settings, *, has_stored_tokens: bool = False, worker_token: str = ""
) -> HttpSettings:
    """Return the configuration of the API.

    Raises:
        SettingsError: a token is not ``SCOPE=SHA256``, or a proxy is not an address.
    """
    oidc = None
    if settings.oidc_issuer:
        oidc = OidcSettings(
            issuer=settings.oidc_issuer,
            audience=settings.oidc_audience,
            jwks_url=settings.oidc_jwks_url,
            scope_claim=settings.oidc_scope_claim,
            scope_prefix=settings.oidc_scope_prefix,
        )
    return HttpSettings(
        body_bytes_max=settings.body_bytes,
        result_bytes_max=settings.result_bytes,
        tokens=_tokens(settings.api_tokens),
        has_stored_tokens=has_stored_tokens,
        oidc=oidc,
        internal_token=settings.internal_token,
        worker_token=worker_token,
        retention_days=settings.retention_days,
        is_local=is_loopback(settings.host),
        requests_per_second=settings.requests_per_second,
        origins=settings.origins,
        proxies=_proxies(settings.proxies),
        connections_max=settings.connections,
        head_seconds=settings.head_seconds,
        body_seconds=settings.body_seconds,
        write_seconds=settings.write_seconds,
        streams_max=settings.streams,
    )


def _proxies(proxies: Sequence[str]) -> tuple[str, ...]:
    """Check that each proxy is an address or a network."""
    for one in proxies:
        try:
            ipaddress.ip_network(one)
        except ValueError:
            raise SettingsError(
                f"ARCBOOK_PROXIES has {one[:60]!r}: use addresses or networks, such as 10.0.0.0/8"
            ) from None
    return tuple(proxies)


def _tokens(entries: Sequence[str]) -> dict[str, str]:
    """Return the scopes of configured tokens, by digest."""
    scopes: dict[str, str] = {}
    for one in entries:
        scope, _, digest = one.partition("=")
        if scope not in SCOPES or not _DIGEST.fullmatch(digest):
            raise SettingsError(
                "ARCBOOK_API_TOKENS holds SCOPE=SHA256: a scope and 64 hexadecimal digits"
            )
        scopes[digest.lower()] = scope
    return scopes


def tls_of(settings: Settings) -> Tls | None:
    """Return the TLS configuration of the server; None for plain HTTP.

    Raises:
        ListenError: a file cannot be used, or one is missing.
    """
    if not (settings.tls_cert or settings.tls_key or settings.tls_client_ca):
        return None
    tls = Tls(cert=settings.tls_cert, key=settings.tls_key, client_ca=settings.tls_client_ca)
    tls.check()
    return tls


def release() -> str:
    """Return the version of this package."""
    try:
        return version("arcbook")
    except PackageNotFoundError:
        return ""


@asynccontextmanager
async def shared_parts(settings: Settings) -> AsyncIterator[Parts]:
    """Open the services that the servers of a cluster share.

    Raises:
        SettingsError: a setting is missing.
        StoreError: the database cannot be used.
        BusError: the bus cannot be used.
    """
    if not settings.dsn:
        raise SettingsError("name the database: ARCBOOK_DSN, or --dsn")
    await check_database(settings)
    async with (
        PostgresStore(settings.dsn) as store,
        bus_of(settings) as bus,
    ):
        check_bus(bus, settings)
        yield Parts(store, bus, PostgresBlobs(store.connection))


@asynccontextmanager
async def control_plane(
    settings: Settings, parts: Parts, *, url: str = "", server_id: str = ""
) -> AsyncIterator[ControlPlane]:
    """Yield a running server."""
    clock = SystemClock()
    credentials = CredentialBook(parts.store, keys_of(settings, make=False), clock)
    root = Root(bus_token(settings))
    leave_entry(settings, root)
    server = Server(
        parts.store,
        GuardedBus(parts.bus, root, parts.store, clock),
        parts.blobs,
        Registry(),
        SystemCredentials(credentials, parts.store, settings.internal_token),
        clock,
        rules=rules_of(settings),
        lease_seconds=settings.lease_seconds,
        server_id=server_id,
        url=url,
        version=release(),
        rehearse=rehearse,
    )
    with LogContext(server=server.server_id):
        async with server:
            server.service.watch(parts.bus.service)
            server.service.loop("lateness", server.lateness.run)
            keeping = Housekeeping(server, settings.server_url or url, settings.internal_token)
            async with keeping:
                yield ControlPlane(server, parts.store, credentials)


@asynccontextmanager
async def served_control_plane(
    settings: Settings, parts: Opening = shared_parts, *, server_id: str = ""
) -> AsyncIterator[tuple[ControlPlane, str]]:
    """Yield a running server and the URL of its API.

    Raises:
        ListenError: it cannot listen on the address.
        UnsafeBindingError: other machines could reach the API, and it has no authentication.
        SettingsError: a required setting is missing.
        StoreError: the database cannot be used.
        BusError: the bus cannot be used.
    """
    http = http_of(
        settings,
        has_stored_tokens=await _has_tokens(settings),
        worker_token=Root(bus_token(settings)).built_in,
    )
    tls = tls_of(settings)
    with listening(settings.host, settings.port, http) as on:
        host, port = on.getsockname()[:2]
        scheme = "https" if tls is not None else "http"
        url = f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"
        async with (
            parts(settings) as opened,
            control_plane(settings, opened, url=url, server_id=server_id) as plane,
        ):
            app = create_app(plane.server, plane.credentials, http)
            async with served(app, on, tls, app.state.context.close, http.limits) as api:
                plane.server.service.watch(api)
                yield plane, url


async def _has_tokens(settings: Settings) -> bool:
    """Return whether the database has tokens, which protect an API that others can reach.

    An unreadable database counts as having none.
    """
    if is_loopback(settings.host) or not settings.dsn:
        return False
    with suppress(StoreError):
        async with PostgresStore(settings.dsn) as store:
            return bool(await store.tokens())
    return False


@asynccontextmanager
async def worker(settings: Settings, *, worker_id: str = "") -> AsyncIterator[Worker]:
    """Yield a running worker.

    Raises:
        SettingsError: a required setting is missing.
        IsolationError: the configured isolation of user code does not work here.
        BusError: the bus cannot be used.
    """
    confinement = await choose(
        settings.isolation, lambda isolation: confinement_of(settings, isolation)
    )
    async with (
        worker_bus_of(settings) as bus,
        worker_on(bus, settings, worker_id=worker_id, confinement=confinement) as running,
    ):
        yield running


@asynccontextmanager
async def worker_on(
    bus: Connection,
    settings: Settings,
    *,
    worker_id: str = "",
    confinement: Confinement | None = None,
) -> AsyncIterator[Worker]:
    """Yield a running worker on a bus.

    Without a confinement, user code has all rights of the user who started the process.
    """
    limits = confinement or Confinement(
        workspaces=str(settings.home / "work"),
        memory_bytes=settings.python_memory_bytes,
        egress=egress_of(settings),
        packages=packages_of(settings),
        jobs=jobs_of(settings),
    )
    clock = SystemClock()
    name = worker_id or f"{socket.gethostname()}-{os.getpid()}"
    name = worker_token_of(settings).name_for(name)
    sealed = SealedBus(bus, lambda: worker_token_of(settings), name, settings.pools)
    control = Control(sealed, name, clock=clock)
    registry = Registry()
    performer = Performer(
        registry,
        ResultStore(RemoteBlobs(control), loop_reader=control.frames),
        control,
        clock,
        worker=name,
        workspace=limits.make_workspace,
        env=settings.template_names(),
        confinement=limits,
    )
    running = Worker(
        sealed,
        control,
        performer,
        registry,
        clock,
        pools=settings.pools,
        concurrency=settings.concurrency,
        worker_id=name,
        version=release(),
        beat_seconds=settings.lease_seconds / BEATS_PER_LEASE,
    )
    with LogContext(worker=name):
        async with running:
            running.service.watch(bus.service)
            if settings.adaptive:
                running.service.loop("pressure", partial(adapt, running))
            yield running
