"""What the API's process keeps in memory has a limit: no round of requests leaves more behind."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import sys
from collections import Counter, deque
from collections.abc import Iterator
from typing import Any

import pytest
from test_api_secrets import ELSEWHERE, asked

from api_cluster import Api, cluster
from api_playbooks import HELLO
from arcbook.secrets.delivery import AnswerKey
from arcbook.server.http.settings import HttpSettings

LIMITS = {
    "arcbook.owner.drive.SLOTS_MAX": 3,
    "arcbook.owner.plans.PLANS_MAX": 3,
    "arcbook.server.credential_delivery.DOCUMENTS_MAX": 3,
    "arcbook.server.http.entries.ENTRIES_MAX": 3,
    "arcbook.server.http.limits.CALLERS_MAX": 3,
    "arcbook.server.http.token_book.KNOWN_MAX": 3,
}
"""Limits that each round passes."""

STAND_INS = ("arcbook.store.", "arcbook.bus.", "arcbook.blobs.", "arcbook.testing.")
"""Modules whose memory stands for what lies elsewhere."""

CONTAINERS = (dict, list, set, deque)

ROUNDS = 3

EACH = 6
"""Requests of a kind in a round."""


class Holding:
    """Counts what is in the containers that can be reached, by where they are."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self._seen: set[int] = set()

    def add(self, where: str, value: Any) -> None:
        """Count what a value holds, and what that holds."""
        if id(value) in self._seen:
            return
        self._seen.add(id(value))
        if isinstance(value, CONTAINERS):
            self.counts[where] += len(value)
            for inner in list(value.values() if isinstance(value, dict) else value):
                self.add(f"{where}[]", inner)
        elif _is_ours(type(value)):
            for name, inner in _fields(value):
                self.add(f"{where}.{name}", inner)


def _is_ours(kind: type) -> bool:
    module = kind.__module__
    return module.startswith("arcbook.") and not module.startswith(STAND_INS)


def _fields(value: Any) -> Iterator[tuple[str, Any]]:
    yield from getattr(value, "__dict__", {}).items()
    for kind in type(value).__mro__:
        for name in getattr(kind, "__slots__", ()):
            if hasattr(value, name):
                yield name, getattr(value, name)


def _globals() -> Iterator[tuple[str, Any]]:
    """Yield what lies in modules and may change."""
    for module in [m for n, m in sys.modules.items() if n.startswith("arcbook.")]:
        if module.__name__.startswith(STAND_INS):
            continue
        for name, value in vars(module).items():
            if isinstance(value, CONTAINERS) or _is_ours(type(value)):
                yield f"{module.__name__}:{name}", value


def held(api: Api) -> Counter[str]:
    """Return how much the API's process holds, by where."""
    holding = Holding()
    holding.add("context", api.context)
    for where, value in _globals():
        holding.add(where, value)
    return holding.counts


async def opened(api: Api, number: int, admin: dict[str, str], inner: dict[str, str]) -> None:
    """Have a credential sealed for who performs what names it."""
    text = ELSEWHERE.replace("elsewhere", f"elsewhere_{number}").replace("gh", f"gh{number}")
    await api.post("/api/catalog/register", {"content": text}, headers=admin)
    path = {"path": f"examples/elsewhere_{number}"}
    execution_id = (await api.post("/api/execute", path, headers=admin))["execution_id"]
    claim = f"/api/commands/{execution_id}:start:1/claim"
    await api.post(claim, {"worker_id": "outpost-1"}, headers=inner)
    wanted = asked(AnswerKey(), execution_id=execution_id)
    await api.get(f"/api/credentials/gh{number}/sealed", params=wanted, headers=inner)
    finalized = {"status": "FAILED", "reason": "it is over"}
    await api.post(f"/api/executions/{execution_id}/finalize", finalized, headers=admin)


