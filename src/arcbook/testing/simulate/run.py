"""Run one scenario, and return the result."""

from __future__ import annotations

import gc
import hashlib
import logging
import traceback
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from itertools import count
from types import ModuleType
from typing import Any, Final

import msgspec

from arcbook.dsl.load import load_playbook
from arcbook.engine import fold, loops
from arcbook.engine.plan import Plan
from arcbook.owner import plans as runtime_plans
from arcbook.owner import slots
from arcbook.performer import frames
from arcbook.testing import local
from arcbook.testing.simulate import story
from arcbook.testing.simulate.compare import compared
from arcbook.testing.simulate.endings import ended_well
from arcbook.testing.simulate.loop import FAULTS
from arcbook.testing.simulate.loops import PlantedError
from arcbook.testing.simulate.scenario import Scenario
from arcbook.testing.simulate.story import Story
from arcbook.testing.simulate.world import World

COLLECT_RUNS: Final = 40
"""Number of runs between garbage collections; a collection takes as long as a run."""

THAW_RUNS: Final = 400
"""Number of runs between full garbage collections."""

_INLINE: Final = (
    (loops, "INLINE_BYTES_MAX"),
    (fold, "KEPT_BYTES_MAX"),
    (frames, "FRAME_INLINE_BYTES_MAX"),
)
"""Limits above which the items and results of loops are stored by reference."""

_runs = count()
_log = logging.getLogger("arcbook")


class Ran(msgspec.Struct, kw_only=True):
    """A finished run."""

    scenario: Scenario
    #: Digest of all event logs.
    digest: str
    executions: int
    #: Simulated seconds.
    seconds: float
    #: The first broken rule, and how it was broken; empty if none was.
    rule: str = ""
    message: str = ""
    #: The injected faults.
    faults: list[tuple[int, str]] = []
    trace: list[str] = []


def simulate(scenario: Scenario, *, trace: bool = False) -> Ran:
    """Run a scenario."""
    world = World(scenario, trace=trace)
    story = Story(world)
    tell(story, compare=True)
    broken = world.checks.broken
    return Ran(
        scenario=scenario,
        digest=_digest(world),
        executions=len(world.store.log),
        seconds=world.loop.time(),
        rule=broken.rule if broken else "",
        message=str(broken) if broken else "",
        faults=world.faults.happened,
        trace=world.trace or [],
    )


def tell(story: Story, *, compare: bool = False) -> None:
    """Run a story; its world records broken rules."""
    world = story.world
    with _shortened(world.scenario), _listening(world), _littering():
        try:
            world.loop.run(_to_the_end(story))
        except FAULTS as error:
            if world.checks.broken is None:
                world.checks.fail("raised", f"{type(error).__name__}: {error}")
            world.note("world", "".join(traceback.format_exception(error)))
        if compare and world.checks.broken is None:
            compared(world, story.started)


async def _to_the_end(story: Story) -> None:
    await story.tell()
    ended_well(story)


def _digest(world: World) -> str:
    digest = hashlib.sha256()
    for execution_id in sorted(world.store.log):
        for row in world.store.log[execution_id]:
            digest.update(f"{execution_id} {row.seq} {row.at} {row.type} {row.step}\n".encode())
            digest.update(row.body)
    return digest.hexdigest()


@contextmanager
def _littering() -> Iterator[None]:
    """Suspend garbage collection during a run, so that crashed processes run no finalizers."""
    number = next(_runs)
    if number % THAW_RUNS == 0:
        gc.unfreeze()
    if number % COLLECT_RUNS == 0:
        # Freeze the survivors, so that the next collection only examines runs.
        gc.collect()
        gc.freeze()
    collects = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collects:
            gc.enable()


@contextmanager
def _shortened(scenario: Scenario) -> Iterator[None]:
    """Save states after few events, store small values by reference, and parse playbooks once.

    Parsed playbooks and plans are immutable, so sharing them only makes runs faster.
    """
    loaded: dict[str, Any] = {}
    plans: dict[int, Plan] = {}

    def load_once(content: str, kinds: Any, **how: Any) -> Any:
        if content not in loaded:
            loaded[content] = load_playbook(content, kinds, **how)
        return loaded[content]

    def plan_once(playbook: Any, kinds: Any) -> Plan:
        if id(playbook) not in plans:
            plans[id(playbook)] = Plan(playbook, kinds)
        return plans[id(playbook)]

    with ExitStack() as stack:
        stack.enter_context(_replaced(slots, "SNAPSHOT_EVENTS", scenario.snapshot_events))
        for module, name in _INLINE:
            stack.enter_context(_replaced(module, name, scenario.inline_bytes))
        for module in (runtime_plans, local, story):
            stack.enter_context(_replaced(module, "load_playbook", load_once))
        stack.enter_context(_replaced(runtime_plans, "Plan", plan_once))
        yield


@contextmanager
def _replaced(module: ModuleType, name: str, value: Any) -> Iterator[None]:
    before = getattr(module, name)
    setattr(module, name, value)
    try:
        yield
    finally:
        setattr(module, name, before)


class _Listener(logging.Handler):
    """Adds log records to the trace; a logged error breaks the run."""

    def __init__(self, world: World) -> None:
        super().__init__(logging.INFO if world.trace is not None else logging.ERROR)
        self._world = world

    def emit(self, record: logging.LogRecord) -> None:
        world = self._world
        if world.loop.closing:
            return
        cause = record.exc_info[1] if record.exc_info else None
        is_planted = isinstance(cause, PlantedError)
        text = record.getMessage() + (f": {cause!r}" if cause else "")
        world.note("log", text)
        if record.levelno >= logging.ERROR and not is_planted:
            world.checks.fail("error", text)


@contextmanager
def _listening(world: World) -> Iterator[None]:
    listener = _Listener(world)
    before, spread = _log.level, _log.propagate
    _log.addHandler(listener)
    _log.setLevel(listener.level)
    _log.propagate = False
    try:
        yield
    finally:
        _log.removeHandler(listener)
        _log.setLevel(before)
        _log.propagate = spread
