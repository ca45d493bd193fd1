"""What the transfer tool promises."""

from __future__ import annotations

import asyncio
import uuid

import pytest
from aiohttp import web

from arcbook.outcome import ErrorKind
from arcbook.testing.tools import FakeContext, call_tool
from arcbook.tools.api import Credential
from arcbook.tools.duckdb import Duckdb
from arcbook.tools.postgres import Postgres
from arcbook.tools.transfer import Transfer

pytestmark = pytest.mark.services

PASSWORD = "s3cret-of-nobody"


@pytest.fixture
def credential(postgres_server, database):
    return Credential(name="pg", type="postgres", data=postgres_server.fields(database))


@pytest.fixture
def context(credential, tmp_path):
    return FakeContext(credentials={"pg": credential}, workspace=str(tmp_path))


@pytest.fixture
async def move(context):
    """Transfer from a source to a target."""
    tool = Transfer()

    async def call(source, target, *, auth=None, timeout_seconds=None, key=None, **config):
        config |= {"source": source, "target": target}
        return await call_tool(
            tool,
            "transfer",
            config,
            context=context,
            auth=auth,
            timeout_seconds=timeout_seconds,
            idempotency_key=key or uuid.uuid4().hex,
        )

    yield call
    await tool.close()


@pytest.fixture
async def pg(credential):
    """Run SQL on PostgreSQL and return its rows."""
    tool = Postgres()

    async def call(query):
        outcome = await call_tool(tool, "postgres", {"query": query}, auth=credential)
        assert outcome.is_ok, outcome.error
        return outcome.data["rows"]

    yield call
    await tool.close()


@pytest.fixture
async def duck(context):
    """Run SQL on DuckDB and return its rows."""
    tool = Duckdb()

    async def call(query):
        outcome = await call_tool(tool, "duckdb", {"query": query}, context=context)
        assert outcome.is_ok, outcome.error
        return outcome.data["rows"]

    yield call
    await tool.close()


@pytest.fixture
async def serve():
    """Serve one body as JSON, and return where."""
    runners = []

    async def start(body, status=200):
        async def answer(_request):
            return web.json_response(body, status=status)

        app = web.Application()
        app.router.add_route("*", "/", answer)
        runner = web.AppRunner(app)
        await runner.setup()
        runners.append(runner)
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        return f"http://127.0.0.1:{site._server.sockets[0].getsockname()[1]}/"

    yield start
    for runner in runners:
        await runner.cleanup()


def postgres(**fields):
    return {"type": "postgres", "auth": "pg", **fields}


def data_of(outcome):
    assert outcome.is_ok, outcome.error
    return outcome.data


# -- from a service ---------------------------------------------------------------------


async def test_an_answer_s_rows_fill_the_columns_that_they_are_mapped_to(move, pg, serve):
    await pg(
        "CREATE TABLE posts (id serial, post_id int, title text, at timestamptz DEFAULT now())"
    )
    url = await serve([{"id": 1, "title": "it's\n\t\\N", "x": 1}, {"id": 2, "title": None}])

    moved = await move(
        {"type": "http", "url": url},
        postgres(table="public.posts", mapping={"post_id": "id", "title": "title"}),
    )

    assert data_of(moved) == {
        "status": "success",
        "direction": "http_to_postgres",
        "source_type": "http",
        "target_type": "postgres",
        "mode": "append",
        "rows_transferred": 2,
        "chunks_processed": 1,
        "target_table": "public.posts",
        "columns": ["post_id", "title"],
        "was_done": False,
    }
    rows = await pg("SELECT post_id, title, at IS NULL AS unset FROM posts ORDER BY 1")
    assert rows == [
        {"post_id": 1, "title": "it's\n\t\\N", "unset": False},
        {"post_id": 2, "title": None, "unset": False},
    ]


