"""Which iterations of a loop are given to workers, and what their reports add up to."""

from __future__ import annotations

from typing import Any

import pytest
from machines import begun, machine_of

from arcbook.engine.fold import FRAME_ITEMS_MAX, LOOP_ERRORS_MAX
from arcbook.engine.inputs import Decision, Report, Suspension
from arcbook.engine.pipeline import IterationResult
from arcbook.engine.turn import LIMITS
from arcbook.events.types import CommandCompleted, LoopResult, StepResult, Value, WaitKind
from arcbook.outcome import ERROR, ErrorInfo, ErrorKind
from arcbook.testing.machine import Machine


def loop(total: int, spec: str = "{mode: sequential}", task: str = "") -> str:
    return f"""
        - step: start
          loop: {{in: "{{{{ range({total}) }}}}", iterator: n, spec: {spec}}}
          tool: {{kind: work{task}}}
        """


def spans(machine: Machine) -> list[tuple[int, int]]:
    """Return the first index and the number of iterations of each frame with a worker."""
    return [
        (command.first, command.count)
        for run in machine.state.runs.values()
        for command in run.commands.values()
    ]


def good(data: Any, **facts: Any) -> IterationResult:
    return IterationResult(result=StepResult(tasks={"t": Value(data)}, last="t"), **facts)


def bad(message: str) -> IterationResult:
    error = ErrorInfo(kind=ErrorKind.UNKNOWN, message=message)
    result = StepResult(status=ERROR, error=error)
    return IterationResult(result=result, status=ERROR, error=error)


def report(machine: Machine, first: int, *done: IterationResult, **facts: Any) -> Decision:
    """Report on the frame that holds an iteration; the frame's own first one by default."""
    [command] = [
        command
        for run in machine.state.runs.values()
        for command in run.commands.values()
        if command.first <= first < command.first + command.count
    ]
    return machine.give(
        Report(
            command_id=command.command_id,
            generation=command.generation,
            first=first,
            done=list(done),
            **facts,
        )
    )


def completed(decision: Decision) -> CommandCompleted:
    [event] = [e.event for e in decision.events if isinstance(e.event, CommandCompleted)]
    return event


def result_of(machine: Machine) -> LoopResult:
    result = machine.state.results["start"]
    assert isinstance(result, LoopResult)
    return result


# -- frames ---------------------------------------------------------------------------------


def test_frames_of_quick_iterations_grow_up_to_a_limit():
    machine = begun(loop(2_000))
    sizes = []
    for _ in range(5):
        [(first, count)] = spans(machine)
        sizes.append(count)
        report(machine, first, *[good(1)] * count, duration_us=10 * count)

    assert sizes == [1, 8, 64, 500, 500]
    assert FRAME_ITEMS_MAX == 500


def test_a_frame_of_slow_iterations_has_one_and_of_medium_ones_as_many_as_fit():
    machine = begun(loop(100))
    report(machine, 0, good(1), duration_us=10_000)
    assert spans(machine) == [(1, 5)]  # of 10 ms each in 50 ms
    report(machine, 1, *[good(1)] * 5, duration_us=5 * 90_000)
    assert spans(machine) == [(6, 1)]


def test_iterations_that_must_not_run_twice_are_given_out_one_by_one():
    machine = begun(loop(20, task=", redelivery: never"))
    report(machine, 0, good(1), duration_us=10)

    assert spans(machine) == [(1, 1)]


def test_the_last_item_is_given_out_and_the_loop_ends_only_then():
    machine = begun(loop(3))
    for index in range(3):
        assert spans(machine) == [(index, 1)]
        report(machine, index, good(index), duration_us=90_000)

    assert machine.state.status == "COMPLETED"
    assert (result_of(machine).total, result_of(machine).success) == (3, 3)


def test_a_parallel_loop_shares_its_items_among_as_many_frames_as_may_run():
    machine = begun(loop(7, "{mode: parallel, max_in_flight: 3}"))

    assert spans(machine) == [(0, 1), (1, 1), (2, 1)]
    report(machine, 1, good(1), duration_us=10)
    assert spans(machine) == [(0, 1), (2, 1), (3, 2)]


@pytest.mark.parametrize(("asked", "given"), [(1, 1), (2, 2), (5, 2)])
def test_the_limit_of_the_service_bounds_what_a_loop_asks_for(asked, given):
    text = loop(9, f"{{mode: parallel, max_in_flight: {asked}}}")
    machine = machine_of(text, limits=LIMITS._replace(in_flight_max=2))

    assert len(spans(machine)) == given


@pytest.mark.parametrize(("total", "status"), [(4, "RUNNING"), (5, "FAILED")])
def test_a_loop_may_have_as_many_items_as_the_limit_and_no_more(total, status):
    machine = machine_of(loop(total), limits=LIMITS._replace(items_max=4))

    assert machine.state.status == status


def test_what_a_worker_leaves_of_its_frame_is_given_out_again_the_first_part_first():
    machine = begun(loop(18))
    report(machine, 0, good(0), duration_us=10)
    assert spans(machine) == [(1, 8)]
    report(machine, 1, *[good(i) for i in range(1, 8)], duration_us=10)
    assert spans(machine) == [(8, 1)]  # the one iteration that was left
    report(machine, 8, good(8), duration_us=10)
    assert spans(machine) == [(9, 9)]


