"""The production runtime under faults that a seed decides."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from arcbook.testing.simulate import scenario_of, simulate
from arcbook.testing.simulate.mutants import _hunt
from arcbook.testing.simulate.planted import MUTANTS

SHORT = 150
PART = 15

_LINES = (Path(__file__).parent / "seeds.txt").read_text().splitlines()
PINNED = [int(line) for line in _LINES if line and not line.startswith("#")]


@pytest.mark.slow
@pytest.mark.parametrize("first", range(0, SHORT, PART))
def test_everything_holds_under_faults(first: int) -> None:
    for seed in range(first, first + PART):
        assert simulate(scenario_of(seed)).message == "", f"seed {seed}"


@pytest.mark.slow
@pytest.mark.parametrize("seed", PINNED)
def test_what_was_broken_once_holds(seed: int) -> None:
    assert simulate(scenario_of(seed)).message == ""


@pytest.mark.slow
def test_the_same_seed_is_the_same_run_in_another_process() -> None:
    program = (
        "from arcbook.testing.simulate import scenario_of, simulate\n"
        "print([simulate(scenario_of(seed)).digest for seed in range(12)])"
    )
    said = {
        subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, "PYTHONHASHSEED": hash_seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for hash_seed in ("0", "1", "77")
    }

    assert len(said) == 1


def test_a_trace_changes_nothing() -> None:
    scenario = scenario_of(7)

    traced = simulate(scenario, trace=True)

    assert traced.trace
    assert traced.digest == simulate(scenario).digest


def test_every_planted_bug_can_be_planted() -> None:
    import arcbook

    source = Path(arcbook.__file__).parent
    lacking = [
        mutant.name
        for mutant in MUTANTS
        for patch in mutant.patches
        if (source / patch.file).read_text().count(patch.old) != 1
    ]

    assert lacking == []


@pytest.mark.slow
def test_a_planted_bug_is_found() -> None:
    found = _hunt(next(m for m in MUTANTS if m.name.startswith("acknowledge")), 20)

    assert found.rule == "told"
