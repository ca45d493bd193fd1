"""What lies at the bounds of the language is right, or refused with what to write."""

from __future__ import annotations

import pytest
from playbooks import playbook

from arcbook.dsl.load import load_playbook
from arcbook.outcome import ErrorKind, failed
from arcbook.testing.local import play
from arcbook.tools.registry import Registry


def diagnostics(workflow: str, head: str = ""):
    return load_playbook(playbook(workflow, head), Registry()).diagnostics


def only_error(workflow: str, head: str = ""):
    (error,) = [d for d in diagnostics(workflow, head) if str(d.severity) == "error"]
    return error


@pytest.mark.parametrize(
    ("key", "written", "message"),
    [
        ("timeout", "-1", "'timeout' must be more than 0, not -1"),
        ("timeout", "0", "'timeout' must be more than 0, not 0"),
        ("timeout", "'-5'", "'timeout' must be more than 0"),
        ("retry", "{attempts: 2.5}", "'attempts' must be a whole number, not 2.5"),
        ("retry", "{attempts: 0}", "'attempts' must be at least 1, not 0"),
        ("retry", "{attempts: -3}", "'attempts' must be at least 1, not -3"),
        ("retry", "{attempts: 2, delay: -1}", "'delay' must be at least 0, not -1"),
    ],
)
def test_a_number_that_makes_no_sense_is_an_error_at_its_place(key, written, message):
    error = only_error(f"- step: start\n  tool: {{kind: noop, {key}: {written}}}\n")

    assert message in error.message
    assert error.line == 6
    assert error.hint


@pytest.mark.parametrize(
    "spec",
    ["spec: {timeout: -1}", "loop: {in: [1], iterator: i, spec: {max_in_flight: 1.5}}"],
)
def test_so_is_one_of_a_step(spec):
    assert only_error(f"- step: start\n  tool: {{kind: noop}}\n  {spec}\n").code == "ARC111"


def test_a_whole_number_may_be_written_with_a_point():
    assert not diagnostics("- step: start\n  tool: {kind: noop, retry: {attempts: 2.0}}\n")


@pytest.mark.parametrize(
    ("task", "wanted"),
    [
        ("timeout: '{{ -1 }}'", "a duration"),
        ("timeout: '{{ 0 }}'", "a duration"),
        ("retry: {attempts: '{{ 2.5 }}', delay: 0}", "a whole number from 1 on"),
        ("retry: {attempts: '{{ 0 }}', delay: 0}", "a whole number from 1 on"),
        ("retry: {attempts: 2, delay: '{{ -1 }}'}", "a duration is needed"),
    ],
)
def test_what_a_template_yields_is_held_to_the_same(task, wanted):
    ran = play(playbook(f"- step: start\n  tool: {{kind: python, code: x, {task}}}\n"), FAILING)

    assert ran.status == "FAILED"
    assert wanted in ran.state.error.message


@pytest.mark.parametrize("name", ['""', '"  "'])
def test_a_step_has_a_name(name):
    assert "has no name" in only_error(f"- step: {name}\n  tool: {{kind: noop}}\n").message


@pytest.mark.parametrize("name", ["true", "null", "[a]"])
def test_a_name_is_text(name):
    assert only_error(f"- step: {name}\n  tool: {{kind: noop}}\n").line == 5


@pytest.mark.parametrize("name", ["none", "'true'", "not"])
def test_a_step_named_like_a_word_of_templates_is_remarked(name):
    (warning,) = diagnostics(f"- step: {name}\n  tool: {{kind: noop}}\n")

    assert warning.code == "ARC303"
    assert "steps[" in warning.hint


@pytest.mark.parametrize(
    ("key", "hint"),
    [
        ("workload.n", "write 'ctx.n'"),
        ("workload", "write 'ctx.workload'"),
        ("steps.start.x", "write 'ctx.start.x'"),
        ("output.data", "write 'ctx.data'"),
        ("env.HOME", "write 'ctx.HOME'"),
        ("keychain.token", "write 'ctx.token'"),
    ],
)
@pytest.mark.parametrize(
    "place",
    [
        "- step: start\n  tool: {{kind: noop}}\n  set: {{{key}: 7}}\n",
        "- step: start\n  tool: {{kind: noop, set: {{{key}: 7}}}}\n",
        "- step: start\n  tool: {{kind: noop}}\n  next: {{arcs: [{{step: b, set: {{{key}: 7}}}}]}}\n",
    ],
)
def test_what_templates_only_read_cannot_be_set(place, key, hint):
    errors = [d for d in diagnostics(place.format(key=key)) if d.code == "ARC160"]

    assert [error.hint for error in errors] == [hint]


def test_a_minus_in_the_name_of_a_step_is_said_to_be_one():
    found = diagnostics(
        "- step: my-step\n  tool: {kind: noop}\n  next: {arcs: [{step: b}]}\n"
        "- step: b\n  tool: {kind: noop, input: {v: '{{ my-step.v }}'}}\n"
    )

    assert any("steps['my-step']" in d.hint for d in found)


def test_white_space_around_a_lone_expression_says_nothing():
    ran = play(
        playbook(
            "- step: start\n  tool: {kind: noop}\n",
            'workload: {n: [1]}\noutput: ["  {{ workload.n }} ", "{{ workload.n }}\\n"]\n',
        ),
        {},
    )

    assert ran.state.result == [[1], [1]]


def test_arcs_know_how_often_the_last_task_was_tried():
    calls = []

    def failing_twice(call):
        calls.append(call)
        return failed(ErrorKind.UNKNOWN, "again") if len(calls) < 3 else 1

    ran = play(
        playbook(
            "- step: start\n  tool: {kind: python, code: x, retry: {attempts: 5, delay: 0}}\n"
            "  next: {arcs: [{step: b, set: {ctx.a: '{{ output.meta.attempt }}'}}]}\n"
            "- step: b\n  tool: {kind: noop}\n",
            'output: "{{ ctx.a }}"\n',
        ),
        {"python": failing_twice},
    )

    assert ran.state.result == 3


def _fails(call):
    return failed(ErrorKind.UNKNOWN, "no")


FAILING = {"python": _fails}