async def test_json_arrays_and_deep_fields_keep_their_shape(move, pg, serve):
    await pg("CREATE TABLE t (tags text[], doc jsonb, doc_text text, city text, grid int[])")
    record = {
        "tags": ["a,b", 'q"\\', None],
        "doc": {"k": [1, None]},
        "address": {"city": "Oslo"},
        "grid": [[1, 2], [3, 4]],
    }
    mapping = {
        "tags": "tags",
        "doc": "doc",
        "doc_text": "doc",
        "city": "address.city",
        "grid": "grid",
    }

    url = await serve({"data": {"items": [record]}})
    source = {"type": "http", "url": url, "data_path": "data.items"}

    data_of(await move(source, postgres(table="t", mapping=mapping)))

    assert await pg("SELECT * FROM t") == [
        {
            "tags": record["tags"],
            "doc": record["doc"],
            "doc_text": '{"k":[1,null]}',
            "city": "Oslo",
            "grid": record["grid"],
        }
    ]


async def test_an_answer_that_is_no_list_of_rows_is_a_failure(move, pg, serve):
    await pg("CREATE TABLE t (a int)")
    source = {"type": "http", "url": await serve([1, 2])}

    moved = await move(source, postgres(table="t"))

    assert (moved.error.kind, moved.error.code) == (ErrorKind.SCHEMA, "DATA_PATH")


async def test_a_service_that_refuses_is_the_failure_of_the_transfer(move, pg, serve):
    await pg("CREATE TABLE t (a int)")
    source = {"type": "http", "url": await serve({}, status=503)}

    moved = await move(source, postgres(table="t"))

    assert (moved.error.kind, moved.error.http_status) == (ErrorKind.SERVER_ERROR, 503)
    assert moved.error.retryable


async def test_an_answer_without_rows_moves_none(move, pg, serve):
    await pg("CREATE TABLE t (a int); INSERT INTO t VALUES (1)")
    source = {"type": "http", "url": await serve([])}

    moved = await move(source, postgres(table="t", mapping={"a": "a"}), mode="replace")

    assert data_of(moved)["rows_transferred"] == 0
    assert await pg("SELECT count(*) AS n FROM t") == [{"n": 0}]


# -- between databases of PostgreSQL ----------------------------------------------------

EVERY_TYPE = """
SELECT i AS n, i::smallint AS small, i * 0.1::numeric AS exact, 'x\\y'::text AS words,
  '\\xdeadbeef'::bytea AS raw, ARRAY[1, NULL] AS list, '{"a": [1]}'::jsonb AS doc,
  interval '1 year 2 days 00:00:01.5' AS span, timestamptz '2024-01-02 03:04:05.678901+02' AS at,
  NULL::text AS nothing, '' AS empty, true AS yes, date '2024-02-29' AS day
FROM generate_series(1, 3) AS i
"""


async def test_a_query_s_rows_arrive_as_they_are(move, pg):
    await pg(f"CREATE TABLE t AS {EVERY_TYPE} WITH NO DATA")

    moved = await move(postgres(query=EVERY_TYPE + ";"), postgres(table="t"))

    assert data_of(moved)["rows_transferred"] == 3
    assert await pg("SELECT * FROM t ORDER BY n") == await pg(EVERY_TYPE)


async def test_parameters_and_whole_tables_may_be_the_source(move, pg):
    await pg('CREATE TABLE "From" (a int, b text); INSERT INTO "From" VALUES (1, $$x$$), (2, NULL)')
    await pg("CREATE TABLE t (a int, b text)")

    query = 'SELECT a, b FROM "From" WHERE a > %s AND b IS NOT DISTINCT FROM %s'
    one = await move(postgres(query=query, params=[1, None]), postgres(table="t"))
    all_ = await move(postgres(table="From"), postgres(table="T"), mode="replace")

    assert data_of(one)["rows_transferred"] == 1
    assert data_of(all_)["rows_transferred"] == 2
    assert len(await pg("SELECT * FROM t")) == 2


async def test_upsert_changes_rows_with_the_same_key_and_adds_the_others(move, pg):
    await pg("CREATE TABLE t (id int PRIMARY KEY, v text, kept text DEFAULT 'd')")
    await pg("INSERT INTO t VALUES (1, 'old', 'k'), (3, 'other', 'k')")
    source = postgres(query="VALUES (1, 'new'), (2, 'more')")
    target = postgres(table="t", mapping={"id": "column1", "v": "column2"})

    data_of(await move(source, target, mode="upsert"))

    assert await pg("SELECT id, v, kept FROM t ORDER BY id") == [
        {"id": 1, "v": "new", "kept": "k"},
        {"id": 2, "v": "more", "kept": "d"},
        {"id": 3, "v": "other", "kept": "k"},
    ]


