"""``python -m lifetimes``: 100,000 short executions leave nothing but their history."""

from __future__ import annotations

import argparse
import asyncio
import sys

from arcbook.testing.services import NatsServer, PostgresServer
from lifetimes.run import flat


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def main() -> int:
    """Run, print what grew, and return the exit status."""
    parser = argparse.ArgumentParser(prog="lifetimes", description=__doc__)
    parser.add_argument("--executions", type=int, default=100_000)
    parser.add_argument(
        "--warming", type=int, default=2_000, help="executions before the first look"
    )
    given = parser.parse_args()
    with PostgresServer() as postgres, NatsServer() as nats:
        report = asyncio.run(flat(postgres, nats, given.executions, given.warming, _say))
    growth = ", ".join(f"{name} {by:+.2f}" for name, by in report.growth._asdict().items())
    _say(f"growth for 1,000 executions: {growth}")
    for sentence in report.grown:
        _say(f"! {sentence}")
    verdict = "nothing grows" if not report.grown else f"{len(report.grown)} things grow"
    _say(f"lifetimes: {report.executions:,} executions in {report.seconds:.0f} s; {verdict}")
    return 1 if report.grown else 0


if __name__ == "__main__":
    sys.exit(main())
