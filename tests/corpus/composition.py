"""The embedded runtime put together for the corpus."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

from arcbook.blobs.filesystem import FilesystemBlobs
from arcbook.clock import SystemClock
from arcbook.engine.views import NeedsData, step_data
from arcbook.events.codec import decode
from arcbook.events.types import CommandCompleted, ResultRef, StepResult
from arcbook.ids import IdGenerator
from arcbook.results.kept import Kept
from arcbook.runtime.execute import CredentialPort, Performer
from arcbook.runtime.local import LocalRuntime
from arcbook.runtime.plans import Plans
from arcbook.store.api import EventLog, all_events
from arcbook.store.sqlite import SqliteStore
from arcbook.tools.registry import Registry


class Local(NamedTuple):
    """A runtime and its parts."""

    runtime: LocalRuntime
    plans: Plans
    kept: Kept
    registry: Registry


@asynccontextmanager
async def compose(home: Path, credentials: CredentialPort) -> AsyncIterator[Local]:
    """Yield the runtime of a home folder, which several runtimes may use in turn."""
    clock = SystemClock()
    ids = IdGenerator(clock, 1)
    registry = Registry()
    async with SqliteStore(home / "arcbook.db") as store:

        def frames(execution_id: int, step: str, visit: str) -> AsyncIterator[Any]:
            return _frames(store, execution_id, step, int(visit))

        kept = Kept(FilesystemBlobs(home / "blobs"), loop_reader=frames)
        plans = Plans(store, registry, ids, clock)

        def workspace(execution_id: int) -> str:
            folder = home / "work" / str(execution_id)
            folder.mkdir(parents=True, exist_ok=True)
            return str(folder)

        performer = Performer(
            registry, kept, credentials, clock, worker="corpus", workspace=workspace
        )
        async with LocalRuntime(store, plans, kept, performer, clock, ids) as runtime:
            yield Local(runtime, plans, kept, registry)


async def _frames(
    log: EventLog, execution_id: int, step: str, visit: int
) -> AsyncIterator[tuple[int, list[Any], ResultRef | None]]:
    """Yield what each frame of a loop left."""
    rows = all_events(log, execution_id, types=("command.completed",), step=step)
    async for row in rows:
        event = decode(row.body)
        if isinstance(event, CommandCompleted) and event.visit == visit:
            yield event.first, [_data(result) for result in event.results], event.ref


def _data(result: StepResult) -> Any:
    try:
        return step_data(result, {})
    except NeedsData as need:
        return need.ref
