"""What holds of servers and workers, whoever of them dies."""

from __future__ import annotations

import asyncio

import msgspec
import pytest

from arcbook.bus.api import BusError
from arcbook.outcome import ok
from arcbook.owner.pools import PoolRules
from arcbook.shards import SHARDS, shard_of
from arcbook.store.api import ScheduleRow
from arcbook.testing.cluster import A_SERVER, Cluster
from arcbook.tools.registry import Registry
from arcbook.wire.protocol import HeartbeatRequest, Held, pack

HEAD = "apiVersion: noetl.io/v2\nkind: Playbook\nmetadata: {{name: {0}, path: tests/{0}}}\n"


def playbook(name, workflow):
    return HEAD.format(name) + "workflow:\n" + workflow


CHAIN = playbook(
    "chain",
    """
  - step: one
    tool: {kind: python, code: 'result = {"n": 1}'}
    next: {arcs: [{step: two}]}
  - step: two
    tool: {kind: python, input: {n: "{{ one.n }}"}, code: 'result = {"n": n + 1}'}
    next: {arcs: [{step: end}]}
  - step: end
    tool: {kind: python, input: {n: "{{ two.n }}"}, code: 'result = {"n": n + 1}'}
""",
)

GATED = playbook(
    "gated",
    """
  - step: one
    tool: {kind: gate}
    next: {arcs: [{step: end}]}
  - step: end
    tool: {kind: noop}
""",
)

CHILD = playbook("child", '  - step: end\n    tool: {kind: python, code: "result = 7"}\n')

PARENT = playbook(
    "parent",
    """
  - step: start
    tool: {kind: noop}
    next: {arcs: [{step: a}, {step: b}, {step: c}], spec: {mode: inclusive}}
  - step: a
    tool: {kind: playbook, path: tests/child}
    next: {arcs: [{step: end}]}
  - step: b
    tool: {kind: playbook, path: tests/child}
    next: {arcs: [{step: end}]}
  - step: c
    tool: {kind: playbook, path: tests/child}
    next: {arcs: [{step: end}]}
  - step: end
    tool:
      kind: python
      input: {all: ["{{ a.result }}", "{{ b.result }}", "{{ c.result }}"]}
      code: "result = sum(all)"
""",
)


def ids_of_shards():
    """Return an execution of each shard."""
    return list({shard_of(i): i for i in range(1, SHARDS * 100)}.values())


class Gate:
    """A tool that waits until it may go on, and counts who came."""

    def __init__(self):
        self.entered = self.within = self.most = 0
        self.cancelled = 0
        self.open = asyncio.Event()
        self.came = asyncio.Event()

    async def run(self, call, context):
        self.entered += 1
        self.within += 1
        self.most = max(self.most, self.within)
        self.came.set()
        try:
            await self.open.wait()
            await asyncio.sleep(0)
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        finally:
            self.within -= 1
        return ok({"attempt": self.entered})

    async def close(self):
        return None


class Instant:
    """A tool that answers at once."""

    def run(self, call, context):
        return ok("done")

    async def close(self):
        return None


def with_agent():
    registry = Registry()
    registry.add("agent", Instant())
    return registry


def with_gate(gate):
    registry = Registry()
    registry.add("gate", gate)
    return registry


@pytest.fixture
async def cluster(tmp_path):
    async with Cluster(tmp_path) as cluster:
        yield cluster


@pytest.fixture
def gate():
    return Gate()


async def gated(cluster, gate):
    """Start a playbook whose first step waits at the gate."""
    server = cluster.servers[0].server
    server.registry.add("gate", gate)
    execution_id = await cluster.start(GATED)
    async with asyncio.timeout(10):
        await gate.came.wait()
    return execution_id


async def test_a_playbook_runs_through_a_server_and_a_worker(cluster):
    await cluster.server()
    await cluster.worker()
    state = await cluster.run(CHAIN)

    assert (str(state.status), state.result) == ("COMPLETED", {"n": 3})
    assert cluster.store.out == {}


async def test_a_worker_with_one_slot_runs_a_parent_that_awaits_three_children(cluster):
    await cluster.server()
    await cluster.worker(concurrency=1)
    await cluster.register(CHILD)
    state = await cluster.run(PARENT)

    assert state.result == 21


