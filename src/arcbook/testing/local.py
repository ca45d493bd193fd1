"""Run playbooks in a test: the production runtime in memory, with scripted tools."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Generator, Iterable
from contextlib import asynccontextmanager
from typing import Any

import msgspec

from arcbook.blobs.memory import MemoryBlobs
from arcbook.clock import Clock
from arcbook.compose.local_runtime import LocalRuntime
from arcbook.dsl.diagnostics import text as diagnostic_text
from arcbook.dsl.kinds import Kind
from arcbook.dsl.load import load_playbook
from arcbook.engine.state import State
from arcbook.events.types import Recorded, StepEnter
from arcbook.ids import IdGenerator
from arcbook.outcome import ok
from arcbook.owner.plans import Planned, Plans
from arcbook.performer.execute import Performer
from arcbook.results.frames import loop_frames
from arcbook.results.store import ResultStore
from arcbook.store.api import Store
from arcbook.store.memory import MemoryStore
from arcbook.testing.clock import LoopClock, run_virtually
from arcbook.tools.api import Credential, CredentialError, ToolCall, ToolContext
from arcbook.tools.registry import MODULES, Registry

Handler = Callable[[ToolCall], Any]


class ScriptedTool:
    """A tool whose outcomes a test scripts. It records its calls."""

    def __init__(self, handler: Handler) -> None:
        self._handler = handler
        self.calls: list[ToolCall] = []

    def run(self, call: ToolCall, context: ToolContext) -> Any:
        self.calls.append(call)
        answer = self._handler(call)
        if inspect.iscoroutine(answer):
            return _Answering(answer)
        return _later(answer) if inspect.isawaitable(answer) else _outcome(answer)

    async def close(self) -> None:
        return None


class _Answering(Coroutine[Any, Any, Any]):
    """A scripted coroutine whose value becomes an outcome; closing it closes the script."""

    def __init__(self, script: Coroutine[Any, Any, Any]) -> None:
        self._script = script

    def __await__(self) -> Generator[Any, Any, Any]:
        return (yield from _later(self._script).__await__())

    def send(self, value: Any) -> Any:
        try:
            return self._script.send(value)
        except StopIteration as stop:
            raise StopIteration(_outcome(stop.value)) from None

    def throw(self, *error: Any) -> Any:
        try:
            return self._script.throw(*error)
        except StopIteration as stop:
            raise StopIteration(_outcome(stop.value)) from None

    def close(self) -> None:
        self._script.close()


async def _later(answer: Awaitable[Any]) -> Any:
    return _outcome(await answer)


def _outcome(answer: Any) -> Any:
    return ok(answer) if not isinstance(answer, msgspec.Struct) else answer


class FakeCredentials:
    """A credential source with fixed values."""

    def __init__(self, known: dict[str, Credential] | None = None) -> None:
        self.known = known or {}

    async def credential(self, alias: str, execution_id: int, *, requester: str = "") -> Credential:
        try:
            return self.known[alias]
        except KeyError:
            raise CredentialError(alias, "is not known") from None


class Bench:
    """A runtime whose parts a test can inspect."""

    def __init__(
        self,
        clock: Clock,
        tools: dict[str, Handler],
        *,
        store: Store | None = None,
        blobs: MemoryBlobs | None = None,
        credentials: FakeCredentials | None = None,
    ) -> None:
        self.clock = clock
        self.store = store or MemoryStore()
        self.registry = Registry({name: MODULES[name] for name in ("noop", "playbook")})
        self.tools = {name: ScriptedTool(handler) for name, handler in tools.items()}
        for name, tool in self.tools.items():
            self.registry.add(name, tool, Kind(name=name, open=True, takes_auth=True))
        self.ids = IdGenerator(clock, 1)
        self.plans = Plans(self.store, self.registry, self.ids, clock)
        self.results = ResultStore(blobs or MemoryBlobs(), loop_reader=self._frames)
        performer = Performer(
            self.registry,
            self.results,
            credentials or FakeCredentials(),
            clock,
            worker="test",
            workspace=lambda _: "",
        )
        self.runtime = LocalRuntime(
            self.store, self.plans, self.results, performer, clock, self.ids
        )
        self.events: dict[int, list[Recorded]] = {}
        self.runtime.drive.listeners.add(self._listen)

    def _listen(self, execution_id: int, events: list[Recorded], state: State) -> None:
        self.events.setdefault(execution_id, []).extend(events)

    def _frames(self, execution_id: int, step: str, visit: str) -> AsyncIterator[Any]:
        return loop_frames(self.store, execution_id, step, int(visit))

    async def register(self, text: str) -> Planned:
        """Check and register a document; errors fail the test."""
        loaded = load_playbook(text, self.registry)
        problems = [diagnostic_text("playbook", d, loaded.lines) for d in loaded.errors]
        assert not problems, "\n".join(problems)
        entry = await self.plans.register(text, loaded)
        return await self.plans.find(catalog_id=entry.catalog_id)


class Ran(msgspec.Struct, kw_only=True):
    """A finished run of a playbook."""

    state: State
    events: list[Recorded]
    #: Tool calls in order, of all kinds.
    calls: list[ToolCall]
    seconds: float
    bench: Any

    @property
    def status(self) -> str:
        """The final status."""
        return str(self.state.status)

    @property
    def steps(self) -> list[str]:
        """The steps entered, in order."""
        return [e.event.step for e in self.events if isinstance(e.event, StepEnter)]

    def types(self, prefix: str = "") -> list[str]:
        """Return the types of the events."""
        return [e.event.type for e in self.events if e.event.type.startswith(prefix)]


@asynccontextmanager
async def bench(tools: dict[str, Handler], **facts: Any) -> AsyncIterator[Bench]:
    """Open a runtime that uses the running loop's time."""
    running = Bench(LoopClock(asyncio.get_running_loop()), tools, **facts)
    async with running.runtime:
        yield running


async def run_on(
    running: Bench, text: str, payload: dict[str, Any] | None = None, **facts: Any
) -> Ran:
    """Run a playbook on a bench."""
    loop = asyncio.get_running_loop()
    planned = await running.register(text)
    began = loop.time()
    state = await running.runtime.run(planned, payload or {}, **facts)
    calls = [call for tool in running.tools.values() for call in tool.calls]
    return Ran(
        state=state,
        events=running.events[state.execution_id],
        calls=calls,
        seconds=loop.time() - began,
        bench=running,
    )


def play(
    text: str,
    tools: dict[str, Handler] | None = None,
    payload: dict[str, Any] | None = None,
    *,
    others: Iterable[str] = (),
    **facts: Any,
) -> Ran:
    """Run a playbook to its end in virtual time.

    Args:
        text: the playbook.
        tools: the answers of each tool kind.
        payload: values of the workload.
        others: playbooks that it calls.
        facts: replacements for parts of the bench.
    """

    async def work() -> Ran:
        async with bench(tools or {}, **facts) as running:
            for other in others:
                await running.register(other)
            return await run_on(running, text, payload)

    return run_virtually(work())


__all__ = ["Bench", "Ran", "ScriptedTool", "bench", "play", "run_on"]
