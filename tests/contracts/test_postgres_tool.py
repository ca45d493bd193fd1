"""What the postgres tool promises."""

from __future__ import annotations

import asyncio
import time

import pytest

from arcbook.outcome import ErrorKind
from arcbook.testing.tools import FakeContext, call_tool
from arcbook.tools.api import Credential
from arcbook.tools.postgres import Postgres
from arcbook.tools.postgres import pool as postgres_pool

pytestmark = pytest.mark.services


@pytest.fixture
async def tool():
    made = Postgres()
    yield made
    await made.close()


@pytest.fixture
def auth(postgres_server, database):
    return Credential(name="pg", type="postgres", data=postgres_server.fields(database))


@pytest.fixture
def run(tool, auth):
    """Run a query on the test's own database."""

    async def call(query, params=None, *, auth=auth, timeout_seconds=None, **config):
        config |= {"query": query} | ({} if params is None else {"params": params})
        return await call_tool(tool, "postgres", config, auth=auth, timeout_seconds=timeout_seconds)

    return call


@pytest.fixture
def data(run):
    """Run a query that succeeds, and return its data."""

    async def call(query, params=None, **facts):
        outcome = await run(query, params, **facts)
        assert outcome.is_ok, outcome.error
        return outcome.data

    return call


async def value(data, expression):
    select, mark, rest = expression.partition(" FROM ")
    return (await data(f"SELECT {select} AS v{mark}{rest}"))["rows"][0]["v"]


# -- results ----------------------------------------------------------------------------


async def test_a_query_yields_columns_rows_and_counts(run):
    outcome = await run("SELECT n, n * 2 AS twice FROM generate_series(1, 2) AS n;")

    rows = [{"n": 1, "twice": 2}, {"n": 2, "twice": 4}]
    command = {
        "status": "success",
        "columns": ["n", "twice"],
        "rows": rows,
        "row_count": 2,
        "message": "SELECT 2",
    }
    assert outcome.data == {**command, "command_0": command}
    assert outcome.meta == {"rows": 2, "bytes": 36, "statements": 1}


async def test_several_statements_yield_the_rows_of_the_last_that_has_any(data):
    found = await data(
        """
        -- a comment; with a semicolon
        CREATE TABLE t (id int PRIMARY KEY, name text);
        INSERT INTO t VALUES (1, 'one; still one'), (2, 'it''s two');
        SELECT count(*) AS n FROM t;
        /* and; another */
        DO $$ BEGIN PERFORM 1; END $$;
        """
    )

    assert found["rows"] == [{"n": 2}]
    assert found["row_count"] == 1
    assert found["affected_rows"] == 2
    assert found["command_0"]["rows"] == []
    assert found["command_1"]["row_count"] == 2
    assert found["command_1"]["message"] == "INSERT 0 2"
    assert found["command_2"]["rows"] == [{"n": 2}]
    assert found["command_3"]["message"] == "DO"
    assert "command_4" not in found


async def test_a_list_of_texts_is_run_like_one(data):
    found = await data(["CREATE TABLE t (i int); INSERT INTO t VALUES (1)", "SELECT * FROM t"])

    assert found["command_2"]["rows"] == [{"i": 1}]


async def test_without_rows_the_count_is_of_rows_changed(data):
    await data("CREATE TABLE t (i int)")
    found = await data("INSERT INTO t SELECT generate_series(1, 3)")

    assert found["rows"] == found["columns"] == []
    assert found["row_count"] == found["affected_rows"] == 3
    assert (await data("CREATE TABLE u AS SELECT * FROM t"))["row_count"] == 3
    assert (await data("TRUNCATE t"))["row_count"] == 0


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("INSERT INTO t VALUES (3) RETURNING i", [{"i": 3}]),
        ("WITH w AS (DELETE FROM t RETURNING i) SELECT i FROM w", [{"i": 1}]),
        ("-- why\n/* because */ SELECT i FROM t", [{"i": 1}]),
        ("UPDATE t SET i = 2 RETURNING i AS now", [{"now": 2}]),
        ("SHOW search_path", [{"search_path": '"$user", public'}]),
        ("VALUES (1, 'a')", [{"column1": 1, "column2": "a"}]),
        ("TABLE t", [{"i": 1}]),
        ("EXPLAIN (COSTS off) SELECT 1", [{"QUERY PLAN": "Result"}]),
        ("SELECT i FROM t WHERE false", []),
    ],
)
async def test_whatever_describes_rows_yields_them(data, query, expected):
    await data("CREATE TABLE t (i int); INSERT INTO t VALUES (1)")
    found = await data(query)

    assert found["rows"] == expected
    assert len(found["columns"]) > 0


