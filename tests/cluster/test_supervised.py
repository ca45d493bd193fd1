"""What a server or a worker does ends with it, or it ends with what it does."""

from __future__ import annotations

import asyncio

import pytest

from arcbook.engine.state import Status
from arcbook.outcome import ok
from arcbook.owner.commands import CommandBook
from arcbook.owner.drive import Drive, LostOwnershipError
from arcbook.server.scheduler import Scheduler
from arcbook.store.api import LostServerError
from arcbook.testing.cluster import Cluster
from arcbook.tools.registry import Registry

PLAYBOOK = """\
apiVersion: noetl.io/v2
kind: Playbook
metadata: {name: one, path: tests/one}
workflow:
  - step: start
    tool: {kind: noop}
  - step: other
    tool: {kind: noop}
"""


class BrokenError(RuntimeError):
    """Something that nobody thought of."""


def breaking(monkeypatch, part, name):
    """Have a method of a part raise what nobody expects."""

    def raises(*_, **__):
        raise BrokenError(name)

    async def raises_later(*_, **__):
        raise BrokenError(name)

    method = getattr(part, name)
    monkeypatch.setattr(part, name, raises_later if asyncio.iscoroutinefunction(method) else raises)


@pytest.mark.parametrize(
    ("part", "name"),
    [(Drive, "turn"), (CommandBook, "expire"), (CommandBook, "unclaimed"), (Scheduler, "look")],
)
async def test_a_server_whose_loop_ends_hands_over_and_says_why(tmp_path, monkeypatch, part, name):
    async with Cluster(tmp_path) as cluster:
        first = await cluster.server()
        with monkeypatch.context() as patch:
            breaking(patch, part, name)
            if part is Drive:
                with pytest.raises((BrokenError, LostOwnershipError)):
                    await cluster.start(PLAYBOOK)
            async with asyncio.timeout(10):
                await first.server.service.failed.wait()
            assert isinstance(first.server.service.cause, BrokenError)
            assert name in first.server.ailment
            await first.server._errands.finish()
            assert not first.server.ownership.shards
        await cluster.server()
        await cluster.worker()

        ended = await cluster.ended(await cluster.start(PLAYBOOK, at=1))
        assert ended.status is Status.COMPLETED
        with pytest.raises((LostOwnershipError, LostServerError)):
            await first.server.start(await first.server.plans.find("tests/one"), {})


@pytest.mark.parametrize("name", ["_pull", "_beat"])
async def test_a_worker_whose_loop_ends_does_nothing_more_and_says_why(tmp_path, monkeypatch, name):
    async with Cluster(tmp_path) as cluster:
        await cluster.server()
        worker = await cluster.worker()
        part = "_extend" if name == "_beat" else "_claim"
        breaking(monkeypatch, type(worker.worker), part)
        await cluster.start(PLAYBOOK)
        async with asyncio.timeout(10):
            await worker.worker.service.failed.wait()

        assert isinstance(worker.worker.service.cause, BrokenError)


async def test_a_playbook_that_cannot_be_made_ready_fails_what_runs_it_and_nothing_else(
    tmp_path, monkeypatch
):
    async with Cluster(tmp_path) as cluster:
        await cluster.server()
        worker = await cluster.worker()
        with monkeypatch.context() as patch:
            breaking(patch, type(worker.worker), "_fetch")
            ended = await cluster.ended(await cluster.start(PLAYBOOK))
        assert ended.status is Status.FAILED
        assert "cannot be compiled" in ended.error.message

        assert (await cluster.run(PLAYBOOK)).status is Status.COMPLETED


class Slow:
    """A tool that goes on until it is told to end."""

    def __init__(self):
        self.both = asyncio.Event()
        self.end = asyncio.Event()
        self.calls = 0

    async def run(self, call, context):
        self.calls += 1
        if self.calls == 2:
            self.both.set()
        await self.end.wait()
        return ok(1)

    async def close(self):
        return None


TWO = """\
apiVersion: noetl.io/v2
kind: Playbook
metadata: {name: two, path: tests/two}
workflow:
  - step: start
    tool: {kind: noop}
    next: {arcs: [{step: a}, {step: b}], spec: {mode: inclusive}}
  - step: a
    tool: {kind: slow}
  - step: b
    tool: {kind: slow}
"""


async def test_a_server_that_hangs_costs_no_lease_of_what_another_one_owns(tmp_path, monkeypatch):
    registry, slow = Registry(), Slow()
    registry.add("slow", slow)
    async with Cluster(tmp_path) as cluster:
        running = await cluster.server()
        running.server.registry.add("slow", slow)
        worker = await cluster.worker(registry=registry)
        execution_id = await cluster.start(TWO)
        await asyncio.wait_for(slow.both.wait(), 10)
        control = worker.worker._control
        owner, beats, enough = control.owner, [], asyncio.Event()

        async def hangs(execution_id, server, request, kind):
            if server == "hangs":
                await asyncio.get_running_loop().create_future()
            answer = await owner(execution_id, server, request, kind)
            beats.append(answer)
            # Each round one of the two is asked of a server that does not answer.
            next(iter(worker.worker.held.values())).server = "hangs"
            if len(beats) > 12:
                enough.set()
            return answer

        monkeypatch.setattr(control, "owner", hangs)
        next(iter(worker.worker.held.values())).server = "hangs"
        await asyncio.wait_for(enough.wait(), 20)
        monkeypatch.setattr(control, "owner", owner)
        slow.end.set()

        assert (await cluster.ended(execution_id)).status is Status.COMPLETED
        lost = [e for e in cluster.events(execution_id) if e.event.type == "command.lost"]
        assert lost == []
        assert slow.calls == 2
