"""Every playbook below ``examples`` runs as its comment says."""

from __future__ import annotations

import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from moto.server import ThreadedMotoServer

from acceptance.terminal import Terminal

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"

RUNS: dict[str, tuple[dict[str, str], Any]] = {
    "agent/triage.yaml": ({"text": "A flood in the cellar"}, {"queue": "urgent"}),
    "mcp/stock.yaml": (
        {"python": sys.executable, "server": str(EXAMPLES / "mcp" / "server.py")},
        {"article": "apple", "pieces": 12},
    ),
    "object/report.yaml": ({"endpoint": "BUCKETS"}, {"sold": 7}),
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


def test_every_example_is_run():
    written = {str(p.relative_to(EXAMPLES)) for p in EXAMPLES.rglob("*.yaml")}

    elsewhere = ("demo/", "arcbook-sign/")  # by the demo's test, and by that of packages
    assert {name for name in written if not name.startswith(elsewhere)} == set(RUNS)


@pytest.mark.services
@pytest.mark.parametrize("name", RUNS)
def test_an_example_comes_to_its_result(arcbook: Terminal, buckets: str, name: str):
    given, expected = RUNS[name]
    values = [
        part
        for key, value in given.items()
        for part in ("--set", f"{key}={value.replace('BUCKETS', buckets)}")
    ]
    keys = ("--set", "access_key_id=AKIDEXAMPLE", "--set", "secret_access_key=n0body")
    arcbook("credential", "add", "archive", "--type", "s3", *keys)
    ran = arcbook("run", EXAMPLES / name, *values, "--json")

    assert ran.code == 0, ran.all
    assert ran.json["result"] == expected
