"""Making a run that breaks something smaller, as long as it breaks the same."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, Final

import msgspec
import yaml

from arcbook.dsl.load import load_playbook
from arcbook.testing.simulate.run import Ran, simulate
from arcbook.testing.simulate.scenario import Scenario
from arcbook.testing.simulate.script import add_tools
from arcbook.testing.simulate.tools import SimRegistry

RUNS_MAX: Final = 400
"""Runs that are tried."""


class Shrinker:
    """Makes one run smaller."""

    def __init__(self, ran: Ran) -> None:
        self._best = ran
        self._left = RUNS_MAX

    def shrink(self) -> Ran:
        """Return the smallest run found: fewer faults, then fewer parts, then a smaller graph."""
        moved = True
        while moved and self._left > 0:
            moved = self._faults() or self._parts() or self._playbooks()
        return self._best

    def _try(self, **changes: Any) -> bool:
        if self._left <= 0:
            return False
        self._left -= 1
        ran = simulate(msgspec.structs.replace(self._best.scenario, **changes))
        if ran.rule != self._best.rule:
            return False
        self._best = ran
        return True

    # -- faults -----------------------------------------------------------------------

    def _faults(self) -> bool:
        """Leave out all faults after some number, and then single ones."""
        moved = False
        low, high = 0, len(self._best.faults)
        while low < high:
            middle = (low + high) // 2
            if self._try(faults_max=middle):
                moved, high = True, min(middle, len(self._best.faults))
            else:
                low = middle + 1
        for number, _ in list(reversed(self._best.faults)):
            muted = self._best.scenario.muted | {number}
            before = len(self._best.faults)
            if self._try(muted=muted) and len(self._best.faults) < before:
                moved = True
        return moved

    # -- parts ------------------------------------------------------------------------

    def _parts(self) -> bool:
        scenario = self._best.scenario
        smaller = (
            {"schedule": ""},
            {"executions": 1},
            {"executions": scenario.executions // 2},
            {"servers": scenario.servers - 1},
            {"workers": scenario.workers - 1},
        )
        moved = False
        for changes in smaller:
            name, value = next(iter(changes.items()))
            current = getattr(self._best.scenario, name)
            if value in (0, current) or (isinstance(value, int) and value > current):
                continue
            moved = self._try(**changes) or moved
        return moved

    # -- playbooks --------------------------------------------------------------------

    def _playbooks(self) -> bool:
        moved = False
        for path in list(self._best.scenario.playbooks):
            for smaller in _smaller(
                yaml.load(self._best.scenario.playbooks[path], yaml.CSafeLoader)
            ):
                text = json.dumps(smaller, indent=1)
                if not _is_valid(text, self._best.scenario):
                    continue
                playbooks = {**self._best.scenario.playbooks, path: text}
                if self._try(playbooks=playbooks):
                    moved = True
                    break
        return moved


def _is_valid(text: str, scenario: Scenario) -> bool:
    registry = SimRegistry()
    add_tools(registry, scenario, lambda _: None)
    return load_playbook(text, registry).playbook is not None


def _smaller(document: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield a document without one of its steps, or one of their parts."""
    steps: list[dict[str, Any]] = document["workflow"]
    for at in range(len(steps) - 1, -1, -1):
        if len(steps) > 1:
            removed = steps[at]["step"]
            rest = [_without_arcs(step, removed) for i, step in enumerate(steps) if i != at]
            yield {**document, "workflow": rest}
        for part in ("next", "loop", "when", "set", "spec"):
            if steps[at].get(part):
                less = {k: v for k, v in steps[at].items() if k != part}
                yield {**document, "workflow": [*steps[:at], less, *steps[at + 1 :]]}


def _without_arcs(step: dict[str, Any], target: str) -> dict[str, Any]:
    following = step.get("next")
    if not isinstance(following, dict) or "arcs" not in following:
        return step
    arcs = [arc for arc in following["arcs"] if arc["step"] != target]
    rest = {k: v for k, v in step.items() if k != "next"}
    return {**rest, "next": {**following, "arcs": arcs}} if arcs else rest
