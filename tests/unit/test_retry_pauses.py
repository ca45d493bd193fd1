"""How often a task is tried, and how long it pauses before the next try."""

from __future__ import annotations

from typing import Any

import pytest
from playbooks import playbook

from arcbook.dsl.model import Backoff
from arcbook.engine.pipeline import TRIES_KEPT_MAX, delay_of
from arcbook.events.types import StepExit
from arcbook.outcome import ErrorKind, failed, ok
from arcbook.testing.local import Ran, play


def retried(then: str, answer: Any, *, when: str = "output.status == 'error'") -> Ran:
    """Run one task with a rule that asks for retries."""
    rule = f"""{{when: "{{{{ {when} }}}}", then: {{do: retry, {then}}}}}"""
    text = playbook(f"""
        - step: start
          tool: {{kind: web, spec: {{policy: {{rules: [{rule}]}}}}}}
        """)
    return play(text, {"web": answer})


def unavailable(seconds: float | None = None) -> Any:
    return lambda _: failed(ErrorKind.RATE_LIMIT, "later", retry_after=seconds)


def pauses(ran: Ran) -> list[float]:
    [left] = [e.event for e in ran.events if isinstance(e.event, StepExit)]
    return [one.pause for one in left.tries]


@pytest.mark.parametrize(
    ("then", "expected"),
    [
        ("attempts: 1, delay: 2", []),
        ("attempts: 4, backoff: fixed, delay: 2", [2, 2, 2]),
        ("attempts: 4, backoff: linear, delay: 2", [2, 4, 6]),
        ("attempts: 4, backoff: exponential, delay: 2", [2, 4, 8]),
        ("attempts: 4, backoff: exponential, delay: 2, max_delay: 5", [2, 4, 5]),
        ("attempts: 3, backoff: fixed, delay: 9, max_delay: 5", [5, 5]),
        ("backoff: fixed, delay: 1", [1, 1]),
    ],
)
def test_a_task_pauses_between_its_tries_and_not_after_the_last(then, expected):
    ran = retried(then, unavailable())

    assert ran.status == "FAILED"
    assert len(ran.calls) == len(expected) + 1
    assert pauses(ran) == expected
    assert ran.seconds == pytest.approx(sum(expected), abs=0.05)


@pytest.mark.parametrize(
    ("then", "asked", "expected"),
    [
        ("attempts: 2, delay: 2", 7, [7]),
        ("attempts: 2, delay: 9", 7, [9]),
        ("attempts: 2, delay: 2, max_delay: 3", 7, [7]),
        ("attempts: 2, delay: 2", None, [2]),
    ],
)
def test_a_service_that_says_when_to_come_back_is_not_called_sooner(then, asked, expected):
    ran = retried(then, unavailable(asked))

    assert pauses(ran) == expected
    assert ran.seconds == pytest.approx(expected[0], abs=0.05)


def test_a_call_that_did_well_may_be_tried_again_and_ends_when_its_rule_no_longer_asks():
    numbers = iter([1, 2, 3, 4])
    ran = retried(
        "attempts: 9, delay: 1", lambda _: ok({"n": next(numbers)}), when="output.data.n < 3"
    )

    assert ran.status == "COMPLETED"
    assert ran.state.result == {"n": 3}
    assert pauses(ran) == [1, 1]


def test_a_call_that_did_well_but_never_well_enough_fails_with_its_number_of_attempts():
    ran = retried("attempts: 2, delay: 0", lambda _: ok({"n": 1}), when="output.data.n < 3")

    assert ran.status == "FAILED"
    assert len(ran.calls) == 2
    assert ran.state.error.code == "ATTEMPTS_USED_UP"
    assert "used up its 2 attempts" in ran.state.error.message


def test_only_the_first_tries_are_recorded_and_all_retries_are_counted():
    ran = retried(f"attempts: {TRIES_KEPT_MAX + 3}, delay: 0", unavailable())

    [left] = [e.event for e in ran.events if isinstance(e.event, StepExit)]
    assert [one.number for one in left.tries] == [*range(1, TRIES_KEPT_MAX + 1)]
    assert left.retries == TRIES_KEPT_MAX + 2


def test_a_recorded_try_says_what_went_wrong_without_its_traceback_and_details():
    ran = retried(
        "attempts: 2, delay: 0",
        lambda _: failed(ErrorKind.UNKNOWN, "no", traceback="line 1", details={"a": 1}),
    )

    [left] = [e.event for e in ran.events if isinstance(e.event, StepExit)]
    [before] = left.tries
    assert (before.error.message, before.error.traceback, before.error.details) == (
        "no",
        None,
        None,
    )


def test_each_task_and_each_pass_of_a_task_has_attempts_of_its_own():
    answers = iter(["bad", "good", "bad", "good", "bad", "good"])

    def web(_: Any) -> Any:
        return ok(1) if next(answers) == "good" else failed(ErrorKind.UNKNOWN, "no")

    text = playbook("""
        - step: start
          tool:
          - {name: one, kind: web, retry: {attempts: 2, delay: 0}}
          - {name: two, kind: web, retry: {attempts: 2, delay: 0}}
          - name: three
            kind: web
            retry: {attempts: 2, delay: 0}
        """)
    ran = play(text, {"web": web})

    assert ran.status == "COMPLETED"
    assert [(c.label, c.attempt) for c in ran.calls] == [
        ("one", 1), ("one", 2), ("two", 1), ("two", 2), ("three", 1), ("three", 2),
    ]  # fmt: skip


def test_without_a_backoff_there_is_no_pause():
    assert delay_of(Backoff.NONE, 5.0, 3) == 0.0
