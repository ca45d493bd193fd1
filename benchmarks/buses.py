"""What the buses cost: ``python benchmarks/buses.py`` prints a table.

Beside ours stands the NATS client by itself, used as its documentation shows.
"""

from __future__ import annotations

import asyncio
import contextlib
import statistics
import sys
import time
from collections.abc import Awaitable, Callable
from itertools import count

import nats
from nats.aio.msg import Msg
from nats.js.api import AckPolicy, ConsumerConfig

from arcbook.bus.api import Bus, Message
from arcbook.bus.memory import Exchange, MemoryBus
from arcbook.bus.nats import NatsBus
from arcbook.bus.postgres import PostgresBus
from arcbook.testing.services import NatsServer, PostgresServer

ROUNDS = 500
MESSAGES = 5000
IDS = count()


def messages(number: int) -> list[Message]:
    """Return messages with names of their own."""
    return [Message("shared", 1, f"m{next(IDS)}", bytes(200)) for _ in range(number)]


async def timed(work: Callable[[], Awaitable[object]], rounds: int = ROUNDS) -> str:
    """Return how long some work takes."""
    took = []
    for _ in range(rounds):
        start = time.perf_counter()
        await work()
        took.append(time.perf_counter() - start)
    took.sort()
    return f"{statistics.median(took) * 1e6:7.0f} us (p99 {took[int(rounds * 0.99)] * 1e6:.0f})"


async def drain(bus: Bus) -> None:
    """Take what is left."""
    while found := await bus.pull(["shared"], 256, 0.5):
        await bus.acknowledge(found)


async def measure(name: str, here: Bus, there: Bus) -> None:
    """Measure one bus by two connections."""

    async def echo(body: bytes) -> bytes:
        return body

    await there.serve("echo", echo)
    body = bytes(200)
    print(f"{name}: request {await timed(lambda: here.request('echo', body, 5))}")
    start = time.perf_counter()
    for _ in range(20):
        await asyncio.gather(*(here.request("echo", body, 5) for _ in range(100)))
    print(f"{name}: requests, 100 at once {2000 / (time.perf_counter() - start):.0f}/s")
    print(f"{name}: publish 1 {await timed(lambda: here.publish(messages(1)))}")
    print(f"{name}: publish 100 {await timed(lambda: here.publish(messages(100)), 50)}")
    await drain(there)
    print(f"{name}: publish to waiting pull {await latency(here, there)}")
    for _ in range(MESSAGES // 250):
        await here.publish(messages(250))
    start, done = time.perf_counter(), 0
    while done < MESSAGES:
        found = await there.pull(["shared"], 100, 5)
        await there.acknowledge(found)
        done += len(found)
    print(f"{name}: pull 100 and acknowledge {done / (time.perf_counter() - start):.0f}/s")


async def latency(here: Bus, there: Bus) -> str:
    """Return the time from publishing to the end of a pull that waited."""
    took = []
    for _ in range(ROUNDS):
        pulling = asyncio.create_task(there.pull(["shared"], 10, 5))
        await asyncio.sleep(0.003)
        start = time.perf_counter()
        publishing = asyncio.create_task(here.publish(messages(1)))
        found = await pulling
        took.append(time.perf_counter() - start)
        await publishing
        await there.acknowledge(found)
    took.sort()
    return f"{statistics.median(took) * 1e6:7.0f} us (p99 {took[int(ROUNDS * 0.99)] * 1e6:.0f})"


async def bare(url: str) -> None:
    """Measure the client by itself."""
    name = "nats-py"
    here, there = await nats.connect(url), await nats.connect(url)
    js, subject = here.jetstream(), "bare.commands.shared.1"
    await js.add_stream(name="BARE", subjects=["bare.commands.>"], retention="workqueue")
    await js.add_consumer("BARE", ConsumerConfig(durable_name="c", ack_policy=AckPolicy.EXPLICIT))

    async def echo(msg: Msg) -> None:
        await msg.respond(msg.data)

    await there.subscribe("bare.echo", cb=echo)
    await asyncio.sleep(0.1)  # the client's flush overtakes its subscriptions
    body = bytes(200)
    print(f"{name}: request {await timed(lambda: here.request('bare.echo', body, 5))}")
    start = time.perf_counter()
    for _ in range(20):
        await asyncio.gather(*(here.request("bare.echo", body, 5) for _ in range(100)))
    print(f"{name}: requests, 100 at once {2000 / (time.perf_counter() - start):.0f}/s")

    def publish() -> Awaitable[object]:
        return js.publish(subject, body, headers={"Nats-Msg-Id": f"m{next(IDS)}"})

    print(f"{name}: publish 1 {await timed(publish)}")
    hundred = await timed(lambda: asyncio.gather(*(publish() for _ in range(100))), 50)
    print(f"{name}: publish 100 {hundred}")
    sub = await there.jetstream().pull_subscribe("", durable="c", stream="BARE")

    async def fetch(batch: int, seconds: float) -> int:
        found = await sub.fetch(batch, seconds)
        for msg in found:
            await msg.ack()
        return len(found)

    with contextlib.suppress(TimeoutError, nats.errors.TimeoutError):
        while await fetch(256, 0.5):
            pass
    took = []
    for _ in range(ROUNDS):
        pulling = asyncio.create_task(fetch(10, 5))
        await asyncio.sleep(0.003)
        start = time.perf_counter()
        publishing = asyncio.ensure_future(publish())
        await pulling
        took.append(time.perf_counter() - start)
        await publishing
    print(f"{name}: publish to waiting pull {statistics.median(took) * 1e6:7.0f} us")
    for _ in range(MESSAGES // 250):
        await asyncio.gather(*(publish() for _ in range(250)))
    start, done = time.perf_counter(), 0
    while done < MESSAGES:
        done += await fetch(100, 5)
    print(f"{name}: pull 100 and acknowledge {done / (time.perf_counter() - start):.0f}/s")
    await here.close()
    await there.close()


async def main() -> None:
    """Measure all of them."""
    exchange = Exchange()
    async with MemoryBus(exchange) as here, MemoryBus(exchange) as there:
        await measure("memory", here, there)
    with NatsServer() as server:
        await bare(server.url)
        async with NatsBus(server.url) as here, NatsBus(server.url) as there:
            await measure("nats", here, there)
    with PostgresServer(fsync=True) as database:
        async with PostgresBus(database.dsn()) as here, PostgresBus(database.dsn()) as there:
            await measure("postgres", here, there)


if __name__ == "__main__":
    if "--uvloop" in sys.argv:
        import uvloop

        uvloop.run(main())
    else:
        asyncio.run(main())
