"""A server that stood still does not hold against workers that it heard nothing of them."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from arcbook.engine.inputs import Lost
from arcbook.engine.state import State
from arcbook.owner.commands import CommandBook
from arcbook.owner.pools import PoolRules
from arcbook.store.api import CommandRow
from arcbook.testing.clock import FakeClock

LEASE_SECONDS = 3.0
LOOK_SECONDS = 0.5


class Silent:
    """A relay that tells nobody anything."""

    def publish(self, rows):
        pass

    def stop(self, worker, rows):
        pass


@pytest.fixture
def clock():
    return FakeClock()


@pytest.fixture
def owner(clock):
    made = CommandBook(PoolRules(), clock, Silent(), None, lease_seconds=LEASE_SECONDS)
    made.add(CommandRow("7:s:1", 7, "s", "shared", 0, 1, issued_at=0, worker="w"))
    made.expire()
    return made


def looks_for(owner, clock, seconds):
    """Let a server look at leases as it does when nothing holds it up; return what follows."""
    found = []
    for _ in range(round(seconds / LOOK_SECONDS)):
        clock.advance(LOOK_SECONDS)
        found += [type(given) for _, given in owner.expire()]
    return found


def test_a_command_that_nobody_extends_is_lost_when_its_lease_ends(owner, clock):
    assert looks_for(owner, clock, LEASE_SECONDS - LOOK_SECONDS) == []
    assert looks_for(owner, clock, LOOK_SECONDS) == [Lost]


def test_a_lease_goes_on_for_as_long_as_its_server_stood_still(owner, clock):
    looks_for(owner, clock, 1.0)
    clock.advance(40.0)
    assert owner.expire() == []

    assert looks_for(owner, clock, 1.5) == []
    assert looks_for(owner, clock, LOOK_SECONDS) == [Lost]


def test_so_does_the_time_that_a_worker_has_to_stop_a_tool(owner, clock):
    owner.stop(SimpleNamespace(state=State(execution_id=7)), ["7:s:1"])
    looks_for(owner, clock, 1.0)
    clock.advance(40.0)

    assert owner.expire() == []
