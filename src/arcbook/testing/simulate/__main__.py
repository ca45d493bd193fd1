"""Simulate many seeds, or repeat one with a trace."""

from __future__ import annotations

import argparse
import functools
import multiprocessing
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

import msgspec

from arcbook.testing.simulate.library import Library
from arcbook.testing.simulate.run import Ran, simulate
from arcbook.testing.simulate.scenario import KINDS, MORE_KINDS, Scenario, scenario_of
from arcbook.testing.simulate.shrink import Shrinker

FOLDER = Path("tmp/simulation")


class Short(NamedTuple):
    """The summary of a run, as its process returns it."""

    seed: int
    executions: int
    faults: int
    message: str


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


@functools.lru_cache(maxsize=1)
def _library(corpus: Path | None) -> Library | None:
    """Return the documents of a folder, read once by each process."""
    return None if corpus is None else Library(corpus)


class Source(NamedTuple):
    """What scenarios are made of, beside their seed."""

    #: Folder of playbooks in place of generated ones.
    corpus: Path | None
    #: Rates of faults in place of those that the seed chooses, as JSON.
    rates: str

    def scenario(self, seed: int) -> Scenario:
        """Return the scenario of a seed."""
        scenario = scenario_of(seed, _library(self.corpus))
        if not self.rates:
            return scenario
        rates = msgspec.json.decode(self.rates, type=dict[str, float])
        return msgspec.structs.replace(scenario, rates=rates)


def _run(source: Source, seed: int) -> Short:
    ran = simulate(source.scenario(seed))
    return Short(seed, ran.executions, len(ran.faults), ran.message)


def _commit() -> str:
    """Return the current commit, if it is known."""
    command = ["git", "describe", "--always", "--dirty", "--abbrev=12"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError:
        return "unknown"
    return done.stdout.strip() or "unknown"


def _many(first: int, count: int, jobs: int, source: Source, *, stop: bool) -> int:
    """Run many seeds; return how many broke a rule."""
    began, executions, faults = time.monotonic(), 0, 0
    broken: list[Short] = []
    done = 0
    seeds = range(first, first + count)
    with multiprocessing.Pool(jobs) as pool:
        for short in pool.imap_unordered(functools.partial(_run, source), seeds, chunksize=5):
            done += 1
            executions += short.executions
            faults += short.faults
            if short.message:
                broken.append(short)
                _say(f"seed {short.seed} at {_commit()}: {short.message[:400]}")
                if stop:
                    break
            if done % 200 == 0:
                each = executions / (time.monotonic() - began)
                _say(f"{done} seeds, {executions} executions, {each:.0f}/s, {len(broken)} broken")
    seconds = time.monotonic() - began
    if broken and not stop:
        _explain(min(broken).seed, source)
    _say(
        f"simulated {done} seeds from {first}: {executions} executions, {faults} faults, "
        f"{executions / seconds:.0f} executions/s, {len(broken)} broken"
    )
    return len(broken)


def _explain(seed: int, source: Source) -> None:
    """Shrink the run of a seed, and print how to replay it."""
    ran = Shrinker(simulate(source.scenario(seed))).shrink()
    FOLDER.mkdir(parents=True, exist_ok=True)
    path = FOLDER / f"seed-{seed}.json"
    path.write_bytes(msgspec.json.encode(ran.scenario))
    scenario = ran.scenario
    _say(f"seed {seed} shrunk to {scenario.servers} servers, {scenario.workers} workers,")
    _say(f"  {scenario.executions} executions, {len(ran.faults)} faults: {ran.message}")
    for number, description in ran.faults:
        _say(f"  fault {number}: {description}")
    _say(f"replay: python -m arcbook.testing.simulate --scenario {path} --trace")


def _one(scenario: Scenario, *, trace: bool) -> int:
    """Run one scenario, and print the result."""
    ran: Ran = simulate(scenario, trace=trace)
    for line in ran.trace:
        _say(line)
    _say(
        f"seed {scenario.seed} at {_commit()}: {ran.executions} executions, "
        f"{len(ran.faults)} faults, {ran.seconds:.1f} simulated seconds, digest {ran.digest}"
    )
    _say(ran.message or "no rule was broken")
    return bool(ran.message)


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of at least 1")
    return int(text)


def _corpus(text: str) -> Path:
    folder = Path(text)
    library = _library(folder)
    if library is None or not library.texts:
        raise argparse.ArgumentTypeError(f"{text!r} is not a folder with valid playbooks")
    return folder


def _rates(text: str) -> str:
    try:
        rates = msgspec.json.decode(text, type=dict[str, float])
    except msgspec.DecodeError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is no mapping of rates: {error}") from None
    unknown = sorted(rates.keys() - {*KINDS, *MORE_KINDS})
    if unknown:
        raise argparse.ArgumentTypeError(f"{unknown[0]!r} is no kind of fault")
    return text


def _scenario(text: str) -> Scenario:
    try:
        return msgspec.json.decode(Path(text).read_bytes(), type=Scenario)
    except (OSError, msgspec.DecodeError) as error:
        raise argparse.ArgumentTypeError(f"{text!r} is not a scenario: {error}") from None


def main() -> int:
    """Run the simulations that the command line names."""
    parser = argparse.ArgumentParser(prog="python -m arcbook.testing.simulate")
    parser.add_argument("--seeds", type=_count, default=2000, help="number of seeds")
    parser.add_argument("--first-seed", type=int, default=0, help="the first seed")
    parser.add_argument("--jobs", type=_count, default=2, help="processes")
    parser.add_argument("--stop", action="store_true", help="stop at the first broken seed")
    parser.add_argument(
        "--corpus", type=_corpus, help="folder of playbooks in place of generated ones"
    )
    parser.add_argument("--seed", type=int, help="run only this seed")
    parser.add_argument(
        "--scenario", type=_scenario, help="run a scenario that was written to a file"
    )
    parser.add_argument("--trace", action="store_true", help="print what happens")
    parser.add_argument("--shrink", action="store_true", help="shrink the run of the seed")
    parser.add_argument("--faults", type=_rates, help='rates of faults: {"late": 0.5}')
    options = parser.parse_args()
    source = Source(options.corpus, options.faults or "")
    if options.scenario is not None:
        return _one(options.scenario, trace=options.trace)
    if options.seed is not None:
        if options.shrink:
            _explain(options.seed, source)
        return _one(source.scenario(options.seed), trace=options.trace)
    broken = _many(options.first_seed, options.seeds, options.jobs, source, stop=options.stop)
    return min(broken, 1)


if __name__ == "__main__":
    sys.exit(main())
