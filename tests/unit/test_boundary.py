"""What is wrong with one execution ends that one, with a reason, and no other."""

from __future__ import annotations

import asyncio
import json

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from arcbook.engine.state import Status
from arcbook.owner.boundary import UnrecordableError
from arcbook.owner.slots import SNAPSHOT_VERSION, UnreadableStateError, decode_state
from arcbook.store.api import EventRow, StoreError, UnstorableError
from arcbook.store.memory import MemoryStore
from arcbook.testing.clock import run_virtually
from arcbook.testing.cluster import Cluster
from arcbook.testing.local import bench, run_on

ONE = """\
apiVersion: noetl.io/v2
kind: Playbook
metadata: {name: one, path: tests/one}
workflow:
  - step: start
    tool: {kind: say}
    set: {ctx.said: "{{ start }}"}
    next: [{step: end}]
  - step: end
    tool: {kind: noop}
"""

HALF = "\ud83d"


class Unwilling(MemoryStore):
    """A store that cannot hold one word, wherever it stands."""

    def __init__(self) -> None:
        super().__init__()
        self.commits_tried = 0

    async def commit(self, changes):
        if any(b"unstorable" in event.body for change in changes for event in change.events):
            self.commits_tried += 1
            raise UnstorableError("the word cannot be stored")
        await super().commit(changes)


async def two(made, bad, good="fine"):
    """Run an execution that meets something bad beside one that does not."""
    answers = {"bad": bad, "good": good, None: 1}
    text = ONE.replace("{kind: say}", "{kind: say, which: '{{ workload.which }}'}").replace(
        "workflow:", "workload: {which: good}\nworkflow:"
    )
    made.tools["say"]._handler = lambda call: answers[call.config.get("which")]
    return await asyncio.gather(
        run_on(made, text, {"which": "bad"}), run_on(made, text, {"which": "good"})
    )


@pytest.mark.parametrize(
    "value",
    [HALF, {"deep": [HALF]}, {HALF: 1}, f"a{HALF}b"],
    ids=["alone", "deep", "as a key", "within"],
)
async def test_half_of_a_character_ends_its_execution_and_no_other(value):
    async with bench({"say": None}) as made:
        bad, good = await two(made, value)
        after = await run_on(made, ONE, {})

    assert (bad.status, good.status) == ("FAILED", "COMPLETED")
    assert "surrogate" in bad.state.error.message
    assert after.status == "COMPLETED"


async def test_half_of_a_character_that_a_template_makes_is_replaced():
    text = ONE.replace('"{{ start }}"', '"{{ (start | fromjson).title }}"')
    async with bench({"say": lambda _: '{"title": "\\ud83d"}'}) as made:
        ran = await run_on(made, text)

    assert ran.status == "COMPLETED"
    assert ran.state.ctx["said"] == "\ufffd"


async def test_what_the_store_cannot_hold_fails_its_execution_and_no_other():
    store = Unwilling()
    async with bench({"say": None}, store=store) as made:
        bad, good = await two(made, "unstorable")

    assert (bad.status, good.status) == ("FAILED", "COMPLETED")
    assert bad.state.error.code == "UNRECORDABLE"
    assert store.commits_tried


async def test_a_start_that_the_store_cannot_hold_is_refused_and_the_others_start():
    async with bench({"say": lambda _: 1}, store=Unwilling()) as made:
        with pytest.raises(UnstorableError):
            await run_on(made, ONE, {"x": "unstorable"})
        assert (await run_on(made, ONE)).status == "COMPLETED"


async def test_a_start_whose_payload_no_event_can_hold_is_recorded_as_failed():
    async with bench({"say": lambda _: 1}) as made:
        ran = await run_on(made, ONE, {"x": HALF})

    assert ran.status == "FAILED"
    assert ran.state.error.code == "UNRECORDABLE"
    assert ran.types() == ["playbook.started", "playbook.failed"]


async def test_after_the_store_failed_once_the_next_run_goes_on():
    store = MemoryStore()
    commit, failures = store.commit, [StoreError("the disk is full")]

    async def fails_once(changes):
        if failures:
            raise failures.pop()
        await commit(changes)

    store.commit = fails_once
    async with bench({"say": lambda _: 1}, store=store) as made:
        with pytest.raises(StoreError):
            await run_on(made, ONE)
        assert (await run_on(made, ONE)).status == "COMPLETED"


async def test_a_listener_that_raises_stops_nothing():
    def raises(*_):
        raise RuntimeError("not mine")

    async with bench({"say": lambda _: 1}) as made:
        made.runtime.drive.listeners.add(raises)
        assert (await run_on(made, ONE)).status == "COMPLETED"


# -- what is loaded -----------------------------------------------------------------------

WAITS = """\
apiVersion: noetl.io/v2
kind: Playbook
metadata: {name: waits, path: tests/waits}
workflow:
  - step: start
    tool: {kind: say}
    next: [{step: end}]
  - step: end
    tool: {kind: noop}
"""


async def interrupted(store):
    """Leave an execution in a store as a process leaves it that ends."""
    never = asyncio.Event()
    async with bench({"say": lambda _: never.wait()}, store=store) as made:
        planned = await made.register(WAITS)
        return await made.runtime.start(planned, {})


async def taken_over(store, execution_id):
    async with bench({"say": lambda _: 1}, store=store) as made:
        made.ids.switch_machine(2)
        return await (await made.runtime.resume(execution_id)), await run_on(made, ONE)


def damage_event(store, execution_id):
    log = store.log[execution_id]
    log[-1] = log[-1]._replace(body=b'{"type":"from.the.future"}')


