"""How a step is entered and left: guards, arcs, and what they set."""

from __future__ import annotations

import pytest
from machines import begun, entered, go_wrong, name, succeed

from arcbook.engine.inputs import Report
from arcbook.engine.pipeline import IterationResult
from arcbook.events.types import StepExit, StepResult, StepSkipped
from arcbook.testing.machine import Machine

TAIL = """
        - {step: a, tool: {kind: work}}
        - {step: b, tool: {kind: work}}
        - {step: c, tool: {kind: work}}
"""


def leading(router: str, **facts: str) -> str:
    """Return a first step with arcs, and steps ``a``, ``b`` and ``c`` to lead to."""
    more = "".join(f", {key}: {value}" for key, value in facts.items())
    return f"- {{step: start, tool: {{kind: work}}{more}, next: {router}}}" + TAIL.replace(
        " " * 8, ""
    )


def left(machine: Machine, step: str) -> StepExit:
    [event] = [
        e.event for e in machine.events if isinstance(e.event, StepExit) and e.event.step == step
    ]
    return event


# -- arcs -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("router", "expected"),
    [
        ("{arcs: [{step: b}, {step: a}]}", ["b"]),
        ("{spec: {mode: inclusive}, arcs: [{step: b}, {step: c}, {step: a}]}", ["b", "c", "a"]),
        ("""{arcs: [{step: c, when: "{{ false }}"}, {step: b, when: "{{ true }}"}, {step: a}]}""", ["b"]),
        (
            """{spec: {mode: inclusive}, arcs: [
            {step: c, when: "{{ true }}"}, {step: b, when: "{{ false }}"}, {step: a}]}""",
            ["c", "a"],
        ),
    ],
)  # fmt: skip
def test_arcs_fire_in_the_order_in_which_they_are_written(router, expected):
    machine = begun(leading(router))
    succeed(machine, "start", 1)

    assert entered(machine) == ["start", *expected]


def test_a_guard_that_cannot_be_evaluated_fails_the_step_and_no_arc_fires():
    machine = begun(
        leading(
            """{spec: {mode: inclusive}, arcs: [
            {step: a, set: {ctx.led: 1}}, {step: b, when: "{{ 1 / 0 }}"}]}"""
        )
    )
    succeed(machine, "start", 1)

    assert machine.state.status == "FAILED"
    assert entered(machine) == ["start"]
    assert machine.state.ctx == {}
    assert left(machine, "start").took == []
    assert machine.state.error.where == "steps.start.next"


def test_a_step_that_fails_sets_nothing_and_only_an_arc_about_the_error_is_taken():
    machine = begun(
        leading(
            """{arcs: [{step: a}, {step: b, when: "{{ event.error.message == 'no luck' }}"}]}""",
            set="{ctx.done: 1}",
        )
    )
    go_wrong(machine, "start", "no luck")
    assert entered(machine) == ["start", "b"]
    succeed(machine, "b")

    assert machine.state.status == "COMPLETED"
    assert machine.state.ctx == {}
    assert left(machine, "start").recovered
    assert machine.events[-1].event.recovered == ["start"]


def test_a_failure_that_no_arc_is_about_is_not_recovered():
    machine = begun(leading("{arcs: [{step: a}]}"))
    go_wrong(machine, "start", "no luck")

    assert entered(machine) == ["start"]
    assert not left(machine, "start").recovered


def test_guards_read_what_the_tasks_and_the_step_have_set():
    machine = begun(
        leading(
            """{arcs: [{step: a, when: "{{ ctx.one == 1 and ctx.two == 2 }}"}, {step: b}]}""",
            set="{ctx.two: '{{ ctx.one + 1 }}'}",
        )
    )
    done = IterationResult(result=StepResult(), writes=[(["one"], 1)])
    machine.give(Report(command_id=name("start"), done=[done]))

    assert entered(machine) == ["start", "a"]
    assert machine.state.ctx == {"one": 1, "two": 2}


def test_what_an_arc_sets_for_a_step_is_read_by_that_step_alone():
    machine = begun("""
        - step: start
          tool: {kind: work}
          next: {arcs: [{step: a, set: {step.x: 1, ctx.y: 2}}]}
        - step: a
          when: "{{ x == 1 }}"
          tool: {kind: work}
          next: {arcs: [{step: b, when: "{{ x == 1 }}"}, {step: c, when: "{{ x == 3 }}"}]}
        - {step: b, when: "{{ x is not defined }}", tool: {kind: work}}
        - {step: c, tool: {kind: work}}
        """)
    succeed(machine, "start")
    succeed(machine, "a")

    assert entered(machine) == ["start", "a", "b"]
    assert machine.state.ctx == {"y": 2}


def test_what_a_task_sets_for_its_step_hides_what_an_arc_has_set():
    machine = begun("""
        - step: start
          tool: {kind: work}
          next: {arcs: [{step: a, set: {step.x: 1}}]}
        - step: a
          tool: {kind: work}
          next: {arcs: [{step: b, when: "{{ x == 1 }}"}, {step: c, when: "{{ x == 3 }}"}]}
        - {step: b, tool: {kind: work}}
        - {step: c, tool: {kind: work}}
        """)
    succeed(machine, "start")
    done = IterationResult(result=StepResult(), locals={"x": 3})
    machine.give(Report(command_id=name("a"), done=[done]))

    assert entered(machine) == ["start", "a", "c"]


def test_the_event_of_a_step_has_what_its_tasks_printed_and_warned():
    machine = begun("- {step: start, tool: {kind: work}}")
    done = IterationResult(result=StepResult(), printed="hello\n", warnings=["careful"], retries=2)
    machine.give(Report(command_id=name("start"), done=[done]))

    event = left(machine, "start")
    assert (event.printed, event.warnings, event.retries) == ("hello\n", ["careful"], 2)


# -- entering -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("workload", "enters"),
    [
        ("{a: false, b: false, c: false}", True),
        ("{a: true, b: false, c: false}", False),
        ("{a: false, b: true, c: false}", True),
        ("{a: true, b: true, c: false}", False),
        ("{a: false, b: false, c: true}", False),
    ],
)
def test_the_first_rule_that_matches_admits_a_step_or_not(workload, enters):
    machine = begun(
        """
        - step: start
          spec:
            policy:
              admit:
                rules:
                - {when: "{{ workload.a }}", then: {allow: false}}
                - {when: "{{ workload.b }}", then: {allow: true}}
                - {when: "{{ workload.b or workload.c }}", then: {allow: false}}
          tool: {kind: work}
        """,
        f"workload: {workload}\n",
    )

    assert bool(entered(machine)) is enters
    skipped = [e.event.reason for e in machine.events if isinstance(e.event, StepSkipped)]
    assert skipped == ([] if enters else ["denied"])


def test_the_pool_of_a_step_wins_over_that_of_its_execution():
    machine = begun("- {step: start, spec: {pool: small}, tool: {kind: work}}", pool="large")

    assert [run.pool for run in machine.state.runs.values()] == ["small"]


@pytest.mark.parametrize("broken", ["loop: {in: '{{ 1 / 0 }}', iterator: x}", "spec: {timeout: '{{ 1 / 0 }}'}"])  # fmt: skip
def test_a_step_that_cannot_begin_fails_without_a_command(broken):
    machine = begun(f"""
        - {{step: start, tool: {{kind: work}}, next: {{arcs: [{{step: a}}]}}}}
        - {{step: a, tool: {{kind: work}}, {broken}}}
        """)
    decision = succeed(machine, "start")

    assert machine.state.status == "FAILED"
    assert (decision.commands, decision.stop) == ([], [])
