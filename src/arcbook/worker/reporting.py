"""Reports: kept until the owner has stored them, and sent in batches."""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import Mapping
from typing import Any, Final, Protocol

from arcbook.bus.api import BusError, Delivery, WorkerBus
from arcbook.engine.inputs import Report
from arcbook.logs import events as logged
from arcbook.supervision import Service
from arcbook.wire.payload import CommandPayload
from arcbook.wire.protocol import Reported, ReportRequest
from arcbook.worker.control import PAUSES, Control, ControlError

REPORTS_MAX: Final = 256
"""Reports in one request."""

log = logging.getLogger(__name__)


class _Report:
    __slots__ = ("execution_id", "future", "reported", "tries")

    def __init__(
        self, execution_id: int, reported: Any, future: asyncio.Future[bool] | None
    ) -> None:
        self.execution_id = execution_id
        self.reported = reported
        self.future = future
        self.tries = 0


class Holder(Protocol):
    """Port: a worker as its reports see it: held commands and free capacity."""

    worker_id: str
    pools: list[str]
    #: Runs the tasks that send reports.
    service: Service

    @property
    def held(self) -> Mapping[str, Any]:
        """The held commands, by id."""

    @property
    def room(self) -> int:
        """How many more commands it can take."""

    def begin(self, work: CommandPayload, server: str) -> None:
        """Start a command that came with an answer."""

    def release(self, command_id: str) -> Any:
        """Stop holding a command; return what was held."""


class Reporting:
    """Sends the reports of a worker to the owners of their executions.

    While a request is on its way, further reports gather and go together in the next. A report
    without an answer is sent again for as long as the worker lives. Only the answer may have been
    lost; then the owner refuses the report as stale, which settles it too.
    """

    def __init__(self, worker: Holder, control: Control, bus: WorkerBus) -> None:
        self._worker = worker
        self._control = control
        self._bus = bus
        self._waiting: dict[str, list[_Report]] = defaultdict(list)
        self._sending: set[str] = set()
        self._wake = asyncio.Event()

    def report(self, execution_id: int, reported: Any) -> None:
        """Report the outcome of a command."""
        self._add(_Report(execution_id, reported, None))

    def ask(self, execution_id: int, reported: Any) -> asyncio.Future[bool]:
        """Send a report; the future resolves to whether it was accepted."""
        future: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._add(_Report(execution_id, reported, future))
        return future

    def _add(self, report: _Report) -> None:
        holding = self._worker.held.get(report.reported.command_id)
        self._waiting[holding.server if holding else ""].append(report)
        self._wake.set()

    async def run(self) -> None:
        """Send until cancelled, with at most one request in flight for each server."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            for server in [s for s in self._waiting if s not in self._sending]:
                reports = self._waiting.pop(server)
                if len(reports) > REPORTS_MAX:
                    self._waiting[server] = reports[REPORTS_MAX:]
                self._sending.add(server)
                self._worker.service.task("report", self._send(server, reports[:REPORTS_MAX]))

    async def _send(self, server: str, reports: list[_Report]) -> None:
        worker = self._worker
        request = ReportRequest(
            worker=worker.worker_id,
            reports=[(r.execution_id, r.reported) for r in reports],
            pools=worker.pools,
            room=worker.room + sum(r.future is None and self._is_held(r.reported) for r in reports),
        )
        try:
            answer = await self._control.owner(reports[0].execution_id, server, request, Reported)
        except (BusError, ControlError) as error:
            log.info(logged.REPORTS_UNANSWERED, {"reason": error})
            answer = Reported(accepted=[None] * len(reports))
            self._leave(server)
        finally:
            self._sending.discard(server)
            self._wake.set()
        for work in answer.works:
            worker.begin(work, server)
        await self._settle(reports, answer.accepted)

    def _leave(self, server: str) -> None:
        """Stop asking a server that does not answer; the current shard owners are asked instead."""
        if not server:
            return
        for holding in self._worker.held.values():
            if holding.server == server:
                holding.server = ""
        waiting = self._waiting.pop(server, [])
        if waiting:
            self._waiting[""] += waiting

    async def _settle(self, reports: list[_Report], accepted: list[bool | None]) -> None:
        stored: list[Delivery] = []
        for report, answer in zip(reports, accepted, strict=True):
            if answer is None:
                self._again(report)
            elif report.future is not None:
                if not report.future.done():
                    report.future.set_result(answer)
            else:
                holding = self._released(report)
                if holding is not None and holding.delivery is not None:
                    stored.append(holding.delivery)
        if stored:
            try:
                await self._bus.acknowledge(stored)
            except BusError as error:
                log.info(logged.MESSAGES_UNACKNOWLEDGED, {"reason": error})

    def _released(self, report: _Report) -> Any:
        """Release a command, unless a newer generation or attempt has replaced it."""
        reported = report.reported
        if reported.command_id in self._worker.held and not self._is_held(reported):
            return None
        return self._worker.release(reported.command_id)

    def _is_held(self, reported: Any) -> bool:
        """Return whether a report is about the delivery that is held."""
        holding = self._worker.held.get(reported.command_id)
        if holding is None or not isinstance(reported, Report):
            return holding is not None
        work = holding.work
        return (reported.generation, reported.attempt) == (work.generation, work.attempt)

    def _again(self, report: _Report) -> None:
        pause = PAUSES[min(report.tries, len(PAUSES) - 1)]
        report.tries += 1
        holding = self._worker.held.get(report.reported.command_id)
        if holding is not None:
            # It may have lost the shard; the shard's subject reaches the current owner.
            holding.server = ""
        asyncio.get_running_loop().call_later(pause, self._add, report)
