"""The client, with one method for each operation."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator, Iterable
from typing import Any

import msgspec

from arcbook.client import operations as op
from arcbook.client.following import follow
from arcbook.client.link import ServerLink
from arcbook.secrets.api import Credential
from arcbook.secrets.delivery import AnswerKey
from arcbook.wire.http.access import (
    CallbackRequest,
    CallbackTaken,
    NewToken,
    Rotation,
    TokenTold,
    TokenView,
)
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
    """A client of a server, used as a context manager.

    Every method raises :class:`arcbook.client.ServerAwayError` if the server does not answer, and
    :class:`arcbook.client.RefusedError` if the server refuses the request.
    """

    # -- the system -------------------------------------------------------------------

    async def health(self) -> Health:
        """Return whether the server can work."""
        return await self.ask(op.HEALTH)

    async def stats(self) -> Stats:
        """Return the numbers of the dashboard."""
        return (await self.ask(op.STATS)).stats

    async def workers(self) -> list[WorkerView]:
        """Return the live workers."""
        return await self.ask(op.WORKERS)

    async def pools(self) -> list[PoolView]:
        """Return the backlog of each pool."""
        return await self.ask(op.POOLS)

    async def servers(self) -> list[ServerView]:
        """Return the live servers."""
        return await self.ask(op.SERVERS)

    # -- the catalog ------------------------------------------------------------------

    async def register(self, content: str, resource_type: str = "Playbook") -> Registered:
        """Register a document; a refusal carries all its errors."""
        return await self.ask(
            op.REGISTER, RegisterRequest(content=content, resource_type=resource_type)
        )

    async def catalog(self, resource_type: str | None = None) -> list[Entry]:
        """Return the latest version of each document."""
        entries: list[Entry] = []
        after: str | None = None
        while True:
            request = ListRequest(resource_type=resource_type, after=after)
            page = await self.ask(op.CATALOG, request)
            entries += page.entries
            after = page.next_after
            if after is None:
                return entries

    async def resource(
        self, path: str = "", version: int | str | None = None, catalog_id: str | None = None
    ) -> Entry:
        """Return one version of a document, by path or by id; the latest by default."""
        request = {"path": path or None, "version": version, "catalog_id": catalog_id}
        return await self.ask(op.RESOURCE, request)

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
        """Start an execution; return when the start is durable."""
        request = ExecuteRequest(
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
        return await self.ask(op.EXECUTE, request)

    async def executions(self, **filters: Any) -> list[Summary]:
        """Return executions, newest first: ``status``, ``path``, ``before``, ``limit``, ..."""
        return await self.ask(op.EXECUTIONS, query=filters)

    async def execution(self, execution_id: str, events: int | None = None) -> Detail:
        """Return an execution with its newest events."""
        return await self.ask(op.EXECUTION, query={"events": events}, execution_id=execution_id)

    async def status(self, execution_id: str) -> StatusView:
        """Return the status of an execution."""
        return await self.ask(op.STATUS, execution_id=execution_id)

    async def result(self, execution_id: str, step: str = "") -> ResultView:
        """Return the result of an execution or of one of its steps."""
        return await self.ask(op.RESULT, query={"step": step}, execution_id=execution_id)

    async def resolve(self, ref: str) -> Any:
        """Return the value of a reference."""
        return await self.ask(op.RESOLVE, query={"ref": ref})

    async def analyze(self, execution_id: str) -> Analysis:
        """Return where an execution's time went, and what failed."""
        return await self.ask(op.ANALYZE, execution_id=execution_id)

    async def events(
        self, execution_id: str, *, after: int = 0, limit: int = 200, **filters: Any
    ) -> EventsPage:
        """Return a page of events, in order."""
        query = {"after": after, "limit": limit, **filters}
        return await self.ask(op.EVENTS, query=query, execution_id=execution_id)

    def follow(self, execution_id: str, after: int = 0) -> AsyncIterator[EventView]:
        """Yield events as they occur until the execution ends; reconnect if needed."""
        return follow(self, execution_id, after)

    async def cancel(
        self, execution_id: str, reason: str = "cancelled by the user", *, cascade: bool = True
    ) -> Cancelled:
        """Cancel an execution and its children."""
        request = CancelRequest(reason=reason, cascade=cascade)
        return await self.ask(op.CANCEL, request, execution_id=execution_id)

    async def finalize(self, execution_id: str, error: str) -> Finalized:
        """Fail an execution that cannot end by itself."""
        return await self.ask(op.FINALIZE, FinalizeRequest(error=error), execution_id=execution_id)

    async def rerun(self, execution_id: str, workload: Values | None = None) -> Retried:
        """Start an execution again."""
        return await self.ask(op.RERUN, RerunRequest(workload=workload), execution_id=execution_id)

    async def retry_from(self, execution_id: str, step: str, *, latest: bool = False) -> Retried:
        """Run an execution again from a step."""
        request = RetryRequest(step=step, latest=latest)
        return await self.ask(op.RETRY_FROM, request, execution_id=execution_id)

    async def report_job(
        self, execution_id: str, step: str, request: CallbackRequest
    ) -> CallbackTaken:
        """Report the end of a job that a step waits for; needs the internal token."""
        return await self.ask(op.REPORT_JOB, request, execution_id=execution_id, step=step)

    # -- credentials ------------------------------------------------------------------

    async def credentials(self) -> list[CredentialView]:
        """Return the credentials, without their data."""
        return (await self.ask(op.CREDENTIALS)).items

    async def credential(self, name: str) -> CredentialView:
        """Return a credential, without its data."""
        return await self.ask(op.CREDENTIAL, name=name)

    async def open_credential(
        self, name: str, worker_id: str, execution_id: str = ""
    ) -> Credential:
        """Return a credential with its data, encrypted on the way.

        Needs the internal token.

        Raises:
            SealError: the answer does not belong to this request.
        """
        answer_key = AnswerKey()
        key = base64.b64encode(answer_key.public).decode()
        query = {"public_key": key, "worker_id": worker_id, "execution_id": execution_id}
        delivery = await self.ask(op.SEALED_CREDENTIAL, query=query, name=name)
        bound = CredentialRequest.bound_to(name, int(execution_id or 0))
        return msgspec.json.decode(answer_key.open(delivery, bound), type=Credential)

    async def put_credential(
        self, name: str, kind: str, data: Values, description: str = ""
    ) -> CredentialView:
        """Store a credential; replace one of the same name."""
        request = PutCredential(name=name, type=kind, data=data, description=description)
        return await self.ask(op.PUT_CREDENTIAL, request)

    async def delete_credential(self, name: str) -> None:
        """Delete a credential."""
        await self.ask(op.DELETE_CREDENTIAL, name=name)

    async def keychain(self, catalog_id: str) -> KeychainView:
        """Return the secrets that a version of a playbook declares."""
        return await self.ask(op.KEYCHAIN, catalog_id=catalog_id)

    # -- schedules --------------------------------------------------------------------

    async def schedules(self) -> list[ScheduleView]:
        """Return the schedules."""
        schedules: list[ScheduleView] = []
        after: str | None = ""
        while after is not None:
            page = await self.ask(op.SCHEDULES, query={"after": after})
            schedules, after = schedules + page.schedules, page.next_after
        return schedules

    async def schedule(self, name: str) -> ScheduleView:
        """Return a schedule."""
        return await self.ask(op.SCHEDULE, name=name)

    async def put_schedule(self, name: str, request: PutSchedule) -> ScheduleView:
        """Store a schedule; replace one of the same name."""
        return await self.ask(op.PUT_SCHEDULE, request, name=name)

    async def delete_schedule(self, name: str) -> None:
        """Delete a schedule."""
        await self.ask(op.DELETE_SCHEDULE, name=name)

    async def pause_schedule(self, name: str) -> ScheduleView:
        """Pause a schedule."""
        return await self.ask(op.PAUSE_SCHEDULE, name=name)

    async def resume_schedule(self, name: str) -> ScheduleView:
        """Resume a schedule."""
        return await self.ask(op.RESUME_SCHEDULE, name=name)

    # -- tokens -----------------------------------------------------------------------

    async def tokens(self) -> list[TokenView]:
        """Return the API tokens, without their texts."""
        return (await self.ask(op.TOKENS)).tokens

    async def add_token(self, request: NewToken) -> TokenTold:
        """Create an API token and return its text, which is shown only once."""
        return await self.ask(op.ADD_TOKEN, request)

    async def rotate_token(self, token_id: str, grace_seconds: float = 0.0) -> TokenTold:
        """Replace the text of an API token."""
        request = Rotation(grace_seconds=grace_seconds)
        return await self.ask(op.ROTATE_TOKEN, request, token_id=token_id)

    async def delete_token(self, token_id: str) -> None:
        """Remove an API token."""
        await self.ask(op.DELETE_TOKEN, token_id=token_id)
