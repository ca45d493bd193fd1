"""The runtime does what a plain interpreter of the language does, for playbooks from seeds."""

from __future__ import annotations

import random

import pytest

from arcbook.events.types import LoopResult, StepResult
from arcbook.outcome import ErrorKind, failed, ok
from arcbook.testing.local import play
from oracle.interpreter import Interpreter, Outcome, World
from oracle.playbooks import KIND, Playbook, chain, document, graph

SEEDS = 250
"""Seeds of each family that the suite goes through; ``python -m oracle`` goes on."""


class Answers:
    """The world's answers, as a tool gives them."""

    def __init__(self, playbook: Playbook):
        self.world = World(playbook)

    def __call__(self, call):
        step, task = call.config["who"]
        outcome = self.world.call(step, task, int(call.config["item"]))
        if outcome.ok:
            return ok(outcome.data)
        return failed(ErrorKind.SERVER_ERROR, "it is as it is", retryable=True)


def differences(playbook: Playbook) -> list[str]:
    """Return in what the runtime does something else than the interpreter."""
    expected = Interpreter(playbook).run()
    answers = Answers(playbook)
    ran = play(document(playbook), {KIND: answers})
    steps = [int(name[1:]) for name in ran.steps]
    if not playbook.is_chain:
        steps.sort()
    found = {
        "status": (ran.status, expected.status),
        "steps": (steps, expected.ran),
        "calls": (dict(answers.world.calls), dict(expected.calls)),
        "variables": (dict(ran.state.ctx), expected.ctx),
        "results": (
            {int(name[1:]): _result(result) for name, result in ran.state.results.items()},
            {number: _expected(outcome) for number, outcome in expected.results.items()},
        ),
    }
    return [f"{what}: {real} and not {due}" for what, (real, due) in found.items() if real != due]


def _result(result: StepResult | LoopResult) -> object:
    if isinstance(result, LoopResult):
        return ("loop", result.total, result.success, result.failed)
    last = result.tasks.get(result.last)
    data = last.data if last is not None else None
    return (result.status, data if isinstance(data, dict) and set(data) == {"n"} else None)


def _expected(outcome: Outcome) -> object:
    if isinstance(outcome.data, dict) and "stats" in outcome.data:
        stats = outcome.data["stats"]
        return ("loop", stats["total"], stats["success"], stats["failed"])
    return ("ok" if outcome.ok and outcome.says_ok else "error", outcome.data)


@pytest.mark.slow
@pytest.mark.parametrize("family", [chain, graph], ids=["chains", "graphs"])
def test_playbooks_do_what_the_language_says(family):
    for seed in range(SEEDS):
        playbook = family(random.Random(seed))
        found = differences(playbook)
        assert not found, f"seed {seed}: {found}\n{document(playbook)}"