def damage_middle(store, execution_id):
    log = store.log[execution_id]
    log[1] = EventRow(log[1].seq, log[1].at, log[1].type, log[1].step, b"\xff\xfe")


def make_it_not_follow(store, execution_id):
    log = store.log[execution_id]
    body = {"type": "command.issued", "command_id": "x", "step": "gone", "visit": 9}
    log[-1] = log[-1]._replace(body=json.dumps(body).encode())


def lose_playbook(store, execution_id):
    store.catalog.clear()


@pytest.mark.parametrize("damage", [damage_event, damage_middle, make_it_not_follow, lose_playbook])
async def test_what_cannot_be_loaded_is_failed_with_the_reason_and_stops_nothing(damage):
    store = MemoryStore()
    execution_id = await interrupted(store)
    damage(store, execution_id)

    state, after = await taken_over(store, execution_id)

    assert state.status is Status.FAILED
    assert state.error.code == "ENGINE_FAULT"
    assert "cannot continue" in state.error.message
    assert store.rows[execution_id].status == "FAILED"
    assert after.status == "COMPLETED"


async def test_what_ended_and_cannot_be_read_any_more_is_left_as_it_is():
    store = MemoryStore()
    async with bench({"say": lambda _: 1}, store=store) as made:
        ended = (await run_on(made, ONE)).state.execution_id
    damage_middle(store, ended)
    before = list(store.log[ended])

    state, after = await taken_over(store, ended)

    assert state.status is Status.COMPLETED
    assert store.log[ended] == before
    assert after.status == "COMPLETED"


@pytest.mark.parametrize("snapshot", [b"", b"{}", b"\xff", b'{"version":999,"state":{}}', b"[1]"])
async def test_a_saved_state_that_cannot_be_read_is_made_up_for_by_the_log(snapshot):
    store = MemoryStore()
    execution_id = await interrupted(store)
    store.snapshots[execution_id] = (len(store.log[execution_id]), snapshot)

    state, _ = await taken_over(store, execution_id)

    assert state.status is Status.COMPLETED


@given(st.binary(max_size=200) | st.dictionaries(st.text(), st.integers()).map(json.dumps))
def test_a_saved_state_is_read_or_refused(data):
    raw = data.encode("utf-8", "surrogatepass") if isinstance(data, str) else data
    try:
        decode_state(raw)
    except UnreadableStateError:
        return
    assert msgspec.json.decode(raw)["version"] == SNAPSHOT_VERSION


# -- a cluster ----------------------------------------------------------------------------


CALLS = """\
apiVersion: noetl.io/v2
kind: Playbook
metadata: {name: calls, path: tests/calls}
workflow:
  - step: start
    tool: {kind: playbook, path: tests/child}
"""

CHILD = """\
apiVersion: noetl.io/v2
kind: Playbook
metadata: {name: child, path: tests/child}
workflow:
  - step: start
    tool: {kind: noop}
"""


@pytest.mark.parametrize("damage", [damage_event, damage_middle, make_it_not_follow, lose_playbook])
async def test_the_server_that_takes_over_fails_what_cannot_be_loaded_and_drives_on(
    damage, tmp_path
):
    async with Cluster(tmp_path) as cluster:
        first = await cluster.server()
        bad, good = await cluster.start(CHILD), await cluster.start(CHILD)
        if damage is lose_playbook:
            cluster.store.catalog = [e for e in cluster.store.catalog if e.catalog_id < 0]
        else:
            damage(cluster.store, bad)
        await first.stop()
        second = await cluster.server()
        await cluster.worker()

        assert (await cluster.ended(bad)).status is Status.FAILED
        await cluster.register(CALLS, at=1)
        await cluster.register(CHILD, at=1)
        after = await second.server.start(await second.server.plans.find("tests/calls"), {})
        assert (await cluster.ended(after)).status is Status.COMPLETED
        if damage is not lose_playbook:
            assert (await cluster.ended(good)).status is Status.COMPLETED


async def test_a_child_that_cannot_be_loaded_is_told_to_its_parent(tmp_path):
    async with Cluster(tmp_path) as cluster:
        first = await cluster.server()
        worker = await cluster.worker(["shared"])
        await cluster.register(
            CHILD.replace("{kind: noop}", "{kind: noop}\n    spec: {pool: none}")
        )
        parent = await cluster.start(CALLS)
        async with asyncio.timeout(5):
            while len(cluster.store.rows) < 2:
                await cluster.moved()
        (called,) = set(cluster.store.rows) - {parent}
        damage_event(cluster.store, called)
        await first.stop()
        await cluster.server()

        ended = await cluster.ended(parent)
        await worker.kill()

    assert ended.status is Status.FAILED
    assert "cannot continue" in ended.error.message


# -- hostile values at every port ---------------------------------------------------------

HOSTILE = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters())
    | st.text(st.characters(categories=["Cs", "Cc"]), max_size=3)
    | st.binary(max_size=4),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(st.characters(), max_size=3), inner, max_size=3)
    ),
    max_leaves=8,
)


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.data())
def test_no_value_stops_the_runtime(data):
    value = data.draw(HOSTILE)
    where = data.draw(st.sampled_from(["result", "payload", "label"]))

    async def work():
        async with bench({"say": lambda _: value if where == "result" else 1}) as made:
            payload = {"x": value} if where == "payload" else {}
            facts = {"labels": {"tenant": str(value)}} if where == "label" else {}
            try:
                ran = await run_on(made, ONE, payload, **facts)
            except (UnrecordableError, UnstorableError):
                assert where == "label"
            else:
                assert ran.state.status.is_terminal
            made.tools["say"]._handler = lambda _: 1
            assert (await run_on(made, ONE)).status == "COMPLETED"

    run_virtually(work())