def test_an_iteration_that_waits_keeps_its_place_and_those_behind_it_are_given_out():
    machine = begun(loop(12, "{mode: parallel, max_in_flight: 2}"))
    report(machine, 0, good(0), duration_us=10)
    report(machine, 1, good(1), duration_us=10)
    assert spans(machine) == [(2, 5), (7, 3)]
    waiting = Suspension(kind=WaitKind.TIMER, state={}, index=3, seconds=5)
    report(machine, 2, good(2), suspended=waiting, duration_us=10)
    assert spans(machine) == [(3, 1), (7, 3)]

    report(machine, 7, good(7), good(8), good(9), duration_us=3 * 90_000)
    given = [spans(machine)]
    for index in (4, 5, 6, 10):
        report(machine, index, good(index), duration_us=90_000)
        given.append(spans(machine))
    assert given == [[(3, 1), (n, 1)] for n in (4, 5, 6, 10, 11)]


# -- failures -------------------------------------------------------------------------------


def test_after_a_failure_no_further_items_are_given_out_and_the_rest_may_end():
    machine = begun(loop(6, "{mode: parallel, max_in_flight: 2}"))
    decision = report(machine, 0, bad("no"))

    assert decision.commands == []
    assert spans(machine) == [(1, 1)]
    report(machine, 1, good(1))
    assert machine.state.status == "FAILED"
    assert machine.state.error.message == "step 'start' failed: iteration 0 failed: no"


def test_a_loop_that_failed_names_its_first_iteration_and_counts_them_all():
    machine = begun(loop(6, "{mode: parallel, max_in_flight: 2}"))
    report(machine, 1, bad("second"))
    report(machine, 0, bad("first"))

    said = "step 'start' failed: iteration 0 failed: first (2 failed in all)"
    assert machine.state.error.message == said


def test_a_failure_in_a_frame_is_told_by_the_index_of_its_iteration():
    machine = begun(loop(10, "{mode: sequential, on_error: continue}"))
    report(machine, 0, good(0), duration_us=10)
    report(machine, 1, good(1), bad("no"), *[good(i) for i in range(3, 9)], duration_us=10)
    report(machine, 9, good(9))

    result = result_of(machine)
    assert (result.total, result.success, result.failed) == (10, 9, 1)
    assert [(index, error.message) for index, error in result.errors] == [(2, "no")]
    assert not result.truncated
    assert result.frames == 0


def test_only_the_first_errors_of_a_loop_are_kept_and_it_says_that_there_are_more():
    total = LOOP_ERRORS_MAX + 2
    machine = begun(loop(total, f"{{mode: parallel, max_in_flight: {total}, on_error: continue}}"))
    for index in reversed(range(total)):
        report(machine, index, bad(f"no {index}"))

    result = result_of(machine)
    assert [index for index, _ in result.errors] == [*range(LOOP_ERRORS_MAX)]
    assert result.failed == total
    assert result.truncated


# -- what a frame tells ---------------------------------------------------------------------


def test_results_are_in_the_order_of_their_items_whoever_was_first():
    machine = begun(loop(3, "{mode: parallel, max_in_flight: 3}"))
    for index in (2, 0, 1):
        report(machine, index, good({"n": index}))

    assert result_of(machine).items == [{"n": 0}, {"n": 1}, {"n": 2}]


def test_the_event_of_a_frame_has_what_its_iterations_set_warned_and_printed_in_order():
    machine = begun(loop(9))
    report(machine, 0, good(0), duration_us=10)
    done = [
        good(1, writes=[(["x"], 1)], warnings=["w"], printed="one", retries=2),
        good(2, writes=[(["x"], 2)], warnings=["w", "v"], printed="two", retries=3),
        good(3),
    ]
    event = completed(report(machine, 1, *done))

    assert (event.first, event.count) == (1, 3)
    assert event.set == [(["x"], 1), (["x"], 2)]
    assert machine.state.ctx == {"x": 2}
    assert event.warnings == ["w", "v"]
    assert event.printed == [(1, "one"), (2, "two")]
    assert event.retries == 5


def test_of_much_printed_output_the_last_is_kept():
    machine = begun(loop(9))
    report(machine, 0, good(0), duration_us=10)
    done = [
        good(1, printed="lost"),
        good(2, printed="a" * 10 + "b" * 65_000),
        good(3, printed="c" * 530),
    ]
    event = completed(report(machine, 1, *done))

    assert event.printed == [(2, "a" * 6 + "b" * 65_000), (3, "c" * 530)]


# -- what is too large for an event ---------------------------------------------------------


def test_results_of_more_than_a_hundred_kilobytes_are_kept_by_reference():
    machine = begun(loop(2))
    report(machine, 0, good(0), bytes=60 * 1024)
    report(machine, 1, good(1), bytes=60 * 1024)

    result = result_of(machine)
    assert result.items is None
    assert result.ref.bytes == 120 * 1024
    assert result.ref.summary == {"count": 2}


def test_large_lists_of_items_are_stored_for_each_visit_apart():
    machine = begun(
        """
        - step: start
          loop: {in: "{{ workload.items }}", iterator: n, spec: {on_error: continue}}
          tool: {kind: work}
          next: {arcs: [{step: start, when: "{{ start.failed == 1 }}"}]}
        """,
        payload={"items": ["x" * 70_000, "y" * 70_000]},
    )
    report(machine, 0, bad("no"))
    report(machine, 1, good(1))

    assert machine.state.visits == {"start": 2}
    assert [*machine.kept.values()] == [["x" * 70_000, "y" * 70_000]] * 2