async def test_several_servers_share_the_work_and_each_input_finds_its_owner(cluster):
    for _ in range(3):
        await cluster.server()
    await cluster.worker()
    started = [await cluster.start(CHAIN, at=n % 3) for n in range(12)]
    states = await asyncio.gather(*(cluster.ended(i) for i in started))
    owned = [len(s.server.ownership.shards) for s in cluster.servers]

    assert {state.result["n"] for state in states} == {3}
    assert sum(owned) == 64
    assert all(owned)


async def test_owners_of_several_shards_are_asked_at_once(cluster):
    asker, owner = [(await cluster.server()).server for _ in range(2)]
    for server in (asker, owner):
        await server.ownership.renew_lease()
    asked, everybody = [], asyncio.Event()

    async def unanswered(subject, body, seconds):
        asked.append(subject)
        if len(asked) == 3:
            everybody.set()
        await everybody.wait()
        raise BusError("nobody answers")

    asker.bus.request = unanswered
    elsewhere = [i for i in ids_of_shards() if not asker.ownership.owns(i)][:3]
    beat = HeartbeatRequest(worker="w", held=[Held(i, "c", 1) for i in elsewhere])
    async with asyncio.timeout(10):
        await asker.requests.answer(pack(beat), A_SERVER)

    assert len(set(asked)) == len(asked) == 3


async def test_what_a_dead_server_owned_goes_on_elsewhere(cluster, gate):
    first = await cluster.server()
    await cluster.worker(registry=with_gate(gate))
    execution_id = await gated(cluster, gate)
    second = await cluster.server()
    second.server.registry.add("gate", gate)
    await first.kill()
    gate.open.set()
    state = await cluster.ended(execution_id)

    assert str(state.status) == "COMPLETED"
    assert gate.entered == 1


async def test_a_server_that_stops_in_order_hands_over_at_once(cluster, gate):
    first = await cluster.server()
    await cluster.worker(registry=with_gate(gate))
    execution_id = await gated(cluster, gate)
    second = await cluster.server()
    second.server.registry.add("gate", gate)
    await first.stop()
    gate.open.set()
    state = await cluster.ended(execution_id)

    assert str(state.status) == "COMPLETED"
    assert gate.entered == 1


async def test_the_command_of_a_dead_worker_goes_to_another_one(cluster, gate):
    await cluster.server()
    first = await cluster.worker(registry=with_gate(gate))
    execution_id = await gated(cluster, gate)
    await first.kill()
    gate.open.set()
    await cluster.worker(registry=with_gate(gate))
    state = await cluster.ended(execution_id)
    lost = [r.event for r in cluster.events(execution_id) if r.event.type == "command.lost"]

    assert str(state.status) == "COMPLETED"
    assert len(lost) == 1
    assert gate.entered == 2


async def test_a_worker_that_drains_hands_back_what_it_cannot_finish(cluster, gate):
    await cluster.server()
    first = await cluster.worker(registry=with_gate(gate))
    execution_id = await gated(cluster, gate)
    await first.stop(seconds=0.05)
    gate.open.set()
    await cluster.worker(registry=with_gate(gate))
    state = await cluster.ended(execution_id)

    assert str(state.status) == "COMPLETED"
    assert await cluster.store.workers(60) != []
    assert "worker-1" not in {row.worker_id for row in await cluster.store.workers(60)}


async def test_a_cancellation_reaches_the_tool_and_the_log_shows_the_receipt(cluster, gate):
    running = await cluster.server()
    await cluster.worker(registry=with_gate(gate))
    execution_id = await gated(cluster, gate)
    assert await running.server.cancel(execution_id, "wrong input")
    state = await cluster.ended(execution_id)
    receipts = [
        r.event for r in cluster.events(execution_id) if r.event.type == "command.cancelled"
    ]

    assert str(state.status) == "CANCELLED"
    assert gate.cancelled == 1
    assert [r.confirmed for r in receipts] == [True]


async def test_commands_wait_in_the_store_while_messages_are_lost(cluster):
    await cluster.server()
    execution_id = await cluster.start(CHAIN)
    cluster.exchange.wipe()
    cluster.servers[0].server.relay.is_down = True
    await cluster.worker()
    state = await cluster.ended(execution_id)

    assert state.result == {"n": 3}


