"""Tools of a worker that are asked for files which their execution may not reach."""

from __future__ import annotations

import os
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import duckdb
import pytest

from arcbook.outcome import ErrorKind
from arcbook.testing.tools import FakeContext, call_tool
from arcbook.tools import landlock
from arcbook.tools.confinement import Confinement, Isolation, OutsideError
from arcbook.tools.duckdb.limits import Limits
from arcbook.tools.registry import Registry

EXECUTION = 7


class World:
    """A worker's folder with a secret in it, a folder of the settings, an execution's workspace."""

    def __init__(self, folder: Path) -> None:
        self.secret = folder / "home" / "key"
        self.secret.parent.mkdir()
        self.secret.write_text("s3cret\n")
        self.shared = folder / "shared"
        self.shared.mkdir()
        (self.shared / "rows.csv").write_text("n\n1\n2\n")
        self.confinement = Confinement.of_worker(
            Isolation.PROCESS, workspaces=folder / "home" / "work", folders=[str(self.shared)]
        )
        self.workspace = Path(self.confinement.make_workspace(EXECUTION))
        other = Path(self.confinement.make_workspace(EXECUTION + 1))
        self.other = other / "theirs.csv"
        self.other.write_text("s3cret\n1\n")
        self.context = FakeContext(
            confinement=self.confinement, workspace=str(self.workspace), folder=str(folder / "home")
        )
        self.registry = Registry()

    async def call(self, kind: str, config: dict[str, Any], **facts: Any) -> Any:
        tool = self.registry.tool(kind)
        facts.setdefault("context", self.context)
        return await call_tool(tool, kind, config, execution_id=EXECUTION, **facts)

    async def sql(self, query: str, **config: Any) -> Any:
        return await self.call("duckdb", {"query": query, **config})


@pytest.fixture
async def world(tmp_path) -> AsyncIterator[World]:
    made = World(tmp_path)
    yield made
    await made.registry.close()


# -- duckdb -----------------------------------------------------------------------------


async def test_sql_reads_and_writes_the_workspace_and_the_folders_of_the_settings(world):
    assert (await world.sql("CREATE TABLE t AS SELECT 42 AS n")).is_ok
    assert (await world.sql(f"COPY t TO '{world.workspace}/t.parquet'")).is_ok
    outcome = await world.sql(
        f"SELECT n FROM t UNION ALL FROM '{world.shared}/rows.csv' ORDER BY n"
    )

    assert [row["n"] for row in outcome.data["rows"]] == [1, 2, 42]
    outcome = await world.sql(f"FROM read_parquet('{world.workspace}/*.parquet')")
    assert outcome.data["row_count"] == 1


@pytest.mark.parametrize(
    "query",
    [
        "FROM read_text('{secret}')",
        "FROM read_csv('{secret}')",
        "FROM read_blob('{secret}')",
        "FROM '{other}'",
        "FROM read_csv('{workspace}/../8/theirs.csv')",
        "FROM read_text('{home}/*')",
        "FROM glob('{home}/*')",
        "FROM read_text('/proc/self/environ')",
        "FROM read_text('/proc/self/cmdline')",
        "FROM read_text('/etc/passwd')",
        "FROM read_text('file://{secret}')",
        "COPY (SELECT 1) TO '{home}/planted'",
        "COPY (SELECT 1) TO '{workspace}/../planted'",
        "ATTACH '{home}/planted.db' AS planted",
        "EXPORT DATABASE '{home}/planted'",
        "IMPORT DATABASE '{home}'",
        "SET enable_external_access = true",
        "SET lock_configuration = false",
        "SET allowed_directories = ['/']",
        "RESET allowed_directories",
        "SET extension_directory = '{workspace}'",
        "SET custom_extension_repository = '{workspace}'",
        "SET allow_community_extensions = true",
        "SET allow_unsigned_extensions = true",
        "SET temp_directory = '{home}'",
        "SET secret_directory = '{home}'",
        "SET log_query_path = '{home}/planted'",
        "PRAGMA profiling_output = '{home}/planted'",
        "INSTALL httpfs",
        "INSTALL shellfs FROM community",
        "LOAD '{workspace}/planted.duckdb_extension'",
        "CREATE PERSISTENT SECRET planted (TYPE s3, KEY_ID 'k', SECRET 's')",
        "SELECT * FROM held",
    ],
)
async def test_refused_sql_that_reaches_out(world, query):
    held = duckdb.sql("SELECT 's3cret' AS n").fetchall()  # noqa: F841  # in a frame of the worker
    before = sorted(str(p) for p in world.secret.parent.rglob("*"))
    places = {
        "secret": world.secret,
        "other": world.other,
        "home": world.secret.parent,
        "workspace": world.workspace,
    }
    outcome = await world.sql(query.format(**places), database=":memory:")

    assert not outcome.is_ok
    assert "s3cret" not in str(outcome.data)
    assert sorted(str(p) for p in world.secret.parent.rglob("*")) == before


