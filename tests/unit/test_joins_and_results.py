"""Joins, results, the final step, and what an execution makes of them in the end."""

from __future__ import annotations

from typing import Any

import pytest
from machines import EXECUTION_ID, begun, entered, go_wrong, machine_of, succeed
from playbooks import playbook

from arcbook.engine.fold import fold
from arcbook.engine.state import State
from arcbook.events.types import Recorded, StepEnter, StepExit, StepResult, Value
from arcbook.outcome import ErrorKind, failed
from arcbook.testing.local import play

# -- joins ----------------------------------------------------------------------------------

THREE = """
- step: start
  tool: {kind: work}
  next: {spec: {mode: inclusive}, arcs: [{step: a}, {step: b}, {step: c}]}
- {step: a, tool: {kind: work}, next: {arcs: [{step: join, set: {step.by: a}}]}}
- {step: b, tool: {kind: work}, next: {arcs: [{step: join, set: {step.by: b}}]}}
- {step: c, tool: {kind: work}, next: {arcs: [{step: join, set: {step.by: c}}]}}
- {step: join, spec: {join: JOIN}, tool: {kind: work}}
"""


@pytest.mark.parametrize(("join", "needed"), [("any", 1), ("1", 1), ("2", 2), ("3", 3), ("all", 3)])
def test_a_join_starts_once_with_as_many_arrivals_as_it_asks_for(join, needed):
    machine = begun(THREE.replace("JOIN", join))
    succeed(machine, "start")
    for number, step in enumerate(["b", "a", "c"], 1):
        assert ("join" in entered(machine)) is (number > needed)
        succeed(machine, step)
    succeed(machine, "join", "joined")

    [event] = [
        e.event for e in machine.events if isinstance(e.event, StepEnter) and e.event.step == "join"
    ]
    assert event.came_from == ["b", "a", "c"][:needed]
    assert event.early is (needed < 3)
    assert event.locals == {"by": ["b", "a", "c"][needed - 1]}
    assert machine.state.status == "COMPLETED"


def test_the_result_is_that_of_the_join_even_if_a_branch_arrives_after_it():
    machine = begun(THREE.replace("JOIN", "1"))
    succeed(machine, "start")
    succeed(machine, "a", "a")
    succeed(machine, "join", "joined")
    succeed(machine, "b", "b")
    succeed(machine, "c", "c")

    assert machine.state.status == "COMPLETED"
    assert machine.state.result == "joined"


def test_a_join_behind_a_failed_branch_does_not_run_and_the_execution_fails():
    machine = begun(THREE.replace("JOIN", "all"))
    succeed(machine, "start")
    succeed(machine, "a")
    go_wrong(machine, "b", "no luck")
    succeed(machine, "c")

    assert machine.state.status == "FAILED"
    assert "join" not in entered(machine)


# -- results --------------------------------------------------------------------------------


def test_results_are_in_the_order_in_which_their_steps_last_ended():
    machine = begun("""
        - {step: start, tool: {kind: work}, next: {arcs: [{step: a}]}}
        - step: a
          tool: {kind: work}
          next: {arcs: [{step: start, when: "{{ output.data == 1 }}"}]}
        """)
    succeed(machine, "start", "first")
    succeed(machine, "a", 1)
    succeed(machine, "start", "second", visit=2)

    assert [*machine.state.results] == ["a", "start"]
    assert machine.state.results["start"].tasks["t"].data == "second"


def test_the_end_of_an_earlier_visit_does_not_take_the_place_of_a_later_result():
    def ended(visit: int) -> StepExit:
        result = StepResult(tasks={"t": Value(visit)}, last="t")
        return StepExit(step="a", visit=visit, status="ok", result=result)

    events = [
        StepEnter(step="a", visit=1, came_from=[]),
        StepEnter(step="a", visit=2, came_from=[]),
        ended(2),
        ended(1),
    ]
    state = fold(
        State(execution_id=EXECUTION_ID), [Recorded(n, n, e) for n, e in enumerate(events, 1)]
    )

    assert state.results["a"].tasks["t"].data == 2
    assert state.runs == {}


