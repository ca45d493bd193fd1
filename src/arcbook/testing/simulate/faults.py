"""Decide which faults happen: a sequence of numbered questions, answered from the seed.

In a repeated run a question has the same number, and each answer is one draw. So single
faults can be left out of a run, to find those that matter.
"""

from __future__ import annotations

import random

from arcbook.testing.simulate.scenario import Scenario


class Faults:
    """Decides which faults happen."""

    def __init__(self, scenario: Scenario) -> None:
        self._scenario = scenario
        self._random = random.Random(f"faults:{scenario.seed}").random
        self._rates = scenario.rates
        self.rng = random.Random(f"details:{scenario.seed}")
        #: Whether faults are enabled.
        self.on = False
        self._asked = 0
        #: The faults that happened: number and description.
        self.happened: list[tuple[int, str]] = []

    def strikes(self, kind: str, label: str) -> bool:
        """Return whether something goes wrong here."""
        if not self.on:
            return False
        rate = self._rates.get(kind)
        if rate is None:
            return False
        self._asked += 1
        if self._random() >= rate:
            return False
        number, scenario = self._asked, self._scenario
        if number in scenario.muted or len(self.happened) >= scenario.faults_max:
            return False
        self.happened.append((number, label))
        return True

    def delay(self) -> float:
        """Return how long a call of a port takes, in seconds; mostly nothing to speak of."""
        drawn = self.rng.random()
        if drawn < 0.4:
            return 0.0
        if drawn < 0.97 or not self.on:
            return drawn * 0.004
        return drawn * self.rng.choice([0.05, 0.5])
