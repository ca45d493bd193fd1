"""The simulated world: processes that start and end, and the state of one run."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from typing import Any, Final, cast

from arcbook.blobs.memory import MemoryBlobs
from arcbook.bus.api import Bus
from arcbook.bus.memory import Exchange
from arcbook.events.codec import decode
from arcbook.events.types import CommandLost
from arcbook.performer.execute import Performer
from arcbook.results.store import ResultStore
from arcbook.server.core import Server
from arcbook.server.guard import ServerBus
from arcbook.store.api import Change, ClusterStore
from arcbook.store.memory import MemoryStore
from arcbook.testing.simulate.callbacks import Callbacks
from arcbook.testing.simulate.checks import Checks
from arcbook.testing.simulate.echoes import Echoes
from arcbook.testing.simulate.effects import Effects
from arcbook.testing.simulate.faults import Faults
from arcbook.testing.simulate.loop import Process, sim_loop
from arcbook.testing.simulate.loops import end_if_broken, loops_of
from arcbook.testing.simulate.ports import SimBlobs, SimBus, SimStore
from arcbook.testing.simulate.scenario import GENTLE, MILD, Scenario
from arcbook.testing.simulate.script import AnyCredentials, add_tools, answers_of
from arcbook.testing.simulate.tools import SimRegistry
from arcbook.worker.control import Control, RemoteBlobs
from arcbook.worker.core import Worker

LEASE_SECONDS: Final = 3.0
"""Lease of a worker without heartbeats."""

ACK_SECONDS: Final = 6.0
"""Time after which an unacknowledged message is redelivered."""

CONCURRENCY: Final = 3
"""Maximum number of concurrent commands of a worker."""


class Node:
    """A simulated process with its server or worker."""

    def __init__(self, process: Process, bus: SimBus, part: Server | Worker) -> None:
        self.process = process
        self.bus = bus
        self.part = part
        self.leaving = False
        #: Its loops, once it has started.
        self.loops: frozenset[asyncio.Task[None]] = frozenset()
        #: Set when it has started.
        self.up = False

    @property
    def is_server(self) -> bool:
        """Whether it is a server."""
        return isinstance(self.part, Server)


class World:
    """The shared state of a run."""

    def __init__(
        self, scenario: Scenario, *, trace: bool = False, checks: type[Checks] = Checks
    ) -> None:
        self.scenario = scenario
        self.loop = sim_loop(random.Random(f"order:{scenario.seed}"))
        self.main = self.loop.main
        self.faults = Faults(scenario)
        self.store = MemoryStore(self.main)
        self.exchange = Exchange(ACK_SECONDS)
        self.blobs = MemoryBlobs()
        asked = Callbacks(self).asked
        echoes = Echoes(self.faults, self.exchange, self.main, self.note)
        self.checks = checks(self.store, asked, echoes, mild=MILD.issuperset(scenario.rates))
        self.checks.counts = lambda: not self.loop.closing
        self.answers = answers_of(scenario)
        self.effects = Effects(self.answers, self.faults, self.checks.fail)
        self.effects.is_over = self.checks.is_over
        self.gentle = GENTLE.issuperset(scenario.rates)
        self.registry = SimRegistry()
        add_tools(self.registry, scenario, self.effects.call, self.effects.ask)
        self.nodes: list[Node] = []
        self.moved = asyncio.Event()
        self.trace: list[str] | None = [] if trace else None
        self._count = 0

    def note(self, source: str, text: str) -> None:
        """Add a line to the trace."""
        if self.trace is not None:
            self.trace.append(f"{self.loop.time():9.4f}  {source:<10} {text}")

    def committed(self, process: Process, changes: Sequence[Change]) -> None:
        """Take note of a commit."""
        self.checks.committed(changes)
        self.look()
        if self.gentle:
            self._look_for_losses(changes)
        self.moved.set()
        if self.trace is not None:
            for change in changes:
                self._trace_change(process, change)

    def _trace_change(self, process: Process, change: Change) -> None:
        for claim in change.claims:
            self.note(process.name, f"{claim.command_id} claimed by {claim.worker}")
        for row in change.events:
            event = decode(row.body)
            facts = {
                name: value
                for name in ("step", "visit", "command_id", "first", "count", "status", "attempt")
                if (value := getattr(event, name, None)) not in (None, "", [])
            }
            text = " ".join(f"{name}={value}" for name, value in facts.items())
            self.note(process.name, f"{change.execution_id} #{row.seq} {row.type} {text}")

    # -- processes --------------------------------------------------------------------

    def alive(self, *, servers: bool) -> list[Node]:
        """Return the nodes of a kind that live and are not leaving."""
        return [
            n for n in self.nodes if n.process.alive and not n.leaving and n.is_server == servers
        ]

    async def add(self, *, server: bool) -> None:
        """Start a process; another one if it does not come up."""
        while True:
            self._count += 1
            process = self.loop.process(f"{'server' if server else 'worker'}-{self._count}")
            bus = SimBus(self, process)
            part: Server | Worker = (
                self._server(process, bus) if server else self._worker(process, bus)
            )
            node = Node(process, bus, part)
            self.nodes.append(node)
            self.note(process.name, "starts")
            task = process.run(part.__aenter__())
            await asyncio.wait({task}, timeout=20)
            if task.done() and not task.cancelled() and task.exception() is None:
                node.up = True
                node.loops = loops_of(part)
                process.run(end_if_broken(self, node))
                return
            if not process.alive:
                return  # it died while starting, and its replacement was requested
            self.end(node)
            await asyncio.sleep(0.5)

    def _server(self, process: Process, bus: SimBus) -> Server:
        server = Server(
            cast("ClusterStore", SimStore(self, process)),
            cast("ServerBus", bus),
            SimBlobs(self, process),
            self.registry,
            AnyCredentials(),
            process,
            lease_seconds=LEASE_SECONDS,
            server_id=process.name,
        )
        server.on_events(self.checks.owner_state)
        return server

    def _worker(self, process: Process, bus: SimBus) -> Worker:
        port = cast("Bus", bus)
        control = Control(port, process.name, clock=process)
        performer = Performer(
            self.registry,
            ResultStore(RemoteBlobs(control), loop_reader=control.frames),
            control,
            process,
            worker=process.name,
            workspace=lambda _: "",
        )
        return Worker(
            port,
            control,
            performer,
            self.registry,
            process,
            pools=("shared",),
            concurrency=CONCURRENCY,
            worker_id=process.name,
            beat_seconds=LEASE_SECONDS / 4,
        )

    def look(self) -> None:
        """Look whether workers perform what they hold, and no more than they have slots."""
        for node in self.nodes:
            part = node.part
            if isinstance(part, Server) or not node.process.alive or node.leaving:
                continue
            performing = part.runner.performing()
            if len(performing) > CONCURRENCY:
                self.checks.fail("slots", f"{node.process.name} performs {sorted(performing)}")
            if strange := performing - part.held.keys():
                self.checks.fail("slots", f"{node.process.name} does not hold {sorted(strange)}")

    def _look_for_losses(self, changes: Sequence[Change]) -> None:
        """No command is taken for lost that a worker holds which tells of it."""
        for change in changes:
            for row in change.events:
                event = decode(row.body)
                if isinstance(event, CommandLost) and not event.returned:
                    self._lost(event)

    def _lost(self, event: CommandLost) -> None:
        for node in self.alive(servers=False):
            assert isinstance(node.part, Worker)
            holding = node.part.held.get(event.command_id)
            if node.up and holding is not None and holding.work.attempt == event.attempt:
                name = node.process.name
                self.checks.fail("lease", f"{event.command_id} is lost, and {name} holds it")

    def crash(self, process: Process) -> None:
        """End a process at once; another one starts later in its place."""
        node = next((n for n in self.nodes if n.process is process), None)
        if node is None or not process.alive:
            return
        self.note(process.name, "! dies")
        self.end(node)
        self.main.run(self._replace(server=node.is_server))

    def end(self, node: Node) -> None:
        """Let nothing of a process run any more."""
        node.process.kill()
        node.bus.drop()

    async def _replace(self, *, server: bool) -> None:
        await asyncio.sleep(self.faults.rng.random() * 4)
        await self.add(server=server)

    def freeze(self, process: Process, seconds: float) -> None:
        """Let a process stand still for a time, from now on."""
        process.halted = True
        self.note(process.name, f"! stands still for {seconds:.1f} s")
        self.main.run(self._thaw(process, seconds))

    async def _thaw(self, process: Process, seconds: float) -> None:
        await asyncio.sleep(seconds)
        if process.alive:
            self.note(process.name, "goes on")
            process.halted = False

    async def restart(self, node: Node) -> None:
        """End a process in order, and start another one."""
        node.leaving = True
        self.note(node.process.name, "! is stopped in order")
        task = node.process.run(self._stop(node))
        await asyncio.wait({task}, timeout=20)
        if node.process.alive:
            self.end(node)
            await self.add(server=node.is_server)

    async def _stop(self, node: Node) -> None:
        if isinstance(node.part, Worker):
            await node.part.drain(2.0)
        await node.part.__aexit__(None, None, None)

    async def ask(self, work: Any, node: Node, seconds: float) -> Any:
        """Have a process do something; nothing, if it does not in time.

        Raises:
            Exception: what it raised.
        """
        task = node.process.run(work)
        task.add_done_callback(_heard)
        await asyncio.wait({task}, timeout=seconds)
        return task.result() if task.done() and not task.cancelled() else None


def _heard(task: asyncio.Task[Any]) -> None:
    """Retrieve the exception of a task that nobody awaits."""
    if not task.cancelled():
        task.exception()
