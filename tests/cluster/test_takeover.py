"""What was out goes on soon after its server is gone, whatever was on its way."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from arcbook.outcome import ok
from arcbook.server.requests import Requests
from arcbook.testing.clock import LoopClock, run_virtually
from arcbook.testing.cluster import Cluster
from arcbook.tools.registry import Registry
from arcbook.wire.protocol import REQUESTS, ClaimRequest, ReportRequest, unpack

GOES_ON_SECONDS = 5.0

PLAYBOOK = """
apiVersion: noetl.io/v2
kind: Playbook
metadata: {name: many, path: tests/many}
workflow:
- step: start
  tool: {kind: count}
  next: {spec: {mode: inclusive}, arcs: [{step: a}, {step: b}, {step: c}]}
- {step: a, tool: {kind: count}}
- {step: b, tool: {kind: count}}
- {step: c, tool: {kind: count}}
"""


async def ended(server):
    """End what a server does, as the loss of its machine would."""
    await server.beating.stop()
    await server.service.stop()


class Count:
    """A tool that takes a moment, and counts its calls by the step."""

    def __init__(self) -> None:
        self.calls: dict[str, int] = {}

    def run(self, call: Any, context: Any) -> Any:
        self.calls[call.step] = self.calls.get(call.step, 0) + 1
        return self._later()

    async def _later(self) -> Any:
        await asyncio.sleep(0.05)
        return ok({"n": 1})

    async def close(self) -> None:
        return None


class Silence:
    """Has one server do what one kind of request asks, and never answer from then on."""

    def __init__(self, kind: type) -> None:
        self.kind = kind
        self.server_id = ""
        self.fell = asyncio.Event()

    def falls_on(self, monkeypatch: pytest.MonkeyPatch) -> None:
        inner = Requests.answer

        async def answer(requests: Requests, body: bytes, asker: Any) -> bytes:
            said = await inner(requests, body, asker)
            if requests._server_id == self.server_id:
                if isinstance(REQUESTS.decode(unpack(body)[0]), self.kind):
                    self.fell.set()
                if self.fell.is_set():
                    await asyncio.Event().wait()
            return said

        monkeypatch.setattr(Requests, "answer", answer)


@pytest.mark.parametrize("kind", [ClaimRequest, ReportRequest])
@pytest.mark.parametrize("ends", ["killed", "hung"])
def test_commands_go_on_within_seconds_when_an_answer_is_lost_with_its_server(
    kind: type, ends: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def work() -> tuple[float, Count, str]:
        loop = asyncio.get_running_loop()
        count, silence = Count(), Silence(kind)
        silence.falls_on(monkeypatch)
        registry = Registry()
        registry.add("count", count)
        async with Cluster(tmp_path, clock=LoopClock(loop)) as cluster:
            first = await cluster.server()
            first.server.registry.add("count", count)
            await cluster.worker(registry=registry)
            second = await cluster.server()
            second.server.registry.add("count", count)
            while not second.server.ownership.shards:
                await asyncio.sleep(0.1)
            silence.server_id = first.server.server_id
            execution_id = await cluster.start(PLAYBOOK)
            async with asyncio.timeout(60):
                await silence.fell.wait()
            began = loop.time()
            if ends == "killed":
                killing = asyncio.create_task(first.kill())
            else:
                killing = asyncio.create_task(ended(first.server))
            state = await cluster.ended(execution_id)
            took = loop.time() - began
            await killing
            return took, count, str(state.status)

    seconds, count, status = run_virtually(work())

    assert status == "COMPLETED"
    assert count.calls == {"start": 1, "a": 1, "b": 1, "c": 1}
    assert seconds < GOES_ON_SECONDS


class Long:
    """A tool that takes longer than any lease."""

    def __init__(self) -> None:
        self.calls = 0

    async def run(self, call: Any, context: Any) -> Any:
        self.calls += 1
        await asyncio.sleep(10)
        return ok({})

    async def close(self) -> None:
        return None


LONG = """
apiVersion: noetl.io/v2
kind: Playbook
metadata: {name: long, path: tests/long}
workflow:
- {step: start, tool: {kind: long}}
"""


def test_a_worker_is_told_who_owns_what_it_holds_while_the_server_before_hangs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever is asked of a shard goes to the one that hangs as often as to its owner."""

    async def work() -> tuple[str, str, int, str]:
        tool, silence = Long(), Silence(ClaimRequest)
        silence.falls_on(monkeypatch)
        registry = Registry()
        registry.add("long", tool)
        async with Cluster(tmp_path, clock=LoopClock(asyncio.get_running_loop())) as cluster:
            first = await cluster.server()
            first.server.registry.add("long", tool)
            worker = (await cluster.worker(registry=registry)).worker
            execution_id = await cluster.start(LONG)
            while not tool.calls:
                await asyncio.sleep(0.1)
            # The one that hangs hears all of it, in the worst case.
            monkeypatch.setattr("arcbook.worker.control.shard_subject", lambda _: "nowhere")
            second = await cluster.server()
            second.server.registry.add("long", tool)
            silence.server_id = first.server.server_id
            silence.fell.set()
            await ended(first.server)
            while not second.server.ownership.may_own(execution_id):
                await asyncio.sleep(0.1)
            await asyncio.sleep(1)
            (holding,) = worker.held.values()
            state = await cluster.ended(execution_id)
            return holding.server, second.server.server_id, tool.calls, str(state.status)

    asked, owner, calls, status = run_virtually(work())

    assert asked == owner
    assert (calls, status) == (1, "COMPLETED")