async def test_columns_of_one_name_are_all_there(data):
    found = await data("SELECT 1 AS a, 2 AS a, 3 AS a_2, 4, 5")

    assert found["rows"] == [{"a": 1, "a_3": 2, "a_2": 3, "?column?": 4, "?column?_2": 5}]


TYPES = [
    ("NULL::int", None),
    ("1::int2", 1),
    ("'-2147483648'::int4", -2147483648),
    ("9223372036854775807::int8", 9223372036854775807),
    ("1.1::float4", 1.1),
    ("0.1::float8", 0.1),
    ("'NaN'::float8", "NaN"),
    ("'-Infinity'::float4", "-Infinity"),
    ("1.10::numeric", "1.10"),
    ("5.00::numeric(10,2)", "5.00"),
    ("sum(n) FROM (VALUES (2::bigint), (3)) AS t(n)", "5"),
    ("12345678901234567890.123456789::numeric", "12345678901234567890.123456789"),
    ("'NaN'::numeric", "NaN"),
    ("true", True),
    ("'it''s'::text", "it's"),
    ("'ab'::char(4)", "ab  "),
    ("'x'::varchar(5)", "x"),
    ("'name'::name", "name"),
    (r"'\x00ff'::bytea", "AP8="),
    ('\'{"a": [1, 2.5, null], "b": 12345678901234567890123}\'::jsonb',
     {"a": [1, 2.5, None], "b": "12345678901234567890123"}),
    ("'[1, \"x\"]'::json", [1, "x"]),
    ("'2024-02-29'::date", "2024-02-29"),
    ("'infinity'::date", "infinity"),
    ("'2024-02-29 12:34:56.789'::timestamp", "2024-02-29T12:34:56.789"),
    ("'2024-02-29 12:34:56+02'::timestamptz", "2024-02-29T10:34:56+00:00"),
    ("'-infinity'::timestamptz", "-infinity"),
    ("'0044-03-15 12:00:00 BC'::timestamp", "0044-03-15 12:00:00 BC"),
    ("'12:34:56.7'::time", "12:34:56.7"),
    ("'12:34:56+05:30'::timetz", "12:34:56+05:30"),
    ("'12:34:56+02'::timetz", "12:34:56+02:00"),
    ("interval '1 year 2 months 3 days 04:05:06.7'", "P1Y2M3DT4H5M6.7S"),
    ("interval '-1 month 2 days -00:00:01'", "P-1M2DT-1S"),
    ("interval '0'", "PT0S"),
    ("interval '36 hours'", "PT36H"),
    ("'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'::uuid", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"),
    ("'10.0.0.1/8'::inet", "10.0.0.1/8"),
    ("'10.0.0.0/8'::cidr", "10.0.0.0/8"),
    ("'08:00:2b:01:02:03'::macaddr", "08:00:2b:01:02:03"),
    ("'$1,234.50'::money", "$1,234.50"),
    ("B'0101'", "0101"),
    ("'(1,2)'::point", "(1,2)"),
    ("'a fat cat'::tsvector", "'a' 'cat' 'fat'"),
    ("'[1,5)'::int4range", "[1,5)"),
    ("'{[1,2),[3,4)}'::int4multirange", "{[1,2),[3,4)}"),
    ("ROW(1, 'a b')", '(1,"a b")'),
    ("ARRAY[1, NULL, 3]", [1, None, 3]),
    ("ARRAY[[1, 2], [3, 4]]", [[1, 2], [3, 4]]),
    ("'{}'::text[]", []),
    ("ARRAY['a,b', 'c\"d', NULL, '', 'NULL']", ["a,b", 'c"d', None, "", "NULL"]),
    ("ARRAY[1.5, 2]::numeric[]", ["1.5", "2"]),
    ("ARRAY['2024-02-29 12:00+00'::timestamptz]", ["2024-02-29T12:00:00+00:00"]),
    ("ARRAY['{\"a\": 1}'::jsonb]", [{"a": 1}]),
    (r"ARRAY['\x01'::bytea]", ["AQ=="]),
    ("ARRAY['[1,2)'::int4range]", ["[1,2)"]),
    ("'[5:6]={7,8}'::int[]", [7, 8]),
    ("pg_typeof(1)", "integer"),
    ("'pg_class'::regclass", "pg_class"),
    ("pg_sleep(0)", ""),
]  # fmt: skip


@pytest.mark.parametrize(("expression", "expected"), TYPES, ids=[t[0][:40] for t in TYPES])
async def test_a_value_is_the_json_that_stands_for_it(data, expression, expected):
    actual = await value(data, expression)

    assert expected == actual
    assert type(expected) is type(actual)


async def test_types_of_the_database_s_own_are_read(data):
    await data(
        """
        CREATE TYPE mood AS ENUM ('sad', 'ok, "fine"', 'NULL');
        CREATE TYPE pair AS (a int, b text);
        CREATE DOMAIN positive AS int CHECK (VALUE > 0);
        """
    )
    query = """
        SELECT 'sad'::mood AS mood, ARRAY['sad', 'ok, "fine"', 'NULL', NULL]::mood[] AS moods,
          ARRAY[ROW(1, 'x y')::pair] AS pairs, 5::positive AS five,
          ARRAY[[1], [2]]::positive[] AS fives, '{}'::mood[] AS none, NULL::mood[] AS nothing
    """
    expected = {
        "mood": "sad",
        "moods": ["sad", 'ok, "fine"', "NULL", None],
        "pairs": ['(1,"x y")'],
        "five": 5,
        "fives": [[1], [2]],
        "none": [],
        "nothing": None,
    }

    assert [expected] == (await data(query))["rows"]
    assert [expected] == (await data(query))["rows"]


async def test_settings_of_the_text_s_own_do_not_lose_data(data):
    found = await data(
        "SET datestyle = 'German'; SET intervalstyle = 'sql_standard'; "
        "SET bytea_output = 'escape'; "
        r"SELECT date '2024-02-29' AS d, interval '1 day' AS i, '\x005c41'::bytea AS b"
    )

    assert found["rows"] == [{"d": "29.02.2024", "i": "1 0:00:00", "b": "AFxB"}]


# -- parameters -------------------------------------------------------------------------


async def test_without_params_the_text_is_sent_as_it_is(data):
    found = await data("SELECT 100 % 7 AS a, '%s %(x)s %%' AS b, 'x' LIKE '%x%' AS c, '$1' AS d")

    assert found["rows"] == [{"a": 2, "b": "%s %(x)s %%", "c": True, "d": "$1"}]


async def test_a_list_fills_the_placeholders_of_all_statements(data):
    await data("CREATE TABLE t (i int, v text)")
    found = await data(
        "INSERT INTO t VALUES (%s, %s); SELECT i, v, 10 %% 3 AS m FROM t WHERE i = %s",
        [1, "it's; $1", 1],
    )

    assert found["rows"] == [{"i": 1, "v": "it's; $1", "m": 1}]


async def test_a_mapping_fills_placeholders_by_name(data):
    found = await data(
        "SELECT %(a)s::int AS a; SELECT %(a)s::int + %(b)s AS c", {"a": 1, "b": 2, "unused": 3}
    )

    assert found["command_0"]["rows"] == [{"a": 1}]
    assert found["rows"] == [{"c": 3}]


async def test_numbered_placeholders_work_too(data):
    found = await data(
        "CREATE TABLE t (i int); INSERT INTO t VALUES ($1); SELECT i + $2::int AS v, 5 % 3 AS m "
        "FROM t WHERE i = $1",
        [1, 2],
    )

    assert found["rows"] == [{"v": 3, "m": 2}]


async def test_parameters_of_every_json_type_are_bound(data):
    found = await data(
        "SELECT %s::text AS n, %s AS b, %s AS f, %s::jsonb AS o, %s::jsonb AS l, "
        "2 = ANY(%s) AS a, %s::bigint AS big",
        [None, True, 1.5, {"x": [1]}, [{"y": 2}], [1, 2], 2**40],
    )

    assert found["rows"] == [
        {"n": None, "b": True, "f": 1.5, "o": {"x": [1]}, "l": [{"y": 2}], "a": True, "big": 2**40}
    ]


@pytest.mark.parametrize(
    ("query", "params", "words"),
    [
        ("SELECT %s, %s", [1], "1 values; the statements take 2"),
        ("SELECT 1", [1, 2], "2 values; the statements take 0"),
        ("SELECT $1::int", [1, 2], "2 values; the statements take 1"),
        ("SELECT %(a)s", {"b": 1}, "a"),
    ],
)
async def test_parameters_that_do_not_fit_are_a_clear_failure(run, query, params, words):
    outcome = await run(query, params)

    assert outcome.error.kind in (ErrorKind.CONFIG, ErrorKind.CLIENT_ERROR)
    assert words in outcome.error.message


# -- transactions -----------------------------------------------------------------------


async def test_statements_share_one_transaction_and_the_first_failure_ends_it(run, data):
    await data("CREATE TABLE t (i int PRIMARY KEY)")
    outcome = await run(
        "INSERT INTO t VALUES (1);\n-- again\nINSERT INTO t (i)\nVALUES (1);\nINSERT INTO t VALUES (2)"
    )

    assert outcome.error.kind == ErrorKind.DB_CONSTRAINT
    assert "statement 2 of 3: INSERT INTO t (i) VALUES (1)" in outcome.error.message
    assert outcome.error.details["statement"] == 2
    assert outcome.error.details["constraint"] == "t_pkey"
    assert not outcome.error.details["earlier_statements_kept"]
    assert (await data("TABLE t"))["rows"] == []


async def test_a_constraint_that_waits_for_the_commit_fails_the_call(run, data):
    await data("CREATE TABLE t (i int UNIQUE DEFERRABLE INITIALLY DEFERRED)")
    outcome = await run("INSERT INTO t VALUES (1); INSERT INTO t VALUES (1)")

    assert outcome.error.sqlstate == "23505"
    assert "when committing" in outcome.error.message


async def test_autocommit_keeps_what_came_before_a_failure(run, data):
    await data("CREATE TABLE t (i int)")
    outcome = await run("INSERT INTO t VALUES (1); SELECT 1 / 0", autocommit=True)

    assert outcome.error.details["earlier_statements_kept"]
    assert (await data("TABLE t"))["row_count"] == 1


@pytest.mark.parametrize(
    "query",
    [
        "VACUUM t; SELECT 1",
        "CREATE INDEX CONCURRENTLY t_i ON t (i); SELECT 1",
        "CREATE UNIQUE INDEX CONCURRENTLY t_u ON t (i); DROP INDEX CONCURRENTLY t_u",
        "REINDEX (VERBOSE) TABLE CONCURRENTLY t; SELECT 1",
        "-- tune\nALTER SYSTEM RESET work_mem; SELECT 1",
        "CREATE DATABASE other_{name}; DROP DATABASE other_{name}",
    ],
)
async def test_statements_that_refuse_a_transaction_run_without(data, database, query):
    await data("CREATE TABLE t (i int)")
    found = await data(query.replace("{name}", database))

    assert found["status"] == "success"


async def test_transactions_of_the_text_s_own_are_honoured(run, data):
    await data("CREATE TABLE t (i int)")
    await data("BEGIN; INSERT INTO t VALUES (1); ROLLBACK; INSERT INTO t VALUES (2)")
    assert (await data("TABLE t"))["rows"] == [{"i": 2}]

    outcome = await run(
        "BEGIN; INSERT INTO t VALUES (3); COMMIT; BEGIN; INSERT INTO t VALUES (4); SELECT 1 / 0"
    )
    assert outcome.error.sqlstate == "22012"
    assert (await data("TABLE t"))["rows"] == [{"i": 2}, {"i": 3}]


async def test_a_savepoint_is_no_transaction_of_the_text_s_own(data):
    found = await data(
        "CREATE TABLE t (i int); SAVEPOINT s; INSERT INTO t VALUES (1); "
        "ROLLBACK TO SAVEPOINT s; SELECT count(*) AS n FROM t"
    )

    assert found["rows"] == [{"n": 0}]


async def test_a_transaction_that_stays_open_is_a_failure_and_rolled_back(run, data):
    await data("CREATE TABLE t (i int)")
    outcome = await run("BEGIN; INSERT INTO t VALUES (1)")

    assert outcome.error.kind == ErrorKind.CONFIG
    assert (await data("TABLE t"))["rows"] == []


async def test_a_procedure_may_commit_by_itself(data):
    await data(
        "CREATE TABLE t (i int); CREATE PROCEDURE p() LANGUAGE plpgsql AS "
        "$$ BEGIN INSERT INTO t VALUES (1); COMMIT; END $$"
    )
    await data("CALL p()")

    assert (await data("TABLE t"))["row_count"] == 1


# -- limits -----------------------------------------------------------------------------


async def test_rows_past_the_limit_are_dropped_and_the_statement_still_completes(run, data):
    await data("CREATE TABLE t (i int)")
    outcome = await run(
        "INSERT INTO t SELECT generate_series(1, 1000) RETURNING i; SELECT count(*) AS n FROM t",
        max_rows=10,
    )

    assert outcome.is_ok
    assert outcome.data["truncated"] is outcome.meta["truncated"] is True
    assert outcome.data["command_0"]["row_count"] == 10
    assert outcome.data["command_0"]["truncated"]
    assert outcome.data["rows"] == [{"n": 1000}]


@pytest.mark.slow
async def test_rows_have_a_limit_in_bytes(run):
    outcome = await run("SELECT repeat('x', 1000000) AS v FROM generate_series(1, 80)")

    assert outcome.data["truncated"]
    assert outcome.data["row_count"] == 67
    assert outcome.meta["bytes"] < 64 * 1024 * 1024


async def test_a_result_as_large_as_the_limit_is_whole(data):
    found = await data("SELECT n FROM generate_series(1, 250) AS n", max_rows=250)

    assert [row["n"] for row in found["rows"]] == list(range(1, 251))
    assert "truncated" not in found


# -- time and cancelling ----------------------------------------------------------------


async def others(data, what="query LIKE '%pg_sleep%'"):
    """Return the queries of other sessions that are running."""
    found = await data(
        "SELECT query FROM pg_stat_activity WHERE pid <> pg_backend_pid() "
        f"AND datname = current_database() AND state <> 'idle' AND {what}"
    )
    return found["rows"]


async def until(condition):
    for _ in range(500):
        if await condition():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("it did not happen")


async def test_a_call_past_its_time_is_cancelled_on_the_server(run, data):
    outcome = await run("SELECT 1; SELECT pg_sleep(30)", timeout_seconds=0.3)

    assert outcome.error.kind == ErrorKind.DB_TIMEOUT
    assert outcome.error.sqlstate == "57014"
    assert outcome.error.retryable
    assert "statement 2 of 2" in outcome.error.message
    assert await others(data) == []


async def test_a_cancelled_call_leaves_nothing_running_and_a_clean_connection(run, data):
    await data("CREATE TABLE t (i int)")
    call = asyncio.create_task(run("INSERT INTO t VALUES (1); SELECT pg_sleep(30)"))
    await until(lambda: others(data))
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call

    assert await others(data, "true") == []
    assert (await data("TABLE t"))["rows"] == []


async def test_a_cancelled_call_stops_while_rows_arrive(run, data):
    query = "SELECT n, pg_sleep(0.001) FROM generate_series(1, 100000) AS n"
    call = asyncio.create_task(run(query))
    await until(lambda: others(data))
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call

    assert await others(data, "true") == []


async def test_the_server_stops_a_statement_by_itself_too(data):
    found = await data("SHOW statement_timeout", timeout_seconds=7)

    assert found["rows"] == [{"statement_timeout": "8s"}]


async def test_lock_waits_end_with_a_timeout_kind(run, data):
    await data("CREATE TABLE t (i int); INSERT INTO t VALUES (1)")
    holder = asyncio.create_task(run("SELECT * FROM t FOR UPDATE; SELECT pg_sleep(30)"))
    await until(lambda: others(data))
    outcome = await run("SELECT * FROM t FOR UPDATE NOWAIT")
    holder.cancel()
    await asyncio.gather(holder, return_exceptions=True)

    assert outcome.error.kind == ErrorKind.DB_TIMEOUT
    assert outcome.error.retryable


# -- connections ------------------------------------------------------------------------


async def test_calls_share_connections(data):
    pids = {await value(data, "pg_backend_pid()") for _ in range(5)}

    assert len(pids) == 1


async def test_nothing_that_a_call_sets_reaches_the_next(run, data):
    await data("CREATE SCHEMA private; CREATE TABLE private.t (i int)")
    first = await value(data, "pg_backend_pid()")
    await data(
        "SET search_path TO private; SET work_mem TO '64kB'; CREATE TEMP TABLE leak (i int); "
        "PREPARE p AS SELECT 1; LISTEN channel; SELECT pg_advisory_lock(1)",
    )
    await run("SET statement_timeout TO 5; SELECT 1 / 0", autocommit=True)

    assert await value(data, "pg_backend_pid()") == first
    assert await value(data, "current_setting('search_path')") == '"$user", public'
    assert await value(data, "current_setting('work_mem')") == "4MB"
    assert await value(data, "to_regclass('leak')") is None
    assert await value(data, "count(*) FROM pg_prepared_statements") == 0
    assert await value(data, "count(*) FROM pg_locks WHERE locktype = 'advisory'") == 0


async def test_what_a_call_locked_is_free_without_another_call(data, postgres_server, database):
    await data("SELECT pg_advisory_lock(7)")
    locks = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND objid = 7"

    async with asyncio.timeout(10):
        while postgres_server.execute(locks, database) != [(0,)]:
            await asyncio.sleep(0.01)


async def test_schema_is_for_one_call_only(run, data):
    await data('CREATE SCHEMA "Mixed Case"; CREATE SCHEMA small')
    await data("CREATE TABLE t AS SELECT 1 AS i", schema="Mixed Case")
    await data("CREATE TABLE t AS SELECT 2 AS i; SELECT 1", schema="Small, public")

    assert (await data("TABLE t", schema='"Mixed Case"'))["rows"] == [{"i": 1}]
    assert (await data("SELECT 1; TABLE t", schema="small"))["rows"] == [{"i": 2}]
    assert (await run("TABLE t")).error.sqlstate == "42P01"


async def test_a_schema_s_name_is_not_read_as_sql(data):
    evil = 'x"; DROP SCHEMA public; --'
    await data("SELECT 1; SELECT 2", schema=evil)

    assert await value(data, "to_regnamespace('public')::text") == "public"


async def test_connections_that_the_server_closed_are_replaced(data, postgres_server):
    await asyncio.gather(*(data("SELECT pg_sleep(0.05)") for _ in range(3)))
    postgres_server.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'arcbook%' "
        "OR state = 'idle' AND pid <> pg_backend_pid()"
    )

    assert await value(data, "1") == 1


