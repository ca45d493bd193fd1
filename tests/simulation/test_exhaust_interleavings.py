"""The production runtime in every interleaving that a bound allows."""

from __future__ import annotations

import pytest

from arcbook.owner.commands import CommandBook
from arcbook.testing.exhaust import Setting, enumerate_runs
from arcbook.testing.exhaust.choices import Choices, DivergedError, courses
from arcbook.testing.exhaust.sizes import SETTINGS
from arcbook.testing.simulate.checks import BrokenError


def test_every_course_is_run_once():
    seen = []

    def program(choices):
        first = choices.choose(2, "first")
        seen.append((first, choices.choose(2 + first, "second")))

    assert len(list(courses(program))) == 5
    assert sorted(seen) == [(0, 0), (0, 1), (1, 0), (1, 1), (1, 2)]


def test_a_program_that_does_not_repeat_itself_is_found_out():
    asked = iter(["one", "two"])

    with pytest.raises(DivergedError):
        list(courses(lambda choices: choices.choose(2, next(asked))))


def test_a_course_begins_with_what_is_given():
    choices = Choices()
    choices.choose(3, "which")

    assert [choice.taken for choice in choices.next()] == [1]


@pytest.mark.slow
@pytest.mark.parametrize("setting", SETTINGS, ids=str)
def test_everything_holds_in_every_interleaving(setting):
    found = enumerate_runs(setting)

    assert found.is_complete
    assert found.runs > 90


def test_a_search_that_is_given_up_says_so():
    found = enumerate_runs(Setting("one step", {"total": 1, "late": 1}), runs_max=3)

    assert (found.runs, found.is_complete) == (3, False)


@pytest.mark.slow
def test_a_server_that_never_ends_a_lease_is_found_out(monkeypatch):
    monkeypatch.setattr(CommandBook, "expire", lambda _: [])

    with pytest.raises(BrokenError) as caught:
        enumerate_runs(Setting("one step", {"total": 1, "crash": 1}))

    assert caught.value.rule == "stuck"
    assert "crash: worker" in str(caught.value)
