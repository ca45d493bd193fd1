"""A server's own playbooks, their credential, and its housekeeping."""

from __future__ import annotations

import asyncio
import logging
from functools import partial
from typing import Final, Self

import msgspec

from arcbook.dsl.load import load_playbook
from arcbook.logs import events as logged
from arcbook.owner.pools import SYSTEM_PREFIX, is_system
from arcbook.playbooks import shipped
from arcbook.schedules import next_after
from arcbook.secrets.api import Credential, CredentialError
from arcbook.secrets.credentials import CredentialBook
from arcbook.server.core import Server
from arcbook.server.credential_delivery import INTERNAL_CREDENTIAL
from arcbook.store.api import ClusterStore, Partitions, ScheduleRow, StoreError
from arcbook.supervision import Service
from arcbook.wire.protocol import WIRE, wire_before

ADDRESS: Final = "SERVER_URL"
"""Placeholder for the server's address in the playbooks shipped with Arcbook."""

CLEANUP: Final = "system/scheduled_cleanup"

CLEANUP_SCHEDULE: Final = "scheduled_cleanup"
"""Name of the schedule that starts it."""

CLEANUP_SECONDS: Final = 3600.0
"""Time between two clean-ups, unless the schedule is changed."""

HOUSEKEEPING_SECONDS: Final = 86400.0

FORGETTING_SECONDS: Final = 3600.0
"""Time between two deletions of requests and answers too large for the bus."""

log = logging.getLogger(__name__)


class SystemCredentials:
    """The stored credentials, plus the internal token for system playbooks.

    The path of the execution decides who gets the token, so that user playbooks cannot name it and
    workers need not be configured with it.
    """

    def __init__(self, others: CredentialBook, store: ClusterStore, token: str) -> None:
        self._others = others
        self._store = store
        self._token = token

    async def credential(self, alias: str, execution_id: int, *, requester: str = "") -> Credential:
        """Return a credential, decrypted.

        Raises:
            CredentialError: it does not exist, or the execution may not have it.
        """
        if alias != INTERNAL_CREDENTIAL:
            return await self._others.credential(alias, execution_id, requester=requester)
        row = await self._store.execution(execution_id)
        if row is None or not is_system(row.path):
            await self._others.noted(alias, execution_id, requester=requester, outcome="refused")
            raise CredentialError(alias, f"is only for playbooks {SYSTEM_PREFIX}*")
        if not self._token:
            await self._others.noted(alias, execution_id, requester=requester, outcome="unknown")
            raise CredentialError(alias, "does not exist: set ARCBOOK_INTERNAL_TOKEN on the server")
        await self._others.noted(alias, execution_id, requester=requester, outcome="ok")
        return Credential(name=alias, type="bearer", data={"token": self._token})


class Housekeeping:
    """Registers a server's own playbooks, creates partitions ahead, deletes old requests.

    Args:
        server: the server, running.
        url: the URL of its API.
        token: the internal token; without one nothing is scheduled.
    """

    def __init__(self, server: Server, url: str, token: str = "") -> None:
        self._server = server
        self._url = url.rstrip("/")
        self._token = token
        self._service = Service("housekeeping")

    async def __aenter__(self) -> Self:
        if self._url:
            await self._register()
        if self._url and self._token:
            await self._schedule()
        await self._service.start()
        self._service.loop("requests", self._forget_requests)
        partitions = self._server.store.partitions
        if partitions is not None:
            self._service.loop("months", partial(self._make_months, partitions))
        self._server.service.watch(self._service)
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._service.stop()

    async def _register(self) -> None:
        """Register playbooks that are new or changed; unchanged ones keep their version."""
        for text in shipped():
            content = text.replace(ADDRESS, self._url)
            loaded = load_playbook(content, self._server.registry)
            await self._server.plans.register(content, loaded)

    async def _schedule(self) -> None:
        """Schedule the clean-up every hour, unless the schedule exists."""
        store, now = self._server.store, self._server.clock.now_us()
        if await store.schedule(CLEANUP_SCHEDULE) is not None:
            return
        row = ScheduleRow(
            name=CLEANUP_SCHEDULE, path=CLEANUP, every_seconds=CLEANUP_SECONDS, created_at=now
        )
        await store.put_schedule(msgspec.structs.replace(row, next_at=next_after(row, now)))

    async def _forget_requests(self) -> None:
        """Delete requests and answers sent through blobs, at the start and every hour."""
        while True:
            try:
                before = wire_before(self._server.clock.now_us())
                count = await self._server.blobs.delete(WIRE, before=before)
                if count:
                    log.info(logged.REQUESTS_FORGOTTEN, {"count": count})
            except StoreError as error:
                log.warning(logged.REQUESTS_KEPT, {"reason": error})
            await asyncio.sleep(FORGETTING_SECONDS)

    async def _make_months(self, partitions: Partitions) -> None:
        """Create the partitions of the coming months, at the start and every day."""
        while True:
            try:
                count = await partitions.ensure_partitions()
                if count:
                    log.info(logged.TABLES_MADE, {"count": count})
            except StoreError as error:
                log.warning(logged.TABLES_FAILED, {"reason": error})
            await asyncio.sleep(HOUSEKEEPING_SECONDS)
