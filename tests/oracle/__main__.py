"""``python -m oracle [--seeds N] [--first-seed N]``: the last line sums up."""

from __future__ import annotations

import argparse
import random
import sys

from oracle.playbooks import chain, document, graph
from oracle.test_oracle import differences

SHOWN_MAX = 5
"""Playbooks that are shown of those that do something else."""


def main() -> int:
    """Compare, show what differs, and return 1 if anything does."""
    parser = argparse.ArgumentParser(prog="oracle")
    parser.add_argument("--seeds", type=int, default=2000)
    parser.add_argument("--first-seed", type=int, default=0)
    given = parser.parse_args()
    wrong = 0
    for seed in range(given.first_seed, given.first_seed + given.seeds):
        for family in (chain, graph):
            playbook = family(random.Random(seed))
            found = differences(playbook)
            wrong += bool(found)
            if found and wrong <= SHOWN_MAX:
                print(f"{family.__name__} {seed}:", *found, document(playbook), sep="\n  ")
    print(f"oracle: {2 * given.seeds - wrong} of {2 * given.seeds} playbooks do what they say")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
