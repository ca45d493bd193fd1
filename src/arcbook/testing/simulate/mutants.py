"""Check that the simulator finds planted bugs.

A mutant is a textual patch of a copy of the source. If a patch no longer applies, the run
fails, and the patch must be rewritten.
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final, NamedTuple

import arcbook
from arcbook.testing.simulate.planted import MUTANTS, Mutant

SEEDS_MAX: Final = 2000
"""Number of seeds within which each bug must be found."""

_ON_A_COPY: Final = """\
import runpy, sys
sys.path.insert(0, sys.argv.pop(1))
runpy.run_module("arcbook.testing.simulate", run_name="__main__", alter_sys=True)
"""

_FOUND: Final = re.compile(r"^seed (\d+) at [^:]*: (\S+): ", re.MULTILINE)


class Found(NamedTuple):
    """The result for one mutant."""

    mutant: Mutant
    #: The seed that found it; -1 if none did.
    seed: int
    rule: str
    seconds: float


def _patched(mutant: Mutant, folder: Path) -> None:
    source = Path(arcbook.__file__).parent
    shutil.copytree(source, folder / "arcbook", ignore=shutil.ignore_patterns("__pycache__"))
    for patch in mutant.patches:
        path = folder / "arcbook" / patch.file
        text = path.read_text()
        if text.count(patch.old) != 1:
            raise SystemExit(f"mutant {mutant.name!r} does not apply to {patch.file} any more")
        path.write_text(text.replace(patch.old, patch.new))


def hunt(mutant: Mutant, seeds: int) -> Found:
    """Plant a bug in a copy, and return the first seed that finds it."""
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        _patched(mutant, folder)
        done = subprocess.run(
            [
                sys.executable,
                "-c",
                _ON_A_COPY,
                name,
                "--stop",
                "--jobs",
                "1",
                "--seeds",
                str(seeds),
                *(["--faults", mutant.faults] if mutant.faults else []),
            ],
            cwd=name,
            capture_output=True,
            text=True,
            check=False,
        )
    match = _FOUND.search(done.stdout)
    if match is None and "broken" not in done.stdout:
        raise SystemExit(f"mutant {mutant.name!r} does not run:\n{done.stderr[-2000:]}")
    seconds = time.monotonic() - began
    if match is None:
        return Found(mutant, -1, "", seconds)
    return Found(mutant, int(match[1]), match[2], seconds)


def _hunted(mutants: list[Mutant], seeds: int, jobs: int) -> Iterator[Found]:
    with ThreadPoolExecutor(jobs) as pool:
        for result in pool.map(lambda mutant: hunt(mutant, seeds), mutants):
            verdict = f"seed {result.seed} ({result.rule})" if result.seed >= 0 else "NOT FOUND"
            sys.stdout.write(f"{result.mutant.name}: {verdict}, {result.seconds:.0f} s\n")
            sys.stdout.flush()
            yield result


def table(results: list[Found]) -> str:
    """Format the results as a table for the documentation."""
    lines = ["| planted bug | found by seed | rule |", "|---|---|---|"]
    lines += [f"| {f.mutant.name} | {f.seed if f.seed >= 0 else '-'} | {f.rule} |" for f in results]
    return "\n".join(lines) + "\n"


def main() -> int:
    """Plant each bug, and check whether it is found."""
    parser = argparse.ArgumentParser(prog="python -m arcbook.testing.simulate.mutants")
    parser.add_argument("--seeds", type=int, default=SEEDS_MAX, help="seeds for each")
    parser.add_argument("--jobs", type=int, default=2, help="mutants at the same time")
    parser.add_argument("--only", default="", help="mutants whose name contains this")
    parser.add_argument("--table", type=Path, help="where to write the table")
    options = parser.parse_args()
    mutants = [mutant for mutant in MUTANTS if options.only in mutant.name]
    results = list(_hunted(mutants, options.seeds, options.jobs))
    if options.table is not None:
        options.table.write_text(table(results))
    count = sum(one.seed >= 0 for one in results)
    sys.stdout.write(f"mutants: {count} of {len(results)} found\n")
    return int(count < len(results))


if __name__ == "__main__":
    sys.exit(main())
