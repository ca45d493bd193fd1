"""Exhaustive checks of small worlds: every graph, every interleaving, every state of a model.

:mod:`arcbook.testing.simulate` samples large worlds; this package enumerates small ones, with
the same production code and the same checks.

    python -m arcbook.testing.exhaust
    python -m arcbook.testing.exhaust --large graphs
"""

from __future__ import annotations

from arcbook.testing.exhaust.graphs import Counts, explore
from arcbook.testing.exhaust.interleavings import Enumerated, Setting, enumerate_runs
from arcbook.testing.exhaust.search import Checked, check
from arcbook.testing.exhaust.shapes import Size
from arcbook.testing.exhaust.traces import TracedChecks

__all__ = [
    "Checked",
    "Counts",
    "Enumerated",
    "Setting",
    "Size",
    "TracedChecks",
    "check",
    "enumerate_runs",
    "explore",
]
