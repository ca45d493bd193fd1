"""DuckDB gives a file to one process, so a tool lets go of it soon."""

from __future__ import annotations

import asyncio
import subprocess
import sys

from arcbook.tools.duckdb import files
from arcbook.tools.duckdb.files import Databases

READ = "import duckdb, sys; print(duckdb.connect(sys.argv[1]).execute('select n from t').fetchone()[0])"


def read_elsewhere(path) -> subprocess.CompletedProcess[str]:
    """Read the file in another process."""
    command = [sys.executable, "-c", READ, str(path)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


async def written(databases, path):
    async with databases.work(str(path), keep=True) as work:
        await work.do(work.connection.execute, "create or replace table t as select 7 as n")


async def test_a_file_that_is_kept_open_is_closed_to_others_and_let_go_after_a_while(
    tmp_path, monkeypatch
):
    path, databases = tmp_path / "a.duckdb", Databases()
    monkeypatch.setattr(files, "KEEP_SECONDS", 3600.0)
    await written(databases, path)
    assert "lock" in read_elsewhere(path).stderr

    monkeypatch.setattr(files, "KEEP_SECONDS", 0.01)
    await written(databases, path)
    async with asyncio.timeout(20):
        while (found := await asyncio.to_thread(read_elsewhere, path)).returncode:
            await asyncio.sleep(0.01)
    await databases.close()

    assert found.stdout == "7\n"


async def test_a_tool_that_is_closed_lets_go_of_its_files(tmp_path):
    path, databases = tmp_path / "a.duckdb", Databases()
    await written(databases, path)
    await databases.close()

    assert read_elsewhere(path).stdout == "7\n"
