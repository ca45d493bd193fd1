"""A decision is broken off once, and nothing that comes after it."""

from __future__ import annotations

import pytest

from arcbook.runtime.boundary import DecisionHungError
from arcbook.runtime.watchdog import Deciding, Watchdog


def test_what_is_condemned_is_broken_off_once():
    deciding = Deciding()
    watchdog = Watchdog(deciding)
    deciding.number, deciding.execution_id = 7, 1
    watchdog._condemned = (7, "it stood still")

    with pytest.raises(DecisionHungError, match="it stood still"):
        watchdog._break_off(0, None)
    watchdog._break_off(0, None)


def test_a_decision_that_has_followed_is_left_alone():
    deciding = Deciding()
    watchdog = Watchdog(deciding)
    watchdog._condemned = (7, "it stood still")
    deciding.number, deciding.execution_id = 8, 1

    watchdog._break_off(0, None)
