"""What holds of every playbook and every course of events."""

from __future__ import annotations

import random

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from arcbook.dsl.kinds import Kind, KindTable
from arcbook.dsl.load import load_playbook
from arcbook.engine.inputs import Report, Start
from arcbook.engine.pipeline import IterationResult
from arcbook.engine.plan import Plan
from arcbook.engine.state import State
from arcbook.events.codec import decode, encode
from arcbook.events.types import TERMINAL, StepResult
from arcbook.outcome import ERROR, ErrorInfo, ErrorKind
from arcbook.testing.generate import KIND, random_playbook
from arcbook.testing.machine import EXECUTION_ID, Machine, World, replayed, resumed

STEPS_MAX = 4000

KINDS = KindTable({KIND: Kind(name=KIND, open=True)})
seeds = st.integers(0, 2**32 - 1)
thorough = settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def plan_of(rng: random.Random) -> Plan:
    text = random_playbook(rng)
    loaded = load_playbook(text, KINDS)
    assert loaded.playbook is not None, [d.message for d in loaded.errors]
    return Plan(loaded.playbook, KINDS)


def ran(seed: int, *, mild: bool = False) -> Machine:
    """Run a random playbook in a random world until nothing can happen any more."""
    rng = random.Random(seed)
    machine = Machine(plan_of(rng))
    world = World(machine, rng, mild=mild)
    world.start()
    for _ in range(STEPS_MAX):
        if not world.step():
            return machine
    pytest.fail(f"seed {seed} did not end within {STEPS_MAX} inputs")


def frozen(state: State) -> bytes:
    return msgspec.json.encode(state)


@thorough
@given(seeds)
def test_every_execution_ends_and_its_last_event_says_how(seed):
    machine = ran(seed)

    assert machine.state.status.is_terminal
    ends = [e for e in machine.events if e.event.type in TERMINAL]
    assert ends == machine.events[-1:]
    assert [e.seq for e in machine.events] == list(range(1, len(machine.events) + 1))


@thorough
@given(seeds)
def test_the_state_is_the_fold_of_the_events_and_of_nothing_else(seed):
    machine = ran(seed)

    assert frozen(replayed(machine.events)) == frozen(machine.state)


@thorough
@given(seeds)
def test_events_and_states_survive_being_stored(seed):
    machine = ran(seed)

    stored = [e._replace(event=decode(encode(e.event))) for e in machine.events]
    assert stored == machine.events
    middle = replayed(machine.events[: len(machine.events) // 2])
    assert frozen(msgspec.json.decode(frozen(middle), type=State)) == frozen(middle)


@thorough
@given(seeds, st.floats(0, 1))
def test_going_on_from_any_prefix_of_the_log_gives_the_same_log(seed, part):
    machine = ran(seed)
    after = round(part * len(machine.log))

    again = resumed(machine, after)

    assert again.events == machine.events
    assert frozen(again.state) == frozen(machine.state)


@thorough
@given(seeds, seeds)
def test_folding_is_total_events_that_do_not_fit_change_nothing_that_breaks(seed, order):
    machine = ran(seed)
    shuffled = list(machine.events)
    random.Random(order).shuffle(shuffled)

    state = replayed(shuffled)

    assert state.execution_id == EXECUTION_ID


@thorough
@given(seeds)
def test_repeated_and_late_inputs_change_nothing(seed):
    machine = ran(seed)
    before = len(machine.events)

    for given_ in list(machine.log):
        decision = machine.give(given_.input)
        assert not decision.events
        assert not decision.commands
    assert len(machine.events) == before


@thorough
@given(seeds)
def test_each_visit_that_is_entered_is_left_once_unless_the_execution_ends_first(seed):
    machine = ran(seed)
    entered = [
        (e.event.step, e.event.visit) for e in machine.events if e.event.type == "step.enter"
    ]
    left = [(e.event.step, e.event.visit) for e in machine.events if e.event.type == "step.exit"]

    assert len(set(entered)) == len(entered)
    assert len(set(left)) == len(left)
    assert set(left) <= set(entered)
    if str(machine.state.status) == "COMPLETED":
        assert set(left) == set(entered)


@thorough
@given(seeds)
def test_each_iteration_of_a_loop_that_completes_is_done_exactly_once(seed):
    machine = ran(seed)
    totals = {}
    done = {}
    for recorded in machine.events:
        event = recorded.event
        if event.type == "step.enter" and event.loop is not None:
            totals[event.step, event.visit] = event.loop.total
        if event.type == "command.completed":
            span = range(event.first, event.first + event.count)
            seen = done.setdefault((event.step, event.visit), [])
            assert not set(seen) & set(span)
            seen += span
        if event.type == "step.exit" and event.loop is not None and event.status == "ok":
            key = (event.step, event.visit)
            assert sorted(done.get(key, [])) == list(range(totals[key]))


@thorough
@given(seeds)
def test_in_a_kind_world_nothing_fails_but_what_is_written_to_fail(seed):
    machine = ran(seed, mild=True)

    if str(machine.state.status) == "FAILED":
        error = machine.state.error
        written = ("NO_MATCH", "NO_NEXT", "STEP_TIMEOUT", "PLAYBOOK_TIMEOUT")
        assert error.code in written or error.kind == "template"


def test_which_iterations_failed_is_told_by_index_whoever_was_first():
    head = (
        '{"apiVersion": "noetl.io/v2", "kind": "Playbook", "metadata": {"name": "n", "path": "n"}'
    )
    loop = (
        '{"in": [1, 2], "iterator": "item", "spec": {"mode": "parallel", "on_error": "continue"}}'
    )
    text = f'{head}, "workflow": [{{"step": "a", "tool": {{"kind": "{KIND}"}}, "loop": {loop}}}]}}'
    loaded = load_playbook(text, KINDS)
    machine = Machine(Plan(loaded.playbook, KINDS))
    error = ErrorInfo(kind=ErrorKind.SERVER_ERROR, message="no")
    failed = IterationResult(
        result=StepResult(status=ERROR, error=error), status=ERROR, error=error
    )
    machine.give(Start(path="n"))

    for index in (1, 0):
        frame = f"{EXECUTION_ID}:a:1:f{index}"
        machine.give(Report(command_id=frame, first=index, done=[failed]))

    assert [at for at, _ in machine.state.results["a"].errors] == [0, 1]
