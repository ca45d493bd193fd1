"""What the rules of this code refuse."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

_FILE = Path(__file__).resolve().parents[2] / "scripts" / "rules.py"
_SPEC = importlib.util.spec_from_file_location("rules", _FILE)
assert _SPEC is not None
rules = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(rules)

FOREVER = """
async def look(self):
    while True:
        await asyncio.sleep(1)
        try:
            await self.one()
        except StoreError:
            continue
"""


@pytest.mark.parametrize(
    "call",
    [
        "asyncio.create_task(work())",
        "asyncio.get_running_loop().create_task(work())",
        "self._loop.create_task(work())",
        "asyncio.ensure_future(work())",
        "asyncio.run_coroutine_threadsafe(work(), loop)",
    ],
)
@pytest.mark.parametrize("name", ["server/core.py", "owner/commands.py", "bus/postgres/bus.py"])
def test_a_task_that_nobody_looks_after_is_refused(call, name):
    (problem,) = rules.broken(name, f"def begin():\n    task = {call}\n")

    assert problem.startswith(f"src/arcbook/{name}:2:")
    assert "nobody looks after" in problem


def test_a_task_in_a_group_or_in_a_room_for_it_is_allowed():
    assert not [*rules.broken("performer/frames.py", "group.create_task(work())")]
    assert not [*rules.broken("supervision.py", "asyncio.create_task(work())")]


def test_a_coroutine_that_goes_on_for_ever_must_be_a_services():
    (problem,) = rules.unsupervised({"server/new.py": FOREVER})

    assert "look goes on for ever" in problem


@pytest.mark.parametrize(
    "kept",
    [
        'service.loop("looks", self.look)',
        'service.loop("looks", partial(part.look, 3))',
        'service.task("looks", part.look())',
    ],
)
def test_one_that_a_service_keeps_is_allowed_wherever_that_is(kept):
    assert not [*rules.unsupervised({"server/new.py": FOREVER, "compose/cluster.py": kept})]


@pytest.mark.parametrize("end", ["return", "break"])
def test_one_that_ends_by_itself_needs_no_service(end):
    text = FOREVER.replace("continue", end)

    assert not [*rules.unsupervised({"server/new.py": text})]


def test_the_code_keeps_all_rules():
    assert rules.main() == 0
