"""Playbooks that call playbooks end, however they call each other."""

from __future__ import annotations

import asyncio

import msgspec

from arcbook.engine import waits
from arcbook.engine.state import Status
from arcbook.engine.waits import DEPTH_MAX
from arcbook.testing.local import bench, play

ITSELF = """\
apiVersion: noetl.io/v2
kind: Playbook
metadata: {name: itself, path: tests/itself}
workflow:
  - step: start
    tool: {kind: playbook, path: tests/itself}
"""

DETACHED = ITSELF.replace(
    "path: tests/itself}\n", "path: tests/itself, return_result: false}\n"
).replace(
    "metadata: {name: itself, path: tests/itself, return_result: false}",
    "metadata: {name: itself, path: tests/itself}",
)

MANY = """\
apiVersion: noetl.io/v2
kind: Playbook
metadata: {name: many, path: tests/many}
workflow:
  - step: start
    loop: {in: "{{ range(COUNT) }}", iterator: n, spec: {mode: parallel, max_in_flight: 1000}}
    tool: {kind: playbook, path: tests/one}
"""

ONE = """\
apiVersion: noetl.io/v2
kind: Playbook
metadata: {name: one, path: tests/one}
workflow:
  - step: start
    tool: {kind: waits}
"""


def test_a_playbook_that_calls_itself_fails_at_the_limit_and_says_so():
    ran = play(ITSELF)

    assert ran.status == "FAILED"
    assert f"the limit is {DEPTH_MAX}" in ran.state.error.message
    assert ran.state.error.message.count("child playbook") == 2
    assert len(ran.bench.store.rows) == DEPTH_MAX + 1
    assert {row.status for row in ran.bench.store.rows.values()} == {"FAILED"}


async def test_one_that_calls_itself_without_waiting_ends_as_well():
    async with bench({}) as made:
        planned = await made.register(DETACHED)
        await made.runtime.run(planned, {})
        async with asyncio.timeout(20):
            while any(not row.ended_at for row in made.store.rows.values()):
                await asyncio.sleep(0)

    statuses = [row.status for row in made.store.rows.values()]
    assert len(statuses) == DEPTH_MAX + 1
    assert statuses.count("FAILED") == 1


def test_a_task_may_go_on_after_a_child_that_could_not_be_started():
    rule = "spec: {policy: {rules: [{when: \"{{ output.error.code == 'CHILD_DEPTH' }}\", then: {do: continue}}]}}"
    text = ITSELF.replace("path: tests/itself}\n", f"path: tests/itself, {rule}}}\n").replace(
        f"metadata: {{name: itself, path: tests/itself, {rule}}}",
        "metadata: {name: itself, path: tests/itself}",
    )

    assert play(text).status == "COMPLETED"


def test_one_execution_starts_so_many_others_at_most(monkeypatch):
    monkeypatch.setattr(waits, "CHILDREN_MAX", 5)
    ran = play(MANY.replace("COUNT", "9"), {"waits": lambda _: 1}, others=[ONE])

    assert ran.status == "FAILED"
    assert "at most 5 child executions" in ran.state.error.message


async def test_a_thousand_children_are_cancelled_with_their_parent():
    never = asyncio.Event()
    async with bench({"waits": lambda _: never.wait()}) as made:
        await made.register(ONE)
        planned = await made.register(MANY.replace("COUNT", "10000"))
        execution_id = await made.runtime.start(planned, {})
        ended = made.runtime.ended(execution_id)
        async with asyncio.timeout(100):
            while len(made.store.rows) < 1000:
                await asyncio.sleep(0)
            await made.runtime.cancel(execution_id, "enough")
            state = await ended
            while any(not row.ended_at for row in made.store.rows.values()):
                await asyncio.sleep(0)

    assert state.status is Status.CANCELLED
    assert {row.status for row in made.store.rows.values()} == {"CANCELLED"}
    assert msgspec.json.encode(state)
