"""The client: one method for each thing to do."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator, Iterable
from typing import Any

import msgspec

from arcbook.client import operations as op
from arcbook.client.following import follow
from arcbook.client.link import ServerLink
from arcbook.secrets.api import Credential
from arcbook.secrets.delivery import Letterbox
from arcbook.wire.http.access import NewToken, Rotation, TokenTold, TokenView
from arcbook.wire.http.catalog import Entry, ListRequest, Registered, RegisterRequest
from arcbook.wire.http.credentials import CredentialView, PutCredential
from arcbook.wire.http.execute import ExecuteRequest, Started, Values
from arcbook.wire.http.executions import (
    Analysis,
    Cancelled,
    CancelRequest,
    Detail,
    EventsPage,
    EventView,
    Finalized,
    FinalizeRequest,
    RerunRequest,
    ResultView,
    Retried,
    RetryRequest,
    StatusView,
    Summary,
)
from arcbook.wire.http.keychain import KeychainView
from arcbook.wire.http.schedules import PutSchedule, ScheduleView
from arcbook.wire.http.system import Health, ServerView, Stats
from arcbook.wire.http.workers import PoolView, WorkerView
from arcbook.wire.protocol import CredentialRequest


class Client(ServerLink):
    """Speaks to a server; a context manager.

    Every method raises :class:`arcbook.client.ServerAwayError` where nothing answers, and
    :class:`arcbook.client.RefusedError` where the server refuses.
    """

    # -- the system -------------------------------------------------------------------

    async def health(self) -> Health:
        """Return whether the server can work."""
        return await self.ask(op.HEALTH)

    async def stats(self) -> Stats:
        """Return what there is, counted."""
        return (await self.ask(op.STATS)).stats

    async def workers(self) -> list[WorkerView]:
        """Return the workers that are there."""
        return await self.ask(op.WORKERS)

    async def pools(self) -> list[PoolView]:
        """Return what waits for each pool."""
        return await self.ask(op.POOLS)

    async def servers(self) -> list[ServerView]:
        """Return the servers of the control plane."""
        return await self.ask(op.SERVERS)

    # -- the catalog ------------------------------------------------------------------

    async def register(self, content: str, resource_type: str = "Playbook") -> Registered:
        """Register a document; one with errors is refused with all of them."""
        return await self.ask(
            op.REGISTER, RegisterRequest(content=content, resource_type=resource_type)
        )

    async def catalog(self, resource_type: str | None = None) -> list[Entry]:
        """Return the latest version of each document."""
        found: list[Entry] = []
        after: str | None = None
        while True:
            wanted = ListRequest(resource_type=resource_type, after=after)
            page = await self.ask(op.CATALOG, wanted)
            found += page.entries
            after = page.next_after
            if after is None:
                return found

    async def resource(
        self, path: str = "", version: int | str | None = None, catalog_id: str | None = None
    ) -> Entry:
        """Return a version of a document: the latest, a given one, or one by its id."""
        wanted = {"path": path or None, "version": version, "catalog_id": catalog_id}
        return await self.ask(op.RESOURCE, wanted)

    # -- executions -------------------------------------------------------------------

    async def execute(
        self,
        path: str = "",
        workload: Values | None = None,
        *,
        version: int | str | None = None,
        catalog_id: str | None = None,
        pool: str | None = None,
        idempotency_key: str | None = None,
        strict: bool = False,
        allow: Iterable[str] = (),
        entry_step: str | None = None,
    ) -> Started:
        """Start an execution; this returns once the start is durable."""
        wanted = ExecuteRequest(
            path=path or None,
            catalog_id=catalog_id,
            version=version,
            workload=workload,
            execution_pool=pool,
            idempotency_key=idempotency_key,
            strict=strict,
            allow=list(allow),
            entry_step=entry_step,
        )
        return await self.ask(op.EXECUTE, wanted)

    async def executions(self, **wanted: Any) -> list[Summary]:
        """Return executions, newest first: ``status``, ``path``, ``before``, ``limit``, ..."""
        return await self.ask(op.EXECUTIONS, query=wanted)

    async def execution(self, execution_id: str, events: int | None = None) -> Detail:
        """Return an execution with its newest events."""
        return await self.ask(op.EXECUTION, query={"events": events}, execution_id=execution_id)

    async def status(self, execution_id: str) -> StatusView:
        """Return how an execution stands."""
        return await self.ask(op.STATUS, execution_id=execution_id)

    async def result(self, execution_id: str, step: str = "") -> ResultView:
        """Return what an execution, or a step of it, yielded."""
        return await self.ask(op.RESULT, query={"step": step}, execution_id=execution_id)

    async def resolve(self, ref: str) -> Any:
        """Return the value that a reference leads to."""
        return await self.ask(op.RESOLVE, query={"ref": ref})

    async def analyze(self, execution_id: str) -> Analysis:
        """Return where an execution's time went, and what went wrong."""
        return await self.ask(op.ANALYZE, execution_id=execution_id)

    async def events(
        self, execution_id: str, *, after: int = 0, limit: int = 200, **wanted: Any
    ) -> EventsPage:
        """Return a page of events, in order."""
        query = {"after": after, "limit": limit, **wanted}
        return await self.ask(op.EVENTS, query=query, execution_id=execution_id)

    def follow(self, execution_id: str, after: int = 0) -> AsyncIterator[EventView]:
        """Yield events as they come, until the execution ends, over broken connections."""
        return follow(self, execution_id, after)

    async def cancel(
        self, execution_id: str, reason: str = "cancelled by the user", *, cascade: bool = True
    ) -> Cancelled:
        """Cancel an execution, and what it started."""
        wanted = CancelRequest(reason=reason, cascade=cascade)
        return await self.ask(op.CANCEL, wanted, execution_id=execution_id)

    async def finalize(self, execution_id: str, error: str) -> Finalized:
        """Fail an execution that cannot end by itself."""
        return await self.ask(op.FINALIZE, FinalizeRequest(error=error), execution_id=execution_id)

    async def rerun(self, execution_id: str, workload: Values | None = None) -> Retried:
        """Start an execution once more."""
        return await self.ask(op.RERUN, RerunRequest(workload=workload), execution_id=execution_id)

    async def retry_from(self, execution_id: str, step: str, *, latest: bool = False) -> Retried:
        """Run an execution again from a step."""
        wanted = RetryRequest(step=step, latest=latest)
        return await self.ask(op.RETRY_FROM, wanted, execution_id=execution_id)

    # -- credentials ------------------------------------------------------------------

    async def credentials(self) -> list[CredentialView]:
        """Return the credentials, without what is in them."""
        return (await self.ask(op.CREDENTIALS)).items

    async def credential(self, name: str) -> CredentialView:
        """Return a credential, without what is in it."""
        return await self.ask(op.CREDENTIAL, name=name)

    async def open_credential(
        self, name: str, worker_id: str, execution_id: str = ""
    ) -> Credential:
        """Return a credential with what is in it, which nobody on the way can read.

        It takes the internal token.

        Raises:
            SealError: the answer is not for this request.
        """
        letterbox = Letterbox()
        key = base64.b64encode(letterbox.public).decode()
        wanted = {"public_key": key, "worker_id": worker_id, "execution_id": execution_id}
        found = await self.ask(op.SEALED_CREDENTIAL, query=wanted, name=name)
        bound = CredentialRequest.bound_to(name, int(execution_id or 0))
        return msgspec.json.decode(letterbox.open(found, bound), type=Credential)

    async def put_credential(
        self, name: str, kind: str, data: Values, description: str = ""
    ) -> CredentialView:
        """Keep a credential, in place of one of the same name."""
        wanted = PutCredential(name=name, type=kind, data=data, description=description)
        return await self.ask(op.PUT_CREDENTIAL, wanted)

    async def delete_credential(self, name: str) -> None:
        """Delete a credential."""
        await self.ask(op.DELETE_CREDENTIAL, name=name)

    async def keychain(self, catalog_id: str) -> KeychainView:
        """Return which secrets a version of a playbook declares."""
        return await self.ask(op.KEYCHAIN, catalog_id=catalog_id)

    # -- schedules --------------------------------------------------------------------

    async def schedules(self) -> list[ScheduleView]:
        """Return the schedules."""
        found: list[ScheduleView] = []
        after: str | None = ""
        while after is not None:
            page = await self.ask(op.SCHEDULES, query={"after": after})
            found, after = found + page.schedules, page.next_after
        return found

    async def schedule(self, name: str) -> ScheduleView:
        """Return a schedule."""
        return await self.ask(op.SCHEDULE, name=name)

    async def put_schedule(self, name: str, wanted: PutSchedule) -> ScheduleView:
        """Keep a schedule, in place of one of the same name."""
        return await self.ask(op.PUT_SCHEDULE, wanted, name=name)

    async def delete_schedule(self, name: str) -> None:
        """Delete a schedule."""
        await self.ask(op.DELETE_SCHEDULE, name=name)

    async def pause_schedule(self, name: str) -> ScheduleView:
        """Have a schedule not tick."""
        return await self.ask(op.PAUSE_SCHEDULE, name=name)

    async def resume_schedule(self, name: str) -> ScheduleView:
        """Have a schedule tick again."""
        return await self.ask(op.RESUME_SCHEDULE, name=name)

    # -- tokens -----------------------------------------------------------------------

    async def tokens(self) -> list[TokenView]:
        """Return the API tokens, without their texts."""
        return (await self.ask(op.TOKENS)).tokens

    async def add_token(self, wanted: NewToken) -> TokenTold:
        """Make an API token, and return its text, which is told this once."""
        return await self.ask(op.ADD_TOKEN, wanted)

    async def rotate_token(self, token_id: str, grace_seconds: float = 0.0) -> TokenTold:
        """Give an API token a new text."""
        wanted = Rotation(grace_seconds=grace_seconds)
        return await self.ask(op.ROTATE_TOKEN, wanted, token_id=token_id)

    async def delete_token(self, token_id: str) -> None:
        """Remove an API token."""
        await self.ask(op.DELETE_TOKEN, token_id=token_id)
