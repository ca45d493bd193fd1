"""What one run consists of: everything that its seed decides before it begins."""

from __future__ import annotations

import random
from typing import Any, Final

import msgspec

from arcbook.testing.generate import random_playbook

KINDS: Final = (
    "crash",
    "bus",
    "store",
    "pause",
    "jump",
    "tool",
    "cancel",
    "wipe",
    "restart",
    "zombie",
)
"""Kinds of faults."""


class Scenario(msgspec.Struct, frozen=True, kw_only=True):
    """A run: who takes part, what is executed, and what may go wrong."""

    seed: int
    servers: int = 2
    workers: int = 2
    #: Playbooks by path; the first one is started, the others are its children.
    playbooks: dict[str, str]
    executions: int = 3
    #: How catch-up is set on the schedule; none if empty.
    schedule: str = ""
    #: How likely each kind of fault is, where it can happen.
    rates: dict[str, float] = {}
    #: Seconds for which faults happen.
    storm: float = 6.0
    #: Faults that do not happen, by number; and the first one that never does.
    muted: frozenset[int] = frozenset()
    faults_max: int = 1_000_000
    #: Events after which a state is saved.
    snapshot_events: int = 1000


def scenario_of(seed: int) -> Scenario:
    """Return the run of a seed."""
    rng = random.Random(f"scenario:{seed}")
    root = "flow"
    children = rng.random() < 0.4
    playbooks = {root: random_playbook(rng, path=root, child="child" if children else "")}
    if children:
        grand = rng.random() < 0.4
        playbooks["child"] = random_playbook(
            rng, path="child", child="grandchild" if grand else "", steps_max=3
        )
        if grand:
            playbooks["grandchild"] = random_playbook(rng, path="grandchild", steps_max=2)
    return Scenario(
        seed=seed,
        servers=rng.choice([1, 2, 2, 3]),
        workers=rng.choice([1, 2, 2, 3]),
        playbooks=playbooks,
        executions=rng.choice([3, 5, 8]),
        schedule=rng.choice(["", "", "all", "latest", "skip"]),
        rates=_rates(rng),
        storm=rng.choice([2.0, 6.0, 12.0]),
        snapshot_events=rng.choice([3, 10, 1000]),
    )


def _rates(rng: random.Random) -> dict[str, float]:
    """Return rates of some kinds: a run with few kinds goes deeper than one with all."""
    wanted = rng.sample(KINDS, rng.choice([1, 2, 3, 5, len(KINDS)]))
    if rng.random() < 0.1:
        wanted = ["tool", "cancel"]
    return {kind: _RATES[kind] * rng.choice([0.3, 1.0, 3.0]) for kind in KINDS if kind in wanted}


_RATES: Final[dict[str, float]] = {
    "crash": 0.004,
    "bus": 0.05,
    "store": 0.02,
    "pause": 0.1,
    "jump": 0.05,
    "tool": 0.1,
    "cancel": 0.1,
    "wipe": 0.05,
    "restart": 0.05,
    "zombie": 0.02,
}
"""How likely each kind is: at a call of a port, of a tool, or in a second."""


def encoded(scenario: Scenario) -> Any:
    """Return a scenario as plain data, for a report."""
    return msgspec.to_builtins(scenario)
