"""A worker's concurrency goes down quickly under pressure, and up slowly in calm."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as some

from arcbook.worker.adapting import memory_used
from arcbook.worker.pressure import CALM_SAMPLES, Pressure

CALM = (0.001, 0.5)


def test_it_begins_at_the_most_and_stays_there_in_calm():
    pressure = Pressure(100)

    assert [pressure.look(*CALM) for _ in range(20)] == [100] * 20


@pytest.mark.parametrize("look", [(0.5, 0.5), (0.001, 0.99)])
def test_lag_and_memory_lower_it(look):
    pressure = Pressure(100)

    assert [pressure.look(*look) for _ in range(3)] == [70, 49, 34]


def test_it_never_goes_below_the_least():
    pressure = Pressure(100, least=2)

    assert [pressure.look(1.0, 0.5) for _ in range(50)][-1] == 2


def test_it_comes_back_slowly():
    pressure = Pressure(100)
    pressure.look(1.0, 0.5)
    rising = [pressure.look(*CALM) for _ in range(3 * CALM_SAMPLES)]

    assert rising[CALM_SAMPLES - 2] == 70
    assert rising[CALM_SAMPLES - 1] == 80
    assert rising[-1] == 100


def test_what_is_neither_calm_nor_too_much_holds_it():
    pressure = Pressure(100)
    pressure.look(1.0, 0.5)

    assert [pressure.look(0.05, 0.5) for _ in range(20)] == [70] * 20


def test_one_that_cannot_be():
    with pytest.raises(ValueError, match="the limits must satisfy"):
        Pressure(0)


@given(
    some.integers(1, 500),
    some.lists(some.tuples(some.floats(0, 5), some.floats(0, 1)), max_size=60),
)
def test_it_stays_within_its_bounds(most, looks):
    pressure = Pressure(most)

    assert all(1 <= pressure.look(*look) <= most for look in looks)


def test_memory_is_a_part():
    assert 0.0 <= memory_used() <= 1.0
