"""What a task is given, and where the values that it sets, prints and returns go."""

from __future__ import annotations

from typing import Any

import pytest
from playbooks import playbook

from arcbook.engine import pipeline
from arcbook.engine.pipeline import PRINTED_CHARACTERS_MAX
from arcbook.events.types import StepExit
from arcbook.outcome import ErrorKind, Outcome, failed, ok
from arcbook.testing.local import Ran, play


def echo(call: Any) -> Any:
    return {**call.config, **call.input}


def left(ran: Ran) -> StepExit:
    return next(e.event for e in ran.events if isinstance(e.event, StepExit))


def test_the_input_of_a_task_wins_over_its_steps_and_ends_with_it():
    text = playbook("""
        - step: start
          input: {a: 1, b: 2}
          tool:
          - {name: one, kind: echo, input: {b: 3, c: 4}}
          - {name: two, kind: echo, seen: "{{ c | default('gone') }}", b: "{{ b }}"}
        """)
    ran = play(text, {"echo": echo})

    assert ran.calls[0].input == {"a": 1, "b": 3, "c": 4}
    assert ran.calls[1].input == {"a": 1, "b": 2}
    assert ran.calls[1].config == {"seen": "gone", "b": 2}


def test_the_input_of_a_task_is_not_read_by_its_own_rules():
    text = playbook("""
        - step: start
          input: {b: 2}
          tool:
            kind: echo
            input: {b: 3}
            spec: {policy: {rules: [{when: "{{ b == 3 }}", then: {do: fail}}]}}
        """)

    assert play(text, {"echo": echo}).status == "COMPLETED"


def test_what_a_task_sets_for_its_step_is_read_by_the_arcs_and_what_it_sets_for_tasks_is_not():
    text = playbook("""
        - step: start
          tool:
          - {name: one, kind: echo, set: {step.s: 1, t: 2}}
          - {name: two, kind: echo, s: "{{ s }}", t: "{{ t }}"}
          next:
            arcs:
            - {step: wrong, when: "{{ t is defined }}"}
            - {step: right, when: "{{ s == 1 }}"}
        - {step: wrong, tool: {kind: echo}}
        - {step: right, tool: {kind: echo}}
        """)
    ran = play(text, {"echo": echo})

    assert ran.calls[1].config == {"s": 1, "t": 2}
    assert ran.steps == ["start", "right"]


def test_what_one_branch_sets_is_read_by_another_only_once_its_step_has_ended():
    text = playbook("""
        - step: start
          tool: {kind: echo}
          next: {spec: {mode: inclusive}, arcs: [{step: a}, {step: b}]}
        - step: a
          tool:
          - {name: one, kind: echo, set: {ctx.x: 1}}
          - {name: two, kind: fail}
        - {step: b, tool: {kind: echo, x: "{{ ctx.x | default('none') }}"}}
        """)
    ran = play(text, {"echo": echo, "fail": lambda _: failed(ErrorKind.UNKNOWN, "no")})

    assert [c.config for c in ran.calls if c.config] == [{"x": "none"}]


@pytest.mark.parametrize("delay", ["0", "5"], ids=["in the worker", "parked"])
def test_what_an_iteration_sets_stays_its_own_wherever_it_waits(delay):
    text = playbook(f"""
        - step: start
          loop: {{in: [1, 2], iterator: n, spec: {{mode: sequential}}}}
          tool:
          - {{name: one, kind: echo, set: {{iter.seen: "{{{{ iter.seen | default(0) + n }}}}", iter.n: 7}}}}
          - {{name: two, kind: once, retry: {{attempts: 2, delay: {delay}}}}}
          - {{name: three, kind: echo, seen: "{{{{ iter.seen }}}}", n: "{{{{ iter.n }}}}"}}
        """)
    tried: set[str] = set()

    def once(call: Any) -> Any:
        if call.idempotency_key in tried:
            return ok(1)
        tried.add(call.idempotency_key)
        return failed(ErrorKind.UNKNOWN, "not yet")

    ran = play(text, {"echo": echo, "once": once})

    assert [c.config for c in ran.calls if c.config] == [{"seen": 1, "n": 7}, {"seen": 2, "n": 7}]


def test_the_previous_result_is_read_by_the_next_task_also_after_a_wait():
    text = playbook("""
        - step: start
          tool:
          - {name: one, kind: echo, n: 1}
          - {name: two, kind: once, n: "{{ _prev.n }}", r: "{{ result.n }}", retry: {attempts: 2, delay: 30}}
        """)
    seen: list[Any] = []

    def once(call: Any) -> Any:
        seen.append(call.config)
        return ok(1) if len(seen) > 1 else Outcome(status="error", error=no.error, data={"n": 2})

    no = failed(ErrorKind.UNKNOWN, "no")
    play(text, {"echo": echo, "once": once})

    assert seen == [{"n": 1, "r": 1}, {"n": 2, "r": 2}]


def test_the_last_task_that_ran_is_the_last_of_the_results_also_after_a_jump():
    numbers = iter(range(1, 9))
    text = playbook("""
        - step: start
          tool:
          - {name: one, kind: count}
          - name: two
            kind: count
            spec: {policy: {rules: [
              {when: "{{ output.data.n == 2 }}", then: {do: jump, to: one}},
              {else: {then: {do: break}}}]}}
        """)
    ran = play(text, {"count": lambda _: {"n": next(numbers)}})

    result = ran.state.results["start"]
    assert [(label, value.data) for label, value in result.tasks.items()] == [
        ("one", {"n": 3}),
        ("two", {"n": 4}),
    ]


def test_what_tasks_print_is_joined_and_the_end_of_it_is_kept():
    def say(call: Any) -> Any:
        return Outcome(status="ok", data=1, meta={"stdout": call.config["text"] * call.config["n"]})

    tasks = f"""[
        {{name: a, kind: say, text: x, n: 10}},
        {{name: b, kind: say, text: y, n: {PRINTED_CHARACTERS_MAX - 4}}},
        {{name: c, kind: say, text: z, n: 1}}]"""
    ran = play(playbook(f"- {{step: start, tool: {tasks}}}"), {"say": say})

    assert left(ran).printed == "xxx" + "y" * (PRINTED_CHARACTERS_MAX - 4) + "z"


def test_a_name_that_one_task_lacks_on_each_try_is_warned_of_once():
    text = playbook("""
        - step: start
          tool: {kind: fail, a: "{{ nobody }}", retry: {attempts: 3, delay: 0}}
        """)
    ran = play(text, {"fail": lambda _: failed(ErrorKind.UNKNOWN, "no")})

    assert [w.split(": ")[1] for w in left(ran).warnings] == ["'nobody' has no value"]


def test_a_pipeline_that_jumps_for_ever_ends_at_the_limit_of_its_calls(monkeypatch):
    monkeypatch.setattr(pipeline, "TASK_RUNS_MAX", 7)
    text = playbook("""
        - step: start
          tool:
          - {name: one, kind: echo}
          - {name: two, kind: echo, spec: {policy: {rules: [{when: "{{ output.status == 'ok' }}", then: {do: jump, to: one}}]}}}
        """)
    ran = play(text, {"echo": echo})

    assert ran.status == "FAILED"
    assert len(ran.calls) == 7
    assert ran.state.error.kind is ErrorKind.LIMIT
