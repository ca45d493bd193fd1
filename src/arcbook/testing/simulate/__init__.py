"""Deterministic simulation of the production runtime, with faults drawn from a seed.

Servers, workers, a store, a bus, blobs, timers and schedules run in one process, on an
event loop that controls time and order. Faults are injected at the ports. The same seed
always produces the same run, byte for byte.

    python -m arcbook.testing.simulate --seeds 100
    python -m arcbook.testing.simulate --seed 17 --trace
    python -m arcbook.testing.simulate --seeds 100 --corpus FOLDER
"""

from __future__ import annotations

from arcbook.testing.simulate.library import Library
from arcbook.testing.simulate.run import Ran, simulate
from arcbook.testing.simulate.scenario import Scenario, scenario_of

__all__ = ["Library", "Ran", "Scenario", "scenario_of", "simulate"]
