"""Commands being performed: room, stops, ends."""

from __future__ import annotations

import asyncio

import pytest

from arcbook.engine.inputs import Stopped
from arcbook.runtime.crew import Crew, Job
from arcbook.testing.clock import run_virtually


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
        crew = Crew(1, lambda job, given: ended.append((job.command_id, given)))
        crew.begin(Job(1, "first", 0, 1, lambda: hanging(cleaned)))
        for _ in range(turns):
            await asyncio.sleep(0)
        getattr(crew, how)("first")
        getattr(crew, how)("first")
        crew.begin(Job(1, "second", 0, 1, lambda: hanging(cleaned)))
        for _ in range(5):
            await asyncio.sleep(0)
        second = crew.is_performing("second")
        await crew.close()
        return ended, cleaned, second

    ended, cleaned, second = run_virtually(run())

    assert [("first", Stopped(command_id="first") if told else None)] == ended
    assert second
    assert cleaned == [True, True]
