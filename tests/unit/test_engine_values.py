"""What loops iterate over, what limits may be, and where values that are set go."""

from __future__ import annotations

from typing import Any

import pytest
from playbooks import playbook

from arcbook.dsl.model import Backoff
from arcbook.engine.numbers import count, duration, number, time_limit
from arcbook.engine.pipeline import delay_of
from arcbook.engine.scope import Context, ExecutionScope
from arcbook.engine.turn import Overlay
from arcbook.events.types import LoopResult
from arcbook.outcome import ErrorKind, failed
from arcbook.template.errors import TemplateError
from arcbook.template.render import compile_value
from arcbook.testing.local import play


def echo(call: Any) -> Any:
    return {**call.config, **call.input}


# -- loops ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "items"),
    [
        ([5, 6], [5, 6]),
        ("[5, 6]", [5, 6]),
        ("  [5]", [5]),
        (3, [0, 1, 2]),
        (0, []),
        ({"a": 1, "b": 2}, [{"key": "a", "value": 1}, {"key": "b", "value": 2}]),
        ({"rows": [{"n": 1}], "columns": ["n"], "row_count": 1}, [{"n": 1}]),
    ],
)
def test_a_loop_iterates_over_lists_numbers_mappings_and_rows(given, items):
    text = playbook("""
        - step: start
          loop: {in: "{{ workload.given }}", iterator: x}
          tool: {kind: echo, x: "{{ x }}"}
        """)
    ran = play(text, {"echo": lambda call: call.config["x"]}, {"given": given})

    result = ran.state.results["start"]
    assert ran.status == "COMPLETED"
    assert isinstance(result, LoopResult)
    assert (result.items or []) == items


@pytest.mark.parametrize("source", ["{{ range(2, 8, 3) }}", "{{ (2, 5) }}", "{{ [2] + [5] }}"])
def test_a_loop_iterates_over_what_an_expression_computes(source):
    text = playbook(f"""
        - step: start
          loop: {{in: "{source}", iterator: x}}
          tool: {{kind: echo, x: "{{{{ x }}}}"}}
        """)
    ran = play(text, {"echo": lambda call: call.config["x"]})

    assert ran.state.result["results"] == [2, 5]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("[5", "'[5'"),
        ('{"a": 1}', "{"),
        ("word", "'word'"),
        ("", "''"),
        (True, "True"),
        (-1, "-1"),
        (2.5, "2.5"),
        (None, "nothing"),
    ],
)
def test_a_loop_over_anything_else_fails_and_says_what_it_was_given(given, said):
    text = playbook("""
        - step: start
          loop: {in: "{{ workload.given }}", iterator: x}
          tool: {kind: echo}
        """)
    ran = play(text, {"echo": echo}, {"given": given})

    assert ran.status == "FAILED"
    assert "must yield a list, not" in ran.state.error.message
    assert said in ran.state.error.message


# -- numbers --------------------------------------------------------------------------------


def given(value: Any) -> Any:
    return compile_value("{{ given }}"), ExecutionScope(
        Context(execution_id=1), data={"given": value}, now=lambda: 0, loaded={}
    )


@pytest.mark.parametrize(
    ("value", "expected"),
    [(3, 3), (2.5, 2.5), ("4", 4), (" +5 ", 5), ("-6", -6), ("1.5", 1.5), ("1e2", 100.0), (None, 7), ("", 7)],
)  # fmt: skip
def test_a_number_may_be_written_as_text_and_nothing_means_the_default(value, expected):
    found = number(*given(value), 7)

    assert found == expected
    assert type(found) is type(expected)


@pytest.mark.parametrize("value", [True, "x", [1], "1_0x"])
def test_anything_else_is_no_number(value):
    with pytest.raises(TemplateError, match="a number is needed here"):
        number(*given(value), 7)


@pytest.mark.parametrize(("value", "expected"), [(1, 1), (2.0, 2), ("3", 3), (None, 9)])
def test_a_count_is_a_whole_number_from_one_on(value, expected):
    found = count(*given(value), 9)

    assert found == expected
    assert type(found) is int


@pytest.mark.parametrize("value", [0, -1, 1.5, 0.5])
def test_anything_else_is_no_count(value):
    with pytest.raises(TemplateError, match="a whole number from 1 on"):
        count(*given(value), 9)


@pytest.mark.parametrize(
    ("value", "seconds"), [(2, 2), ("1m", 60), ("250ms", 0.25), (None, None), ("", None)]
)
def test_a_time_limit_is_a_duration_or_none(value, seconds):
    assert time_limit(*given(value)) == seconds


def test_a_time_limit_of_nothing_is_refused_and_a_delay_of_nothing_is_not():
    with pytest.raises(TemplateError, match="more than 0"):
        time_limit(*given(0))
    assert duration(*given(0), 5) == 0
    assert duration(*given(None), 5) == 5
    assert duration(*given(""), 5) == 5
    with pytest.raises(TemplateError, match="a duration is needed"):
        duration(*given(-1), 5)


@pytest.mark.parametrize(
    ("backoff", "delays"),
    [
        (Backoff.NONE, [0, 0, 0]),
        (Backoff.FIXED, [3, 3, 3]),
        (Backoff.LINEAR, [3, 6, 9]),
        (Backoff.EXPONENTIAL, [3, 6, 12]),
    ],
)
def test_delays_grow_as_the_language_says(backoff, delays):
    assert [delay_of(backoff, 3, tries) for tries in (1, 2, 3)] == delays


