"""Idle processes of user code: each serves its own execution, and they are few and do not stay."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from arcbook.tools import python_pool
from arcbook.tools.confinement import Confinement
from arcbook.tools.python_pool import Child, PythonPool, Zygote


@pytest.fixture
async def zygote() -> AsyncIterator[Zygote]:
    pool = PythonPool(Confinement())
    yield pool.zygote(frozenset())
    pool.close()


async def served(zygote: Zygote, execution_id: int) -> Child:
    """Return the process that served an execution and may do so again."""
    child = await zygote.take((execution_id, 1))
    zygote.give_back(child, serves_again=True)
    return child


async def until_gone(pid: int) -> None:
    async with asyncio.timeout(20):
        while Path(f"/proc/{pid}").exists():
            await asyncio.sleep(0.01)


async def test_a_process_serves_its_own_execution_again_and_no_other(zygote):
    first = await served(zygote, 1)

    assert (await served(zygote, 2)).pid != first.pid
    assert (await served(zygote, 1)).pid == first.pid


async def test_a_process_that_does_not_serve_again_ends_at_once(zygote, monkeypatch):
    monkeypatch.setattr(python_pool, "HELD_SECONDS", 3600.0)
    child = await zygote.take((1, 1))
    zygote.give_back(child, serves_again=False)

    await until_gone(child.pid)


async def test_so_many_idle_processes_are_kept_and_no_more(zygote, monkeypatch):
    monkeypatch.setattr(python_pool, "HELD_MAX", 2)
    pids = [(await served(zygote, execution_id)).pid for execution_id in (1, 2, 3)]

    await until_gone(pids[0])
    assert [(await served(zygote, execution_id)).pid for execution_id in (2, 3)] == pids[1:]


async def test_an_idle_process_ends_after_a_while(zygote, monkeypatch):
    monkeypatch.setattr(python_pool, "HELD_SECONDS", 0.05)

    await until_gone((await served(zygote, 1)).pid)


async def test_only_so_many_sets_of_modules_are_remembered_as_asked_for_once(monkeypatch):
    monkeypatch.setattr(python_pool, "ASKED_MAX", 2)
    pool = PythonPool(Confinement())
    plain = pool.zygote(frozenset())
    for name in ("json", "csv", "zlib"):
        assert pool.zygote(frozenset({name})) is plain

    assert pool.zygote(frozenset({"zlib"})) is not plain  # asked for a second time
    assert pool.zygote(frozenset({"json"})) is plain  # long forgotten
    pool.close()
