"""What the tools that load results promise."""

from __future__ import annotations

from collections.abc import AsyncIterator

import msgspec
import pytest

from arcbook.blobs.memory import MemoryBlobs
from arcbook.dsl.model import OutputSpec
from arcbook.events.types import ResultRef, StepResult, Value
from arcbook.outcome import ErrorKind, Outcome
from arcbook.results.refs import make_ref
from arcbook.results.store import ResultStore
from arcbook.testing.tools import FakeContext, call_tool
from arcbook.tools.artifact import Artifact
from arcbook.tools.result_fetch import ResultFetch, count_of


@pytest.fixture
def kept() -> ResultStore:
    async def frames(
        execution_id: int, step: str, name: str
    ) -> AsyncIterator[tuple[int, list, ResultRef | None]]:
        if (execution_id, step, name) == (1, "loop", "2"):
            yield 2, ["c"], None
            ref = await keep(store, "b")
            yield 0, ["a", StepResult(tasks={"data": Value(ref=ref)}, last="data")], None

    store = ResultStore(MemoryBlobs(), loop_reader=frames)
    return store


async def keep(kept: ResultStore, value) -> ResultRef:
    data = msgspec.json.encode(value)
    return await kept.keep(1, "make", "1-data", data, value, OutputSpec())


@pytest.fixture
def context(kept) -> FakeContext:
    made = FakeContext()
    made.results = kept
    return made


@pytest.fixture(params=[("artifact", Artifact), ("result_fetch", ResultFetch)])
def fetch(request, context):
    kind, tool = request.param

    async def call(config, **given):
        return await call_tool(tool(), kind, config, context=context, **given)

    return call


@pytest.mark.parametrize(
    ("value", "count"),
    [
        ({"count": 7, "items": [1]}, 7),
        ({"items": [1, 2]}, 2),
        ({"rows": [1, 2, 3]}, 3),
        ({"a": 1, "b": 2}, 2),
        ([1, 2, 3], 3),
        ("text", 1),
        (None, 0),
    ],
)
async def test_a_result_comes_with_the_count_of_its_items(fetch, kept, value, count):
    ref = await keep(kept, value)
    outcome = await fetch({}, input={"result_ref": ref.ref})

    assert outcome.is_ok, outcome.error
    assert outcome.data == {"status": "success", "ref": ref.ref, "data": value, "count": count}


def test_a_count_that_is_no_number_is_not_believed():
    assert count_of({"count": "many", "items": [1]}) == 1
    assert count_of({"count": True, "items": [1]}) == 1


@pytest.mark.parametrize("name", ["ref", "uri", "_ref", "result_ref"])
async def test_a_reference_has_several_names(fetch, kept, name):
    ref = await keep(kept, [1])

    assert (await fetch({}, input={name: ref.ref})).data["data"] == [1]


async def test_a_whole_result_stands_for_its_reference(kept, context):
    ref = await keep(kept, [1])
    config = {"result_ref": {"_ref": ref.ref, "_store": "kv"}}

    assert (await call_tool(Artifact(), "artifact", config, context=context)).data["data"] == [1]


async def test_a_loop_is_loaded_by_index_with_what_its_iterations_kept(fetch):
    outcome = await fetch({}, input={"ref": make_ref(1, "loop", "2")})

    assert outcome.data["data"] == ["a", "b", "c"]


async def test_the_items_of_a_loop_are_loaded_whole(fetch, kept):
    items = list(range(2500))
    ref = ResultRef(ref=make_ref(1, "loop", "2-items"), store="items", bytes=1)
    await kept.keep_items(ref, items)
    outcome = await fetch({}, input={"ref": ref.ref})

    assert outcome.data["data"] == items


@pytest.mark.parametrize(
    "ref",
    [None, "", make_ref(1, "gone", "1-x"), make_ref(1, "gone", "1"), make_ref(1, "g", "1-items")],
)
async def test_what_is_not_there_is_a_missing_reference(fetch, ref):
    outcome = await fetch({}, input={"ref": ref})

    assert outcome.error.kind == ErrorKind.MISSING_REFERENCE
    assert outcome.error.code == "REFERENCE_NOT_AVAILABLE"


@pytest.mark.parametrize("ref", ["file:///etc/passwd", "s3://bucket/key", "nonsense", 5, ["x"]])
async def test_what_is_no_reference_is_a_mistake(fetch, ref):
    outcome = await fetch({}, input={"ref": ref})

    assert outcome.error.kind == ErrorKind.CONFIG


@pytest.mark.parametrize("action", ["put", "delete"])
async def test_an_artifact_without_an_address_is_only_read(action):
    outcome = await call_tool(Artifact(), "artifact", {"action": action})

    assert outcome.error.kind == ErrorKind.CONFIG
    assert action in outcome.error.message


# -- files ------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [{"a": [1]}, "text", [1, 2]])
async def test_a_file_is_put_and_got(tmp_path, value):
    uri = f"file://{tmp_path}/a.json"
    put = await call_tool(
        Artifact(), "artifact", {"action": "put", "result_ref": uri, "data": value}
    )
    got = await call_tool(Artifact(), "artifact", {"result_ref": uri})

    assert isinstance(put, Outcome)
    assert isinstance(got, Outcome)
    assert put.is_ok, put.error
    assert got.data["data"] == value
    assert [p.name for p in tmp_path.iterdir()] == ["a.json"]


async def test_a_file_that_is_not_there(tmp_path):
    got = await call_tool(Artifact(), "artifact", {"result_ref": f"file://{tmp_path}/a"})

    assert isinstance(got, Outcome)
    assert got.error is not None
    assert got.error.kind is ErrorKind.NOT_FOUND
