"""A server and a worker in one process, on one folder: the composition root of ``arcbook dev``.

It has a folder of its own. The home itself belongs to ``arcbook run``, where an execution is
owned by the process that began it; a server owns every execution that it finds.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from arcbook.blobs.filesystem import FilesystemBlobs
from arcbook.bus.memory import Exchange, MemoryBus
from arcbook.compose.cluster import ControlPlane, Parts, served_control_plane, worker_on
from arcbook.locks import lock, unlock
from arcbook.secrets.keys import keys_of
from arcbook.settings import Settings, SettingsError
from arcbook.store.sqlite import SqliteStore
from arcbook.worker.core import Worker

FOLDER: Final = "dev"
"""The folder below the home."""

NAME: Final = "dev"
"""Name of the server and of the worker: each start is the same one, and owns what it had."""

LEASE_SECONDS: Final = 3.0
"""Time after which commands go on that the process had when it was killed."""

LEAVE_SECONDS: Final = 10.0
"""Time that commands have to end when the process is told to stop."""


class FolderTakenError(SettingsError):
    """Another process works in the folder."""

    code = "folder_in_use"


class Development(NamedTuple):
    """What runs."""

    plane: ControlPlane
    worker: Worker
    url: str
    folder: Path


@asynccontextmanager
async def development(settings: Settings) -> AsyncIterator[Development]:
    """Yield a running server with its API and a worker; at the end both stop in order.

    Raises:
        FolderTakenError: another process does so already.
        ListenError: the port is taken.
        StoreError: the folder cannot be used.
    """
    folder = settings.home / FOLDER
    settings = msgspec.structs.replace(
        settings,
        home=folder,
        routing=False,  # one worker performs everything
        server_url="",  # that of another server, if any
        pools=("shared",),
        lease_seconds=min(settings.lease_seconds, LEASE_SECONDS),
    )
    exchange = Exchange()

    @asynccontextmanager
    async def parts(_: Settings) -> AsyncIterator[Parts]:
        async with SqliteStore(folder / "arcbook.db") as store, MemoryBus(exchange) as bus:
            yield Parts(store, bus, FilesystemBlobs(folder / "results"))

    with _held(folder):
        keys_of(settings, make=True)  # a server alone makes none
        async with (
            served_control_plane(settings, parts, server_id=NAME) as (plane, url),
            MemoryBus(exchange) as bus,
            worker_on(bus, settings, worker_id=NAME) as worker,
        ):
            try:
                yield Development(plane, worker, url, folder)
            finally:
                await asyncio.shield(worker.drain(min(settings.drain_seconds, LEAVE_SECONDS)))


@contextmanager
def _held(folder: Path) -> Iterator[None]:
    """Keep others out of a folder as long as this process lives."""
    path = folder / "lock"
    handle = lock(path)
    if handle is None:
        raise FolderTakenError(
            f"another process works in {folder}: stop it, or name another folder with --home"
        )
    try:
        yield
    finally:
        unlock(path, handle)