# -- the final step -------------------------------------------------------------------------

FINAL = "executor: {spec: {final_step: last}}\n"


def test_the_final_step_runs_once_after_all_branches_and_its_result_is_the_executions():
    machine = begun(
        """
        - step: start
          tool: {kind: work}
          next: {spec: {mode: inclusive}, arcs: [{step: a}, {step: end}]}
        - {step: a, tool: {kind: work}}
        - {step: end, tool: {kind: work}}
        - {step: last, tool: {kind: work}}
        """,
        FINAL,
    )
    succeed(machine, "start")
    succeed(machine, "a")
    assert "last" not in entered(machine)
    succeed(machine, "end", "not this")
    [came_from] = [
        e.event.came_from
        for e in machine.events
        if isinstance(e.event, StepEnter) and e.event.step == "last"
    ]
    assert came_from == ["end"]
    succeed(machine, "last", "this")

    assert machine.state.status == "COMPLETED"
    assert machine.state.visits["last"] == 1
    assert machine.state.result == "this"


def test_a_final_step_that_a_branch_has_visited_is_not_visited_again():
    machine = begun(
        """
        - {step: start, tool: {kind: work}, next: {arcs: [{step: last}]}}
        - {step: last, tool: {kind: work}}
        """,
        FINAL,
    )
    succeed(machine, "start")
    succeed(machine, "last")

    assert machine.state.status == "COMPLETED"
    assert entered(machine) == ["start", "last"]


def test_a_final_step_that_is_not_admitted_ends_the_execution():
    machine = begun(
        """
        - {step: start, tool: {kind: work}}
        - {step: last, when: "{{ false }}", tool: {kind: work}}
        """,
        FINAL,
    )
    succeed(machine, "start", 1)

    assert machine.state.status == "COMPLETED"
    assert machine.state.result == 1


def test_the_result_of_a_step_called_end_is_the_executions_whatever_ends_last():
    machine = begun("""
        - step: start
          tool: {kind: work}
          next: {spec: {mode: inclusive}, arcs: [{step: a}, {step: end}]}
        - {step: a, tool: {kind: work}}
        - {step: end, tool: {kind: work}}
        """)
    succeed(machine, "start")
    succeed(machine, "end", "this")
    succeed(machine, "a", "not this")

    assert machine.state.result == "this"


def test_a_step_that_recovers_twice_is_named_once():
    answers = iter([1, 2])

    def work(_: Any) -> Any:
        next(answers)
        return failed(ErrorKind.UNKNOWN, "no")

    text = playbook("""
        - step: start
          tool: {kind: work}
          set: {ctx.never: 1}
          next: {arcs: [{step: again, when: "{{ output.status == 'error' }}"}]}
        - step: again
          tool: {kind: noop, result: "{{ (again | default(0)) + 1 }}"}
          next: {arcs: [{step: start, when: "{{ output.data < 2 }}"}]}
        """)
    ran = play(text, {"work": work})

    assert ran.status == "COMPLETED"
    assert ran.events[-1].event.recovered == ["start"]


# -- the whole ------------------------------------------------------------------------------


def test_the_time_of_an_execution_begins_with_its_start():
    machine = machine_of("- {step: start, tool: {kind: work}}", "executor: {spec: {timeout: 60}}\n")

    assert list(machine.state.timers().values()) == [machine.at + 60_000_000]


def test_defaults_of_a_workload_that_need_each_other_are_null():
    machine = begun(
        "- {step: start, tool: {kind: work}}",
        'workload: {a: "{{ workload.b }}", b: "{{ workload.a }}"}\n',
    )

    assert machine.state.workload == {"a": None, "b": None}


def test_a_final_step_needs_no_next_where_every_step_must_have_one():
    machine = begun(
        """
        - {step: start, tool: {kind: work}, next: {arcs: [{step: last}]}}
        - {step: last, tool: {kind: work}}
        """,
        "executor: {spec: {final_step: last, no_next_is_error: true}}\n",
    )
    succeed(machine, "start")
    succeed(machine, "last", 1)

    assert machine.state.status == "COMPLETED"
    assert machine.state.result == 1
