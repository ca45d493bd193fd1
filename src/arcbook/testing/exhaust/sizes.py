"""What is gone through: in a minute, and in an hour."""

from __future__ import annotations

from typing import Final

from arcbook.testing.exhaust.interleavings import PLAYBOOKS, Setting
from arcbook.testing.exhaust.known import Bounds, Mishaps
from arcbook.testing.exhaust.shapes import BACK, GUARDS, Rounds, Size

_ALL: Final = tuple(GUARDS)
_LOOPS: Final = tuple(
    Rounds(items, in_flight, stops)
    for items in range(4)
    for in_flight in (1, 2)
    for stops in (True, False)
)

SIZES: Final = (
    Size("two steps, two arcs back", 2, _ALL, tuple(BACK), 2),
    Size("three steps, no cycle", 3, _ALL),
    Size("three steps, one cycle", 3, ("plain", "error"), ("back",), 1, joins=(0, 1)),
    Size("four steps, no cycle", 4, ("plain",), joins=(0, 1, 2, 3)),
    Size("two steps, a loop", 2, ("plain", "error"), loops=_LOOPS),
    Size(
        "two steps, cancelled and lost", 2, ("plain", "error"), ("back",), 1, cancel=True, losses=1
    ),
    Size("a loop, cancelled", 2, ("plain",), loops=_LOOPS, cancel=True),
    Size("three steps, cancelled", 3, ("plain", "error"), joins=(0, 1), cancel=True),
)
"""Graphs that the test suite goes through."""

LARGE_SIZES: Final = (
    Size("two steps, all arcs", 2, _ALL, tuple(BACK), 4),
    Size("three steps, two arcs back", 3, ("plain", "error"), tuple(BACK), 2),
    Size("three steps, all arcs back", 3, ("plain",), ("back",), 6, errors_max=1),
    Size("four steps, failures caught", 4, ("plain", "error"), joins=(0, 1, 2, 3)),
    Size("three steps, a loop", 3, ("plain", "error"), loops=_LOOPS),
    Size(
        "three steps, cancelled and lost",
        3,
        ("plain", "error"),
        ("back",),
        1,
        cancel=True,
        losses=1,
    ),
)
"""Graphs that take longer."""

ANY_FAULT: Final = dict.fromkeys(("crash", "pause", "late", "bus", "store", "cancel", "tool"), 1)

SETTINGS: Final = (
    *(
        Setting(name, {"total": 1, **ANY_FAULT}, servers=servers)
        for name in PLAYBOOKS
        for servers in (1, 2)
    ),
    Setting("one step", {"total": 2, "late": 2}),
    Setting("two steps", {"total": 2, "late": 2}),
)
"""Interleavings that the test suite goes through: any one fault, or any two delays."""

LARGE_SETTINGS: Final = (
    *(Setting(name, {"total": 2, "crash": 1, "late": 1}) for name in PLAYBOOKS),
    *(Setting(name, {"total": 3, "late": 3}) for name in PLAYBOOKS),
    *(Setting(name, {"total": 2, "bus": 1, "crash": 1}) for name in PLAYBOOKS),
    Setting("one step", {"total": 2, **ANY_FAULT}),
    Setting("one step", {"total": 2, "pause": 1, "late": 1}, servers=2),
)
"""Interleavings that take longer: a crash with a delay or a lost message, and three delays."""

BOUNDS: Final = {
    "a crash and a loss": Bounds(mishaps=Mishaps(1, 1, 0, 0, 0, 0)),
    "a takeover and a twin": Bounds(mishaps=Mishaps(0, 0, 1, 0, 1, 0)),
    "a silence and a takeover": Bounds(mishaps=Mishaps(0, 0, 0, 1, 1, 0)),
    "a wait": Bounds(waits=True, mishaps=Mishaps(0, 0, 1, 0, 0, 0)),
    "two commands and a crash": Bounds(commands=2, mishaps=Mishaps(1, 0, 0, 0, 0, 0)),
    "once only": Bounds(never=True, mishaps=Mishaps(1, 1, 0, 1, 0, 0)),
    "cancelled": Bounds(mishaps=Mishaps(1, 0, 0, 0, 0, 1)),
    "cancelled, taken over": Bounds(mishaps=Mishaps(0, 0, 0, 0, 1, 1)),
    "a time limit": Bounds(mishaps=Mishaps(0, 1, 0, 0, 0, 0, 1)),
}
"""Worlds in which the test suite goes through all states of the model."""

LARGE_BOUNDS: Final = {
    "once only, taken over": Bounds(never=True, mishaps=Mishaps(0, 0, 0, 1, 1, 0)),
    "all but a wait": Bounds(mishaps=Mishaps(1, 1, 0, 1, 1, 0)),
    "a crash, a loss, a twin, a takeover": Bounds(mishaps=Mishaps(1, 1, 1, 0, 1, 0)),
    "cancelled, crashed, taken over": Bounds(mishaps=Mishaps(1, 0, 0, 0, 1, 1)),
    "two commands, taken over": Bounds(commands=2, mishaps=Mishaps(0, 1, 0, 0, 1, 0)),
    "three attempts": Bounds(attempts_max=3, mishaps=Mishaps(1, 1, 0, 1, 0, 0)),
}
"""Larger ones."""

WITHOUT: Final = {
    "fence_events": Bounds(mishaps=Mishaps(0, 0, 0, 0, 1, 0)),
    "fence_claims": Bounds(mishaps=Mishaps(0, 0, 0, 0, 1, 0)),
    "fence_claims_by_events": Bounds(mishaps=Mishaps(0, 0, 0, 0, 1, 1)),
    "check_attempts": Bounds(mishaps=Mishaps(0, 0, 0, 1, 0, 0)),
    "check_generations": Bounds(waits=True, mishaps=Mishaps(0, 0, 1, 0, 0, 0)),
    "answer_after_commit": Bounds(mishaps=Mishaps(0, 0, 0, 0, 1, 0)),
    "record_hand_over": Bounds(commands=2, mishaps=Mishaps(0, 0, 0, 0, 0, 0)),
    "tell_again": Bounds(mishaps=Mishaps(0, 1, 0, 0, 0, 0)),
    "end_leases": Bounds(mishaps=Mishaps(1, 0, 0, 0, 0, 0)),
    "report_again": Bounds(mishaps=Mishaps(0, 1, 0, 0, 0, 0)),
    "load_on_takeover": Bounds(mishaps=Mishaps(1, 0, 0, 0, 0, 0)),
    "record_first": Bounds(never=True, mishaps=Mishaps(0, 0, 0, 1, 0, 0)),
    "tell_what_began": Bounds(never=True, mishaps=Mishaps(0, 0, 0, 1, 0, 0)),
    "cancel_before_claims": Bounds(mishaps=Mishaps(0, 0, 0, 0, 0, 1)),
    "cancel_before_reports": Bounds(mishaps=Mishaps(0, 0, 0, 0, 0, 1)),
    "stop_in_time": Bounds(mishaps=Mishaps(1, 0, 0, 0, 0, 1)),
}
"""Each rule of the model, and a world in which something breaks without it."""
