"""Executions that an earlier release wrote are read, shown and gone on with."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from arcbook.outcome import ERROR, OK
from arcbook.owner.boundary import stored_state
from arcbook.owner.slots import rebuild, row_of
from arcbook.store.api import Change, Stored
from arcbook.store.memory import MemoryStore
from arcbook.testing.clock import run_virtually
from arcbook.testing.local import bench
from earlier.recording import LOGS, Log, results_of, work

FILES = sorted(LOGS.glob("*.json"))


def logs_of(file: Path) -> list[Log]:
    return msgspec.json.decode(file.read_bytes(), type=list[Log])


CASES = [
    pytest.param(log, logs_of(file), id=f"{file.stem} {log.path}")
    for file in FILES
    for log in logs_of(file)
]
every_log = pytest.mark.parametrize(("log", "others"), CASES)


def meant(log: Log) -> dict[str, object]:
    """Return the results as a release records them now."""
    if log.path != "earlier/loops":
        return log.results
    ended = {"start": OK, "after": ERROR}
    loops = {name: log.results[name] | {"status": status} for name, status in ended.items()}
    return log.results | loops


def told(results: dict[str, Any]) -> dict[str, Any]:
    """Return results without what an earlier release told nobody: at which try they came."""
    return {
        name: {key: value for key, value in result.items() if key != "attempt"}
        for name, result in results.items()
    }


_UNREAD: Any = None
"""The row, which nothing reads of what is stored."""


async def stored(log: Log, others: list[Log], *, count: int, saved: bytes | None) -> MemoryStore:
    """Return a store with the first events of a log, and all documents."""
    store = MemoryStore()
    for other in others:
        await store.register(other.entry())
    rows = log.rows()[:count]
    state = rebuild(log.execution_id, Stored(_UNREAD, None, rows))
    change = Change(
        execution_id=log.execution_id,
        after_seq=0,
        events=rows,
        row=row_of(state, rows[-1].at),
        snapshot=saved,
    )
    await store.commit([change])
    return store


@every_log
async def test_what_became_of_an_execution_is_what_its_log_says(log, others):
    found = await stored_state(
        await stored(log, others, count=len(log.events), saved=None), log.execution_id
    )

    assert not found.read_error
    assert found.state.status == log.status
    assert results_of(found.state) == meant(log)


@every_log
async def test_a_state_that_an_earlier_release_saved_gives_way_to_its_log(log, others):
    store = await stored(log, others, count=len(log.events), saved=bytes(log.saved))
    found = await stored_state(store, log.execution_id)

    assert not found.read_error
    assert results_of(found.state) == meant(log)


@every_log
def test_an_execution_goes_on_from_each_event_to_the_same_end(log, others):
    """But for events after a child began: its own log is another one."""
    types = [kind for _, _, kind, *_ in log.events]
    has_child = log.path == "earlier/parent"
    last = types.index("command.suspended") if has_child else len(types) - 1

    async def gone_on(count: int):
        store = await stored(log, others, count=count, saved=None)
        async with bench({"work": work}, store=store) as made:
            return await (await made.runtime.resume(log.execution_id))

    for count in range(1, last + 1):
        state = run_virtually(gone_on(count))
        assert state.status == log.status, count
        assert told(results_of(state)) == meant(log), count
