"""Appends of a transfer are done once, and files are ends like any other."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import psycopg
import pytest

from arcbook.outcome import ErrorKind, Outcome
from arcbook.testing.tools import FakeContext, call_tool
from arcbook.tools.api import Credential
from arcbook.tools.confinement import Confinement
from arcbook.tools.transfer import Transfer

pytestmark = pytest.mark.services

ROWS = (
    "select i as id, 'n' || i as name, i / 4::numeric(8, 2) as price from generate_series(1, 5) i"
)


@pytest.fixture
def credential(postgres_server, database):
    postgres_server.execute("create table t (id int, name text, price numeric(8, 2))", database)
    return Credential(name="pg", type="postgres", data=postgres_server.fields(database))


@pytest.fixture
def context(credential, tmp_path):
    return FakeContext(credentials={"pg": credential}, workspace=str(tmp_path))


async def move(context: FakeContext, source: Any, target: Any, **more: Any) -> Outcome:
    """Transfer as a process of its own would."""
    tool, key = Transfer(), more.pop("key", "7:load:1:task:1")
    config = {"source": source, "target": target, **more}
    try:
        outcome = await call_tool(tool, "transfer", config, context=context, idempotency_key=key)
    finally:
        await tool.close()
    assert isinstance(outcome, Outcome)
    return outcome


FROM_PG = {"type": "postgres", "auth": "pg", "query": ROWS}
TO_PG = {"type": "postgres", "auth": "pg", "table": "t"}
TO_DUCK = {"type": "duckdb", "database": "t.duckdb", "table": "t"}


@pytest.mark.parametrize("target", [TO_PG, TO_DUCK])
async def test_an_append_that_is_made_again_appends_nothing(context, target, tmp_path):
    first = await move(context, FROM_PG, target)
    again = await move(context, FROM_PG, target)
    other = await move(context, FROM_PG, target, key="8:load:1:task:1")

    assert (first.data["rows_transferred"], first.data["was_done"]) == (5, False)
    assert (again.data["rows_transferred"], again.data["was_done"]) == (5, True)
    assert (other.data["rows_transferred"], other.data["was_done"]) == (5, False)
    count = {"type": target["type"], "auth": "pg", "query": "select count(*) as n from t"}
    if target is TO_DUCK:
        count = {**TO_DUCK, "query": count["query"]}
        del count["table"]
    out = await move(context, count, {"type": "jsonl", "path": str(tmp_path / "n.jsonl")})
    assert out.is_ok, out.error


async def test_rows_are_there_once_though_two_processes_append_at_once(
    context, postgres_server, database
):
    done = await asyncio.gather(*(move(context, FROM_PG, TO_PG) for _ in range(4)))

    assert all(one.is_ok for one in done), [one.error for one in done]
    assert sorted(one.data["was_done"] for one in done) == [False, True, True, True]
    assert postgres_server.execute("select count(*) from t", database) == [(5,)]


async def test_an_append_that_failed_leaves_no_mark(context, postgres_server, database):
    broken = {**FROM_PG, "query": ROWS.replace("i / 4", "i / (i - 5)")}
    failed = await move(context, broken, TO_PG)
    repaired = await move(context, FROM_PG, TO_PG)

    assert not failed.is_ok
    assert repaired.data["was_done"] is False
    assert postgres_server.execute("select count(*) from t", database) == [(5,)]
    marks = postgres_server.execute("select key, row_count from arcbook_transfer", database)
    assert marks == [("7:load:1:task:1", 5)]


async def test_without_a_mark_each_call_appends(context, postgres_server, database):
    for _ in range(2):
        await move(context, FROM_PG, TO_PG, exactly_once=False)

    assert postgres_server.execute("select count(*) from t", database) == [(10,)]
    found = postgres_server.execute("select to_regclass('arcbook_transfer') is null", database)
    assert found == [(True,)]


async def test_a_user_who_cannot_make_the_table_of_marks_is_told_what_to_do(
    context, credential, postgres_server, database
):
    postgres_server.execute("create role loader login password 'l0ader'", database)
    postgres_server.execute("grant insert, select on t to loader", database)
    postgres_server.execute("revoke create on schema public from public", database)
    fields = {**credential.data, "user": "loader", "password": "l0ader"}
    target = {**TO_PG, "auth": {"type": "postgres", **fields}}
    try:
        outcome = await move(context, FROM_PG, target)
    finally:
        with psycopg.connect(postgres_server.dsn(database), autocommit=True) as connection:
            connection.execute("drop owned by loader")
            connection.execute("drop role loader")

    assert outcome.error is not None
    assert (outcome.error.kind, outcome.error.code) == (ErrorKind.AUTH, "MARKS")
    assert "CREATE TABLE" in outcome.error.message


# -- files ------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["csv", "jsonl", "parquet"])
async def test_rows_go_to_a_file_and_come_back_as_they_were(
    context, tmp_path, postgres_server, database, form
):
    path = str(tmp_path / f"rows.{form}")
    out = await move(context, FROM_PG, {"type": "file", "path": path})
    back = await move(context, {"type": "file", "path": path}, TO_PG)

    assert out.is_ok, out.error
    assert (out.data["mode"], out.data["target_table"]) == ("replace", path)
    assert back.is_ok, back.error
    assert back.data["rows_transferred"] == 5
    assert postgres_server.execute("select id, name, price::text from t", database) == [
        (i, f"n{i}", f"{i / 4:.2f}") for i in range(1, 6)
    ]
    assert [p.name for p in tmp_path.iterdir() if "part" in p.name] == []


async def test_a_file_is_chosen_from_by_sql(context, tmp_path):
    source, target = tmp_path / "in.csv", tmp_path / "out.jsonl"
    source.write_text("city,celsius\nRome,30\nOslo,10\nRome,20\n")
    query = "select city, avg(celsius) as mean from file group by city order by city"
    outcome = await move(
        context,
        {"type": "csv", "path": str(source), "query": query},
        {"type": "jsonl", "path": str(target)},
    )

    assert outcome.is_ok, outcome.error
    assert [json.loads(line) for line in target.read_text().splitlines()] == [
        {"city": "Oslo", "mean": 10.0},
        {"city": "Rome", "mean": 25.0},
    ]


@pytest.mark.parametrize(
    ("source", "target", "kind", "said"),
    [
        ({"type": "csv", "path": "absent.csv"}, TO_PG, ErrorKind.NOT_FOUND, "no file"),
        ({"type": "csv"}, TO_PG, ErrorKind.CONFIG, "'path'"),
        ({"type": "file", "path": "a.txt"}, TO_PG, ErrorKind.CONFIG, "'format'"),
        ({"type": "csv", "path": "a.csv", "auth": "pg"}, TO_PG, ErrorKind.CONFIG, "credentials"),
        (FROM_PG, {"type": "csv", "path": "a.csv", "mode": "append"}, ErrorKind.CONFIG, "replace"),
        (FROM_PG, {"type": "parquet", "path": "/no/such/a"}, ErrorKind.STORAGE_ACCESS, "No such"),
    ],
)
async def test_files_that_cannot_be_ends(context, source, target, kind, said):
    outcome = await move(context, source, target)

    assert outcome.error is not None
    assert outcome.error.kind is kind, outcome.error
    assert said in outcome.error.message


async def test_a_worker_reaches_no_file_outside(credential, tmp_path):
    (tmp_path / "work").mkdir()
    confinement = Confinement(folders=(), workspaces=str(tmp_path / "work"))
    context = FakeContext(
        credentials={"pg": credential},
        workspace=confinement.make_workspace(1),
        confinement=confinement,
    )
    outside = await move(context, FROM_PG, {"type": "csv", "path": str(tmp_path / "a.csv")})
    within = await move(context, FROM_PG, {"type": "csv", "path": "a.csv"})
    back = await move(context, {"type": "csv", "path": "a.csv"}, TO_PG)

    assert outside.error is not None
    assert "leads to" in outside.error.message
    assert within.is_ok, within.error
    assert back.is_ok, back.error
