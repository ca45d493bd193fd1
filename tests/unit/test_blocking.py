"""What holds up a loop is found, with where it was; what waits, or is another's, is not."""

from __future__ import annotations

import asyncio
import gc
import time
from pathlib import Path

import pytest

from blocking import DETECTOR, FAILED_SECONDS, SOURCE


def code_at(place: Path, body: str):
    """Return a coroutine function whose code lies at a place."""
    names = {"asyncio": asyncio, "time": time}
    exec(compile(f"async def loop():\n    {body}\n", str(place), "exec"), names)
    return names["loop"]


WORK = (
    f"until = time.thread_time() + {FAILED_SECONDS * 3}\n    while time.thread_time() < until: pass"
)


@pytest.fixture(autouse=True)
def _uncollected():
    """In the small time of a test here, a collection of all that other tests left would count."""
    gc.disable()
    yield
    gc.enable()


async def found(place: Path, body: str) -> list[str]:
    DETECTOR.found.clear()
    await asyncio.create_task(code_at(place, body)(), name="the drive loop")
    told, DETECTOR.found = DETECTOR.found, []
    return told


async def test_work_of_ours_that_takes_too_long_is_told_with_its_stack():
    (told,) = await found(SOURCE / "server" / "planted.py", WORK)

    assert "the drive loop worked for" in told
    assert "planted.py" in told


@pytest.mark.parametrize(
    ("place", "body"),
    [
        (SOURCE / "server" / "planted.py", "await asyncio.sleep(0.2)"),
        (SOURCE / "server" / "planted.py", "time.sleep(0.2)"),  # no work: another process's
        (SOURCE / "testing" / "planted.py", WORK),
        (Path(__file__), WORK),
    ],
)
async def test_what_does_no_work_or_is_not_ours_is_left_alone(place, body):
    assert await found(place, body) == []
