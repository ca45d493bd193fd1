"""How often Python looks for garbage that counting references does not find."""

from __future__ import annotations

import gc
from typing import Final

THRESHOLDS: Final = (20_000, 20, 20)
"""New objects after which the young are looked through, and how often before the old ones are.

Python's own 700 and 10 are for small programs: with ten thousand steps in memory a
third of the time went into looking for garbage that is not there."""


def collect_seldom() -> None:
    """Look for garbage less often, and not in what is loaded already: it stays."""
    gc.freeze()
    gc.set_threshold(*THRESHOLDS)