@pytest.mark.parametrize("name", ["../../key.db", "../8/x.db", "{secret}", "/etc/x.db"])
async def test_refused_a_database_outside(world, name):
    outcome = await world.sql("SELECT 1", database=name.format(secret=world.secret))

    assert outcome.error.kind is ErrorKind.CONFIG
    assert "ARCBOOK_FOLDERS" in outcome.error.message


async def test_refused_a_database_that_is_a_link_to_the_outside(world):
    (world.workspace / "duckdb.duckdb").symlink_to(world.secret.parent / "planted.db")
    (world.workspace / "out").symlink_to(world.secret.parent)

    assert not (await world.sql("SELECT 1")).is_ok
    assert not (await world.sql("SELECT 1", database="out/planted.db")).is_ok
    assert not (world.secret.parent / "planted.db").exists()


async def test_refused_sql_that_reads_through_a_link(world):
    (world.workspace / "link.csv").symlink_to(world.secret)
    (world.workspace / "folder").symlink_to(world.secret.parent)
    for path in ("link.csv", "folder/key", "folder/*"):
        outcome = await world.sql(f"FROM read_text('{world.workspace}/{path}')")
        assert "s3cret" not in str(outcome.data)


async def test_refused_a_link_that_is_swapped_while_sql_runs(world):
    stop = threading.Event()
    (world.workspace / "mine").write_text("mine")
    swapped = world.workspace / "swapped"

    def swap() -> None:
        while not stop.is_set():
            for target in ("mine", world.secret):
                fresh = world.workspace / "fresh"
                fresh.unlink(missing_ok=True)
                fresh.symlink_to(target)
                fresh.replace(swapped)

    thread = threading.Thread(target=swap)
    thread.start()
    try:
        query = f"SELECT content FROM read_text('{swapped}')"
        found = [await world.sql(query) for _ in range(200)]
    finally:
        stop.set()
        thread.join()
    assert not any("s3cret" in str(outcome.data) for outcome in found)


async def test_contained_a_database_in_a_common_folder_does_not_lend_one_executions_reach_to_another(
    world,
):
    common = str(world.shared / "common.db")
    assert (await world.sql("CREATE TABLE t AS SELECT 1 AS n", database=common)).is_ok
    theirs = FakeContext(
        confinement=world.confinement, workspace=world.confinement.make_workspace(EXECUTION + 1)
    )
    (world.workspace / "mine.csv").write_text("s3cret\n1\n")
    config = {"query": f"FROM '{world.workspace}/mine.csv'", "database": common}
    outcome = await world.call("duckdb", config, context=theirs)

    assert not outcome.is_ok
    config["query"] = f"FROM '{world.other}'"
    assert (await world.call("duckdb", config, context=theirs)).is_ok


async def test_sql_of_ones_own_run_reads_everything(tmp_path):
    (tmp_path / "rows.csv").write_text("n\n1\n")
    registry = Registry()
    config = {"query": f"FROM '{tmp_path}/rows.csv'", "database": ":memory:"}
    outcome = await call_tool(registry.tool("duckdb"), "duckdb", config)
    await registry.close()

    assert outcome.data["rows"] == [{"n": 1}]


async def test_refused_files_to_a_thread_of_a_database_by_the_kernel(world):
    if not landlock.version():
        pytest.fail("this kernel has no Landlock; a link that is swapped in time leads out")
    limits = Limits.of(world.confinement, str(world.workspace))
    threads = limits.threads()
    try:
        assert threads.submit(os.listdir, str(world.workspace)).result() == []
        for path in (world.secret, world.other, "/proc/self/environ", "/etc/passwd-"):
            with pytest.raises(OSError, match=r"denied|No such"):
                threads.submit(Path(path).read_bytes).result()
    finally:
        threads.shutdown()
    assert world.secret.read_text() == "s3cret\n", "other threads go on as before"


async def test_rows_move_into_a_database_of_a_worker(world):
    await world.sql("CREATE TABLE source AS SELECT 1 AS n, 'a' AS t")
    config = {
        "source": {"type": "duckdb", "query": "SELECT * FROM source"},
        "target": {"type": "duckdb", "table": "moved"},
    }
    outcome = await world.call("transfer", config)

    assert outcome.is_ok, outcome.error
    assert (await world.sql("FROM moved")).data["rows"] == [{"n": 1, "t": "a"}]
    assert not list(world.workspace.glob(".arcbook-transfer-*"))


