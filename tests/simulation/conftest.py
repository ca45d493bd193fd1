"""The long run of seeds begins with the first test, and is waited for in its own."""

from __future__ import annotations

import os

import pytest

from simulation.seeds_running import MANY, Simulating

SEEDS = int(os.environ.get("SIMULATION_SEEDS", "2000"))
"""Seeds of generated playbooks."""

NAME = "test_everything_holds_under_faults"

_running: list[Simulating] = []


def pytest_collection_finish(session: pytest.Session) -> None:
    """Begin to simulate, if that is among the tests."""
    if session.config.option.collectonly or NAME not in {item.name for item in session.items}:
        return
    _running.append(Simulating(SEEDS, aside=len(session.items) > MANY))


def pytest_sessionfinish() -> None:
    """Leave nothing running."""
    while _running:
        _running.pop().stop()


@pytest.fixture
def simulating() -> Simulating:
    """The run of seeds that began with the session."""
    return _running[0]
