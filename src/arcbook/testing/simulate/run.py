"""Running one scenario, and what came of it."""

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
"""Runs after which their garbage is collected: each time takes as long as a run."""

THAW_RUNS: Final = 400
"""Runs after which everything is looked at again, what was taken for lasting, too."""

_INLINE: Final = (
    (loops, "INLINE_BYTES_MAX"),
    (fold, "KEPT_BYTES_MAX"),
    (frames, "FRAME_INLINE_BYTES_MAX"),
)
"""Limits above which the items and results of loops are kept by reference."""

_runs = count()
_log = logging.getLogger("arcbook")


class Ran(msgspec.Struct, kw_only=True):
    """A run that is over."""

    scenario: Scenario
    #: Digest of all event logs.
    digest: str
    executions: int
    #: Simulated seconds.
    seconds: float
    #: The rule that was broken first, and how; empty if all held.
    rule: str = ""
    message: str = ""
    #: What went wrong by intent.
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
    """Let a story happen, and have its world note what is broken."""
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
    """Leave garbage until the end of the run: what died must stay as it was."""
    number = next(_runs)
    if number % THAW_RUNS == 0:
        gc.unfreeze()
    if number % COLLECT_RUNS == 0:
        # What is left lasts for a while: the next collection looks at runs alone.
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
    """Have states saved after few events, small values kept by reference, and playbooks parsed once.

    What is parsed and planned is never written to, so sharing it changes nothing but the
    time that a run takes.
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
    """Puts what is logged into the trace; an error breaks the run."""

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
