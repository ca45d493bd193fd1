"""Stopping an execution after any of its events, and going on with it."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec

from arcbook.blobs.memory import MemoryBlobs
from arcbook.clock import SystemClock
from arcbook.compose.local_runtime import LocalRuntime
from arcbook.engine.state import State
from arcbook.engine.views import NeedsData, result_view
from arcbook.events.codec import decode
from arcbook.events.types import CommandCompleted, Recorded, StepExit
from arcbook.ids import IdGenerator
from arcbook.owner.plans import Planned, Plans
from arcbook.owner.slots import rebuild
from arcbook.performer.execute import Performer
from arcbook.performer.services import CredentialPort
from arcbook.results.frames import loop_frames
from arcbook.results.store import ResultStore
from arcbook.store.api import Change
from arcbook.store.memory import MemoryStore
from arcbook.tools.api import Tool, ToolCall, ToolContext
from arcbook.tools.registry import Registry


class CrashError(BaseException):
    """The process ends here. Not an ``Exception``: nothing may handle it."""


class MortalStore(MemoryStore):
    """A store whose process dies when a number of events is written."""

    def __init__(self, events_max: int | None = None) -> None:
        super().__init__()
        self.events_max = events_max
        self.written = 0

    async def commit(self, changes: Iterable[Change]) -> None:
        """Commit, or die before it, or, where one execution is concerned, in its middle."""
        changes = list(changes)
        count = sum(len(change.events) for change in changes)
        if self.events_max is not None and self.written + count > self.events_max:
            left = self.events_max - self.written
            if left and len(changes) == 1:
                await super().commit([self._first(changes[0], left)])
            raise CrashError
        self.written += count
        await super().commit(changes)

    def _first(self, change: Change, count: int) -> Change:
        """Return a change of the first events alone."""
        row = None if change.execution_id in self.rows else change.row
        return msgspec.structs.replace(
            change, events=change.events[:count], snapshot=None, timers=None, row=row
        )


class Recorder(Registry):
    """Tools that outlive their runtimes, as warm as can be, and that note their calls."""

    def __init__(self) -> None:
        super().__init__()
        self.keys: list[str] = []
        self._made: dict[str, Tool] = {}

    def tool(self, name: str) -> Tool:
        """Return a tool that notes its calls."""
        if name not in self._made:
            self._made[name] = super().tool(name)
        return _Noting(self._made[name], self.keys)

    async def close(self) -> None:
        """Leave the tools as they are."""

    async def really_close(self) -> None:
        """Close the tools."""
        await super().close()


class _Noting:
    def __init__(self, tool: Tool, keys: list[str]) -> None:
        self._tool = tool
        self._keys = keys

    def run(self, call: ToolCall, context: ToolContext) -> Any:
        self._keys.append(call.idempotency_key)
        answer = self._tool.run(call, context)
        return self._awaited(answer) if inspect.isawaitable(answer) else answer

    async def _awaited(self, answer: Any) -> Any:
        return await answer

    async def close(self) -> None:
        await self._tool.close()


class World:
    """What survives a crash: the store, the values kept by reference, folders."""

    def __init__(
        self,
        registry: Recorder,
        credentials: CredentialPort,
        folder: Path,
        events_max: int | None = None,
    ) -> None:
        self.registry = registry
        self.credentials = credentials
        self.folder = folder
        self.store = MortalStore(events_max)
        self.blobs = MemoryBlobs()
        self.clock = SystemClock()
        self.ids = IdGenerator(self.clock, 1)

    @asynccontextmanager
    async def process(self) -> AsyncIterator[LocalRuntime]:
        """Yield a runtime as a process has it."""
        kept = self.kept()
        plans = Plans(self.store, self.registry, self.ids, self.clock)
        performer = Performer(
            self.registry,
            kept,
            self.credentials,
            self.clock,
            worker="crash",
            workspace=lambda _: str(self.folder),
        )
        runtime = LocalRuntime(self.store, plans, kept, performer, self.clock, self.ids)
        async with runtime:
            yield runtime

    def kept(self) -> ResultStore:
        """Return the values kept by reference."""
        store = self.store
        return ResultStore(
            self.blobs, loop_reader=lambda i, step, visit: loop_frames(store, i, step, int(visit))
        )

    async def run(self, planned: Planned, payload: dict[str, Any]) -> int:
        """Run a playbook until it ends or its process does; return its execution."""
        execution_id = self.ids()
        try:
            async with self.process() as runtime:
                start = runtime.start(planned, payload, execution_id=execution_id)
                await asyncio.gather(runtime.ended(execution_id), start)
        except CrashError:
            pass
        return execution_id

    async def resume(self, execution_id: int) -> None:
        """Go on, in another process, to the end."""
        self.store.events_max = None
        async with self.process() as runtime:
            await (await runtime.resume(execution_id))

    async def state(self, execution_id: int) -> State:
        """Return an execution's state as it is stored."""
        stored = await self.store.load(execution_id)
        assert stored is not None
        return rebuild(execution_id, stored)

    def events(self, execution_id: int) -> list[Recorded]:
        """Return an execution's events."""
        return [
            Recorded(row.seq, row.at, decode(row.body))
            for row in self.store.log.get(execution_id, [])
        ]

    async def results(self, execution_id: int) -> dict[str, Any]:
        """Return the data of each step, and the playbook's result."""
        state, kept = await self.state(execution_id), self.kept()
        found: dict[str, Any] = {"": state.result}
        loaded: dict[str, Any] = {}
        for step, result in state.results.items():
            while step not in found:
                try:
                    found[step] = result_view(result, loaded).plain()
                except NeedsData as need:
                    loaded[need.ref.ref] = await kept.load(need.ref)
        return found

    def recorded(self) -> list[str]:
        """Return the beginnings of the keys of all calls whose outcomes are recorded."""
        found: list[str] = []
        for execution_id in self.store.log:
            for _, _, event in self.events(execution_id):
                if isinstance(event, StepExit):
                    found.append(f"{execution_id}:{event.step}:{event.visit}:")
                elif isinstance(event, CommandCompleted):
                    span = range(event.first, event.first + event.count)
                    visit = f"{execution_id}:{event.step}:{event.visit}"
                    found += [f"{visit}:i{index}:" for index in span]
        return found