async def test_a_connection_lost_in_a_call_is_a_failure_that_may_pass(run, data, postgres_server):
    call = asyncio.create_task(run("SELECT pg_sleep(30)"))
    await until(lambda: others(data))
    postgres_server.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query = 'SELECT pg_sleep(30)'"
    )
    outcome = await call

    assert outcome.error.kind == ErrorKind.DB_CONNECTION
    assert outcome.error.retryable
    assert await value(data, "1") == 1


async def test_at_most_so_many_calls_hold_a_connection(run):
    began = time.perf_counter()
    pool = {"max_size": 2, "name": "narrow"}
    outcomes = await asyncio.gather(*(run("SELECT pg_sleep(0.1)", pool=pool) for _ in range(6)))

    assert all(outcome.is_ok for outcome in outcomes)
    assert time.perf_counter() - began >= 0.3


async def test_a_pool_that_stays_busy_says_so(run):
    pool = {"max_size": 1, "timeout": 0.05, "max_waiting": 1}
    outcomes = await asyncio.gather(*(run("SELECT pg_sleep(0.5)", pool=pool) for _ in range(3)))
    messages = sorted(o.error.message for o in outcomes if not o.is_ok)

    assert len(messages) == 2
    assert "1 calls wait" in messages[0]
    assert "within 0.05 seconds" in messages[1]
    assert all(o.error.retryable for o in outcomes if not o.is_ok)


