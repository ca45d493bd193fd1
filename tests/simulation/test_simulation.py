"""The production runtime under faults that a seed decides."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from arcbook.testing.simulate import scenario_of, simulate
from arcbook.testing.simulate.__main__ import main
from arcbook.testing.simulate.mutants import hunt
from arcbook.testing.simulate.planted import MUTANTS
from corpus.test_corpus import FOLDER, IS_THERE
from simulation.conftest import SEEDS
from simulation.seeds_running import Simulating

CORPUS_SEEDS = int(os.environ.get("SIMULATION_CORPUS_SEEDS", "240"))
"""Seeds of the documents of the corpus."""

_LINES = (Path(__file__).parent / "seeds.txt").read_text().splitlines()
PINNED = [int(line) for line in _LINES if line and not line.startswith("#")]


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_everything_holds_under_faults(simulating: Simulating) -> None:
    assert simulating.ended() == (SEEDS, [])


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.skipif(not IS_THERE, reason="the corpus is not beside the project")
def test_everything_holds_for_documents_that_people_wrote() -> None:
    running = Simulating(CORPUS_SEEDS, "--corpus", str(FOLDER))

    assert running.ended() == (CORPUS_SEEDS, [])


@pytest.mark.slow
@pytest.mark.parametrize("seed", PINNED)
def test_what_finds_a_planted_bug_finds_none_that_was_not_planted(seed: int) -> None:
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


def test_a_run_does_not_depend_on_those_before_it() -> None:
    alone = simulate(scenario_of(5)).digest
    for seed in range(3):
        simulate(scenario_of(seed))

    assert simulate(scenario_of(5)).digest == alone


def test_a_trace_changes_nothing() -> None:
    scenario = scenario_of(7)

    traced = simulate(scenario, trace=True)

    assert traced.trace
    assert traced.digest == simulate(scenario).digest


def test_a_run_that_does_not_end_is_broken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("arcbook.testing.simulate.loop.STEPS_MAX", 100)
    ran = simulate(scenario_of(0))

    assert ran.rule == "raised"
    assert "after 100 steps the run has not ended" in ran.message


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
    found = hunt(next(m for m in MUTANTS if m.name.startswith("tell before")), 20)

    assert found.rule == "told"


@pytest.mark.parametrize(
    "given",
    [["--corpus", "/nowhere"], ["--scenario", "/nowhere"], ["--seeds", "0"], ["--jobs", "x"]],
)
def test_what_cannot_be_simulated_is_told_in_a_line(given: list[str]) -> None:
    command = [sys.executable, "-m", "arcbook.testing.simulate", *given]
    done = subprocess.run(command, capture_output=True, text=True, check=False)

    assert done.returncode == 2
    assert given[1] in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("faults", [[], ["--faults", '{"late": 0.5}']])
def test_the_command_line_runs_seeds_with_their_own_faults_or_others(faults, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["simulate", "--seed", "3", *faults])

    assert main() == 0
    assert "seed 3 at" in capsys.readouterr().out


@pytest.mark.parametrize("faults", ["late", '{"late": "often"}', '{"lateness": 0.5}'])
def test_the_command_line_refuses_faults_that_there_are_not(faults, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["simulate", "--seed", "3", "--faults", faults])

    with pytest.raises(SystemExit):
        main()
    assert "is no" in capsys.readouterr().err