async def test_upsert_without_a_key_is_a_clear_failure(move, pg):
    await pg("CREATE TABLE t (a int)")

    moved = await move(postgres(query="SELECT 1 AS a"), postgres(table="t"), mode="upsert")

    assert moved.error.kind is ErrorKind.CONFIG
    assert "key" in moved.error.message


async def test_a_row_that_does_not_fit_leaves_the_target_as_it_was(move, pg):
    await pg("CREATE TABLE t (a int CHECK (a < 3)); INSERT INTO t VALUES (0)")

    source = postgres(query="SELECT generate_series(1, 5000) % 4 AS a")
    moved = await move(source, postgres(table="t"), mode="replace")

    assert (moved.error.kind, moved.error.sqlstate) == (ErrorKind.DB_CONSTRAINT, "23514")
    assert moved.error.details["side"] == "target"
    assert await pg("SELECT * FROM t") == [{"a": 0}]


async def test_a_source_that_fails_on_the_way_leaves_the_target_as_it_was(move, pg):
    await pg("CREATE TABLE t (a int)")

    source = postgres(query="SELECT 1 / (3000 - i) AS a FROM generate_series(1, 5000) AS i")
    moved = await move(source, postgres(table="t"))

    assert (moved.error.sqlstate, moved.error.details["side"]) == ("22012", "source")
    assert await pg("SELECT * FROM t") == []


async def test_a_source_cannot_change_anything(move, pg):
    await pg("CREATE TABLE t (a int); CREATE FUNCTION f() RETURNS int LANGUAGE sql AS "
             "'INSERT INTO t VALUES (9) RETURNING a'")  # fmt: skip

    moved = await move(postgres(query="SELECT f() AS a"), postgres(table="t"))

    assert moved.error.sqlstate == "25006"


async def test_a_transfer_past_its_time_is_rolled_back(move, pg):
    await pg("CREATE TABLE t (a int)")
    slow = "SELECT i AS a FROM generate_series(1, 100) AS i WHERE pg_sleep(0.1) IS NOT NULL"

    moved = await move(postgres(query=slow), postgres(table="t"), timeout_seconds=0.5)

    assert (moved.error.kind, moved.error.retryable) == (ErrorKind.DB_TIMEOUT, True)
    assert await pg("SELECT * FROM t") == []
    busy = "SELECT count(*) AS n FROM pg_stat_activity WHERE query LIKE '%pg_sle' || 'ep%'"
    assert (await pg(busy + " AND state = 'active' AND pid <> pg_backend_pid()"))[0]["n"] == 0


@pytest.mark.parametrize(
    ("target", "kind", "words"),
    [
        ({"table": "none"}, ErrorKind.SCHEMA, "no table 'none'"),
        ({"table": "t"}, ErrorKind.SCHEMA, "no column 'b'; it has a"),
        ({"table": "t", "mapping": {"a": "x"}}, ErrorKind.SCHEMA, "source has no column 'x'"),
        ({"table": "t; DROP TABLE t"}, ErrorKind.CLIENT_ERROR, "invalid name"),
        ({}, ErrorKind.CONFIG, "table"),
    ],
)
async def test_a_target_that_does_not_fit_is_a_clear_failure(move, pg, target, kind, words):
    await pg("CREATE TABLE t (a int)")

    moved = await move(postgres(query="SELECT 1 AS b"), postgres(**target))

    assert moved.error.kind is kind
    assert words in moved.error.message


async def test_several_statements_are_no_source(move):
    moved = await move(postgres(query="SELECT 1; SELECT 2"), postgres(table="t"))

    assert moved.error.kind is ErrorKind.CONFIG


async def test_many_transfers_within_one_database_do_not_wait_for_each_other(move, pg):
    await pg("CREATE TABLE t (a int)")
    source = postgres(query="SELECT a FROM generate_series(1, 100) AS a, pg_sleep(0.2) AS s")
    target = postgres(table="t", mapping={"a": "a"})

    moved = await asyncio.gather(*(move(source, target, timeout_seconds=30) for _ in range(24)))

    assert sum(data_of(m)["rows_transferred"] for m in moved) == 2400


# -- credentials ------------------------------------------------------------------------


