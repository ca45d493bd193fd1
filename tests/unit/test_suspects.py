"""What an owner was deciding when it died is decided alone, and rehearsed, by the next one."""

from __future__ import annotations

import asyncio
import os
import signal

import pytest

from arcbook.engine.state import Status
from arcbook.owner import decider
from arcbook.owner.rehearsal import rehearse
from arcbook.owner.trials import WATCHED_SECONDS
from arcbook.store.memory import MemoryStore
from arcbook.testing.cluster import Cluster
from arcbook.testing.local import bench, run_on

WAITS = """\
apiVersion: noetl.io/v2
kind: Playbook
metadata: {name: waits, path: tests/waits}
workflow:
  - step: start
    tool: {kind: say}
    next: [{step: end}]
  - step: end
    tool: {kind: noop}
"""


class Died(BaseException):
    """The process is gone."""


class Dying:
    """A decision that ends its process, for some executions."""

    def __init__(self, monkeypatch):
        self.of = set()
        self.real = decider.decide
        self.process = os.getpid()
        monkeypatch.setattr(decider, "decide", self.decide)

    def decide(self, state, *args, **named):
        if state.execution_id not in self.of:
            return self.real(state, *args, **named)
        if os.getpid() != self.process:
            os.kill(os.getpid(), signal.SIGKILL)
        raise Died


@pytest.fixture
def dying(monkeypatch):
    return Dying(monkeypatch)


async def left_behind(store, count=3):
    """Leave executions as a process leaves them that ends while their tools run."""
    never = asyncio.Event()
    async with bench({"say": lambda _: never.wait()}, store=store) as made:
        planned = await made.register(WAITS)
        return [await made.runtime.start(planned, {}) for _ in range(count)]


async def test_the_owner_after_the_next_fails_what_ends_owners_and_goes_on(dying):
    store = MemoryStore()
    bad, *good = await left_behind(store)
    dying.of = {bad}

    async with bench({"say": lambda _: 1}, store=store) as second:
        with pytest.raises(Died):
            await (await second.runtime.resume(bad))
    assert [trial.execution_id for trial in await store.trials()] == [bad]

    async with bench({"say": lambda _: 1}, store=store) as third:
        third.ids.switch_machine(3)
        third.runtime.drive.suspects._rehearse = rehearse
        ended = await (await third.runtime.resume(bad))
        others = [await (await third.runtime.resume(one)) for one in good]
        after = await run_on(third, WAITS)

    assert ended.status is Status.FAILED
    assert ended.error.code == "ENGINE_FAULT"
    assert "crashed its owner 1 time" in ended.error.message
    assert [state.status for state in others] == [Status.COMPLETED] * 2
    assert after.status == "COMPLETED"


async def test_what_was_only_in_the_way_when_its_owner_died_ends_as_it_is_written(dying):
    store = MemoryStore()
    (innocent,) = await left_behind(store, 1)
    await store.put_trials("an owner that was killed", [innocent])

    async with bench({"say": lambda _: 1}, store=store) as made:
        made.runtime.drive.suspects._rehearse = rehearse
        ended = await (await made.runtime.resume(innocent))

    assert ended.status is Status.COMPLETED


async def test_nothing_is_noted_of_what_was_not_taken_over():
    class Counting(MemoryStore):
        noted = 0

        async def put_trials(self, owner, execution_ids):
            self.noted += 1

    store = Counting()
    async with bench({"say": lambda _: 1}, store=store) as made:
        await run_on(made, WAITS)

    assert store.noted == 0


async def test_suspicion_ends_when_nothing_has_happened(dying):
    store = MemoryStore()
    (innocent,) = await left_behind(store, 1)
    await store.put_trials("an owner that was killed", [innocent])

    async with bench({"say": lambda _: 1}, store=store) as made:
        suspects = made.runtime.drive.suspects
        await suspects.watch([innocent])
        assert suspects.is_suspect(innocent)
        suspects._until -= int((WATCHED_SECONDS + 1) * 1e6)
        await run_on(made, WAITS)
        assert not suspects.is_suspect(innocent)

    assert await store.trials() == []


async def test_a_server_suspects_what_a_dead_server_tried_and_not_what_a_live_one_tries(tmp_path):
    async with Cluster(tmp_path) as cluster:
        first = await cluster.server()
        started = [
            await cluster.start(WAITS.replace("{kind: say}", "{kind: noop}")) for _ in range(2)
        ]
        dead, alive = started
        await cluster.store.put_trials("server-gone/1", [dead])
        second = await cluster.server()
        await cluster.store.put_trials(second.server._owner_name, [alive])
        await first.kill()
        third = await cluster.server()

        owners = [s.server.drive.suspects for s in (second, third)]
        for suspects in owners:
            await suspects.watch([])
        await second.server._suspect(started)
        await third.server._suspect(started)

        assert all(suspects.is_suspect(dead) for suspects in owners)
        assert not any(suspects.is_suspect(alive) for suspects in owners)
