"""``python -m security``: every attack, with what became of it; the last line sums up.

An attack is ``refused`` where it gets an error, ``contained`` where it changes nothing beyond
the attacker's own, and ``audited`` where what matters is that it is on record: as the test's
marker ``held`` says, or the first word of its name.
"""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path
from typing import Final

import pytest

VERDICTS: Final = ("refused", "contained", "audited")


class Verdicts:
    """Prints a line for each attack, as it is tried."""

    def __init__(self) -> None:
        self.held: Counter[str] = Counter()
        self.broken: list[str] = []
        self._verdicts: dict[str, str] = {}

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Learn how each attack is to be held."""
        for item in items:
            marker = item.get_closest_marker("held")
            first = item.name.removeprefix("test_").partition("_")[0]
            named = first if first in VERDICTS else VERDICTS[0]
            self._verdicts[item.nodeid] = marker.args[0] if marker is not None else named

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Take note of what became of an attack."""
        if report.when != "call" and report.passed:
            return
        name = report.nodeid.partition("::")[2]
        if report.passed:
            verdict = self._verdicts[report.nodeid]
            self.held[verdict] += 1
        else:
            verdict = "SUCCEEDED" if report.when == "call" else "NOT TRIED"
            self.broken.append(name)
            print(report.longreprtext, file=sys.stderr)
        words = name.removeprefix("test_").replace("_", " ")
        words = words.removeprefix(f"{verdict} ")
        print(f"{verdict:9}  {words}", flush=True)


def main() -> int:
    """Try all attacks; return 1 if one is not held."""
    verdicts = Verdicts()
    chosen = sys.argv[1:] or [str(Path(__file__).parent)]
    options = ["-o", "addopts=--strict-markers", "-p", "no:terminal", "-p", "no:cacheprovider"]
    pytest.main([*options, *chosen], plugins=[verdicts])
    held = sum(verdicts.held.values())
    tried = held + len(verdicts.broken)
    counted = ", ".join(f"{count} {verdict}" for verdict, count in sorted(verdicts.held.items()))
    print(f"{counted}; not held: {', '.join(verdicts.broken) or 'none'}")
    print(f"security: {held} of {tried} held")
    return 1 if verdicts.broken or not tried else 0


if __name__ == "__main__":
    sys.exit(main())
