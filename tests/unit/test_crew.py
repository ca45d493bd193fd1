"""Commands being performed: room, stops, ends."""

from __future__ import annotations

import asyncio

import pytest

from arcbook.blobs.api import BlobStoreError
from arcbook.engine.inputs import Stopped
from arcbook.performer.runner import CommandRunner, Job
from arcbook.testing.clock import run_virtually


def ignored(_job, _error):
    """Do nothing."""


def hanging(cleaned):
    """Return steps that wait for ever, and note that they could clean up."""

    def steps():
        try:
            yield asyncio.sleep(1e6)
        finally:
            cleaned.append(True)

    return steps()


@pytest.mark.parametrize("turns", [0, 1, 5])
@pytest.mark.parametrize(("how", "told"), [("stop", True), ("abandon", False)])
def test_a_command_that_is_stopped_leaves_its_room_however_early(how, told, turns):
    async def run():
        ended, cleaned = [], []
        runner = CommandRunner(1, lambda job, given: ended.append((job.command_id, given)), ignored)
        runner.begin(Job(1, "first", 0, 1, lambda: hanging(cleaned)))
        for _ in range(turns):
            await asyncio.sleep(0)
        getattr(runner, how)("first")
        getattr(runner, how)("first")
        runner.begin(Job(1, "second", 0, 1, lambda: hanging(cleaned)))
        for _ in range(5):
            await asyncio.sleep(0)
        second = runner.is_performing("second")
        await runner.close()
        return ended, cleaned, second

    ended, cleaned, second = run_virtually(run())

    assert [("first", Stopped(command_id="first") if told else None)] == ended
    assert second
    assert cleaned == [True, True]


@pytest.mark.parametrize("pauses", [0, 1])
def test_a_command_whose_results_cannot_be_kept_has_no_end_and_leaves_its_room(pauses):
    def full():
        for _ in range(pauses):
            yield asyncio.sleep(0)
        raise BlobStoreError("the disk is full")

    async def run():
        ended, away = [], []
        runner = CommandRunner(
            1,
            lambda job, given: ended.append((job.command_id, given)),
            lambda job, error: away.append((job.command_id, str(error))),
        )
        runner.begin(Job(1, "first", 0, 1, full))
        runner.begin(Job(1, "second", 0, 1, lambda: hanging([])))
        for _ in range(5):
            await asyncio.sleep(0)
        second = runner.is_performing("second")
        await runner.close()
        return ended, away, second

    ended, away, second = run_virtually(run())

    assert all(given is None for _, given in ended)
    assert away == [("first", "the disk is full")]
    assert second