async def test_idle_connections_are_closed(data, postgres_server, database, monkeypatch):
    monkeypatch.setattr(postgres_pool, "IDLE_SECONDS", 0.05)
    await data("SELECT 1")
    count = f"SELECT count(*) FROM pg_stat_activity WHERE datname = '{database}'"

    async def gone():
        return postgres_server.execute(count) == [(0,)]

    await until(gone)
    assert await value(data, "1") == 1


async def test_closing_twice_is_well_and_leaves_no_connection(
    tool, data, postgres_server, database
):
    await data("SELECT 1")
    await tool.close()
    await tool.close()
    count = f"SELECT count(*) FROM pg_stat_activity WHERE datname = '{database}'"

    async def gone():
        return postgres_server.execute(count) == [(0,)]

    await until(gone)


async def test_a_session_shows_whose_it_is(data):
    assert await value(data, "current_setting('application_name')") == "arcbook 1:step"


@pytest.mark.parametrize("query", ["COPY t FROM STDIN", "COPY t TO STDOUT"])
async def test_copy_to_the_client_is_refused_and_the_next_call_works(run, data, query):
    await data("CREATE TABLE t (i int); INSERT INTO t VALUES (1)")
    outcome = await run(query)

    assert outcome.error.kind == ErrorKind.CLIENT_ERROR
    assert "COPY" in outcome.error.message
    assert await value(data, "1") == 1


