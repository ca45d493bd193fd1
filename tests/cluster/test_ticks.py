"""Each tick of a schedule starts its playbook once, whatever happens to servers."""

from __future__ import annotations

import asyncio
import datetime as dt

import msgspec
import pytest

from arcbook.clock import SystemClock
from arcbook.events.codec import decode
from arcbook.schedules import next_after
from arcbook.server import scheduler
from arcbook.store.api import ExecutionFilter, ScheduleRow
from arcbook.testing.cluster import Cluster

PATIENCE_SECONDS = 20.0

NOOP = """\
apiVersion: noetl.io/v2
kind: Playbook
metadata: {name: noop, path: tests/noop}
workflow:
  - step: start
    tool: {kind: noop}
"""


class MovedClock(SystemClock):
    """The clock of the machine, put forward."""

    ahead_us = 0

    def now_us(self) -> int:
        return super().now_us() + self.ahead_us


@pytest.fixture
def clock():
    return MovedClock()


@pytest.fixture
async def cluster(tmp_path, clock, monkeypatch):
    monkeypatch.setattr(scheduler, "LOOK_SECONDS", 0.01)
    async with Cluster(tmp_path, clock=clock) as cluster:
        yield cluster


async def schedule(cluster, **fields):
    """Keep a schedule as the API does; return it."""
    now = cluster.clock.now_us()
    row = ScheduleRow(name="pulse", path="tests/noop", created_at=now, **fields)
    row = msgspec.structs.replace(row, next_at=next_after(row, now))
    await cluster.store.put_schedule(row)
    return row


async def ticked(cluster):
    """Return the times for which executions were started, oldest first."""
    rows = await cluster.store.executions(ExecutionFilter(limit=1000))
    return sorted(row.labels["scheduled_at"] for row in rows)


async def until_waiting(cluster):
    """Wait until the schedule waits for a time that has not come."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while True:
            (row,) = await cluster.store.schedules()
            if row.next_at > cluster.clock.now_us():
                return row
            await asyncio.sleep(0.005)


async def test_two_servers_start_each_tick_once(cluster, clock):
    await cluster.server()
    await cluster.server()
    await cluster.register(NOOP)
    row = await schedule(cluster, every_seconds=60.0, catch_up="all")
    for _ in range(12):
        clock.ahead_us += 60_000_000
        await until_waiting(cluster)

    times = await ticked(cluster)
    assert len(times) == len(set(times)) == 12
    after = await until_waiting(cluster)
    assert after.next_at == row.next_at + 12 * 60_000_000


@pytest.mark.parametrize("end", ["kill", "stop"])
async def test_missed_ticks_are_made_up_for_once_over_restarts(cluster, clock, end):
    first = await cluster.server()
    await cluster.register(NOOP)
    await schedule(cluster, every_seconds=60.0, catch_up="all")
    clock.ahead_us += 20 * 60_000_000
    async with asyncio.timeout(PATIENCE_SECONDS):
        while len(await ticked(cluster)) < 5:
            await asyncio.sleep(0.005)
    await getattr(first, end)()
    cluster.servers.remove(first)
    assert len(await ticked(cluster)) < 20
    await cluster.server()
    await until_waiting(cluster)

    times = await ticked(cluster)
    assert len(times) == len(set(times)) == 20


@pytest.mark.parametrize(("catch_up", "count"), [("latest", 1), ("skip", 0), ("all", 10)])
async def test_ticks_that_nobody_saw(cluster, clock, catch_up, count):
    server = await cluster.server()
    await cluster.register(NOOP)
    await server.stop()
    cluster.servers.remove(server)
    await schedule(cluster, every_seconds=120.0, catch_up=catch_up)
    clock.ahead_us += 10 * 120_000_000 + 70_000_000
    await cluster.server()
    await until_waiting(cluster)

    assert len(await ticked(cluster)) == count


async def test_cron_ticks_at_its_times(cluster, clock):
    await cluster.server()
    await cluster.register(NOOP)
    row = await schedule(cluster, cron="0 * * * *", catch_up="all")
    clock.ahead_us += 3 * 3_600_000_000
    await until_waiting(cluster)

    times = await ticked(cluster)
    assert len(times) == 3
    assert all(time.endswith(":00:00+00:00") for time in times)
    assert row.next_at % 3_600_000_000 == 0


async def test_what_a_schedule_says_of_its_executions_holds_for_them(cluster, clock):
    await cluster.server()
    await cluster.register(NOOP)
    await cluster.register(NOOP + "# another version\n")
    owner = {"tenant": "sales", "organization": "emea"}
    facts = {"version": 1, "payload": {"n": 7}, "pool": "apart", **owner}
    row = await schedule(cluster, every_seconds=60.0, **facts)
    clock.ahead_us += 60_000_000
    later = await until_waiting(cluster)

    found = await cluster.store.execution(later.last_execution_id)
    (started,) = await cluster.store.events(later.last_execution_id, types=["playbook.started"])
    begun = decode(started.body)
    moment = dt.datetime.fromtimestamp(row.next_at / 1_000_000, dt.UTC).isoformat()
    assert (found.tenant, found.organization, found.version) == ("sales", "emea", 1)
    assert found.labels == {"schedule": "pulse", "scheduled_at": moment, **owner}
    assert (begun.payload, begun.pool) == ({"n": 7}, "apart")


async def test_a_paused_one_does_not_tick_and_one_without_a_playbook_goes_on(cluster, clock):
    await cluster.server()
    await cluster.register(NOOP)
    row = await schedule(cluster, every_seconds=60.0)
    await cluster.store.put_schedule(msgspec.structs.replace(row, paused=True))
    lost = msgspec.structs.replace(row, name="lost", path="tests/nowhere")
    await cluster.store.put_schedule(lost)
    clock.ahead_us += 600_000_000
    async with asyncio.timeout(PATIENCE_SECONDS):
        while True:
            rows = {r.name: r for r in await cluster.store.schedules()}
            if rows["lost"].next_at > clock.now_us():
                break
            await asyncio.sleep(0.005)

    assert rows["pulse"].next_at == row.next_at
    assert await ticked(cluster) == []


async def test_many_that_are_due_together_are_started_in_a_few_commits(cluster, clock):
    await cluster.server()
    await cluster.register(NOOP)
    row = await schedule(cluster, every_seconds=3600.0)
    for number in range(1_200):
        await cluster.store.put_schedule(msgspec.structs.replace(row, name=f"pulse-{number}"))
    commits = []
    inner = cluster.store.commit

    async def commit(changes):
        commits.append(sum(change.tick is not None for change in changes))
        await inner(changes)

    cluster.store.commit = commit
    clock.ahead_us += 3600 * 1_000_000
    async with asyncio.timeout(PATIENCE_SECONDS):
        while sum(commits) < 1_201:
            await asyncio.sleep(0.005)

    assert sum(commits) == 1_201
    assert len([count for count in commits if count]) < 60