async def test_both_ends_may_be_named_at_once(move, pg, credential):
    await pg("CREATE TABLE t (a int)")
    source, target = {"type": "postgres", "query": "SELECT 1 AS a"}, {"type": "pg", "table": "t"}

    named = await move(source, target, auth={"source": "pg", "target": {"credential": "pg"}})
    common = await move(source, target, auth=credential)

    assert data_of(named)["rows_transferred"] == data_of(common)["rows_transferred"] == 1


async def test_an_alias_that_nobody_knows_is_a_failure(move):
    moved = await move(postgres(query="SELECT 1", auth="nobody"), postgres(table="t"))

    assert (moved.error.kind, moved.error.code) == (ErrorKind.AUTH, "CREDENTIAL")
    assert "nobody" in moved.error.message


@pytest.mark.parametrize("where", ["source", "target"])
async def test_a_password_is_never_shown(move, pg, postgres_server, where):
    await pg("CREATE TABLE t (a int)")
    dsn = f"postgresql://postgres:{PASSWORD}@127.0.0.1:{postgres_server.port}/postgres"
    ends = {"source": postgres(query="SELECT 1 AS a"), "target": postgres(table="t")}
    ends[where] = {**ends[where], "auth": None, "connection": dsn}

    moved = await move(ends["source"], ends["target"])

    assert moved.error.kind is ErrorKind.AUTH
    assert PASSWORD not in repr(moved)


# -- duckdb -----------------------------------------------------------------------------


async def test_rows_of_duckdb_arrive_in_postgres(move, pg, duck):
    await pg(
        "CREATE TABLE t (n numeric, raw bytea, list int[], doc jsonb, at timestamptz, "
        "span interval, big numeric, words text, ok bool)"
    )
    await duck(
        "CREATE TABLE src AS SELECT 1.10::DECIMAL(10, 2) AS n, '\\xDE\\xAD'::BLOB AS raw, "
        "[1, NULL, 3] AS list, {'a': [1]} AS doc, TIMESTAMPTZ '2024-01-02 03:04:05+00' AS at, "
        "INTERVAL '1 month 2 days' AS span, 170141183460469231731687303715884105727 AS big, "
        "'a\tb\\' AS words, true AS ok"
    )

    moved = await move({"type": "duckdb", "table": "src"}, postgres(table="t"))

    assert data_of(moved)["direction"] == "duckdb_to_postgres"
    assert await pg("SELECT * FROM t") == [
        {
            "n": "1.10",
            "raw": "3q0=",
            "list": [1, None, 3],
            "doc": {"a": [1]},
            "at": "2024-01-02T03:04:05+00:00",
            "span": "P1M2D",
            "big": "170141183460469231731687303715884105727",
            "words": "a\tb\\",
            "ok": True,
        }
    ]


async def test_a_table_of_duckdb_is_made_if_it_is_not_there(move, duck):
    moved = await move(postgres(query=EVERY_TYPE), {"type": "duckdb", "table": "t"}, chunk_size=2)

    assert data_of(moved)["chunks_processed"] == 2
    rows = await duck("SELECT * FROM t ORDER BY n")
    assert rows[0] == {
        "n": 1,
        "small": 1,
        "exact": "0.1",
        "words": "x\\y",
        "raw": "3q2+7w==",
        "list": [1, None],
        "doc": {"a": [1]},
        "span": "P1Y2DT1.5S",
        "at": "2024-01-02T01:04:05.678901+00:00",
        "nothing": None,
        "empty": "",
        "yes": True,
        "day": "2024-02-29",
    }


async def test_types_of_duckdb_s_own_are_filled(move, duck):
    await duck(
        "CREATE TYPE mood AS ENUM ('ok', 'bad'); CREATE TABLE t (m mood, d DECIMAL(10, 2)[], "
        "s STRUCT(a INT, b VARCHAR), k MAP(VARCHAR, INT), r VARCHAR[])"
    )
    query = (
        "SELECT 'ok' AS m, ARRAY[1.25, NULL] AS d, '{\"a\": 1, \"b\": null}'::json AS s, "
        "'{\"x\": 2}'::jsonb AS k, ARRAY['\\xdead'::bytea] AS r"
    )

    data_of(await move(postgres(query=query), {"type": "duckdb", "table": "t"}))

    assert await duck("FROM t") == [
        {"m": "ok", "d": ["1.25", None], "s": {"a": 1, "b": None}, "k": {"x": 2}, "r": ["3q0="]}
    ]


