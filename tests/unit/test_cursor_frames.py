"""Frames of cursors that are cut off, or that wait, in the middle."""

from __future__ import annotations

import asyncio

import pytest
from playbooks import playbook

from arcbook.outcome import ErrorKind, failed
from arcbook.store.memory import MemoryStore
from arcbook.testing.clock import run_virtually
from arcbook.testing.local import bench, play

WORK_OFF = """
- step: start
  loop:
    cursor: {kind: queue, claim: take}
    iterator: row
    spec:
      mode: cursor
      max_in_flight: FRAMES
      on_error: continue
      frame: {max_rows: 3, row_concurrency: WIDTH}
  tool: {kind: work, id: "{{ row.id }}", at: "{{ loop_index }}", MORE}
"""
NEVER = "redelivery: never"
RETRY = "retry: {attempts: 2, delay: 20}"


def work_off(more, *, width=1, frames=1):
    text = WORK_OFF.replace("MORE", more).replace("WIDTH", str(width))
    return playbook(text.replace("FRAMES", str(frames)))


class Queue:
    """A table whose rows are claimed, and the calls that were made for them."""

    def __init__(self, claims=1, *, fail_once=(), cut_at=0):
        self._claims = [[{"id": 3 * n + i} for i in (1, 2, 3)] for n in range(claims)]
        self._failing = set(fail_once)
        self._cut_at = cut_at
        self.cut = asyncio.Event()
        self.calls = []

    def claim(self, call):
        return {"rows": self._claims.pop(0) if self._claims else []}

    def work(self, call):
        row = call.config["id"]
        self.calls.append((row, call.config["at"], call.idempotency_key, call.attempt))
        if len(self.calls) == self._cut_at:
            self.cut.set()
            return asyncio.get_running_loop().create_future()
        if row in self._failing:
            self._failing.discard(row)
            return failed(ErrorKind.SERVER_ERROR, "not now", retryable=True)
        return {"id": row}

    @property
    def tools(self):
        return {"queue": self.claim, "work": self.work}

    @property
    def worked(self):
        return [row for row, *_ in self.calls]


async def cut_off_and_resumed(text, queue):
    """Run, end the process in the middle of a call, and go on in another one."""
    store = MemoryStore()
    async with bench(queue.tools, store=store) as made:
        execution_id = await made.runtime.start(await made.register(text), {})
        await queue.cut.wait()
    async with bench(queue.tools, store=store) as made:
        return await (await made.runtime.resume(execution_id))


@pytest.mark.parametrize("cut_at", [1, 2, 3, 4, 5, 6])
@pytest.mark.parametrize("frames", [1, 2])
def test_rows_that_must_not_run_twice_are_neither_lost_nor_run_again(cut_at, frames):
    queue = Queue(claims=2, cut_at=cut_at)

    state = run_virtually(cut_off_and_resumed(work_off(NEVER, frames=frames), queue))

    assert sorted(queue.worked) == [1, 2, 3, 4, 5, 6]
    result = state.results["start"]
    assert (result.total, result.failed) == (6, 1)


@pytest.mark.parametrize("cut_at", [1, 2, 3])
def test_rows_that_may_run_again_do_with_the_same_keys(cut_at):
    queue = Queue(cut_at=cut_at)

    state = run_virtually(cut_off_and_resumed(work_off("n: 1"), queue))

    again = queue.calls[cut_at:]
    assert [row for row, *_ in again] == [1, 2, 3]
    assert queue.calls[:cut_at] == again[:cut_at]
    assert state.results["start"].total == 3


def test_a_row_that_waits_keeps_its_place_and_its_key():
    queue = Queue(fail_once=[2])

    ran = play(work_off(RETRY), queue.tools)

    assert [(row, at) for row, at, *_ in queue.calls] == [(1, 0), (2, 1), (2, 1), (3, 2)]
    keys = [key for _, _, key, _ in queue.calls]
    assert keys[1] == keys[2]
    assert len(set(keys)) == 3
    assert ran.state.results["start"].success == 3


def test_what_stands_behind_a_row_that_waits_does_not_exceed_the_limit():
    out = []

    def watch(_id, _events, state):
        out.extend(len(run.commands) for run in state.runs.values())

    async def run():
        queue = Queue(fail_once=[1, 2])
        async with bench(queue.tools) as made:
            made.runtime.drive.listeners.add(watch)
            planned = await made.register(work_off(RETRY))
            return await made.runtime.run(planned, {})

    state = run_virtually(run())

    assert max(out) == 1
    assert state.results["start"].success == 3


def test_rows_side_by_side_pause_together_and_go_on():
    queue = Queue(fail_once=[1, 3])

    ran = play(work_off(RETRY, width=3), queue.tools)

    assert ran.status == "COMPLETED"
    assert sorted(queue.worked) == [1, 1, 2, 3, 3]
    assert ran.state.results["start"].success == 3
    assert 20 <= ran.seconds < 40
