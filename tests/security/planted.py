"""``python planted.py HOW``, then as ``arcbook``: a server with a decision that ends it.

The decision is that of a report of the playbook ``tests/poison``.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable
from typing import Any, Final

from arcbook.cli.main import main
from arcbook.engine.inputs import Report, Start
from arcbook.owner import decider


def _sleeps() -> None:
    while True:
        time.sleep(3600)


def _spins() -> None:
    while True:
        pass


def _dies() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


HOW: Final[dict[str, Callable[[], None]]] = {"sleeps": _sleeps, "spins": _spins, "dies": _dies}


def plant(how: str, at: type) -> None:
    """Have decisions of the playbook end badly."""
    real = decider.decide

    def decide(state: Any, plan: Any, given: Any, **named: Any) -> Any:
        if plan.playbook.path == "tests/poison" and isinstance(given, at):
            HOW[how]()
        return real(state, plan, given, **named)

    decider.decide = decide  # type: ignore[assignment]


if __name__ == "__main__":
    how, _, when = sys.argv.pop(1).partition(":")
    plant(how, Start if when == "start" else Report)
    main()
