"""A worker takes on less while memory or its event loop is short, and more afterwards."""

from __future__ import annotations

import asyncio
from functools import partial

import pytest

from arcbook.testing.cluster import Cluster
from arcbook.worker import adapting as measured
from arcbook.worker.adapting import adapt

PATIENCE_SECONDS = 10.0


@pytest.fixture
async def cluster(tmp_path):
    async with Cluster(tmp_path) as cluster:
        yield cluster


async def until(worker, holds):
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not holds(worker.runner.concurrency):
            await asyncio.sleep(0.005)


async def test_memory_that_is_short_lowers_what_a_worker_takes_on(cluster, monkeypatch):
    used = 0.99
    monkeypatch.setattr(measured, "LOOK_SECONDS", 0.005)
    monkeypatch.setattr(measured, "memory_used", lambda: used)
    await cluster.server()
    worker = (await cluster.worker(concurrency=10)).worker
    worker.service.loop("pressure", partial(adapt, worker))
    await until(worker, lambda count: count == 1)
    assert worker.room == 1
    used = 0.1
    await until(worker, lambda count: count == 10)


async def test_a_worker_that_cannot_measure_any_more_ends(cluster, monkeypatch):
    def broken():
        raise ValueError("no figures")

    monkeypatch.setattr(measured, "LOOK_SECONDS", 0.005)
    monkeypatch.setattr(measured, "memory_used", broken)
    await cluster.server()
    worker = (await cluster.worker()).worker
    worker.service.loop("pressure", partial(adapt, worker))
    async with asyncio.timeout(PATIENCE_SECONDS):
        await worker.service.failed.wait()
    assert "no figures" in str(worker.service.cause)