def test_an_exponential_delay_stops_growing():
    longest = delay_of(Backoff.EXPONENTIAL, 3, 100)

    assert delay_of(Backoff.EXPONENTIAL, 3, 10_000) == longest
    assert longest < float("inf")


# -- the workload ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("workload", "expected"),
    [
        ("{a: '{{ workload.b + 1 }}', b: '{{ c + 1 }}', c: 1}", {"a": 3, "b": 2, "c": 1}),
        ("{c: 1, b: '{{ c + 1 }}', a: '{{ b + 1 }}'}", {"a": 3, "b": 2, "c": 1}),
        ("{a: '{{ workload.b | default(5) }}', b: '{{ a | default(6) }}'}", {"a": 5, "b": 5}),
        ("{a: '{{ a | default(1) }}'}", {"a": 1}),
    ],
)
def test_defaults_of_a_workload_may_read_each_other_in_any_order(workload, expected):
    text = playbook("- {step: start, tool: {kind: noop}}", head=f"workload: {workload}\n")
    ran = play(text)

    assert ran.state.workload == expected


def test_a_default_that_cannot_be_rendered_fails_the_execution():
    text = playbook("- {step: start, tool: {kind: noop}}", head="workload: {a: '{{ 1 / 0 }}'}\n")
    ran = play(text)

    assert ran.status == "FAILED"
    assert ran.steps == []


def test_a_result_that_cannot_be_rendered_fails_the_execution():
    text = playbook("- {step: start, tool: {kind: noop}}", head="output: '{{ 1 / 0 }}'\n")
    ran = play(text)

    assert ran.status == "FAILED"
    assert ran.steps == ["start"]


# -- set ------------------------------------------------------------------------------------


def test_what_a_task_sets_is_read_by_later_tasks_at_its_place():
    text = playbook("""
        - step: start
          tool:
          - name: a
            kind: echo
            n: 1
            set: {ctx.c: "{{ output.data.n + 1 }}", step.s: 5, x: 7}
          - {name: b, kind: echo, c: "{{ ctx.c }}", s: "{{ s }}", x: "{{ x }}"}
        """)
    ran = play(text, {"echo": echo})

    assert ran.calls[1].config == {"c": 2, "s": 5, "x": 7}
    assert ran.state.ctx["c"] == 2


def test_a_name_without_a_value_is_noted_once_for_each_place():
    text = playbook("""
        - step: start
          tool: {kind: echo, a: "{{ nobody }}", b: "{{ nobody }}", c: "{{ nothing }}"}
        """)
    ran = play(text, {"echo": echo})

    [done] = [e.event for e in ran.events if e.event.type == "step.exit"]
    assert sorted(w.split(": ")[1] for w in done.warnings) == [
        "'nobody' has no value",
        "'nothing' has no value",
    ]


def test_an_overlay_reads_like_one_mapping_and_changes_only_itself():
    below = {"a": 1, "b": 2}
    over: Any = Overlay(below)
    over["b"] = 3
    over["c"] = 4

    assert (over["a"], over["b"], over["c"]) == (1, 3, 4)
    assert (over.get("a"), over.get("b"), over.get("x"), over.get("x", 9)) == (1, 3, None, 9)
    assert "a" in over
    assert "c" in over
    assert "x" not in over
    assert sorted(over) == ["a", "b", "c"]
    assert len(over) == 3
    assert sorted(over.keys()) == ["a", "b", "c"]
    assert sorted(over.items()) == [("a", 1), ("b", 3), ("c", 4)]
    assert over.merged() == {"a": 1, "b": 3, "c": 4}
    assert below == {"a": 1, "b": 2}


# -- results --------------------------------------------------------------------------------


def test_errors_of_a_large_loop_are_told_beside_the_reference_to_its_results():
    text = playbook("""
        - step: start
          loop: {in: "{{ range(4) }}", iterator: n, spec: {on_error: continue}}
          tool: {kind: big, n: "{{ n }}"}
        """)

    def big(call: Any) -> Any:
        if call.config["n"] == 2:
            return failed(ErrorKind.PARSE, "no", code="NO")
        return "x" * 90_000

    ran = play(text, {"big": big})

    assert ran.state.result["count"] == 4
    assert ran.state.result["results"]["count"] == 4
    assert [(e["index"], e["message"]) for e in ran.state.result["errors"]] == [(2, "no")]
    assert ran.state.result["truncated"] is False


def test_a_rule_that_fails_a_task_says_so():
    text = playbook("""
        - step: start
          tool:
            kind: echo
            spec: {policy: {rules: [{when: "{{ output.data.n == 1 }}", then: {do: fail}}]}}
            n: 1
        """)
    ran = play(text, {"echo": echo})

    assert ran.status == "FAILED"
    assert "a policy rule failed task" in ran.state.error.message


def test_a_step_that_skips_itself_may_set_values():
    text = playbook("""
        - step: start
          when: "{{ false }}"
          tool: {kind: echo}
          set: {ctx.seen: 1}
          next: {arcs: [{step: end, set: {ctx.led: 2}}]}
        - {step: end, tool: {kind: echo, led: "{{ ctx.led }}"}}
        """)
    ran = play(text, {"echo": echo})

    assert ran.steps == ["end"]
    assert ran.state.ctx["led"] == 2
