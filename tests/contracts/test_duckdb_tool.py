"""What the duckdb tool promises."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time

import duckdb
import pytest

from arcbook.outcome import ErrorKind
from arcbook.testing.tools import FakeContext, call_tool
from arcbook.tools.api import Credential, CredentialError
from arcbook.tools.duckdb import Duckdb, secrets

ENDLESS = "SELECT sum(a.i * b.i) FROM range(10000000) AS a(i), range(10000000) AS b(i)"


@pytest.fixture
async def tool():
    made = Duckdb()
    yield made
    await made.close()


@pytest.fixture
def run(tool, tmp_path):
    """Run a query in the folder of one execution."""

    async def call(query, params=None, *, auth=None, timeout_seconds=None, **config):
        config |= {"query": query} | ({} if params is None else {"params": params})
        context = FakeContext(workspace=str(tmp_path))
        return await call_tool(
            tool, "duckdb", config, context=context, auth=auth, timeout_seconds=timeout_seconds
        )

    return call


@pytest.fixture
def data(run):
    """Run a query that succeeds, and return its data."""

    async def call(query, params=None, **facts):
        outcome = await run(query, params, **facts)
        assert outcome.is_ok, outcome.error
        return outcome.data

    return call


# -- results ----------------------------------------------------------------------------


async def test_a_query_yields_columns_rows_and_counts(run):
    outcome = await run("SELECT i AS n, i * 2 AS twice FROM range(1, 3) AS t(i);")

    rows = [{"n": 1, "twice": 2}, {"n": 2, "twice": 4}]
    command = {"status": "success", "columns": ["n", "twice"], "rows": rows, "row_count": 2}
    assert outcome.data == {**command, "message": "", "command_0": command}
    assert outcome.meta == {"rows": 2, "bytes": 36, "statements": 1}


async def test_several_statements_yield_the_rows_of_the_last_that_has_any(data):
    found = await data(
        """
        -- a comment; with a semicolon
        CREATE TABLE t (a INT, b VARCHAR);
        INSERT INTO t VALUES (1, 'x;y'), (2, NULL);
        SELECT * FROM t ORDER BY a;
        DROP TABLE t
        """
    )

    assert found["rows"] == [{"a": 1, "b": "x;y"}, {"a": 2, "b": None}]
    assert found["command_1"]["row_count"] == 2
    assert found["affected_rows"] == 2
    assert "command_3" in found


@pytest.mark.parametrize(
    ("query", "rows"),
    [
        ("FROM range(1)", [{"range": 0}]),
        ("VALUES (1)", [{"col0": 1}]),
        ("WITH a AS (SELECT 1 AS n) SELECT * FROM a", [{"n": 1}]),
        ("/* c */ SELECT 1 AS n", [{"n": 1}]),
        ("SELECT 1 AS a, 2 AS a", [{"a": 1, "a_2": 2}]),
        ("CREATE TABLE t (a INT); SHOW TABLES", [{"name": "t"}]),
        ("CREATE TABLE t (a INT); INSERT INTO t VALUES (7) RETURNING a", [{"a": 7}]),
        ("SELECT 5 AS Count", [{"Count": 5}]),
    ],
)
async def test_whatever_describes_rows_yields_them(data, query, rows):
    assert (await data(query))["rows"] == rows


async def test_without_rows_the_count_is_of_rows_changed(data):
    found = await data("CREATE TABLE t AS FROM range(5) AS t(a); DELETE FROM t WHERE a > 2")

    assert (found["row_count"], found["affected_rows"], found["rows"]) == (2, 2, [])


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("true", True),
        ("NULL", None),
        ("9223372036854775807::BIGINT", 9223372036854775807),
        ("170141183460469231731687303715884105727::HUGEINT", str(2**127 - 1)),
        ("1.10::DECIMAL(10, 2)", "1.10"),
        ("12345678901234567890.123456789::DECIMAL(38, 9)", "12345678901234567890.123456789"),
        ("1.5::DOUBLE", 1.5),
        ("'NaN'::DOUBLE", "NaN"),
        ("'-inf'::FLOAT", "-Infinity"),
        ("'\\xDE\\xAD'::BLOB", "3q0="),
        ("DATE '2024-02-29'", "2024-02-29"),
        ("TIME '01:02:03.000004'", "01:02:03.000004"),
        ("TIMESTAMP '2024-01-02 03:04:05.678901'", "2024-01-02T03:04:05.678901"),
        ("TIMESTAMP_NS '2024-01-02 03:04:05.678901234'", "2024-01-02T03:04:05.678901234"),
        ("TIMESTAMPTZ '2024-01-02 03:04:05+02'", "2024-01-02T01:04:05+00:00"),
        ("TIMESTAMP 'infinity'", "infinity"),
        ("DATE '-infinity'", "-infinity"),
        ("[DATE '12345-01-01']", ["12345-01-01"]),
        ("INTERVAL '1 year 2 days 3 seconds'", "P1Y2DT3S"),
        ("'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'::UUID", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"),
        ("'{\"a\": [1, 1e400]}'::JSON", {"a": [1, "1e400"]}),
        ("[1, NULL, 3]", [1, None, 3]),
        ("{'a': 1, 'b': [INTERVAL '1 day']}", {"a": 1, "b": ["P1D"]}),
        ("MAP {'k': 1, 'l': NULL}", {"k": 1, "l": None}),
        ("'x'::ENUM('x', 'y')", "x"),
        ("'101'::BIT", "101"),
    ],
)
async def test_a_value_is_the_json_that_stands_for_it(data, expression, expected):
    found = await data(f"SET TimeZone = 'UTC'; SELECT {expression} AS v")

    assert found["rows"] == [{"v": expected}]
    assert type(found["rows"][0]["v"]) is type(expected)


# -- parameters -------------------------------------------------------------------------


async def test_parameters_are_values_and_never_sql(data):
    listed = await data("SELECT ? AS a, ? AS b; SELECT ?::INT AS c", ["'; DROP", None, 3])
    named = await data("SELECT $a AS a, $b AS b", {"a": [1, 2], "b": "x", "unused": 1})
    numbered = await data("SELECT $2::INT - $1::INT AS d", [1, 3])

    assert listed["command_0"]["rows"] == [{"a": "'; DROP", "b": None}]
    assert listed["rows"] == [{"c": 3}]
    assert named["rows"] == [{"a": [1, 2], "b": "x"}]
    assert numbered["rows"] == [{"d": 2}]


async def test_parameters_that_do_not_fit_are_a_clear_failure(run):
    outcome = await run("SELECT ?", [1, 2])

    assert outcome.error.kind is ErrorKind.CONFIG
    assert "2 values; the statements take 1" in outcome.error.message


# -- transactions -----------------------------------------------------------------------


async def test_statements_share_one_transaction_and_the_first_failure_ends_it(run, data):
    failed = await run("CREATE TABLE t (a INT); INSERT INTO t VALUES ('x'); SELECT 1")

    assert failed.error.kind is ErrorKind.TRANSFORM
    assert "statement 2 of 3" in failed.error.message
    assert (await data("SHOW TABLES"))["rows"] == []


async def test_autocommit_keeps_what_came_before_a_failure(run, data):
    failed = await run("CREATE TABLE t (a INT); SELECT nothing", autocommit=True)

    assert failed.error.details == {"statement": 2, "earlier_statements_kept": True}
    assert (await data("SHOW TABLES"))["rows"] == [{"name": "t"}]


async def test_a_transaction_that_stays_open_is_a_failure_and_rolled_back(run, data):
    failed = await run("BEGIN; CREATE TABLE t (a INT)")

    assert failed.error.kind is ErrorKind.CONFIG
    assert (await data("SHOW TABLES"))["rows"] == []


# -- where ------------------------------------------------------------------------------


async def test_steps_of_an_execution_share_a_database(data):
    await data("CREATE TABLE t AS SELECT 1 AS a")

    assert (await data("FROM t"))["rows"] == [{"a": 1}]


async def test_executions_do_not_share_a_database(tool, data, tmp_path):
    await data("CREATE TABLE t AS SELECT 1 AS a")
    other = FakeContext(workspace=str(tmp_path / "other"))

    outcome = await call_tool(tool, "duckdb", {"query": "FROM t"}, context=other)

    assert outcome.error.kind is ErrorKind.SCHEMA


async def test_a_named_file_is_kept_and_memory_is_not(data, run, tmp_path):
    await data("CREATE TABLE t AS SELECT 1 AS a", database="deep/er.duckdb")
    await data("CREATE TABLE t AS SELECT 1 AS a", database=":memory:")

    kept = await data("FROM t", database=str(tmp_path / "deep" / "er.duckdb"))
    gone = await run("FROM t", database=":memory:")

    assert kept["rows"] == [{"a": 1}]
    assert gone.error.kind is ErrorKind.SCHEMA


async def test_calls_to_one_file_take_turns(data):
    await data("CREATE TABLE t (a INT)")

    await asyncio.gather(*(data("INSERT INTO t VALUES (?)", [n]) for n in range(20)))

    assert (await data("SELECT count(*) AS n FROM t"))["rows"] == [{"n": 20}]


@pytest.mark.slow
async def test_a_file_that_another_process_holds_is_waited_for(data, tmp_path):
    path = str(tmp_path / "held.duckdb")
    code = f"import duckdb, sys; c = duckdb.connect({path!r}); print(); sys.stdin.read(1)"
    command = [sys.executable, "-c", code]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen(command, **pipes) as other:  # noqa: ASYNC220  # it starts at once
        other.stdout.readline()
        waiting = asyncio.create_task(data("SELECT 1 AS a", database=path))
        await asyncio.sleep(0.2)
        assert not waiting.done()
        other.stdin.close()
        assert (await waiting)["rows"] == [{"a": 1}]


async def test_a_file_that_is_no_database_is_a_failure(run, tmp_path):
    (tmp_path / "text").write_text("this is no database" * 1000)

    outcome = await run("SELECT 1", database="text")

    assert outcome.error.kind is ErrorKind.STORAGE_ACCESS
    assert "opening" in outcome.error.message


# -- limits and cancelling --------------------------------------------------------------


async def test_rows_past_the_limit_are_left_and_it_says_so(run):
    outcome = await run("FROM range(5000)", max_rows=3)

    assert [row["range"] for row in outcome.data["rows"]] == [0, 1, 2]
    assert outcome.data["truncated"]
    assert outcome.meta["truncated"]


async def test_rows_have_a_limit_in_bytes(run):
    outcome = await run("SELECT repeat('x', 1000000) AS v FROM range(100)")

    assert outcome.data["truncated"]
    assert 60_000_000 < outcome.meta["bytes"] <= 64 * 1024 * 1024


async def test_a_call_past_its_time_is_interrupted(run, data):
    began = time.monotonic()

    outcome = await run(ENDLESS, timeout_seconds=0.2)

    assert (outcome.error.kind, outcome.error.retryable) == (ErrorKind.DB_TIMEOUT, True)
    assert time.monotonic() - began < 5
    assert (await data("SELECT 1 AS a"))["rows"] == [{"a": 1}]


async def test_a_cancelled_call_leaves_nothing_running(run, data):
    await data("CREATE TABLE t (a INT)")
    call = asyncio.create_task(run(f"INSERT INTO t VALUES (1); {ENDLESS}"))
    await asyncio.sleep(0.2)
    call.cancel()

    with pytest.raises(asyncio.CancelledError):
        await call

    assert (await data("FROM t"))["rows"] == []


async def test_the_loop_goes_on_while_a_query_runs(run):
    call = asyncio.create_task(run(ENDLESS, timeout_seconds=0.3))
    ticks = 0
    while not call.done():
        await asyncio.sleep(0.01)
        ticks += 1

    assert ticks > 5
    await call


async def test_closing_twice_is_well(tool, data):
    await data("SELECT 1")

    await tool.close()
    await tool.close()


# -- failures ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("query", "kind", "code"),
    [
        ("SELEC 1", ErrorKind.CLIENT_ERROR, "DUCKDB_Parser"),
        ("FROM nothing", ErrorKind.SCHEMA, "DUCKDB_Catalog"),
        ("SELECT nothing", ErrorKind.SCHEMA, "DUCKDB_Binder"),
        ("SELECT 'x'::INT", ErrorKind.TRANSFORM, "DUCKDB_Conversion"),
        (
            "CREATE TABLE t (a INT PRIMARY KEY); INSERT INTO t VALUES (1), (1)",
            ErrorKind.DB_CONSTRAINT,
            "DUCKDB_Constraint",
        ),
        ("FROM 'nothing.csv'", ErrorKind.STORAGE_ACCESS, "DUCKDB_IO"),
    ],
)
async def test_a_failure_has_the_kind_of_its_class(run, query, kind, code):
    error = (await run(query)).error

    assert (error.kind, error.code, error.retryable) == (kind, code, False)


@pytest.mark.parametrize("query", ["", "-- nothing", []])
async def test_a_call_without_sql_says_so(run, query):
    outcome = await run(query)

    assert outcome.error.kind is ErrorKind.CONFIG
    assert "no SQL" in outcome.error.message


KEYS = {"access_key_id": "AKIA'1", "secret_access_key": "s3cret'of-nobody"}


@pytest.mark.parametrize(
    ("kind", "data", "said"),
    [
        ("postgres", {"password": "s3cret-of-nobody"}, "credential 'c' has type 'postgres'"),
        ("s3", {"access_key_id": "a"}, "credential 'c' has no 'secret_access_key'"),
        ("gcs", {"service_account_json": "s3cret"}, "credential 'c' has no 'access_key_id'"),
    ],
)
async def test_a_credential_that_is_none_of_its_own_is_refused_and_not_shown(run, kind, data, said):
    with pytest.raises(CredentialError) as caught:
        await run("SELECT 1", auth=Credential(name="c", type=kind, data=data))

    assert said in str(caught.value)
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize(
    ("kind", "data", "expected"),
    [
        ("aws", {**KEYS, "region": "eu-west-1", "session_token": "t"},
         "TYPE s3, KEY_ID 'AKIA''1', SECRET 's3cret''of-nobody', SESSION_TOKEN 't', REGION 'eu-west-1'"),
        ("s3", {**KEYS, "endpoint": "http://127.0.0.1:9000", "url_style": "path"},
         "TYPE s3, KEY_ID 'AKIA''1', SECRET 's3cret''of-nobody', ENDPOINT '127.0.0.1:9000', USE_SSL false, URL_STYLE 'path'"),
        ("gcs_hmac", {"key_id": "GOOG1", "secret": "x"}, "TYPE gcs, KEY_ID 'GOOG1', SECRET 'x'"),
    ],
)  # fmt: skip
def test_a_credential_becomes_a_secret_that_the_database_can_read(kind, data, expected):
    made = secrets.statement_of(Credential(name="c", type=kind, data=data))

    assert made == f"CREATE OR REPLACE TEMPORARY SECRET arcbook_call ({expected})"
    assert made == secrets.statement_of({"type": kind, **data})
    assert len(duckdb.extract_statements(made)) == 1


async def test_without_the_extension_a_credential_is_refused_by_its_name(
    run, monkeypatch, tmp_path
):
    monkeypatch.setattr(secrets, "TYPES", {"s3": "frob"})
    outcome = await run("SELECT 1", auth=Credential(name="c", type="s3", data=KEYS))

    assert outcome.error.kind is ErrorKind.CONFIG
    assert "INSTALL httpfs" in outcome.error.message
    assert "s3cret" not in repr(outcome)


@pytest.mark.parametrize("query", ["SELECT count(*) AS n FROM known", "SELECT nothing FROM known"])
async def test_the_database_knows_a_credential_for_the_time_of_the_call_only(
    run, monkeypatch, query
):
    # No secret can be made without an extension; a table stands in its place.
    monkeypatch.setattr(secrets, "statement_of", lambda _: "CREATE TABLE known (a INT)")
    monkeypatch.setattr(secrets, "DROP", "DROP TABLE known")
    within = await run(query, auth={"type": "s3"})
    after = await run("SELECT * FROM known")

    assert within.is_ok == ("count" in query)
    assert after.error.kind is ErrorKind.SCHEMA


async def test_decimals_and_wide_integers_of_one_column_are_of_one_type(data):
    query = """
        SELECT n::DECIMAL(20, 2) AS n, n::HUGEINT AS h, [n::DECIMAL(20, 2)] AS l
        FROM (VALUES (10.00), (10.10), (12345678901234567.89), (NULL)) AS t(n)
    """

    texts = (await data(query))["rows"]
    floats = (await data(query, decimals="number"))["rows"]

    assert [r["n"] for r in texts] == ["10.00", "10.10", "12345678901234567.89", None]
    assert [r["h"] for r in texts] == ["10", "10", "12345678901234568", None]
    assert [r["n"] for r in floats] == [10.0, 10.1, 12345678901234568.0, None]
    assert floats[1]["l"] == [10.1]
    assert {type(r[key]) for r in floats[:3] for key in "nh"} == {float}
