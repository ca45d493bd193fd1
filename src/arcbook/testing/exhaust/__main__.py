"""Enumerate small worlds: all graphs, all interleavings, all states of the model."""

from __future__ import annotations

import argparse
import sys
import time

from arcbook.testing.exhaust.graphs import Counts, explore
from arcbook.testing.exhaust.interleavings import enumerate_runs
from arcbook.testing.exhaust.known import Rules
from arcbook.testing.exhaust.search import check
from arcbook.testing.exhaust.sizes import (
    BOUNDS,
    LARGE_BOUNDS,
    LARGE_SETTINGS,
    LARGE_SIZES,
    SETTINGS,
    SIZES,
    WITHOUT,
)
from arcbook.testing.exhaust.traces import traced
from arcbook.testing.simulate.checks import BrokenError

PARTS = ("graphs", "interleavings", "model", "traces")


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


class _Told:
    """The results: summaries, and the number of broken rules."""

    def __init__(self) -> None:
        self.summaries: list[str] = []
        self.broken = 0

    def breaks(self, message: str) -> None:
        self.broken += 1
        _say(message)


def _graphs(report: _Told, *, large: bool) -> None:
    total = Counts()
    for size in (*SIZES, *(LARGE_SIZES if large else ())):
        began = time.monotonic()
        try:
            counts = explore(size)
        except BrokenError as error:
            report.breaks(f"{size.name}: {error}")
            continue
        total = total.plus(counts)
        _say(
            f"{size.name}: {counts.graphs} graphs, {counts.states} states, {counts.inputs} inputs, "
            f"{counts.ends} ends, {counts.determined} graphs determined by outcomes, "
            f"{time.monotonic() - began:.1f} s"
        )
    report.summaries.append(f"{total.graphs} graphs with {total.states} states")


def _interleavings(report: _Told, *, large: bool) -> None:
    total = 0
    for setting in (*SETTINGS, *(LARGE_SETTINGS if large else ())):
        try:
            enumerated = enumerate_runs(setting)
        except BrokenError as error:
            report.breaks(str(error))
            continue
        total += enumerated.runs
        _say(
            f"{setting}: {enumerated.runs} runs, up to {enumerated.depth} choices, {enumerated.faults} faults, "
            f"{enumerated.seconds:.1f} s"
        )
    report.summaries.append(f"{total} interleavings")


def _model(report: _Told, *, large: bool) -> None:
    total = 0
    for name, bounds in {**BOUNDS, **(LARGE_BOUNDS if large else {})}.items():
        began = time.monotonic()
        checked = check(bounds)
        total += checked.states
        _say(
            f"model, {name}: {checked.states} states, {checked.steps} steps, "
            f"{time.monotonic() - began:.1f} s"
        )
        if checked.violated:
            report.breaks(f"model, {name}: {checked.violated}")
    for rule, bounds in WITHOUT.items():
        violated = check(bounds, Rules()._replace(**{rule: False})).violated
        _say(f"model without {rule}: {violated.rule if violated else 'nothing breaks'}")
        if violated is None:
            report.breaks(f"the model holds without {rule}")
    report.summaries.append(f"{total} states of the model, {len(WITHOUT)} mutations")


def _traces(report: _Told, seeds: int) -> None:
    executions = 0
    for seed in range(seeds):
        count, message = traced(seed)
        executions += count
        if message:
            report.breaks(f"seed {seed}: {message}")
    report.summaries.append(f"traces of {executions} executions")


def main() -> int:
    """Run the parts that the command line names."""
    parser = argparse.ArgumentParser(prog="python -m arcbook.testing.exhaust")
    parser.add_argument(
        "parts", nargs="*", metavar="PART", help=f"one of {', '.join(PARTS)}; all by default"
    )
    parser.add_argument("--large", action="store_true", help="include larger worlds")
    parser.add_argument("--seeds", type=int, default=300, help="number of traced simulations")
    options = parser.parse_args()
    if unknown := set(options.parts) - set(PARTS):
        parser.error(f"there is no part {sorted(unknown)}; choose from {', '.join(PARTS)}")
    parts = options.parts or PARTS
    report = _Told()
    if "graphs" in parts:
        _graphs(report, large=options.large)
    if "interleavings" in parts:
        _interleavings(report, large=options.large)
    if "model" in parts:
        _model(report, large=options.large)
    if "traces" in parts:
        _traces(report, options.seeds)
    _say(f"went through {', '.join(report.summaries)}: {report.broken} broken")
    return min(report.broken, 1)


if __name__ == "__main__":
    sys.exit(main())
