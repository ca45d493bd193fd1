"""Checkpoints that come late, or again."""

from __future__ import annotations

import asyncio

from playbooks import playbook

from arcbook.engine.inputs import Checkpointed
from arcbook.outcome import ok
from arcbook.testing.clock import run_virtually
from arcbook.testing.local import bench

ONCE = playbook("""
- step: start
  tool: {kind: slow}
""")


async def _slow(_):
    await asyncio.sleep(5)
    return ok({})


async def recorded(*numbers):
    """Record places by their numbers; return what was answered, and the place that stays."""
    async with bench({"slow": _slow}) as made:
        drive = made.runtime.drive
        running = asyncio.create_task(made.runtime.run(await made.register(ONCE), {}))
        await asyncio.sleep(1)
        (execution_id,) = drive.slots
        command_id = f"{execution_id}:start:1"
        answers = [
            await drive.ask(
                execution_id,
                Checkpointed(command_id=command_id, state=f"place {number}", number=number),
            )
            for number in numbers
        ]
        saved = drive.slots[execution_id].state.command(command_id).saved
        await running
        return answers, saved


def test_a_later_place_takes_the_place_of_an_earlier_one():
    assert run_virtually(recorded(1, 2)) == ([True, True], "place 2")


def test_an_earlier_place_that_comes_late_does_not():
    assert run_virtually(recorded(1, 2, 1)) == ([True, True, True], "place 2")


def test_who_does_not_count_is_heard_each_time():
    assert run_virtually(recorded(0, 0)) == ([True, True], "place 0")
