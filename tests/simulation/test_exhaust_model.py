"""The model of claim, lease and report: it holds, it bites, and the runtime keeps to it."""

from __future__ import annotations

import pytest

from arcbook.engine import decide
from arcbook.testing.exhaust import check
from arcbook.testing.exhaust.known import Message, Rules
from arcbook.testing.exhaust.sizes import BOUNDS, WITHOUT
from arcbook.testing.exhaust.traces import Follower, traced

SEEDS = 200
PART = 50


@pytest.mark.slow
@pytest.mark.parametrize("name", BOUNDS)
def test_the_model_holds_in_every_state(name):
    checked = check(BOUNDS[name])

    assert checked.violated is None, str(checked.violated)
    assert checked.states > 100


def test_every_rule_of_the_model_is_taken_away_once():
    assert set(WITHOUT) == set(Rules._fields)


@pytest.mark.slow
@pytest.mark.parametrize("rule", WITHOUT)
def test_without_any_of_its_rules_the_model_breaks(rule):
    checked = check(WITHOUT[rule], Rules()._replace(**{rule: False}))

    assert checked.violated is not None
    assert checked.violated.way


def test_what_the_model_allows_is_followed():
    follower = Follower()

    assert follower.see("claim", generation=0, attempt=1, worker="a")
    assert follower.hear(Message("claimed", (0, 0, 1)), "a")
    assert follower.see("lose", attempt=1)
    assert follower.see("claim", generation=0, attempt=2, worker="b")
    assert follower.see("refuse", generation=0, attempt=1)
    assert follower.see("done", attempt=2, worker="b")
    assert follower.hear(Message("answer", (0, 0, 2), detail="accepted"))


@pytest.mark.parametrize(
    "steps",
    [
        [("claim", 1, "a"), ("claim", 1, "b")],
        [("claim", 1, "a"), ("done", 1, "b")],
        [("claim", 1, "a"), ("lose", 1, None), ("done", 1, "a")],
        [("claim", 1, "a"), ("done", 1, "a"), ("done", 1, "a")],
        [("claim", 1, "a"), ("cancel", 1, None), ("done", 1, "a")],
        [("cancel", 1, None), ("claim", 1, "a")],
        [("lose", 1, None)],
        [("claim", 1, "a"), ("refuse", 1, "b")],
    ],
    ids=lambda steps: " ".join(verb for verb, _, _ in steps),
)
def test_what_the_model_forbids_leaves_no_state(steps):
    follower = Follower()
    *allowed, last = steps

    def see(verb, attempt, worker):
        return follower.see(verb, attempt=-2 if verb == "cancel" else attempt, worker=worker)

    assert all(see(*step) for step in allowed)
    assert not see(*last)


def test_what_is_said_and_cannot_have_been_leaves_no_state():
    follower = Follower()
    follower.see("claim", generation=0, attempt=1, worker="a")

    assert not follower.hear(Message("answer", (0, 0, 1), detail="accepted"))


@pytest.mark.slow
@pytest.mark.parametrize("first", range(0, SEEDS, PART))
def test_what_the_runtime_does_under_faults_is_a_path_of_the_model(first):
    for seed in range(first, first + PART):
        assert traced(seed)[1] == "", f"seed {seed}"


@pytest.mark.slow
def test_a_runtime_that_takes_late_reports_goes_no_way_of_the_model(monkeypatch):
    def current(turn, given):
        command = turn.state.command(given.command_id)
        return command and (turn.state.runs[f"{command.step}:{command.visit}"], command)

    monkeypatch.setattr(decide, "_current", current)

    assert any(traced(seed)[1] for seed in range(60))
