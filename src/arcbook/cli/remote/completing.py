"""Names on a server for shell completion, within a second or not at all."""

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
"""Time limit for a server's answer to the tab key."""

FRESH_SECONDS: Final = 10.0
"""How long an answer, or a missing one, is cached."""

ITEMS_MAX: Final = 1000
"""Names cached from one answer."""

FILES_MAX: Final = 64
"""Answers cached; beyond that, all are dropped."""

Item = tuple[str, str]
"""A name, and what there is to say of it."""

Ask = Callable[[Client], Awaitable[list[Item]]]


class Question(NamedTuple):
    """A question to a server."""

    #: Tells questions from each other, for the cache.
    about: str
    ask: Ask


def of_server(context: click.Context, question: Question) -> list[Item]:
    """Return names on a server; none if it does not answer in time."""
    client = client_of(context)
    place = _place(client, question.about)
    found = _recalled(place)
    if found is None:
        found = asyncio.run(_asked(client, question.ask))[:ITEMS_MAX]
        _keep(place, found)
    return found


async def _asked(client: Client, ask: Ask) -> list[Item]:
    with contextlib.suppress(ClientError, TimeoutError):
        async with asyncio.timeout(PATIENCE_SECONDS), client:
            return await ask(client)
    return []


def _place(client: Client, about: str) -> Path:
    """Return the file for an answer; other callers of the same server have other ones."""
    key = f"{client.url}\n{client.caller}\n{about}"
    return cache_folder() / "completing" / f"{hashlib.sha256(key.encode()).hexdigest()}.json"


def _recalled(place: Path) -> list[Item] | None:
    with contextlib.suppress(OSError, msgspec.DecodeError):
        if 0 <= time.time() - place.stat().st_mtime <= FRESH_SECONDS:
            return msgspec.json.decode(place.read_bytes(), type=list[Item])
    return None


def _keep(place: Path, found: list[Item]) -> None:
    """Cache an answer, readable by this user only; skip it without a cache folder."""
    with contextlib.suppress(OSError):
        place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        kept = list(place.parent.glob("*.json"))
        if len(kept) >= FILES_MAX:
            for file in kept:
                file.unlink(missing_ok=True)
        place.touch(mode=0o600)
        place.write_bytes(msgspec.json.encode(found))


async def paths(client: Client) -> list[Item]:
    """Return the paths of the catalog."""
    return [(entry.path, entry.kind) for entry in await client.catalog()]


def executions(limit: int) -> Ask:
    """Return what asks for the ids of the newest executions."""

    async def ask(client: Client) -> list[Item]:
        rows = await client.executions(limit=limit)
        return [(row.execution_id, f"{row.status} {row.path}") for row in rows]

    return ask


def entered(execution_id: str) -> Ask:
    """Return what asks for the steps that an execution entered."""

    async def ask(client: Client) -> list[Item]:
        page = await client.events(execution_id, limit=1000, event_type="step.enter")
        return [(name, "") for name in dict.fromkeys(e.node_name for e in page.events) if name]

    return ask


def steps(path: str) -> Ask:
    """Return what asks for the steps of a playbook."""

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
