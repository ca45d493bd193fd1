"""The composition root of ``arcbook dev``: a server and a worker in one process and folder.

It uses a separate folder, because a server owns all executions in its store. In the home
itself, used by ``arcbook run``, the process that started an execution owns it.
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
"""The subfolder of the home."""

NAME: Final = "dev"
"""Name of the server and the worker, fixed so that they own the same after a restart."""

LEASE_SECONDS: Final = 3.0
"""Lease of commands, after which those of a killed process are performed again."""

LEAVE_SECONDS: Final = 10.0
"""Time limit for running commands when the process is stopped."""


class FolderTakenError(SettingsError):
    """Another process uses the folder."""

    code = "folder_in_use"


class Development(NamedTuple):
    """The running parts."""

    plane: ControlPlane
    worker: Worker
    url: str
    folder: Path


@asynccontextmanager
async def development(settings: Settings) -> AsyncIterator[Development]:
    """Run a server with its API and a worker for the duration of a with block.

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
        server_url="",  # it would be that of another server
        pools=("shared",),
        lease_seconds=min(settings.lease_seconds, LEASE_SECONDS),
    )
    exchange = Exchange()

    @asynccontextmanager
    async def parts(_: Settings) -> AsyncIterator[Parts]:
        async with SqliteStore(folder / "arcbook.db") as store, MemoryBus(exchange) as bus:
            yield Parts(store, bus, FilesystemBlobs(folder / "results"))

    with _locked(folder):
        keys_of(settings, make=True)  # a standalone server does not create any
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
def _locked(folder: Path) -> Iterator[None]:
    """Lock a folder for as long as this process lives."""
    path = folder / "lock"
    handle = lock(path)
    if handle is None:
        raise FolderTakenError(
            f"another process uses {folder}: stop it, or choose another folder with --home"
        )
    try:
        yield
    finally:
        unlock(path, handle)
