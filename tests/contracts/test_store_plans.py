"""How PostgreSQL goes about what servers ask all the time: by an index, each time."""

from __future__ import annotations

import asyncio
import re

import asyncpg
import pytest

from arcbook.ids import EPOCH_MS
from arcbook.store.api import Change, Claim, ResultRow, StartKey, Tick
from arcbook.store.postgres.batch import FENCES, arguments
from arcbook.store.sql import load_queries
from arcbook.testing.contracts.store import change, event
from arcbook.testing.contracts.store_commands import command

pytestmark = pytest.mark.services

MONTH_US = 1_751_328_000_000_000
FIRST = (MONTH_US // 1000 - EPOCH_MS) << 22
SOME = FIRST + 77
SQL = load_queries("arcbook.store.postgres")
BLOBS = load_queries("arcbook.blobs", "postgres.sql")

SEED = f"""
insert into event
  select {FIRST} + n, s, 0, 'step.enter', 's', false, '{{}}'
  from generate_series(1, 20000) n, generate_series(1, 4) s;
insert into head select {FIRST} + n, 4 from generate_series(1, 20000) n;
insert into execution
  select {FIRST} + n, n % 64, 'a/b', case when n % 10 = 0 then 'RUNNING' else 'COMPLETED' end, 4,
    case when n % 50 = 0 then {FIRST} + n / 100 else 0 end, n % 10, ''
  from generate_series(1, 20000) n;
insert into snapshot select {FIRST} + n, 1, 'x' from generate_series(1, 20000) n;
insert into timer select {FIRST} + n, 't', 5 from generate_series(1, 20000) n;
insert into result select {FIRST} + n, 'r', 's', 1, '', '' from generate_series(1, 20000) n;
insert into command
  select 'c' || n, {FIRST} + n, n % 64, 's', 'main', 0, 0, 0, '' from generate_series(1, 20000) n;
insert into inbox (execution_id, body) select {FIRST} + n, '' from generate_series(1, 20000) n;
insert into schedule
  select 's' || n, false, n, 0, 0, '{{}}' from generate_series(1, 20000) n;
insert into blob
  select ({FIRST} + n) || '/s/1', 0, {FIRST} + n, 'x' from generate_series(1, 20000) n;
insert into start_key
  select 'a/b', 'k' || n, {FIRST} + n, 0, n from generate_series(1, 20000) n;
insert into change_audit select n, 'a', 'b', 'c', '' from generate_series(1, 20000) n;
analyze;
"""

FULL = {
    "head",
    "event_202507",
    "execution",
    "snapshot",
    "timer",
    "result",
    "command",
    "inbox",
    "schedule",
    "blob",
    "start_key",
    "change_audit",
}
"""Tables with rows."""

EVERYTHING = [
    change(
        SOME,
        4,
        [event(5), event(6)],
        snapshot=b"x",
        results=[ResultRow("r", "s", 1, "", "")],
        timers={"t": 1},
        done=["c70"],
        issued=[command("c71", SOME)],
        claims=[Claim("c77", 0, 0, "w")],
        tick=Tick("s9", 9, 10),
        key=StartKey("a/b", "k9", 9, 10),
    ),
    Change(execution_id=SOME + 1, after_seq=4, events=[event(5)]),
]

ASKED = {
    "commit": arguments(EVERYTHING),
    "fenced": arguments(EVERYTHING)[:FENCES],
    "others": ["a", [1, 2]],
    "get_stored": [SOME],
    "get_tail": [SOME, 1],
    "get_events": [SOME, 1, 1000],
    "get_chosen_events": [SOME, 1, 1000, "s", ["step.enter"], b""],
    "get_resumed": [SOME, 1, 1000, "s", b'"key":"a"'],
    "get_execution": [SOME],
    "get_executions": [SOME, 50],
    "get_executions_of_path": [SOME, 50, "/b", ""],
    "get_executions_of_status": [SOME, 50, "FAILED"],
    "get_executions_of_parent": [SOME, 50, "", "", SOME],
    "get_executions_of_tenant": [SOME, 50, "", "", 0, "t", ""],
    "get_executions_of_organization": [SOME, 50, "", "", 0, "o"],
    "get_key": ["a/b", "k9", 3],
    "forget_keys": [3],
    "get_notes": [50, 20, "", "", "", "", ""],
    "get_unfinished": [[1, 2], 0, 1000],
    "get_results": [SOME],
    "take": [[SOME, SOME + 1]],
    "drop": [[5]],
    "get_commands": [[1, 2], "c5", 1000],
    "get_all_commands": ["c5", 1000],
    "get_due_schedules": [50, 1000],
    "get_schedules": ["s5", 100, "", ""],
    "skip_tick": ["s5", 1, 2],
    "delete_execution": [SOME, 7],
}

ASKED_OF_BLOBS = {
    "put": [f"{SOME}/s/2", 0, SOME, b""],
    "get": [f"{SOME}/s/1"],
    "clear": [f"{SOME}/s/1"],
    "delete": [f"{SOME}/", f"{SOME}0"],
}


@pytest.fixture
async def seeded(dsn):
    """A connection as any other, to tables with so many rows that a plan matters."""
    connection = await asyncpg.connect(dsn, server_settings={"search_path": "arcbook"})
    await connection.execute(f"select ensure_partitions(to_timestamp({MONTH_US} / 1e6), 0)")
    await connection.execute(SEED)
    await connection.execute(
        "load 'auto_explain'; set auto_explain.log_min_duration = 0; "
        "set auto_explain.log_nested_statements = on; set client_min_messages = log; "
        "set plan_cache_mode = force_generic_plan; set jit = off"
    )
    yield connection
    await connection.close()


@pytest.mark.slow
async def test_no_query_of_the_hot_path_reads_a_whole_table(seeded):
    plans = []
    seeded.add_log_listener(lambda _, message: plans.append(message.message))
    asked = [(SQL[name], values) for name, values in ASKED.items()]
    asked += [(BLOBS[name], values) for name, values in ASKED_OF_BLOBS.items()]
    for query, values in asked:
        before = len(plans)
        async with seeded.transaction():
            await seeded.fetch(query, *values)
        await asyncio.sleep(0)
        assert len(plans) > before, query

    told = "\n".join(plans)
    # Other months are empty here, and nothing is quicker than reading an empty table.
    assert set(re.findall(r"Seq Scan on (\w+)", told)) & FULL == set()
    used = set(re.findall(r"Index .*(?:using|Index Scan on) (\w+)", told))
    assert used >= {
        "command_pkey",
        "event_202507_execution_id_step_seq_idx",
        "event_202507_pkey",
        "execution_parent",
        "execution_path",
        "execution_pkey",
        "execution_status",
        "result_pkey",
        "head_pkey",
        "schedule_due",
        "snapshot_pkey",
    }
