"""Every store and every blob store passes its port's suite."""

from __future__ import annotations

import sqlite3

import pytest

from arcbook.blobs.filesystem import FilesystemBlobs
from arcbook.blobs.memory import MemoryBlobs
from arcbook.store.api import StoreError
from arcbook.store.memory import MemoryStore
from arcbook.store.sqlite import SqliteStore
from arcbook.testing.contracts.blobs import BlobsContract
from arcbook.testing.contracts.store import change, event
from arcbook.testing.contracts.store_cluster import ClusterStoreContract
from arcbook.testing.contracts.store_commands import command


class TestMemoryStore(ClusterStoreContract):
    @pytest.fixture
    def opened(self):
        store = MemoryStore()

        async def again():
            return store

        return again


class TestSqliteStore(ClusterStoreContract):
    @pytest.fixture
    async def opened(self, tmp_path):
        stores = []

        async def again():
            store = SqliteStore(tmp_path / "home" / "arcbook.db")
            stores.append(store)
            return await store.__aenter__()

        yield again
        for store in stores:
            await store.__aexit__()

    async def test_commits_survive_the_machine(self, store):
        ((mode,),) = store._db.execute("pragma journal_mode").fetchall()
        ((level,),) = store._db.execute("pragma synchronous").fetchall()

        assert (mode, level) == ("wal", 2)

    async def test_the_database_itself_refuses_a_second_end(self, store):
        await store.commit([change(1, 0, [event(1, "playbook.completed", "")])])

        with pytest.raises(sqlite3.IntegrityError):
            store._db.execute("insert into event values (1, 2, 0, 'playbook.failed', '', x'00', 1)")

    async def test_a_store_of_an_older_version_is_upgraded_with_what_it_holds(
        self, store, opened, tmp_path
    ):
        await store.commit([change(1, 0, [event(1)])])
        for table in ("command", "server", "shard", "worker", "schedule"):
            store._db.execute(f"drop table {table}")
        for table in ("start_key", "token", "change_audit", "trial"):
            store._db.execute(f"drop table {table}")
        for index in ("execution_tenant", "execution_status"):
            store._db.execute(f"drop index {index}")
        for column in ("tenant", "organization"):
            store._db.execute(f"alter table execution drop column {column}")
            for table in ("catalog", "credential"):
                store._db.execute(f"alter table {table} drop column {column}")
        store._db.execute("drop table secret_audit")
        store._db.execute("pragma user_version = 1")

        again = await opened()
        assert await again.commands() == []
        await again.commit([change(1, 1, [event(2)], issued=[command("c", 1)])])
        assert len(await again.events(1)) == 2

    async def test_a_store_of_a_newer_version_is_refused_with_advice(self, store, opened):
        store._db.execute("pragma user_version = 999")

        with pytest.raises(StoreError, match="newer Arcbook"):
            await opened()

    async def test_a_file_that_is_no_store_is_refused_with_advice(self, tmp_path):
        (tmp_path / "arcbook.db").write_bytes(b"not a database" * 1000)

        with pytest.raises(StoreError, match="not a store"):
            await SqliteStore(tmp_path / "arcbook.db").__aenter__()


class TestMemoryBlobs(BlobsContract):
    @pytest.fixture
    def blobs(self):
        return MemoryBlobs()


class TestFilesystemBlobs(BlobsContract):
    @pytest.fixture
    def blobs(self, tmp_path):
        return FilesystemBlobs(tmp_path)

    async def test_nothing_is_written_outside_the_folder(self, tmp_path):
        blobs = FilesystemBlobs(tmp_path / "inside")
        await blobs.put("../../outside", b"x")
        await blobs.put("a/../../b", b"x")

        assert sorted(p.name for p in tmp_path.iterdir()) == ["inside"]
