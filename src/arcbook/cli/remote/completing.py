"""Names on a server for shell completion, within a time limit of a second."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final, NamedTuple

import click
import msgspec

from arcbook.cli.remote.link import client_of
from arcbook.client import Client
from arcbook.client.errors import ClientError
from arcbook.settings import cache_folder

PATIENCE_SECONDS: Final = 1.0
"""Time limit for a server's answer."""

FRESH_SECONDS: Final = 10.0
"""How long an answer is cached, even an empty one."""

ITEMS_MAX: Final = 1000
"""Most names cached from one answer."""

FILES_MAX: Final = 64
"""Most answers cached; beyond that, all are dropped."""

Item = tuple[str, str]
"""A name and its description."""

Ask = Callable[[Client], Awaitable[list[Item]]]


class Question(NamedTuple):
    """A question to a server."""

    #: Identifies the question in the cache.
    topic: str
    ask: Ask


def of_server(context: click.Context, question: Question) -> list[Item]:
    """Return names on a server; none if it does not answer in time."""
    client = client_of(context)
    place = _place(client, question.topic)
    items = _recalled(place)
    if items is None:
        items = asyncio.run(_asked(client, question.ask))[:ITEMS_MAX]
        _keep(place, items)
    return items


async def _asked(client: Client, ask: Ask) -> list[Item]:
    with contextlib.suppress(ClientError, TimeoutError):
        async with asyncio.timeout(PATIENCE_SECONDS), client:
            return await ask(client)
    return []


def _place(client: Client, topic: str) -> Path:
    """Return the cache file for an answer, separate for each server and caller."""
    key = f"{client.url}\n{client.caller}\n{topic}"
    return cache_folder() / "completing" / f"{hashlib.sha256(key.encode()).hexdigest()}.json"


def _recalled(place: Path) -> list[Item] | None:
    with contextlib.suppress(OSError, msgspec.DecodeError):
        if 0 <= time.time() - place.stat().st_mtime <= FRESH_SECONDS:
            return msgspec.json.decode(place.read_bytes(), type=list[Item])
    return None


def _keep(place: Path, items: list[Item]) -> None:
    """Cache an answer, readable by this user only; skip it without a cache folder."""
    with contextlib.suppress(OSError):
        place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        cached = list(place.parent.glob("*.json"))
        if len(cached) >= FILES_MAX:
            for file in cached:
                file.unlink(missing_ok=True)
        place.touch(mode=0o600)
        place.write_bytes(msgspec.json.encode(items))


async def paths(client: Client) -> list[Item]:
    """Return the paths of the catalog."""
    return [(entry.path, entry.kind) for entry in await client.catalog()]


def executions(limit: int) -> Ask:
    """Return the query for the ids of the newest executions."""

    async def ask(client: Client) -> list[Item]:
        rows = await client.executions(limit=limit)
        return [(row.execution_id, f"{row.status} {row.path}") for row in rows]

    return ask


def entered(execution_id: str) -> Ask:
    """Return the query for the steps that an execution entered."""

    async def ask(client: Client) -> list[Item]:
        page = await client.events(execution_id, limit=1000, event_type="step.enter")
        return [(name, "") for name in dict.fromkeys(e.node_name for e in page.events) if name]

    return ask


def steps(path: str) -> Ask:
    """Return the query for the steps of a playbook."""

    async def ask(client: Client) -> list[Item]:
        from arcbook.dsl.load import load_playbook  # only where a document is looked at
        from arcbook.tools.registry import Registry

        entry = await client.resource(path)
        playbook = load_playbook(entry.content, Registry()).playbook
        return [] if playbook is None else [(step.name, "") for step in playbook.steps]

    return ask


async def aliases(client: Client) -> list[Item]:
    """Return the aliases of credentials."""
    return [(row.name, row.type) for row in await client.credentials()]


async def schedules(client: Client) -> list[Item]:
    """Return the names of schedules."""
    return [(row.name, row.path) for row in await client.schedules()]


async def tokens(client: Client) -> list[Item]:
    """Return the ids of tokens."""
    return [(row.id, row.name) for row in await client.tokens()]
