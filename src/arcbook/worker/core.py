"""A worker: pulls commands, holds them, performs them and reports their outcome."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import os
import socket
import uuid
from collections.abc import Sequence
from functools import partial
from typing import Any, Final, Self

import msgspec

from arcbook.blobs.api import BlobStoreError
from arcbook.bus.api import BusError, Delivery, Subscription, WorkerBus
from arcbook.clock import Clock
from arcbook.dsl.load import InvalidPlaybookError
from arcbook.engine.inputs import AnyInput, Checkpointed, Report
from arcbook.logs import events as logged
from arcbook.outcome import ErrorInfo, ErrorKind
from arcbook.owner.boundary import reason_of
from arcbook.owner.plans import THREAD_BYTES, Planned, planned_of
from arcbook.performer.execute import Performer
from arcbook.performer.runner import CommandRunner, Job
from arcbook.performer.services import Awaits
from arcbook.store.api import WorkerRow
from arcbook.supervision import Service
from arcbook.tools.registry import Registry
from arcbook.wire.payload import CommandPayload
from arcbook.wire.protocol import (
    PROTOCOL,
    Claimed,
    ClaimRequest,
    CommandNotice,
    Done,
    GiveBackRequest,
    HeartbeatAnswer,
    HeartbeatRequest,
    Held,
    Registered,
    RegisterRequest,
    StopNotice,
    control_subject,
)
from arcbook.worker.control import Control, ControlError
from arcbook.worker.reporting import Reporting

PULL_SECONDS: Final = 20.0
"""How long one pull waits for the first message."""

BEAT_SECONDS: Final = 4.0
"""Time between two heartbeats."""

RETRY_LATER_SECONDS: Final = 0.5
"""Delay before a message is redelivered when no server could decide the claim."""

CLAIM_PAUSES: Final = (0.1, 0.25, 0.5, 0.5, 0.5, 1.0, 1.0, 1.0)
"""Pauses between claims that get no answer. The command may already be claimed by this worker,
so its message is not given back before a new owner has had time to appear."""

AWAY_SECONDS: Final = 0.5
"""Pause while the bus is unreachable."""

PLANS_MAX: Final = 200
"""Playbooks kept in memory ..."""

PLANS_BYTES_MAX: Final = 8 * 1024 * 1024
"""... and the total size of their documents; the newest is kept whatever its size."""

_NOTICES: Final = msgspec.json.Decoder(CommandNotice)
_STOPS: Final = msgspec.json.Decoder(StopNotice)

log = logging.getLogger(__name__)


class Holding:
    """A command that this worker holds."""

    __slots__ = ("delivery", "is_over", "server", "work")

    def __init__(self, work: CommandPayload, server: str, delivery: Delivery | None) -> None:
        self.work = work
        #: The last known owner of its execution.
        self.server = server
        #: The message that announced it; None if it came with the answer to a report.
        self.delivery = delivery
        #: Whether its outcome is reported but not yet acknowledged.
        self.is_over = False


class Worker:
    """Performs the commands of some pools.

    Args:
        bus: the bus, connected.
        control: the requests to the control plane.
        performer: performs commands.
        registry: the tools.
        clock: the source of time.
        pools: the pools it pulls from.
        concurrency: the number of commands performed at once.
        worker_id: the worker's name; random by default.
    """

    def __init__(  # noqa: PLR0913  # the parts of a worker
        self,
        bus: WorkerBus,
        control: Control,
        performer: Performer,
        registry: Registry,
        clock: Clock,
        *,
        pools: Sequence[str],
        concurrency: int,
        worker_id: str = "",
        version: str = "",
        beat_seconds: float = BEAT_SECONDS,
    ) -> None:
        self.worker_id = worker_id or f"worker-{uuid.uuid4().hex[:12]}"
        self.pools = list(pools)
        #: How user code is isolated.
        self.isolation = performer.confinement.isolation
        self._bus = bus
        self._control = control
        self._performer = performer
        # Data that reaches a worker may hold secrets that other workers used.
        performer.may_meet_marks = True
        self._registry = registry
        self._clock = clock
        self._version = version
        self._beat_seconds = beat_seconds
        self.runner = CommandRunner(concurrency, self._done, self._away)
        self.held: dict[str, Holding] = {}
        #: Claims without an answer yet.
        self._claiming = 0
        self._reporting = Reporting(self, control, bus)
        self._plans: dict[int, asyncio.Future[Planned | None]] = {}
        self._room = asyncio.Event()
        self._draining = False
        self._listening: Subscription | None = None
        #: The loops of the worker; if one fails, the worker fails.
        self.service = Service(f"worker {self.worker_id}")
        self.pulling = Service("pulling")
        self._idle = asyncio.Event()
        #: Set when a server refuses this worker; ``refused`` is the reason.
        self.is_refused = asyncio.Event()
        self.refused = ""

    # -- lifetime ---------------------------------------------------------------------

    async def __aenter__(self) -> Self:
        self._listening = await self._bus.listen(control_subject(self.worker_id), self._stop)
        await self.service.start()
        await self.pulling.start()
        self.pulling.loop("pull", self._pull)
        self.service.watch(self.pulling)
        self.service.loop("heartbeats", self._send_heartbeats)
        self.service.loop("reporting", self._reporting.run)
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.pulling.stop()
        await self.service.stop()
        await self.runner.close()
        if self._listening is not None:
            await self._listening.stop()
        await self._performer.tools.close()

    async def drain(self, seconds: float) -> None:
        """Stop pulling, finish running commands within a time limit, give back the rest."""
        self._draining = True
        await self.pulling.stop()
        unbegun = self.runner.withdraw()
        log.info(logged.WORKER_DRAINS, {"held": len(self.held), "unbegun": len(unbegun)})
        await self._give_back([job.command_id for job in unbegun])
        try:
            async with asyncio.timeout(seconds):
                while self.held:
                    self._idle.clear()
                    await self._idle.wait()
        except TimeoutError:
            log.warning(logged.WORKER_DRAINED, {"count": len(self.held)})
            for command_id in list(self.held):
                self.runner.abandon(command_id)
            await self._give_back(list(self.held))
        await self._register(leaving=True)

    async def _give_back(self, command_ids: list[str]) -> None:
        for command_id in command_ids:
            holding = self.held.pop(command_id, None)
            if holding is None:
                continue
            commands = [_held_command(holding.work)]
            request = GiveBackRequest(worker=self.worker_id, held=commands)
            try:
                execution_id = holding.work.context.execution_id
                await self._control.owner(execution_id, holding.server, request, Done)
                if holding.delivery is not None:
                    await self._bus.acknowledge([holding.delivery])
            except (BusError, ControlError) as error:
                log.warning(logged.COMMAND_KEPT, {"command": command_id, "reason": error})

    def allow(self, concurrency: int) -> None:
        """Set how many commands may be performed at once."""
        self.runner.allow(concurrency)
        if self.room:
            self._room.set()

    # -- pulling ----------------------------------------------------------------------

    @property
    def room(self) -> int:
        """How many more commands this worker can take."""
        if self._draining:
            return 0
        return max(0, self.runner.concurrency - len(self.held) - self._claiming)

    async def _pull(self) -> None:
        while True:
            if not self.room:
                self._room.clear()
                await self._room.wait()
                continue
            try:
                deliveries = await self._bus.pull(self.pools, self.room, PULL_SECONDS)
                if deliveries:
                    await self._claim(deliveries)
            except BusError as error:
                log.info(logged.BUS_AWAY, {"reason": error})
                await asyncio.sleep(AWAY_SECONDS)

    async def _claim(self, deliveries: list[Delivery]) -> None:
        by_server: dict[str, list[tuple[CommandNotice, Delivery]]] = {}
        for delivery in deliveries:
            try:
                notice = _NOTICES.decode(delivery.body)
            except msgspec.DecodeError as error:
                log.warning(logged.MESSAGE_UNREADABLE, {"reason": error})
                await self._bus.acknowledge([delivery])
                continue
            by_server.setdefault(notice.server, []).append((notice, delivery))
        answered = await asyncio.gather(*(self._claim_of(s, w) for s, w in by_server.items()))
        for claims, is_answered in zip(by_server.values(), answered, strict=True):
            if not is_answered:
                self.service.task("claim again", self._claim_again(claims))

    async def _claim_again(self, claims: list[tuple[CommandNotice, Delivery]]) -> None:
        """Claim from the current owner of the commands until a server answers."""
        self._claiming += len(claims)
        try:
            for pause in CLAIM_PAUSES:
                await asyncio.sleep(pause)
                if self._draining:
                    break
                if await self._claim_of("", claims):
                    return
            with contextlib.suppress(BusError):
                await self._bus.give_back([delivery for _, delivery in claims], 0)
        finally:
            self._claiming -= len(claims)
            if self.room:
                self._room.set()

    async def _claim_of(self, server: str, claims: list[tuple[CommandNotice, Delivery]]) -> bool:
        """Claim commands; return whether a server answered."""
        request = ClaimRequest(
            worker=self.worker_id,
            commands=[notice for notice, _ in claims],
            protocol=PROTOCOL,
        )
        execution_id = claims[0][0].execution_id
        try:
            answers = await self._control.owner(execution_id, server, request, list[Claimed])
        except (BusError, ControlError) as error:
            log.info(logged.CLAIMS_UNANSWERED, {"reason": error})
            return False
        settled: list[Delivery] = []
        later: list[Delivery] = []
        for answer, (notice, delivery) in zip(answers, claims, strict=True):
            if answer.outcome == "claimed" and answer.work is not None:
                self.begin(answer.work, answer.server or notice.server, delivery)
            elif answer.outcome == "retry_later":
                later.append(delivery)
            else:
                settled.append(delivery)
        try:
            if settled:
                await self._bus.acknowledge(settled)
            if later:
                await self._bus.give_back(later, RETRY_LATER_SECONDS)
        except BusError as error:
            log.info(logged.MESSAGES_COME_AGAIN, {"reason": error})
        return True

    # -- performing -------------------------------------------------------------------

    def begin(self, work: CommandPayload, server: str, delivery: Delivery | None = None) -> None:
        """Start a claimed command."""
        before = self.held.get(work.command_id)
        if before is not None and _delivery(before.work) == _delivery(work):
            # A claim was answered twice: the command is running, or its report is on its way.
            before.delivery = delivery or before.delivery
            return
        self.held[work.command_id] = Holding(work, server, delivery)
        self._idle.clear()
        planned = self._ready(work.context.catalog_id)
        if planned is None:
            self.service.task("fetch", self._begin_later(work))
        else:
            self._begin(work, planned)

    def _ready(self, catalog_id: int) -> Planned | None:
        fetched = self._plans.get(catalog_id)
        return fetched.result() if fetched is not None and fetched.done() else None

    async def _begin_later(self, work: CommandPayload) -> None:
        """Fetch the playbook first, once for all commands that wait for it."""
        catalog_id = work.context.catalog_id
        if catalog_id not in self._plans:
            self._plans[catalog_id] = asyncio.ensure_future(self._fetch(catalog_id))
        try:
            planned = await asyncio.shield(self._plans[catalog_id])
        except (BusError, ControlError) as error:
            self._plans.pop(catalog_id, None)
            log.warning(logged.PLAYBOOK_AWAY, {"playbook": catalog_id, "reason": error})
            await self._give_back([work.command_id])
            return
        except Exception as error:
            self._plans.pop(catalog_id, None)
            log.exception(logged.PLAYBOOK_UNFIT, {"playbook": catalog_id})
            self._report_unfit(work, error)
            return
        self._forget_plans()
        if planned is None:
            await self._give_back([work.command_id])
        else:
            self._begin(work, planned)

    def _forget_plans(self) -> None:
        """Evict the playbooks fetched longest ago while the cache exceeds its limits."""
        sizes: dict[int, int] = {}
        for catalog_id, fetched in self._plans.items():
            is_there = fetched.done() and not fetched.cancelled() and fetched.exception() is None
            planned = fetched.result() if is_there else None
            sizes[catalog_id] = len(planned.entry.content) if planned is not None else 0
        total = sum(sizes.values())
        while len(self._plans) > 1 and (len(self._plans) > PLANS_MAX or total > PLANS_BYTES_MAX):
            oldest = next(iter(self._plans))
            total -= sizes[oldest]
            del self._plans[oldest]

    async def _fetch(self, catalog_id: int) -> Planned | None:
        entry = await self._control.playbook(catalog_id)
        if entry is None:
            return None
        try:
            if len(entry.content) > THREAD_BYTES:
                return await asyncio.to_thread(planned_of, entry, self._registry)
            return planned_of(entry, self._registry)
        except InvalidPlaybookError:
            return None

    def _report_unfit(self, work: CommandPayload, error: Exception) -> None:
        """Report that a command can be performed neither here nor elsewhere."""
        reason = f"its playbook cannot be compiled: {type(error).__name__}: {reason_of(error)}"
        fatal = ErrorInfo(kind=ErrorKind.CONFIG, message=reason, code="WORKER_FAULT")
        report = Report(
            command_id=work.command_id,
            generation=work.generation,
            attempt=work.attempt,
            fatal=fatal,
            worker=self.worker_id,
        )
        self._reporting.report(work.context.execution_id, report)

    def _is_ours(self, work: CommandPayload) -> bool:
        """Return whether exactly this delivery is held, not an earlier or later one."""
        holding = self.held.get(work.command_id)
        return holding is not None and holding.work is work

    def _begin(self, work: CommandPayload, planned: Planned) -> None:
        if not self._is_ours(work):
            return
        execution_id = work.context.execution_id
        begin = partial(self._open, work, planned)
        identity = work.command_id, work.generation, work.attempt
        self.runner.begin(Job(execution_id, *identity, begin, work.step))

    def _open(self, work: CommandPayload, planned: Planned) -> Awaits | None:
        if not self._is_ours(work):
            return None

        numbers = itertools.count(1)

        async def checkpoint(saved: Any) -> bool:
            report = Checkpointed(
                command_id=work.command_id,
                generation=work.generation,
                attempt=work.attempt,
                state=saved,
                number=next(numbers),
            )
            return await self._reporting.ask(work.context.execution_id, report)

        return self._performer.perform(
            work, planned.plan, folder=planned.entry.folder, checkpoint=checkpoint
        )

    def _away(self, job: Job, error: BlobStoreError) -> None:
        """Release a command whose results cannot be stored; its lease will expire."""
        log.error(
            logged.COMMAND_FAILED,
            {"command": job.command_id, "execution": job.execution_id, "reason": error},
        )
        self._let_go(job)

    def _let_go(self, job: Job) -> None:
        """Release a command, unless a newer delivery has replaced it."""
        holding = self.held.get(job.command_id)
        if holding is not None and _delivery(holding.work) == (job.generation, job.attempt):
            self.release(job.command_id)

    def _done(self, job: Job, report: AnyInput | None) -> None:
        if report is None:
            self._let_go(job)
        else:
            holding = self.held.get(job.command_id)
            if holding is not None and _delivery(holding.work) == (job.generation, job.attempt):
                holding.is_over = True
            self._reporting.report(job.execution_id, report)

    def release(self, command_id: str) -> Holding | None:
        """Stop holding a command."""
        holding = self.held.pop(command_id, None)
        if self.room:
            self._room.set()
        if not self.held:
            self._idle.set()
        return holding

    # -- stop notices -----------------------------------------------------------------

    def _stop(self, body: bytes) -> None:
        try:
            notice = _STOPS.decode(body)
        except msgspec.DecodeError:
            return
        for command_id in notice.owned:
            if (owned := self.held.get(command_id)) is not None:
                owned.server = notice.owner
        for stopping in notice.commands:
            command_id = stopping.command_id
            holding = self.held.get(command_id)
            is_meant = (stopping.generation, stopping.attempt)
            if holding is None or _delivery(holding.work) != is_meant:
                continue
            if not self.runner.stop(command_id) and not holding.is_over:
                self.release(command_id)

    # -- heartbeats -------------------------------------------------------------------

    async def _send_heartbeats(self) -> None:
        while True:
            # Concurrently, so that a server that hangs delays only its own executions.
            await asyncio.gather(self._register(), self._extend())
            await asyncio.sleep(self._beat_seconds)

    async def _register(self, *, leaving: bool = False) -> None:
        row = WorkerRow(
            worker_id=self.worker_id,
            pools=self.pools,
            capacity=self.runner.concurrency,
            kinds=list(self._registry.names()),
            version=self._version,
            host=socket.gethostname(),
            pid=os.getpid(),
            status="draining" if self._draining else "ready",
            held=len(self.held),
        )
        try:
            request = RegisterRequest(row=row, leaving=leaving, protocol=PROTOCOL)
            async with asyncio.timeout(self._beat_seconds):
                answer = await self._control.once("server", request, Registered)
        except (BusError, ControlError, TimeoutError) as error:
            log.info(logged.REGISTRY_UNANSWERED, {"reason": error})
        else:
            if answer.refused:
                self.refused = answer.refused
                self.is_refused.set()

    async def _extend(self) -> None:
        """Extend the leases of held commands; stop those that belong to others now."""
        by_server: dict[str, list[Holding]] = {}
        for holding in self.held.values():
            by_server.setdefault(holding.server, []).append(holding)
        deliveries = [h.delivery for h in self.held.values() if h.delivery is not None]
        await asyncio.gather(
            self._extend_deliveries(deliveries),
            *(self._extend_at(server, holdings) for server, holdings in by_server.items()),
        )

    async def _extend_deliveries(self, deliveries: list[Delivery]) -> None:
        if not deliveries:
            return
        try:
            async with asyncio.timeout(self._beat_seconds):
                await self._bus.extend(deliveries)
        except (BusError, TimeoutError) as error:
            log.info(logged.MESSAGES_UNEXTENDED, {"reason": error})

    async def _extend_at(self, server: str, holdings: list[Holding]) -> None:
        """Send a heartbeat to one server, before the next heartbeat is due."""
        request = HeartbeatRequest(
            worker=self.worker_id, held=[_held_command(h.work) for h in holdings]
        )
        execution_id = holdings[0].work.context.execution_id
        try:
            async with asyncio.timeout(self._beat_seconds):
                answer = await self._control.owner(execution_id, server, request, HeartbeatAnswer)
        except (BusError, ControlError, TimeoutError) as error:
            log.info(logged.HEARTBEATS_UNANSWERED, {"server": server or "anybody", "reason": error})
            for holding in holdings:
                holding.server = ""  # the next heartbeat goes to the current owner of the shard
            return
        for holding in holdings:
            holding.server = answer.server or holding.server
        sent = {holding.work.command_id: holding for holding in holdings}
        for command_id in answer.gone:
            # A new delivery may have replaced it while the answer was on its way.
            if self.held.get(command_id) is sent.get(command_id):
                self.runner.abandon(command_id)
                self.release(command_id)


def _delivery(work: CommandPayload) -> tuple[int, int]:
    return work.generation, work.attempt


def _held_command(work: CommandPayload) -> Held:
    return Held(work.context.execution_id, work.command_id, work.generation)
