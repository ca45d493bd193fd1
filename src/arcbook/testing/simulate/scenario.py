"""The scenario of a run: everything that its seed decides in advance."""

from __future__ import annotations

import random
from typing import Any, Final

import msgspec

from arcbook.testing.generate import random_playbook
from arcbook.testing.simulate.library import Library

KINDS: Final = (
    "crash",
    "bus",
    "store",
    "blob",
    "pause",
    "jump",
    "tool",
    "hang",
    "echo",
    "cancel",
    "wipe",
    "restart",
    "zombie",
)
"""Kinds of faults."""

MORE_KINDS: Final = ("raise", "stall", "long", "late", "deaf")
"""Kinds of faults that some runs have beside those: a loop raises what nobody expects, a
server stands still for longer than any lease, tools take longer than a lease, answers come
late, and tools do not hear that they are to stop.
"""

MORE_SHARE: Final = 0.4
"""How many of all runs have some of those."""

MILD: Final = frozenset({"tool", "hang", "cancel", "long", "late", "deaf"})
"""Kinds of faults by which no worker loses a command."""

GENTLE: Final = MILD | {"stall", "raise"}
"""Kinds of faults by which no worker that goes on loses a command that it holds."""


class Scenario(msgspec.Struct, frozen=True, kw_only=True):
    """The parts of a run: its processes, its playbooks and the possible faults."""

    seed: int
    servers: int = 2
    workers: int = 2
    #: Playbooks by path; the first one is started, the others are its children.
    playbooks: dict[str, str]
    #: Whether they are hand-written, for tools of all kinds.
    documents: bool = False
    executions: int = 3
    #: The ``catch_up`` of the schedule; empty for no schedule.
    schedule: str = ""
    #: The probability of each kind of fault.
    rates: dict[str, float] = {}
    #: Duration of the phase with faults, in seconds.
    storm: float = 6.0
    #: Numbers of faults to leave out, and the number from which all are left out.
    muted: frozenset[int] = frozenset()
    faults_max: int = 1_000_000
    #: Number of events after which a snapshot is saved.
    snapshot_events: int = 1000
    #: Size up to which values are stored in events; larger ones are stored by reference.
    inline_bytes: int = 100 * 1024


def scenario_of(seed: int, library: Library | None = None) -> Scenario:
    """Return the scenario of a seed, with a generated playbook or one of a library."""
    rng = random.Random(f"scenario:{seed}")
    if library is None:
        playbooks = _generated(rng)
    else:
        playbooks = library.family(rng.choice(sorted(library.texts)))
    return Scenario(
        seed=seed,
        servers=rng.choice([1, 2, 2, 3]),
        workers=rng.choice([1, 2, 2, 3]),
        playbooks=playbooks,
        documents=library is not None,
        executions=rng.choice([1, 2, 3, 5, 8]),
        schedule=rng.choice(["", "", "all", "latest", "skip"]),
        rates=_more(seed, _rates(rng)),
        storm=rng.choice([1.0, 3.0, 6.0, 12.0]),
        snapshot_events=rng.choice([3, 10, 1000]),
        inline_bytes=rng.choice([4, 100 * 1024, 100 * 1024]),
    )


def _generated(rng: random.Random) -> dict[str, str]:
    root = "flow"
    children = rng.random() < 0.4
    child = "child" if children else ""
    playbooks = {root: random_playbook(rng, path=root, child=child, wide=True)}
    if children:
        grand = "grandchild" if rng.random() < 0.4 else ""
        playbooks[child] = random_playbook(rng, path=child, child=grand, steps_max=3, wide=True)
        if grand:
            playbooks[grand] = random_playbook(rng, path=grand, steps_max=2, wide=True)
    return playbooks


def _rates(rng: random.Random) -> dict[str, float]:
    """Choose rates for some kinds, because a run with few kinds explores more deeply."""
    chosen = rng.sample(KINDS, rng.choice([1, 2, 3, 5, len(KINDS)]))
    if rng.random() < 0.1:
        chosen = ["tool", "cancel"]
    return {kind: _RATES[kind] * rng.choice([0.3, 1.0, 3.0]) for kind in KINDS if kind in chosen}


def _more(seed: int, rates: dict[str, float]) -> dict[str, float]:
    """Add further kinds to those of a run, or to those of them that cost no worker a command."""
    rng = random.Random(f"more:{seed}")
    if rng.random() >= MORE_SHARE:
        return rates
    chosen = rng.sample(MORE_KINDS, rng.choice([1, 2, 3, len(MORE_KINDS)]))
    if rng.random() < 0.5:
        rates = {kind: rate for kind, rate in rates.items() if kind in GENTLE}
    return rates | {kind: _RATES[kind] * rng.choice([0.3, 1.0, 3.0]) for kind in chosen}


_RATES: Final[dict[str, float]] = {
    "crash": 0.004,
    "bus": 0.05,
    "store": 0.02,
    "blob": 0.1,
    "pause": 0.1,
    "jump": 0.05,
    "tool": 0.1,
    "hang": 0.02,
    "echo": 0.5,
    "cancel": 0.1,
    "wipe": 0.05,
    "restart": 0.05,
    "zombie": 0.02,
    "raise": 0.05,
    "stall": 0.05,
    "long": 0.2,
    "late": 0.1,
    "deaf": 0.03,
}
"""How likely each kind is: at a call of a port, of a tool, or in a second."""


def encoded(scenario: Scenario) -> Any:
    """Return a scenario as plain data, for a report."""
    return msgspec.to_builtins(scenario)