# -- where the database is --------------------------------------------------------------


async def test_without_a_connection_the_failure_says_what_to_write(run):
    outcome = await run("SELECT 1", auth=None)

    assert outcome.error.kind == ErrorKind.CONFIG
    assert "'auth'" in outcome.error.message


@pytest.mark.parametrize("prefix", ["", "db_"])
async def test_a_credential_spells_its_fields_in_either_way(run, postgres_server, database, prefix):
    fields = postgres_server.fields(database)
    fields = {
        f"{prefix}{'name' if k == 'database' and prefix else k}": v for k, v in fields.items()
    }
    credential = Credential(name="c", type="postgres", data=fields)

    assert (await run("SELECT 1", auth=credential)).is_ok


async def test_the_task_s_own_fields_win_over_its_credential(run, auth, database):
    wrong = Credential(
        name="c", type="postgres", data={**auth.data, "database": "nope", "port": "1"}
    )
    outcome = await run(
        "SELECT current_database() AS d", auth=wrong, database=database, port=auth.data["port"]
    )

    assert outcome.is_ok, outcome.error
    assert outcome.data["rows"] == [{"d": database}]


async def test_fields_or_a_dsn_do_without_a_credential(run, postgres_server, database):
    fields = postgres_server.fields(database)
    dsn = postgres_server.dsn(database).replace("postgresql:", "postgresql+psycopg:")

    assert (await run("SELECT 1", auth=None, **fields)).is_ok
    assert (await run("SELECT 1", auth=None, dsn=dsn)).is_ok
    assert (await run("SELECT 1", auth=dict(fields))).is_ok
    assert (await run("SELECT 1", auth={"type": "postgres", "connection_string": dsn})).is_ok


