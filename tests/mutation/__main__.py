"""``python -m mutation [--sample N] [--seed S] [PART ...]``: the last line sums up.

A mutant is killed when a test of the unit suite fails that passes without it, or that works far
longer. Survivors are told. Mutants that behave like the original are named in ``equal.txt``, each
with the reason, and left out.
"""

from __future__ import annotations

import argparse
import random
import sys
from collections.abc import Sequence
from typing import Final

import pytest

from mutation.judge import PACKAGE, ROOT, SUITE, Judge
from mutation.mutants import Mutant, equal, mutants

PARTS: Final = ("engine", "template", "dsl", "events", "owner", "performer")


def main() -> int:
    """Try mutants, tell the survivors, and say how many were killed."""
    parser = argparse.ArgumentParser(prog="mutation")
    parser.add_argument("--sample", type=int, default=40, help="how many; 0 means all")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("parts", nargs="*", help=", ".join(PARTS))
    given = parser.parse_args()
    chosen = sample(given.parts or PARTS, given.sample, given.seed)
    judge = Judge(chosen, lambda line: print(line, flush=True))
    options = ["-q", "--capture=no", "-p", "no:cacheprovider", f"--rootdir={ROOT}"]
    ended = pytest.main([*options, *(str(ROOT / path) for path in SUITE)], plugins=[judge])
    print(f"mutation: {judge.killed} of {len(chosen)} killed")
    return int(ended)


def sample(parts: Sequence[str], count: int, seed: int) -> list[Mutant]:
    """Return mutants of parts, chosen by a seed; all of them if the count is 0."""
    left_out = equal()
    found = [
        mutant
        for part in parts
        for file in sorted((PACKAGE / part).rglob("*.py"))
        for mutant in mutants(file)
        if (file.relative_to(PACKAGE).as_posix(), mutant.what) not in left_out
    ]
    return random.Random(seed).sample(found, min(count, len(found))) if count else found


if __name__ == "__main__":
    sys.exit(main())
