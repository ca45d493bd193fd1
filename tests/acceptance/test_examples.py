"""Every playbook below ``examples`` runs as its comment says."""

from __future__ import annotations

import asyncio
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from moto.server import ThreadedMotoServer
from nats.aio.client import Client
from nats.js.api import ConsumerConfig

from acceptance.terminal import Terminal
from arcbook.testing.services import NatsServer

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"

RUNS: dict[str, tuple[dict[str, str], Any]] = {
    "agent/triage.yaml": ({"text": "A flood in the cellar"}, {"queue": "urgent"}),
    "container/count.yaml": ({"words": "one two"}, {"count": 2}),
    "mcp/stock.yaml": (
        {"python": sys.executable, "server": str(EXAMPLES / "mcp" / "server.py")},
        {"article": "apple", "pieces": 12},
    ),
    "object/report.yaml": ({"endpoint": "BUCKETS"}, {"sold": 7}),
    "subscription/orders.yaml": ({}, {"pieces": 5, "acknowledged": 2}),
    "script/total.yaml": ({}, {"total": 42}),
    "transfer/monthly.yaml": (
        {"sales": str(EXAMPLES / "transfer" / "sales.csv")},
        [{"month": "2026-01", "total": 200.75}, {"month": "2026-02", "total": 99.75}],
    ),
}
"""What each is given, and what it comes to."""


@pytest.fixture(scope="module")
def buckets() -> Iterator[str]:
    """A server that speaks S3, with a bucket ``reports``."""
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    request = urllib.request.Request(f"http://{host}:{port}/reports", method="PUT")
    urllib.request.urlopen(request).close()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture(scope="module")
def orders(nats_server: NatsServer) -> str:
    """NATS with two orders for the consumer ``billing``."""

    async def publish() -> None:
        client = Client()
        await client.connect(nats_server.url)
        js = client.jetstream()
        await js.add_stream(name="ORDERS", subjects=["orders"])
        await js.add_consumer("ORDERS", ConsumerConfig(durable_name="billing"))
        for pieces in (2, 3):
            await js.publish("orders", b'{"pieces": %d}' % pieces)
        await client.close()

    asyncio.run(publish())
    return nats_server.url


def test_every_example_is_run():
    written = {str(p.relative_to(EXAMPLES)) for p in EXAMPLES.rglob("*.yaml")}

    elsewhere = ("demo/", "arcbook-sign/")  # by the demo's test, and by that of packages
    assert {name for name in written if not name.startswith(elsewhere)} == set(RUNS)


@pytest.mark.services
@pytest.mark.parametrize("name", RUNS)
def test_an_example_comes_to_its_result(arcbook: Terminal, buckets: str, orders: str, name: str):
    given, expected = RUNS[name]
    values = [
        part
        for key, value in given.items()
        for part in ("--set", f"{key}={value.replace('BUCKETS', buckets)}")
    ]
    keys = ("--set", "access_key_id=AKIDEXAMPLE", "--set", "secret_access_key=n0body")
    arcbook("credential", "add", "archive", "--type", "s3", *keys)
    arcbook("credential", "add", "bus", "--type", "nats", "--set", f"url={orders}")
    arcbook.environment["ARCBOOK_JOBS_BACKEND"] = "process"
    ran = arcbook("run", EXAMPLES / name, *values, "--json")

    assert ran.code == 0, ran.all
    assert ran.json["result"] == expected
