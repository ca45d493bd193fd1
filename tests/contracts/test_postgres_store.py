"""The store in PostgreSQL passes the suites, and keeps what only it promises."""

from __future__ import annotations

import asyncio

import asyncpg
import pytest

from arcbook.blobs.api import BlobStoreError
from arcbook.blobs.postgres import PIECE_BYTES, PostgresBlobs
from arcbook.clock import SystemClock
from arcbook.ids import EPOCH_MS
from arcbook.store.api import FencedError, ResultRow, StartKey, StoreError
from arcbook.store.postgres import PostgresStore, check, upgrade
from arcbook.testing.clock import FakeClock
from arcbook.testing.contracts.blobs import BlobsContract
from arcbook.testing.contracts.store import change, event, row
from arcbook.testing.contracts.store_cluster import ClusterStoreContract
from arcbook.testing.contracts.store_commands import command

pytestmark = pytest.mark.services

DAY_US = 86_400_000_000
JULY_2025 = 1_751_328_000_000_000


def id_at(at_us: int) -> int:
    """Return the first id of a moment."""
    return (at_us // 1000 - EPOCH_MS) << 22


class TestPostgresStore(ClusterStoreContract):
    async def test_the_database_itself_refuses_a_second_end(self, store):
        await store.commit([change(1, 0, [event(1, "playbook.completed", "")])])

        async with asyncpg_connection(store) as connection:
            with pytest.raises(asyncpg.UniqueViolationError):
                await connection.execute(
                    "insert into event values (1, 2, 0, 'playbook.failed', '', true, '')"
                )

    @pytest.mark.parametrize(("seconds", "way"), [(60, "ahead of"), (-60, "behind")])
    async def test_a_clock_far_from_the_databases_is_refused(self, store, seconds, way):
        clock = FakeClock(SystemClock().now_us())
        await store.refuse_skew(clock)
        clock.advance(seconds)

        with pytest.raises(StoreError, match=f"6[01] s {way}|59 s {way}"):
            await store.refuse_skew(clock)

    async def test_how_durable_a_commit_is_stays_with_the_server(self, store):
        async with asyncpg_connection(store) as connection:
            source = await connection.fetchval(
                "select source from pg_settings where name = 'synchronous_commit'"
            )
        assert source in ("default", "configuration file", "command line")

    async def test_events_are_read_as_documents(self, store):
        await store.commit([change(1, 0, [event(1, body=b'{"x": {"y": [1, "\xc3\xa9"]}}')])])

        async with asyncpg_connection(store) as connection:
            found = await connection.fetchval("select body #>> '{x,y,1}' from event_readable")
        assert found == "\u00e9"

    async def test_every_row_of_an_execution_is_read_with_the_labels_of_its_tenant(self, store):
        async with asyncpg_connection(store) as connection:
            rows = await connection.fetch(
                "select table_name, array_agg(column_name::text) as columns "
                "from information_schema.columns where table_schema = 'arcbook' "
                "group by table_name having 'execution_id' = any (array_agg(column_name::text))"
            )
        columns = {row["table_name"]: set(row["columns"]) for row in rows}
        labels = {"tenant", "organization"}
        tables = {name for name in columns if not name.startswith("event_") or "_readable" in name}
        # A head is the number of an execution's last event, and nothing else.
        assert {
            name
            for name in tables - {"head"}
            if not labels <= columns[name] and not labels <= columns.get(f"{name}_readable", set())
        } == set()

    async def test_what_an_execution_left_is_read_with_its_tenant(self, store):
        key = StartKey(path="a/b", key="k", at=1, expires_at=9)
        await store.commit(
            [
                change(
                    1,
                    0,
                    [event(1)],
                    row=row(1, seq=1, labels={"tenant": "sales", "organization": "emea"}),
                    snapshot=b"{}",
                    results=[ResultRow("r", "s", 1, "x", "inline")],
                    timers={"t": 5},
                    issued=[command("c", 1)],
                    key=key,
                )
            ]
        )
        await store.post(1, b"{}")

        async with asyncpg_connection(store) as connection:
            for table in ("event", "snapshot", "result", "timer", "command", "inbox", "start_key"):
                found = await connection.fetchrow(f"select * from {table}_readable")
                assert (found["tenant"], found["organization"]) == ("sales", "emea"), table

    async def test_a_connection_lost_while_committing_is_told_and_healed(self, dsn, store):
        await store.commit([change(1, 0, [event(1)])])
        other = await asyncpg.connect(dsn)
        async with other.transaction():
            await other.execute("lock table arcbook.event in exclusive mode")
            commit = asyncio.create_task(store.commit([change(1, 1, [event(2)])]))
            await until(lambda: other.fetchval("select count(*) from pg_locks where not granted"))
            await other.execute(
                "select pg_terminate_backend(pid) from pg_stat_activity "
                "where datname = current_database() and pid <> pg_backend_pid()"
            )
            with pytest.raises(StoreError):
                await commit
        await other.close()

        await store.commit([change(1, 1, [event(2)])])
        assert len(await store.events(1)) == 2

    async def test_commits_in_each_others_way_are_tried_again(self, dsn, store):
        await store.commit([change(i, 0, [event(1)]) for i in (1, 2)])
        other = await asyncpg.connect(dsn)
        rival = other.transaction()
        await rival.start()
        await other.execute("set local deadlock_timeout = '20s'")
        await other.execute("select from arcbook.execution where execution_id = 2 for update")
        commit = asyncio.create_task(store.commit([change(i, 1, [event(2)]) for i in (1, 2)]))
        await asyncio.sleep(0.1)
        await other.execute("select from arcbook.execution where execution_id = 1 for update")
        await rival.rollback()
        await commit
        await other.close()

        assert [len(await store.events(i)) for i in (1, 2)] == [2, 2]


class TestMonths:
    async def test_events_of_a_month_lie_in_its_table(self, store):
        await store.ensure_partitions(JULY_2025)
        assert await store.ensure_partitions(JULY_2025) == 0
        for identity in (id_at(JULY_2025) - 1, id_at(JULY_2025), id_at(JULY_2025 + 31 * DAY_US)):
            await store.commit([change(identity, 0, [event(1)])])

        async with asyncpg_connection(store) as connection:
            rows = await connection.fetch(
                "select tableoid::regclass::text from event order by execution_id"
            )
        assert [name for (name,) in rows] == ["event_other", "event_202507", "event_202508"]

    async def test_old_months_are_forgotten_once_all_of_them_ended(self, store):
        await store.ensure_partitions(JULY_2025)
        july, august = id_at(JULY_2025 + DAY_US), id_at(JULY_2025 + 40 * DAY_US)
        blobs = PostgresBlobs(store.connection)
        for identity in (july, july + 1, august):
            ended = row(identity, status="COMPLETED", ended_at=9)
            facts = {"row": ended, "snapshot": b"x", "timers": {"t": 1}}
            await store.commit([change(identity, 0, [event(1)], **facts)])
            await blobs.put(f"{identity}/s/1", b"x")
        running = row(july + 1, status="RUNNING")
        await store.commit([change(july + 1, 1, [event(2)], row=running)])

        assert await store.retention(JULY_2025 + 60 * DAY_US) == 0
        await store.commit([change(july + 1, 2, [event(3)], row=row(july + 1, ended_at=9))])
        assert await store.retention(JULY_2025 + 30 * DAY_US) == 0
        assert await store.retention(JULY_2025 + 31 * DAY_US) == 2
        assert await store.load(july) is None
        assert await store.events(july) == []
        assert await blobs.delete(f"{july}/") == 0
        assert await store.load(august) is not None
        assert await blobs.get(f"{august}/s/1") == b"x"

    async def test_a_month_whose_events_came_too_early_is_left_alone(self, store):
        identity = id_at(JULY_2025 - 200 * DAY_US)
        await store.commit([change(identity, 0, [event(1)])])

        assert await store.ensure_partitions(JULY_2025 - 200 * DAY_US) <= 3
        assert len(await store.events(identity)) == 1


class TestPostgresBlobs(BlobsContract):
    @pytest.fixture
    def blobs(self, store):
        return PostgresBlobs(store.connection)

    @pytest.mark.parametrize("size", [0, 1, PIECE_BYTES, PIECE_BYTES + 1, 3 * PIECE_BYTES + 7])
    async def test_any_size_is_kept(self, blobs, size):
        await blobs.put("9/big", b"\x00\xff" * (3 * PIECE_BYTES))
        data = bytes(i % 251 for i in range(size))
        await blobs.put("9/big", data)

        assert await blobs.get("9/big") == data
        assert await blobs.delete("9/") == 1

    async def test_writers_of_one_key_leave_one_of_both(self, blobs):
        values = [bytes([i]) * (PIECE_BYTES * 2 + i) for i in range(5)]
        await asyncio.gather(*(blobs.put("9/x", value) for value in values))

        assert await blobs.get("9/x") in values

    async def test_a_database_that_cannot_be_used_is_a_blob_store_that_cannot(self, dsn):
        blobs = PostgresBlobs(PostgresStore(dsn).connection)

        with pytest.raises(BlobStoreError):
            await blobs.put("9/x", b"x")
        with pytest.raises(BlobStoreError):
            await blobs.get("9/x")

    async def test_a_key_may_hold_any_character(self, blobs):
        await blobs.put("9/\x00%00", b"zero")
        await blobs.put("9/%00", b"text")

        assert await blobs.get("9/\x00%00") == b"zero"
        assert await blobs.get("9/%00") == b"text"


class TestOpening:
    async def test_a_database_without_tables_is_refused_with_advice(
        self, postgres_server, database
    ):
        dsn = postgres_server.dsn(database)

        assert (await check(dsn)).current == 0
        with pytest.raises(StoreError, match="run: arcbook db upgrade"):
            await PostgresStore(dsn).__aenter__()

    async def test_upgrades_at_once_make_the_tables_once(self, postgres_server, database):
        dsn = postgres_server.dsn(database)
        before = await asyncio.gather(*(upgrade(dsn) for _ in range(3)))

        assert sorted(state.current for state in before) == [0, before[0].needed, before[0].needed]
        assert (await check(dsn)) == (before[0].needed, before[0].needed)

    async def test_a_database_of_a_newer_version_is_refused(self, postgres_server, database):
        dsn = postgres_server.dsn(database)
        await upgrade(dsn)
        postgres_server.execute("insert into arcbook.schema_version values (999)", database)

        with pytest.raises(StoreError, match="newer Arcbook"):
            await PostgresStore(dsn).__aenter__()
        with pytest.raises(StoreError, match="newer Arcbook"):
            await upgrade(dsn)

    @pytest.mark.parametrize(
        "wrong",
        [
            "postgresql://arcbook:s3cret@127.0.0.1:{port}/postgres",
            "postgresql://arcbook:s3cret/?x@127.0.0.1:{port}/postgres",
            "postgresql://me:s3cret@127.0.0.1:1/db",
            "postgresql://me:s3cret@nowhere.invalid/db",
            "mysql://me:s3cret@h/db",
            "me:s3cret@h/db",
            "postgresql://me:s3cret@h:port/db",
            "postgresql://me:s3cret@127.0.0.1:{port}/db?sslmode=s3cret",
            "postgresql://arcbook:{secret}@127.0.0.1:{port}/none",
        ],
    )
    async def test_no_way_in_is_told_without_the_password(self, postgres_server, wrong):
        secret = postgres_server.password
        with pytest.raises(StoreError) as raised:
            await upgrade(wrong.format(secret=secret, port=postgres_server.port))

        assert secret not in str(raised.value)
        assert "s3cret" not in str(raised.value)


class TestOutages:
    @pytest.fixture
    async def wire(self, postgres_server):
        wire = Wire(postgres_server.port)
        await wire.plug()
        yield wire
        await wire.cut()

    @pytest.fixture
    async def remote(self, dsn, wire, postgres_server):
        address = dsn.replace(f":{postgres_server.port}/", f":{wire.port}/")
        async with PostgresStore(address, pool_size=2) as store:
            yield store

    async def test_the_store_heals_when_the_server_returns(self, remote, wire):
        await remote.commit([change(1, 0, [event(1)])])
        await wire.cut()
        for _ in range(2):
            with pytest.raises(StoreError):
                await remote.commit([change(1, 1, [event(2)])])
        await wire.plug()

        await remote.commit([change(1, 1, [event(2)])])
        assert len(await remote.events(1)) == 2

    async def test_a_commit_whose_answer_is_lost_is_made_once(self, remote, wire, store):
        await remote.commit([change(1, 0, [event(1)])])
        wire.is_deaf = True
        commit = asyncio.create_task(remote.commit([change(1, 1, [event(2)])]))
        await until(lambda: store.events(1, after=1))
        await wire.cut()
        with pytest.raises(StoreError):
            await commit
        await wire.plug()

        with pytest.raises(FencedError):
            await remote.commit([change(1, 1, [event(2)])])
        assert len((await remote.load(1)).events) == 2


class Wire:
    """A connection to a server that can be cut."""

    def __init__(self, target):
        self.target = target
        self.port = 0
        self.is_deaf = False
        self._listener = None
        self._tasks = set()

    async def plug(self):
        """Connect it."""
        self.is_deaf = False
        self._listener = await asyncio.start_server(self._accept, "127.0.0.1", self.port)
        self.port = self._listener.sockets[0].getsockname()[1]

    async def cut(self):
        """Cut it, with all that goes over it."""
        self._listener.close()
        tasks, self._tasks = self._tasks, set()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _accept(self, reader, writer):
        server_reader, server_writer = await asyncio.open_connection("127.0.0.1", self.target)
        for source, sink, is_answer in (
            (reader, server_writer, False),
            (server_reader, writer, True),
        ):
            self._tasks.add(asyncio.create_task(self._copy(source, sink, is_answer)))

    async def _copy(self, source, sink, is_answer):
        try:
            while data := await source.read(65536):
                if not (is_answer and self.is_deaf):
                    sink.write(data)
        except ConnectionError:
            pass
        finally:
            sink.close()


async def until(ask):
    """Wait until an answer is one."""
    while not await ask():
        pass


def asyncpg_connection(store):
    """Return a connection of the store's pool."""
    return store._pool.acquire()