async def test_a_credential_of_another_kind_is_refused(run):
    other = Credential(name="web", type="bearer", data={"token": "t0k3n"})
    outcome = await run("SELECT 1", auth=other)

    assert outcome.error.kind == ErrorKind.AUTH
    assert "'web' is of type 'bearer'" in outcome.error.message
    assert "t0k3n" not in repr(outcome)


@pytest.mark.parametrize(
    ("change", "kind", "sqlstate", "retryable"),
    [
        ({"password": "wr0ng"}, ErrorKind.AUTH, "28P01", False),
        ({"user": "nobody", "password": "wr0ng"}, ErrorKind.AUTH, "28P01", False),
        ({"database": "missing"}, ErrorKind.NOT_FOUND, "3D000", False),
        ({"port": 1}, ErrorKind.DB_CONNECTION, "08001", True),
    ],
)
async def test_a_server_that_cannot_be_had_is_a_failure_at_once(
    run, auth, change, kind, sqlstate, retryable
):
    began = time.perf_counter()
    outcome = await run("SELECT 1", **change)

    assert outcome.error.kind == kind
    assert outcome.error.sqlstate == sqlstate
    assert outcome.error.retryable is retryable
    assert time.perf_counter() - began < 5
    assert auth.data["password"] not in repr(outcome)
    assert "wr0ng" not in repr(outcome)