async def one_of_everything(api: Api, admin: dict[str, str], number: int) -> None:
    """Ask for everything once, with names that nobody asked for before."""
    path = f"examples/hello_{number}"
    registered = await api.post(
        "/api/catalog/register",
        {"content": HELLO.replace("examples/hello", path)},
        headers=admin,
    )
    await api.post("/api/catalog/list", {}, headers=admin)
    await api.get(f"/api/keychain/catalog/{registered['catalog_id']}", headers=admin)
    body = {"name": f"gh{number}", "type": "bearer", "data": {"token": f"secret-{number}"}}
    await api.post("/api/credentials", body, headers=admin)
    inner = {"Authorization": "Bearer inner"}
    await opened(api, number, admin, inner)
    token = await api.post(
        "/api/tokens", {"name": f"t{number}", "scope": "operator"}, headers=admin
    )
    mine = {"Authorization": f"Bearer {token['token']}"}
    await api.get("/api/executions", headers=mine)
    assert (await api.call("GET", f"/api/nothing/{number}", headers=mine))[0] == 404
    started = await api.post(
        "/api/execute",
        {"path": path, "idempotency_key": f"k{number}", "trace": {"n": number}},
        headers=admin,
    )
    waiting = await api.post(
        "/api/execute", {"path": path, "execution_pool": f"pool-{number}"}, headers=admin
    )
    await watched(api, started["execution_id"], admin)
    await dropped(api, waiting["execution_id"], admin)
    await api.post(f"/api/executions/{waiting['execution_id']}/cancel", headers=admin)
    await watched(api, waiting["execution_id"], admin)
    for tail in ("", "/status", "/events", "/state", "/analyze", "/result"):
        await api.get(f"/api/executions/{started['execution_id']}{tail}", headers=admin)


async def watched(api: Api, execution_id: str, headers: dict[str, str]) -> None:
    """Read a stream to its end."""
    url = f"{api.url}/api/executions/{execution_id}/events?stream=true"
    async with api.session.get(url, headers=headers) as response:
        assert b"event: end" in await response.read()


async def dropped(api: Api, execution_id: str, headers: dict[str, str]) -> None:
    """Begin to read a stream, and go away."""
    url = f"{api.url}/api/executions/{execution_id}/events?stream=true"
    async with api.session.get(url, headers=headers) as response:
        await response.content.readany()
        response.close()


@pytest.fixture
async def api(tmp_path, monkeypatch):
    for name, limit in LIMITS.items():
        monkeypatch.setattr(name, limit)
    settings = HttpSettings(internal_token="inner", requests_per_second=100_000.0)
    async with cluster(tmp_path, settings=settings) as (found,):
        yield found


@pytest.mark.timeout(180)
async def test_no_round_of_requests_leaves_more_behind_than_the_one_before(api: Api):
    token = await api.post("/api/tokens", {"name": "all", "scope": "admin"})
    admin = {"Authorization": f"Bearer {token['token']}"}
    before: Counter[str] = Counter()
    for round_number in range(ROUNDS):
        before = held(api)
        numbers = range(round_number * EACH, (round_number + 1) * EACH)
        await asyncio.gather(*(one_of_everything(api, admin, number) for number in numbers))
    assert max(LIMITS.values()) < EACH

    grown: dict[str, tuple[int, int]] = {}
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(15):
            while grown := _grown(before, held(api)):
                await asyncio.sleep(0.1)  # what has ended is let go a moment later
    assert grown == {}
    assert len(api.server.drive.slots) <= LIMITS["arcbook.owner.drive.SLOTS_MAX"]


def _grown(before: Counter[str], after: Counter[str]) -> dict[str, tuple[int, int]]:
    return {where: (before[where], n) for where, n in after.items() if n > before[where]}


def test_every_function_that_remembers_remembers_so_many():
    for name, module in list(sys.modules.items()):
        if name.startswith("arcbook."):
            for function, value in vars(module).items():
                if hasattr(value, "cache_parameters") and inspect.signature(value).parameters:
                    limit = value.cache_parameters()["maxsize"]
                    assert limit is not None, f"{name}.{function}"
