"""Reports: kept until the owner has stored them, sent together."""

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
"""Reports of one request."""

log = logging.getLogger(__name__)


class _Report:
    __slots__ = ("execution_id", "future", "given", "tries")

    def __init__(self, execution_id: int, given: Any, future: asyncio.Future[bool] | None) -> None:
        self.execution_id = execution_id
        self.given = given
        self.future = future
        self.tries = 0


class Holder(Protocol):
    """A worker, as its reports need it: what it holds, and what more it can take."""

    worker_id: str
    pools: list[str]
    #: What sending a report is a part of.
    service: Service

    @property
    def held(self) -> Mapping[str, Any]:
        """The commands that it holds, by id."""

    @property
    def room(self) -> int:
        """How many more commands it can take."""

    def begin(self, work: CommandPayload, server: str) -> None:
        """Begin a command that came with an answer."""

    def release(self, command_id: str) -> Any:
        """Let go of a command; return what was held of it."""


class Reporting:
    """Sends what a worker has to report to the owners of the executions.

    While one request is on its way, further reports gather; they go together. What is not
    answered is sent again, for as long as the worker lives: its answer may have been lost,
    and a report that was stored already is refused as stale, which is an answer, too.
    """

    def __init__(self, worker: Holder, control: Control, bus: WorkerBus) -> None:
        self._worker = worker
        self._control = control
        self._bus = bus
        self._waiting: dict[str, list[_Report]] = defaultdict(list)
        self._sending: set[str] = set()
        self._wake = asyncio.Event()

    def report(self, execution_id: int, given: Any) -> None:
        """Report what became of a command."""
        self._add(_Report(execution_id, given, None))

    def ask(self, execution_id: int, given: Any) -> asyncio.Future[bool]:
        """Report something, and return whether it was accepted."""
        future: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._add(_Report(execution_id, given, future))
        return future

    def _add(self, report: _Report) -> None:
        holding = self._worker.held.get(report.given.command_id)
        self._waiting[holding.server if holding else ""].append(report)
        self._wake.set()

    async def run(self) -> None:
        """Send until cancelled; one request at a time for each server."""
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
            reports=[(r.execution_id, r.given) for r in reports],
            pools=worker.pools,
            room=worker.room + sum(r.future is None and self._is_held(r.given) for r in reports),
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
        """Ask a server no more that does not answer: whoever owns the shards now is found."""
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
        """Let go of a command, unless it has come anew: its next generation, or another attempt."""
        given = report.given
        if given.command_id in self._worker.held and not self._is_held(given):
            return None
        return self._worker.release(given.command_id)

    def _is_held(self, given: Any) -> bool:
        """Return whether what is reported is of the delivery that is held."""
        holding = self._worker.held.get(given.command_id)
        if holding is None or not isinstance(given, Report):
            return holding is not None
        work = holding.work
        return (given.generation, given.attempt) == (work.generation, work.attempt)

    def _again(self, report: _Report) -> None:
        pause = PAUSES[min(report.tries, len(PAUSES) - 1)]
        report.tries += 1
        holding = self._worker.held.get(report.given.command_id)
        if holding is not None:
            # Whoever owned it does not any more: the shard's subject finds the new owner.
            holding.server = ""
        asyncio.get_running_loop().call_later(pause, self._add, report)
