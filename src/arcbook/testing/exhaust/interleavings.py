"""Run the production runtime in every interleaving within a bound."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from arcbook.testing.exhaust.choices import Choices, courses
from arcbook.testing.exhaust.small import SmallStory, SmallWorld
from arcbook.testing.simulate.checks import BrokenError
from arcbook.testing.simulate.compare import essence
from arcbook.testing.simulate.run import tell
from arcbook.testing.simulate.scenario import Scenario

SEED: Final = 1
"""The seed of the tools' answers; with this one, all calls succeed."""


HARMLESS: Final = frozenset({"total", "late"})
"""Kinds of faults that make no worker lose a command."""


def _playbook(path: str, workflow: str) -> str:
    head = "apiVersion: noetl.io/v2\nkind: Playbook\n"
    return f"{head}metadata: {{name: {path}, path: {path}}}\nworkflow:\n{workflow}"


_ACT: Final = "tool: {kind: act, input: {n: 1}}"
_CHILD: Final = _playbook("child", f"- {{step: only, {_ACT}}}\n")

PLAYBOOKS: Final[dict[str, tuple[str, ...]]] = {
    "one step": (_playbook("flow", f"- {{step: a, {_ACT}}}\n"),),
    "two steps": (_playbook("flow", f"- {{step: a, {_ACT}, next: b}}\n- {{step: b, {_ACT}}}\n"),),
    "a loop": (
        _playbook(
            "flow",
            f"- step: a\n  {_ACT}\n"
            "  loop: {in: [1, 2], iterator: item, spec: {mode: parallel, max_in_flight: 2}}\n",
        ),
    ),
    "a child": (
        _playbook("flow", "- {step: a, tool: {kind: playbook, path: child}}\n"),
        _CHILD,
    ),
    "once": (
        _playbook(
            "flow",
            "- {step: a, tool: {kind: act, redelivery: never, input: {n: 1, once: true}}}\n",
        ),
    ),
}
"""The playbooks by name; further ones of an entry are children."""


class Setting(NamedTuple):
    """The setting to enumerate: a playbook, the processes, and the budget of faults."""

    playbook: str
    #: Maximum number of faults in one run, by kind, and in total under ``total``.
    budget: Mapping[str, int]
    servers: int = 1
    workers: int = 2

    def __str__(self) -> str:
        faults = ", ".join(f"{kind} {most}" for kind, most in self.budget.items())
        return f"{self.playbook}, {self.servers} servers, {self.workers} workers, {faults}"


class Enumerated(NamedTuple):
    """The number of runs, and whether they were all."""

    runs: int
    #: The number of choices in the longest run, and of faults in all runs.
    depth: int
    faults: int
    is_complete: bool
    seconds: float


def enumerate_runs(setting: Setting, *, runs_max: int | None = None) -> Enumerated:
    """Run a setting in every course.

    Args:
        setting: the setting.
        runs_max: maximum number of runs; all by default.

    Raises:
        BrokenError: a rule is broken; the message names the faults before.
    """
    began = time.monotonic()
    search = _Search(setting)
    runs, depth, done = 0, 0, True
    for choices in courses(search.run):
        runs += 1
        depth = max(depth, len(choices.made))
        if runs == runs_max:
            done = False
            break
    seconds = time.monotonic() - began
    return Enumerated(runs, depth, search.faults, is_complete=done, seconds=seconds)


class _Search:
    def __init__(self, setting: Setting) -> None:
        self._setting = setting
        texts = PLAYBOOKS[setting.playbook]
        self._scenario = Scenario(
            seed=SEED,
            servers=setting.servers,
            workers=setting.workers,
            playbooks=dict(zip(("flow", "child"), texts, strict=False)),
            executions=1,
            rates=dict.fromkeys(setting.budget.keys() - HARMLESS, 1.0),
        )
        self.faults = 0
        #: The result of the first run, which has no faults.
        self._wanted: Any = None

    def run(self, choices: Choices) -> None:
        """Run one course."""
        world = SmallWorld(self._scenario, choices, self._setting.budget)
        tell(SmallStory(world))
        self.faults += len(world.faults.happened)
        if world.checks.broken is None:
            self._compare(world)
        broken = world.checks.broken
        if broken is not None:
            raise BrokenError(broken.rule, f"{broken}\n{self._description(world, choices)}")

    def _compare(self, world: SmallWorld) -> None:
        """Whatever went wrong, an execution that was not cancelled yields the same."""
        first = world.checks.states[min(world.checks.states)]
        if world.checks.cancelled:
            return
        outcome = essence(first)
        if self._wanted is None:
            self._wanted = outcome
        if outcome != self._wanted and "once" not in self._setting.playbook:
            world.checks.fail("result", f"it yields {outcome}, undisturbed {self._wanted}")

    def _description(self, world: SmallWorld, choices: Choices) -> str:
        faults = "".join(
            f"\n  {number}: {description}" for number, description in world.faults.happened
        )
        taken = [choice.taken for choice in choices.made]
        while taken and not taken[-1]:
            taken.pop()
        return f"in {self._setting}, after{faults}\nchoices {taken}"


__all__ = ["PLAYBOOKS", "Enumerated", "Setting", "enumerate_runs"]
