"""Tuning of Python's cyclic garbage collector."""

from __future__ import annotations

import gc
from typing import Final

THRESHOLDS: Final = (20_000, 20, 20)
"""Thresholds of the three generations, as in ``gc.set_threshold``.

Python's own 700 and 10 are for small programs: with ten thousand steps in memory a
third of the time went into looking for garbage that is not there."""


def collect_seldom() -> None:
    """Collect less often, and exclude the modules already loaded."""
    gc.freeze()
    gc.set_threshold(*THRESHOLDS)
