"""Small worlds gone through whole: every graph, every interleaving, every state of a model.

What :mod:`arcbook.testing.simulate` samples in large worlds is enumerated here in small
ones, with the same production code and the same checks.

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