async def test_a_result_too_large_for_a_message_arrives_whole(cluster):
    large = playbook(
        "large",
        """
  - step: one
    tool: {kind: python, code: 'result = {"rows": ["x" * 1000] * 3000}'}
    next: {arcs: [{step: end}]}
  - step: end
    tool:
      kind: python
      input: {rows: "{{ one.rows }}"}
      code: 'result = {"count": len(rows), "size": sum(map(len, rows))}'
""",
    )
    await cluster.server()
    await cluster.worker()
    state = await cluster.run(large)

    assert state.result == {"count": 3000, "size": 3_000_000}


POOLED = playbook(
    "pooled",
    """
  - step: one
    spec: {pool: special}
    tool: {kind: noop}
    next: {arcs: [{step: end}]}
  - step: end
    tool: {kind: noop}
""",
)


def performed_by(cluster, execution_id):
    """Return the worker of each step."""
    exits = [r.event for r in cluster.events(execution_id) if r.event.type == "step.exit"]
    return {event.step: event.worker for event in exits}


async def test_pools_are_kept_apart(cluster):
    await cluster.server()
    shared = await cluster.worker(["shared"])
    special = await cluster.worker(["special"])
    state = await cluster.run(POOLED)
    by = performed_by(cluster, state.execution_id)

    assert by == {"one": special.worker.worker_id, "end": shared.worker.worker_id}


async def test_kinds_of_tools_and_paths_of_the_system_have_their_pools(cluster):
    agent = playbook("agent", "  - step: end\n    tool: {kind: agent}\n")
    system = playbook("x", "  - step: end\n    tool: {kind: noop}\n").replace("tests/x", "system/x")
    await cluster.server()
    cluster.servers[0].server.registry.add("agent", Instant())
    shared = await cluster.worker(["shared"])
    python = await cluster.worker(["python"], registry=with_agent())
    privileged = await cluster.worker(["system"])
    states = [await cluster.run(text) for text in (agent, system, CHILD)]
    by = [performed_by(cluster, state.execution_id)["end"] for state in states]

    assert by == [w.worker.worker_id for w in (python, privileged, shared)]


@pytest.mark.parametrize("was_on", [True, False])
async def test_switching_the_routing_loses_nothing(tmp_path, was_on):
    async with Cluster(tmp_path, rules=PoolRules(routing=was_on)) as cluster:
        first = await cluster.server()
        waiting = [await cluster.start(POOLED) for _ in range(4)]
        cluster.rules = PoolRules(routing=not was_on)
        second = await cluster.server()
        await first.stop()
        later = [await cluster.start(POOLED, at=1) for _ in range(4)]
        await cluster.worker(["shared"])
        await cluster.worker(["special"])
        states = [await cluster.ended(i) for i in (*waiting, *later)]

        assert {str(state.status) for state in states} == {"COMPLETED"}
        assert len(second.server.ownership.shards) == 64


async def test_a_loop_keeps_to_its_limit_over_several_workers(cluster):
    looped = playbook(
        "looped",
        """
  - step: end
    loop: {in: "{{ range(12) }}", iterator: i, spec: {mode: parallel, max_in_flight: 2}}
    tool: {kind: gate}
""",
    )
    gate = Gate()
    gate.open.set()
    await cluster.server()
    cluster.servers[0].server.registry.add("gate", gate)
    for _ in range(3):
        await cluster.worker(registry=with_gate(gate))
    state = await cluster.run(looped)

    assert str(state.status) == "COMPLETED"
    assert gate.entered == 12
    assert gate.most <= 2


async def test_each_tick_of_a_schedule_starts_one_execution_whichever_server_sees_it(cluster):
    for _ in range(3):
        await cluster.server()
    await cluster.worker()
    await cluster.register(CHILD)
    began = cluster.clock.now_us()
    row = ScheduleRow(
        name="often", path="tests/child", every_seconds=1.0, created_at=began, catch_up="all"
    )
    await cluster.store.put_schedule(msgspec.structs.replace(row, next_at=began - 5_000_000))
    async with asyncio.timeout(10):
        while len(cluster.store.rows) < 6:
            await cluster.moved()
    labels = [row.labels["scheduled_at"] for row in cluster.store.rows.values()]

    assert len(labels) == len(set(labels))


async def test_the_server_takes_starts_while_the_bus_is_away(cluster):
    await cluster.server()
    cluster.exchange.reachable = False
    execution_id = await cluster.start(CHAIN)
    cluster.exchange.reachable = True
    await cluster.worker()
    state = await cluster.ended(execution_id)

    assert state.result == {"n": 3}
