"""The store, the blobs and the bus as one process sees them, with injected faults."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final, Protocol

from arcbook.blobs.api import BlobStoreError
from arcbook.blobs.memory import MemoryBlobs
from arcbook.bus.api import (
    BusError,
    Delivery,
    Listener,
    Message,
    RequestTimeoutError,
    Subscription,
)
from arcbook.bus.memory import Exchange, MemoryBus
from arcbook.server.guard import KnowingHandler
from arcbook.store.api import Change, FencedError, StoreError
from arcbook.store.memory import MemoryStore
from arcbook.testing.cluster import A_SERVER
from arcbook.testing.simulate.checks import Checks
from arcbook.testing.simulate.faults import Faults
from arcbook.testing.simulate.loop import Process, SimLoop

COPIES_MAX: Final = 8
"""Number of repetitions of a duplicated request."""

LATE_SECONDS_MAX: Final = 0.5
"""Delay of late answers; shorter than the time after which a server counts as lost."""

NOTICE_RISK: Final = 4
"""Factor by which notices, which are rare, are lost more often than other messages."""


class Surroundings(Protocol):
    """Port: the world as the simulated ports use it."""

    loop: SimLoop
    main: Process
    faults: Faults
    checks: Checks
    store: MemoryStore
    blobs: MemoryBlobs
    exchange: Exchange

    def note(self, source: str, text: str) -> None:
        """Add a line to the trace."""

    def committed(self, process: Process, changes: Sequence[Change]) -> None:
        """Take note of a commit."""

    def crash(self, process: Process) -> None:
        """End a process at once."""

    def freeze(self, process: Process, seconds: float) -> None:
        """Let a process stand still for a time."""


class Port:
    """A port of one process: calls take time, and the process may die before or after them."""

    def __init__(self, world: Surroundings, process: Process) -> None:
        self._world = world
        self._process = process
        self._faults = world.faults

    async def _before(self, call: str) -> None:
        if self._faults.strikes("crash", f"{self._process.name} dies before {call}"):
            await self._die()
        delay = self._faults.delay()
        if delay:
            await self._world.loop.pause(delay)

    async def _after(self, call: str) -> None:
        if self._faults.strikes("crash", f"{self._process.name} dies after {call}"):
            await self._die()
        delay = self._faults.delay()
        if delay:
            await self._world.loop.pause(delay)

    async def _die(self) -> None:
        self._world.crash(self._process)
        await asyncio.get_running_loop().create_future()

    def _strikes(self, kind: str, label: str) -> bool:
        if self._faults.strikes(kind, f"{self._process.name}: {label}"):
            self._world.note(self._process.name, f"! {label}")
            return True
        return False


class SimStore(Port):
    """The store as one process sees it."""

    partitions = None

    def __getattr__(self, name: str) -> Callable[..., Awaitable[Any]]:
        real = getattr(self._world.store, name)

        async def call(*args: Any, **named: Any) -> Any:
            await self._before(name)
            if self._strikes("store", f"{name} fails"):
                raise StoreError(f"the store does not answer: {name}")
            returned = await real(*args, **named)
            await self._after(name)
            return returned

        setattr(self, name, call)
        return call

    async def commit(self, changes: Sequence[Change]) -> None:
        """Commit; the failure may come before it, or after, when nobody knows."""
        await self._before("commit")
        if self._strikes("zombie", "stands still in the middle of a commit"):
            self._world.freeze(self._process, 2 + 7 * self._faults.rng.random())
            await asyncio.sleep(0)
        if self._strikes("store", "the commit fails"):
            raise StoreError("the store cannot write")
        try:
            await self._world.store.commit(changes)
        except FencedError as error:
            self._world.note(self._process.name, f"fenced: {error}")
            await self._after("commit")
            raise
        self._world.committed(self._process, changes)
        if self._strikes("store", "the commit is stored, and its answer lost"):
            raise StoreError("the connection was lost during a commit")
        await self._after("commit")


class SimBlobs(Port):
    """The blob store as one process sees it."""

    async def put(self, key: str, data: bytes) -> None:
        """Write; the failure may come before it, or after, when nobody knows."""
        await self._before("put")
        if self._strikes("blob", f"{key} cannot be written"):
            raise BlobStoreError("the blob store cannot write")
        await self._world.blobs.put(key, data)
        if self._strikes("blob", f"{key} is written, and the answer lost"):
            raise BlobStoreError("the blob store does not answer")
        await self._after("put")

    async def get(self, key: str) -> bytes:
        """Read."""
        await self._before("get")
        if self._strikes("blob", f"{key} cannot be read"):
            raise BlobStoreError("the blob store cannot read")
        return await self._world.blobs.get(key)

    async def delete(self, prefix: str, *, before: str = "") -> int:
        """Delete."""
        return await self._world.blobs.delete(prefix, before=before)


class SimBus(Port):
    """A connection to the bus."""

    def __init__(self, world: Surroundings, process: Process) -> None:
        super().__init__(world, process)
        self._bus = MemoryBus(world.exchange)
        self.payload_max = self._bus.payload_max
        self._subscriptions: list[Subscription] = []

    def drop(self) -> None:
        """Lose the connection: nobody is served or told by it any more."""
        exchange = self._world.exchange
        mine: list[Any] = self._subscriptions
        for servers in exchange.served.values():
            for subscription in [s for s in servers if s in mine]:
                servers.remove(subscription)
        exchange.listeners[:] = [one for one in exchange.listeners if one not in mine]

    def _soon(self, work: Any) -> None:
        """Let the bus itself do something later."""
        self._world.main.run(work)

    # -- messages ---------------------------------------------------------------------

    async def publish(self, messages: Sequence[Message]) -> None:
        """Publish; messages may be lost, doubled and late, each by itself."""
        await self._before("publish")
        if self._strikes("bus", "publish fails"):
            raise BusError("the bus does not answer")
        arriving: list[Message] = []
        for message in messages:
            self._world.checks.published(message.body)
            if self._strikes("bus", f"message lost: {message.message_id}"):
                continue
            arriving.append(message)
            if self._strikes("bus", f"message doubled: {message.message_id}"):
                twin = message._replace(message_id=message.message_id + "~")
                self._soon(self._late([twin]))
        if self._strikes("bus", "messages delayed"):
            self._soon(self._late(arriving))
        else:
            await self._bus.publish(arriving)
        if self._strikes("bus", "published, and the answer lost"):
            raise BusError("the bus does not answer")
        await self._after("publish")

    async def _late(self, messages: list[Message]) -> None:
        await asyncio.sleep(self._faults.rng.random() * 4)
        self._world.exchange.accept(messages)

    async def pull(self, pools: Sequence[str], limit: int, seconds: float) -> list[Delivery]:
        """Pull; what was pulled may be lost on the way, to come again."""
        await self._before("pull")
        if self._strikes("bus", "pull fails"):
            raise BusError("the bus does not answer")
        deliveries = await self._bus.pull(pools, limit, seconds)
        if deliveries and self._strikes("bus", "what was pulled is lost on the way"):
            deliveries = []
        await self._after("pull")
        return deliveries

    async def acknowledge(self, deliveries: Sequence[Delivery]) -> None:
        """Acknowledge; nobody notices if that is lost."""
        await self._before("ack")
        if not self._strikes("bus", "ack lost"):
            await self._bus.acknowledge(deliveries)
        await self._after("ack")

    async def give_back(self, deliveries: Sequence[Delivery], seconds: float = 0.0) -> None:
        """Give back; nobody notices if that is lost."""
        await self._before("nak")
        if not self._strikes("bus", "nak lost"):
            await self._bus.give_back(deliveries, seconds)

    async def extend(self, deliveries: Sequence[Delivery]) -> None:
        """Extend; it fails as a whole."""
        await self._before("extend")
        if self._strikes("bus", "extend fails"):
            raise BusError("the bus does not answer")
        await self._bus.extend(deliveries)

    async def waiting(self, pools: Sequence[str]) -> dict[str, int]:
        """Return how much waits."""
        return await self._bus.waiting(pools)

    # -- requests ---------------------------------------------------------------------

    async def request(self, subject: str, body: bytes, seconds: float) -> bytes:
        """Ask; the request or its answer may be lost, and the request doubled."""
        await self._before("request")
        if self._strikes("bus", f"request to {subject} lost"):
            await asyncio.sleep(seconds)
            raise RequestTimeoutError(f"{subject} did not answer in {seconds:g} s")
        if self._strikes("bus", f"request to {subject} doubled"):
            for _ in range(1 + int(COPIES_MAX * self._faults.rng.random() ** 2)):
                self._soon(self._again(subject, body, seconds))
        answer = await self._bus.request(subject, body, seconds)
        if self._strikes("bus", f"answer of {subject} lost"):
            await asyncio.sleep(seconds)
            raise RequestTimeoutError(f"{subject} did not answer in {seconds:g} s")
        if self._strikes("late", f"answer of {subject} comes late"):
            await self._world.loop.pause(LATE_SECONDS_MAX * self._faults.rng.random())
        await self._after("request")
        return answer

    async def _again(self, subject: str, body: bytes, seconds: float) -> None:
        await asyncio.sleep(self._faults.rng.random() * 3)
        try:
            await self._bus.request(subject, body, seconds)
        except BusError:
            return

    def call(self, server_id: str) -> None:
        """Take a name, which nobody needs here: nothing is sealed."""

    async def serve(self, subject: str, handler: KnowingHandler) -> Subscription:
        """Serve; the handler runs in this process, whoever asks, and trusts everybody.

        The faults of the bus are the matter here; its sealing is tested elsewhere.
        """
        await self._before("serve")
        if self._strikes("bus", f"serving {subject} fails"):
            raise BusError("the bus does not answer")

        async def answer(body: bytes) -> bytes:
            answer = await handler(body, A_SERVER)
            self._world.checks.answered(body, answer)
            return answer

        async def handled(body: bytes) -> bytes:
            return await self._process.run(answer(body))

        served = await self._bus.serve(subject, handled)
        self._subscriptions.append(served)
        return served

    # -- notices ----------------------------------------------------------------------

    async def tell(self, subject: str, body: bytes) -> None:
        """Tell; it may be lost, or come twice."""
        await self._before("tell")
        lost = f"notice to {subject} lost"
        if any(self._strikes("bus", lost) for _ in range(NOTICE_RISK)):
            return
        await self._bus.tell(subject, body)
        if self._strikes("bus", f"notice to {subject} doubled"):
            await self._bus.tell(subject, body)

    async def listen(self, subject: str, listener: Listener) -> Subscription:
        """Listen; the listener runs in this process, whoever tells."""

        def hear(body: bytes) -> None:
            context = self._process.context.copy()
            asyncio.get_running_loop().call_soon(listener, body, context=context)

        listening = await self._bus.listen(subject, hear)
        self._subscriptions.append(listening)
        return listening
