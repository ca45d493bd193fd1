"""Simulating seeds as ``make simulate`` does, beside the other tests where there are many."""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from typing import Final

MANY: Final = 100
"""Tests of a run from which on the seeds are simulated beside them, by one process."""

_SUMMARY: Final = re.compile(r"simulated (\d+) seeds from 0: \d+ executions, .* (\d+) broken")


class Simulating:
    """A run of seeds in a process of its own."""

    def __init__(self, seeds: int, *more: str, aside: bool = False) -> None:
        command = [sys.executable, "-m", "arcbook.testing.simulate", "--seeds", str(seeds), *more]
        if aside:
            command = ["nice", "-n", "19", *command, "--jobs", "1"]
        self._said = tempfile.TemporaryFile("w+")  # noqa: SIM115  # closed when it is over
        self._process = subprocess.Popen(command, stdout=self._said, stderr=subprocess.STDOUT)

    def ended(self) -> tuple[int, list[str]]:
        """Wait for its end; return how many seeds ran, and what is said of those that broke."""
        status = self._process.wait()
        with self._said:
            self._said.seek(0)
            said = self._said.read()
        summary = _SUMMARY.search(said)
        assert summary is not None, said
        assert (status == 0) == (summary[2] == "0")
        return int(summary[1]), [line for line in said.splitlines() if line[:5] == "seed "]

    def stop(self) -> None:
        """End it, if it still goes on."""
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()
        self._said.close()
