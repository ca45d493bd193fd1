"""Refuse a remote bus or database that admits anyone."""

from __future__ import annotations

import logging
from urllib.parse import urlsplit

from arcbook.bus.api import Bus
from arcbook.bus.nats import NatsBus
from arcbook.bus.nats.access import servers
from arcbook.logs import events as logged
from arcbook.server.http.access import is_loopback
from arcbook.settings import Settings, SettingsError
from arcbook.store.postgres.connect import Address

log = logging.getLogger(__name__)


class UnsafeBusError(SettingsError):
    """The bus accepts messages from anyone."""

    code = "unsafe_bus"


class UnsafeDatabaseError(SettingsError):
    """The database accepts any password, so anyone who reaches it could change everything."""

    code = "unsafe_database"


def check_bus(bus: Bus, settings: Settings) -> None:
    """Refuse a bus on the network without authentication, or warn about it.

    Messages are sealed, but anyone could delete or withhold them, or flood the bus.

    Raises:
        UnsafeBusError: the bus is open, and the settings do not allow that.
    """
    if not isinstance(bus, NatsBus) or not bus.is_open:
        return
    hosts = [urlsplit(url).hostname or "" for url in servers(settings.nats_url)]
    remote = ", ".join(host for host in hosts if not is_loopback(host))
    if not remote:
        return
    problem = f"NATS at {remote} accepts connections without credentials: anyone who reaches it may use it"
    if not settings.nats_open:
        raise UnsafeBusError(
            f"{problem}; configure users, tokens or certificates there, or listen on 127.0.0.1 "
            "(ARCBOOK_NATS_OPEN=true: warn only)"
        )
    log.warning(logged.BUS_OPEN, {"reason": problem})


async def check_database(settings: Settings) -> None:
    """Refuse a remote PostgreSQL that accepts any password, or warn about it.

    Raises:
        UnsafeDatabaseError: it does, and the settings do not allow it.
        StoreError: it cannot be reached.
    """
    address = Address(settings.dsn)
    if is_loopback(address.host or "localhost") or not await address.admits_anyone():
        return
    problem = f"PostgreSQL at {address.host} accepts any password: anyone who reaches it may use it"
    if not settings.postgres_open:
        raise UnsafeDatabaseError(
            f"{problem}; require scram-sha-256 or client certificates in its pg_hba.conf "
            "(ARCBOOK_POSTGRES_OPEN=true: warn only)"
        )
    log.warning(logged.DATABASE_OPEN, {"reason": problem})
