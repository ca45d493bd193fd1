"""Values by reference: what is stored apart from the log, and how it is put together again."""

from __future__ import annotations

import hashlib
import json

import pytest

from arcbook.blobs.memory import MemoryBlobs
from arcbook.dsl.model import OutputSpec
from arcbook.events.types import ResultRef, StepResult, Value
from arcbook.results.refs import make_ref
from arcbook.results.store import CHUNK_ITEMS, KV_BYTES_MAX, ResultMissingError, ResultStore

ITEMS = make_ref(7, "step", "1-items")


@pytest.fixture
def results():
    return ResultStore(MemoryBlobs(), inline_bytes_max=100)


def quoted(size):
    """Return a text that takes as many bytes as JSON, in a list."""
    return ["x" * (size - 4)]


@pytest.mark.parametrize("count", [1, CHUNK_ITEMS - 1, CHUNK_ITEMS, CHUNK_ITEMS + 1, 2500])
async def test_a_list_is_whole_however_many_chunks_it_takes(results, count):
    ref = ResultRef(ref=ITEMS, store="items", bytes=0, sha256="", summary={"count": count})
    await results.keep_items(ref, list(range(count)))

    assert await results.load(ref) == list(range(count))
    assert await results.load_ref(ITEMS) == list(range(count))


@pytest.mark.parametrize(
    ("first", "count"),
    [(0, 10), (999, 1), (999, 2), (1000, 1), (998, 1004), (1500, 1000), (2499, 1)],
)
async def test_a_frame_loads_its_own_items_and_no_others(results, first, count):
    ref = ResultRef(ref=ITEMS, store="items", bytes=0, sha256="", summary={"count": 2500})
    await results.keep_items(ref, list(range(2500)))

    assert await results.items(ref, first, count) == list(range(first, first + count))


async def test_what_is_gone_is_said_to_be(results):
    ref = ResultRef(ref=ITEMS, store="items", bytes=0, sha256="", summary={"count": 3})

    for load in (
        results.load(ref),
        results.load_ref(ITEMS),
        results.load_ref(make_ref(7, "s", "x")),
    ):
        with pytest.raises(ResultMissingError):
            await load


@pytest.mark.parametrize(
    ("size", "own_limit", "is_kept_apart"),
    [(100, None, False), (101, None, True), (101, 200, False), (60, 50, True), (50, 50, False)],
)
async def test_data_is_kept_apart_beyond_its_limit(results, size, own_limit, is_kept_apart):
    given = StepResult(tasks={"t": Value(data=quoted(size))})
    specs = {"t": OutputSpec(inline_bytes_max=own_limit)}

    kept = (await results.shrink(given, 7, "step:1", specs)).tasks["t"]

    assert (kept.ref is not None) == is_kept_apart
    if kept.ref is not None:
        assert kept.data is None
        assert kept.ref.bytes == size
        assert kept.ref.sha256 == hashlib.sha256(json.dumps(quoted(size)).encode()).hexdigest()
        assert await results.load(kept.ref) == quoted(size)


@pytest.mark.parametrize(("size", "tier"), [(KV_BYTES_MAX - 1, "kv"), (KV_BYTES_MAX, "disk")])
async def test_the_store_that_is_named_follows_from_the_size(results, size, tier):
    data = json.dumps(quoted(size)).encode()

    ref = await results.keep(7, "step", "1-t", data, quoted(size), OutputSpec())

    assert ref.store == tier