async def test_refused_rows_from_and_to_a_database_outside(world):
    for side in ("source", "target"):
        config = {
            "source": {"type": "duckdb", "query": "SELECT 1 AS n"},
            "target": {"type": "duckdb", "table": "t"},
        }
        config[side]["database"] = str(world.secret.parent / "planted.db")
        outcome = await world.call("transfer", config)
        assert outcome.error.kind is ErrorKind.CONFIG
    assert not (world.secret.parent / "planted.db").exists()


# -- scripts ----------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["python", "duckdb"])
@pytest.mark.parametrize(
    "uri",
    [
        "{secret}",
        "file://{secret}",
        "../key",
        "../../key",
        "key",
        "/etc/passwd",
        "/proc/self/environ",
    ],
)
async def test_refused_a_script_outside(world, kind, uri):
    name = "script" if kind == "python" else "query"
    outcome = await world.call(kind, {name: {"uri": uri.format(secret=world.secret)}})

    assert not outcome.is_ok
    assert outcome.error.kind in (ErrorKind.CONFIG, ErrorKind.NOT_FOUND)
    assert "s3cret" not in str(outcome)


async def test_a_script_is_read_from_the_workspace_and_from_folders_of_the_settings(world):
    (world.workspace / "mine.py").write_text("result = 'mine'")
    (world.shared / "ours.py").write_text("result = 'ours'")

    assert (await world.call("python", {"script": {"uri": "mine.py"}})).data == "mine"
    assert (await world.call("python", {"script": {"uri": "ours.py"}})).data == "ours"
    path = str(world.shared / "ours.py")
    assert (await world.call("python", {"script": {"uri": path}})).data == "ours"


async def test_refused_a_script_that_is_a_link_to_the_outside(world):
    (world.workspace / "link.py").symlink_to(world.secret)
    outcome = await world.call("python", {"script": {"uri": "link.py"}})

    assert outcome.error.kind is ErrorKind.CONFIG
    assert "s3cret" not in str(outcome)


async def test_refused_a_script_that_is_no_file_and_would_be_waited_for(world):
    os.mkfifo(world.workspace / "pipe.py")
    outcome = await world.call("python", {"script": {"uri": "pipe.py"}})

    assert not outcome.is_ok
    with pytest.raises(OutsideError):
        world.confinement.open("pipe.py", str(world.workspace))


def test_refused_opening_a_file_that_was_swapped_after_it_was_looked_at(world, monkeypatch):
    (world.workspace / "swapped").symlink_to(world.secret)
    resolve = Confinement.resolve
    monkeypatch.setattr(Confinement, "resolve", lambda _self, path, _: str(world.workspace / path))

    with pytest.raises(OutsideError):
        world.confinement.open("swapped", str(world.workspace))
    monkeypatch.setattr(Confinement, "resolve", resolve)


# -- files that connections are made with -----------------------------------------------------


@pytest.mark.parametrize(
    "part",
    [
        "passfile={secret}",
        "sslkey={secret}",
        "sslcert={secret}",
        "sslrootcert={secret}",
        "service=worker",
        "host=/var/run/postgresql",
        "host=@abstract",
        "sslkeylogfile={home}/planted",
        "krbsrvname=x",
        "requirepeer=root",
    ],
)
async def test_refused_a_connection_to_postgres_that_opens_files_of_the_worker(world, part):
    text = part.format(secret=world.secret, home=world.secret.parent)
    base = "" if text.startswith("host") else "host=127.0.0.1 "
    config = {"dsn": f"{base}{text} port=1 dbname=x user=x", "query": "SELECT 1"}
    outcome = await world.call("postgres", config)

    assert outcome.error.kind is ErrorKind.CONFIG, outcome.error


@pytest.mark.parametrize("name", ["ca", "cert", "key"])
async def test_refused_a_connection_to_nats_that_opens_files_of_the_worker(world, name):
    config = {
        "url": "nats://127.0.0.1:1",
        "operation": "kv_get",
        "bucket": "b",
        "key": "k",
        "tls": {name: str(world.secret)},
    }
    outcome = await world.call("nats", config)

    assert outcome.error.kind is ErrorKind.CONFIG
    assert "ARCBOOK_FOLDERS" in outcome.error.message


# -- results by reference ---------------------------------------------------------------------


@pytest.mark.parametrize("ref", ["{secret}", "file://{secret}", "../../key", "arcbook://../../key"])
async def test_refused_a_reference_that_is_a_path(world, ref, tmp_path):
    from arcbook.blobs.filesystem import FilesystemBlobs
    from arcbook.results.store import ResultStore

    world.context.results = ResultStore(FilesystemBlobs(tmp_path / "home" / "results"))
    outcome = await world.call("artifact", {"result_ref": ref.format(secret=world.secret)})

    assert not outcome.is_ok
    assert "s3cret" not in str(outcome)
