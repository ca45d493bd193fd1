"""``python -m fuzz [--seconds N] [--seed S] [TARGET ...]``: the last line sums up."""

from __future__ import annotations

import argparse
import random
import sys

from fuzz.run import run
from fuzz.targets import TARGETS


def main() -> int:
    """Run, print what broke, and return 1 if anything did."""
    parser = argparse.ArgumentParser(prog="fuzz")
    parser.add_argument("--seconds", type=float, default=60, help="for each target")
    parser.add_argument("--seed", type=int, default=random.randrange(2**32))
    parser.add_argument("targets", nargs="*", help=", ".join(t.name for t in TARGETS))
    given = parser.parse_args()
    unknown = set(given.targets) - {t.name for t in TARGETS}
    if unknown:
        parser.error(f"there is no target {', '.join(sorted(unknown))}")
    chosen = [t for t in TARGETS if not given.targets or t.name in given.targets]
    broken = inputs = refused = 0
    for target in chosen:
        report = run([target], given.seconds, given.seed)
        print(f"{target.name}: {report.inputs:,} inputs, {report.refused:,} refused", flush=True)
        for found in report.broken:
            print(f"  {found.data[:400]!r}\n{found.reason}", flush=True)
        inputs, refused = inputs + report.inputs, refused + report.refused
        broken += len(report.broken)
    print(
        f"fuzz: {len(chosen)} targets, {inputs:,} inputs, {refused:,} refused, {broken} broken (seed {given.seed})"
    )
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