async def test_null_and_text_that_looks_like_it_stay_apart(move, pg, duck):
    query = "SELECT * FROM (VALUES ('\\N'), (NULL), ('NULL'), (''), (E'a\r\nb\",')) AS v(a)"

    data_of(await move(postgres(query=query), {"type": "duckdb", "table": "t"}))

    assert await duck("FROM t") == await pg(query)


async def test_duckdb_replaces_and_upserts(move, duck, serve):
    await duck("CREATE TABLE t (id INT PRIMARY KEY, v VARCHAR); INSERT INTO t VALUES (1, 'a')")
    source = {"type": "http", "url": await serve([{"id": 1, "v": "b"}, {"id": 2, "v": "c"}])}
    target = {"type": "duckdb", "table": "t"}

    data_of(await move(source, target, mode="upsert"))
    upserted = await duck("FROM t ORDER BY id")
    data_of(await move(source, target, mode="replace"))

    assert upserted == await duck("FROM t ORDER BY id")
    assert upserted == [{"id": 1, "v": "b"}, {"id": 2, "v": "c"}]


async def test_a_row_that_duckdb_refuses_leaves_its_table_as_it_was(move, duck):
    await duck("CREATE TABLE t (a INT); INSERT INTO t VALUES (7)")
    source = postgres(query="VALUES ('1'), ('x')")

    target = {"type": "duckdb", "table": "t", "mapping": {"a": "column1"}}
    moved = await move(source, target, mode="replace")

    assert moved.error.details["side"] == "target"
    assert await duck("FROM t") == [{"a": 7}]


@pytest.mark.parametrize(
    ("source", "target", "words"),
    [
        ({"type": "s3"}, {"type": "postgres", "table": "t"}, "'source.type'"),
        ({"type": "duckdb", "query": "FROM x"}, {"type": "http", "table": "t"}, "'target.type'"),
        ({"type": "duckdb"}, {"type": "duckdb", "table": "t"}, "'source.query'"),
    ],
)
async def test_ends_that_make_no_sense_are_a_clear_failure(move, source, target, words):
    moved = await move(source, target)

    assert moved.error.kind is ErrorKind.CONFIG
    assert words in moved.error.message


async def test_a_slow_query_of_duckdb_is_interrupted(move, pg, duck):
    await pg("CREATE TABLE t (a numeric)")
    slow = "SELECT sum(a.i * b.i) AS a FROM range(10000000) AS a(i), range(10000000) AS b(i)"

    moved = await move({"type": "duckdb", "query": slow}, postgres(table="t"), timeout_seconds=0.3)

    assert (moved.error.kind, moved.error.retryable) == (ErrorKind.DB_TIMEOUT, True)
    assert await pg("SELECT * FROM t") == []
    assert await duck("SELECT 1 AS a") == [{"a": 1}]


async def test_a_cancelled_transfer_leaves_duckdb_as_it_was(move, duck):
    await duck("CREATE TABLE t (a INT); INSERT INTO t VALUES (7)")
    slow = "SELECT a FROM generate_series(1, 100) AS a WHERE pg_sleep(0.1) IS NOT NULL"
    target = {"type": "duckdb", "table": "t"}
    call = asyncio.create_task(move(postgres(query=slow), target, mode="replace"))
    await asyncio.sleep(0.4)
    call.cancel()

    with pytest.raises(asyncio.CancelledError):
        await call

    assert await duck("FROM t") == [{"a": 7}]


async def test_source_and_target_may_be_one_file(move, duck):
    await duck("CREATE TABLE a AS SELECT i FROM range(5000) AS t(i)")
    source = {"type": "duckdb", "query": "SELECT i * 2 AS i FROM a"}
    target = {"type": "duckdb", "table": "b"}

    moves = [move(source, target, timeout_seconds=20) for _ in range(3)]
    data_of(await moves[0])
    for moved in await asyncio.gather(*moves[1:]):
        data_of(moved)

    assert await duck("SELECT count(*) AS n, sum(i) AS s FROM b") == [{"n": 15000, "s": "74985000"}]