@pytest.mark.parametrize("dsn", ["postgres:s3cret", "postgresql://u:s3cret@[bad/db"])
async def test_a_dsn_that_cannot_be_read_is_not_shown(run, dsn):
    outcome = await run("SELECT 1", auth=None, dsn=dsn)

    assert outcome.error.kind == ErrorKind.CONFIG
    assert "s3cret" not in repr(outcome)


async def test_the_worker_s_own_password_is_not_used(run, auth, monkeypatch, tmp_path):
    passfile = tmp_path / "pgpass"
    passfile.write_text(f"*:*:*:*:{auth.data['password']}\n")
    passfile.chmod(0o600)
    monkeypatch.setenv("PGPASSWORD", auth.data["password"])
    monkeypatch.setenv("PGPASSFILE", str(passfile))
    fields = {k: v for k, v in auth.data.items() if k != "password"}
    outcome = await run("SELECT 1", auth=None, **fields)

    assert outcome.error.kind == ErrorKind.AUTH


async def test_nothing_is_written_to_standard_error_by_a_connection_without_a_password(
    run, auth, capfd
):
    fields = {k: v for k, v in auth.data.items() if k != "password"}
    await run("SELECT 1", auth=None, **fields)

    assert capfd.readouterr().err == ""


# -- failures ---------------------------------------------------------------------------

ERRORS = [
    ("SELECT * FROM nope", "42P01", ErrorKind.SCHEMA),
    ("SELECT nope FROM pg_class", "42703", ErrorKind.SCHEMA),
    ("SELECT nope()", "42883", ErrorKind.SCHEMA),
    ("SELEC 1", "42601", ErrorKind.CLIENT_ERROR),
    ("SELECT 1 / 0", "22012", ErrorKind.TRANSFORM),
    ("SELECT 'x'::int", "22P02", ErrorKind.TRANSFORM),
    ("INSERT INTO t VALUES (1)", "23505", ErrorKind.DB_CONSTRAINT),
    ("INSERT INTO t VALUES (NULL)", "23502", ErrorKind.DB_CONSTRAINT),
    ("DO $$ BEGIN RAISE EXCEPTION 'connection timeout deadlock'; END $$", "P0001",
     ErrorKind.UNKNOWN),
    ("DO $$ BEGIN RAISE SQLSTATE '40001'; END $$", "40001", ErrorKind.DB_DEADLOCK),
    ("DO $$ BEGIN RAISE SQLSTATE '08006'; END $$", "08006", ErrorKind.DB_CONNECTION),
    ("DO $$ BEGIN RAISE SQLSTATE '28000'; END $$", "28000", ErrorKind.AUTH),
    ("SELECT 'open", "42601", ErrorKind.CLIENT_ERROR),
    ("/* open", "42601", ErrorKind.CLIENT_ERROR),
]  # fmt: skip


@pytest.mark.parametrize(("query", "sqlstate", "kind"), ERRORS, ids=[e[0][:30] for e in ERRORS])
async def test_a_failure_has_the_kind_of_its_sqlstate(run, data, query, sqlstate, kind):
    await data("CREATE TABLE t (i int PRIMARY KEY); INSERT INTO t VALUES (1)")
    outcome = await run(query)

    assert outcome.error.sqlstate == sqlstate
    assert outcome.error.kind == kind
    assert outcome.error.code == f"PG_{sqlstate}"
    assert outcome.pg == {"code": f"PG_{sqlstate}", "sqlstate": sqlstate}
    assert outcome.error.retryable is (kind in (ErrorKind.DB_DEADLOCK, ErrorKind.DB_CONNECTION))
    assert outcome.error.message.startswith("ERROR: ")
    assert await value(data, "1") == 1


async def test_a_failure_tells_detail_and_hint(run):
    outcome = await run("SELECT lengh('x')")

    assert "HINT: " in outcome.error.message
    assert outcome.error.details["position"] == 8


async def test_a_deadlock_is_one_side_s_failure(run, data):
    await data("CREATE TABLE t (i int); INSERT INTO t VALUES (1), (2)")
    query = (
        "SET deadlock_timeout TO '100ms'; UPDATE t SET i = i WHERE i = {}; SELECT pg_sleep(0.3); "
        "UPDATE t SET i = i WHERE i = {}"
    )
    outcomes = await asyncio.gather(run(query.format(1, 2)), run(query.format(2, 1)))
    (failure,) = [o for o in outcomes if not o.is_ok]

    assert failure.error.kind == ErrorKind.DB_DEADLOCK
    assert failure.error.retryable


@pytest.mark.parametrize("query", [None, "", " -- nothing\n;", []])
async def test_a_call_without_sql_says_so(run, query):
    outcome = await run(query)

    assert outcome.error.kind == ErrorKind.CONFIG
    assert "no SQL command provided" in outcome.error.message


async def test_the_sql_may_stand_in_a_file(tool, auth, tmp_path):
    (tmp_path / "load.sql").write_text("SELECT 1 AS one; SELECT 2 AS two")
    config = {"query": {"uri": "load.sql", "source": {"type": "file"}}}
    context = FakeContext(folder=str(tmp_path))
    outcome = await call_tool(tool, "postgres", config, auth=auth, context=context)

    assert outcome.data["rows"] == [{"two": 2}]


NUMBERS = "(VALUES (10.00), (10.10), (12345678901234567.89), (NULL), ('NaN')) AS t(n)"


async def test_decimals_of_one_column_are_of_one_type_whatever_their_digits(data):
    query = f"SELECT n, ARRAY[n] AS a FROM {NUMBERS}"

    texts = (await data(query))["rows"]
    floats = (await data(query, decimals="number"))["rows"]

    assert [r["n"] for r in texts] == ["10.00", "10.10", "12345678901234567.89", None, "NaN"]
    assert [r["n"] for r in floats] == [10.0, 10.1, 12345678901234568.0, None, "NaN"]
    assert {type(r["n"]) for r in floats[:3]} == {float}
    assert floats[1]["a"] == [10.1]


async def test_integers_are_exact_and_arrays_keep_their_nulls(data):
    found = await data("SELECT 9007199254740993::bigint AS n, ARRAY[NULL, NULL]::int[] AS a")

    assert found["rows"] == [{"n": 9007199254740993, "a": [None, None]}]
