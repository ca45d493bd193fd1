"""Compare the result of an execution with those of undisturbed runs."""

from __future__ import annotations

import asyncio
import random
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

import msgspec

from arcbook.engine.inputs import CalledBack
from arcbook.engine.state import State
from arcbook.events.types import CommandSuspended, Recorded, WaitKind
from arcbook.testing.local import bench, run_on
from arcbook.testing.simulate.loop import sim_loop
from arcbook.testing.simulate.scenario import Scenario
from arcbook.testing.simulate.script import AnyCredentials, add_tools, answers_of
from arcbook.testing.simulate.tools import callback_of
from arcbook.tools.api import ToolCall

if TYPE_CHECKING:
    from arcbook.testing.simulate.world import World

RUNS_MAX: Final = 200
"""Undisturbed runs, each with other durations, before a difference counts: what one of them
in twenty yields is all but sure to be seen. Few runs differ, so few pay for it.
"""

_PLACED: Final = re.compile(r'"kind": "(ask|workbook)"')
"""Tasks whose answers do not go by the row of a cursor."""

_LIMITED = ("_TIMEOUT'", "'TIMEOUT'")
"""Marks of outcomes of undisturbed runs that a time limit decided."""

_DISTURBING = ("worker_lost", "WORKER_LOST", "_TIMEOUT", '"TIMEOUT"', "NO_PLAYBOOK")
"""Marks of outcomes that depend on what went wrong, or on time."""


def compared(world: World, started: Sequence[int]) -> None:
    """Compare the result of the first execution that no fault intentionally changed."""
    checks = world.checks
    for execution_id in started:
        state = checks.states[execution_id]
        if execution_id in checks.cancelled or _is_disturbed(world, execution_id):
            continue
        _compare(world, execution_id, state)
        return


def _is_disturbed(world: World, execution_id: int) -> bool:
    """Return whether a cancellation, a loss or a time limit affected the outcome."""
    family = {execution_id}
    for child, state in sorted(world.checks.states.items()):
        if state.parent is not None and state.parent.execution_id in family:
            family.add(child)
    if family & world.checks.cancelled or family & world.effects.limited:
        return True
    texts = world.scenario.playbooks.values()
    if any('"cursor"' in text and _PLACED.search(text) for text in texts):
        return True  # results of such tasks depend on the position of a row, which is random
    never = world.scenario.documents or any('"never"' in text for text in texts)
    rows = [row for member in family for row in world.store.log[member]]
    if never and any(row.type == "command.lost" for row in rows):
        return True  # a task that must not run again fails instead, and a rule may allow that
    marks = [mark.encode() for mark in _DISTURBING]
    return any(mark in row.body for row in rows for mark in marks)


def _compare(world: World, execution_id: int, state: State) -> None:
    mine = essence(state)
    first = _undisturbed(world, None)
    if mine == first or any(mark in repr(first) for mark in _LIMITED):
        return  # equal, or decided by a time limit
    for number in range(RUNS_MAX):
        other = _undisturbed(world, Durations(number))
        if mine == other or first != other:
            return  # it only depends on durations
    world.checks.fail("result", f"{execution_id} yields {mine}, undisturbed {first}")


class Durations:
    """The durations of calls in one run: some steps are fast, others slow."""

    def __init__(self, number: int) -> None:
        self._random = random.Random(f"durations:{number}")
        self._paces: dict[str, float] = {}

    def of(self, step: str) -> float:
        """Return how long a call of a step takes, in seconds."""
        if step not in self._paces:
            self._paces[step] = self._random.choice(_PACES)
        return self._paces[step] * self._random.random() ** 4 * 3


_PACES: Final = (0.0, 0.1, 1.0, 5.0)
"""Maximum factor between the durations of two steps."""


def _undisturbed(world: World, durations: Durations | None) -> Any:
    loop = sim_loop(random.Random(0))
    return essence(loop.run(_alone(world.scenario, durations)))


async def _alone(scenario: Scenario, durations: Durations | None) -> State:
    """Run the playbook of a scenario in one process without faults."""
    seed = scenario.seed
    answers = answers_of(scenario)

    def takes(step: str) -> float:
        return 0.0 if durations is None else durations.of(step)

    def act(call: ToolCall) -> Any:
        answer = answers.answer(call)
        return answer if durations is None else _later(answer, takes(call.step))

    async with bench({}, credentials=AnyCredentials()) as running:
        add_tools(running.registry, scenario, act)
        drive = running.runtime.drive

        def call_back(execution_id: int, events: list[Recorded], state: State) -> None:
            for event in (recorded.event for recorded in events):
                if isinstance(event, CommandSuspended) and event.wait.kind is WaitKind.CALLBACK:
                    command = state.command(event.command_id)
                    generation = command.generation if command else 0
                    outcome = callback_of(seed, event.command_id, generation)
                    callback = CalledBack(
                        command_id=event.command_id, generation=generation, outcome=outcome
                    )
                    loop = asyncio.get_running_loop()
                    loop.call_later(takes(event.step), drive.submit, execution_id, callback)

        drive.listeners.add(call_back)
        root, *others = scenario.playbooks.values()
        for other in others:
            await running.register(other)
        return (await run_on(running, root)).state


async def _later(answer: Any, seconds: float) -> Any:
    await asyncio.sleep(seconds)
    return answer


def essence(state: State) -> Any:
    """Return the result of an execution, without identities and times."""
    return {
        "status": str(state.status),
        "result": _plain(state.result),
        "ctx": {name: _plain(v) for name, v in sorted(state.ctx.items()) if name not in _RACED},
        "visits": dict(sorted(state.visits.items())),
        "results": {name: _plain(result) for name, result in sorted(state.results.items())},
        "failed": sorted((f.step, f.recovered) for f in state.failures),
        "skipped": sorted(state.skipped),
    }


def _plain(value: Any) -> Any:
    plain = msgspec.to_builtins(value)
    return _without(plain)


def _without(value: Any) -> Any:
    """Remove identities and times from a value."""
    if isinstance(value, dict):
        return {k: _without(v) for k, v in sorted(value.items()) if k not in _NAMES}
    if isinstance(value, list | tuple):
        return [_without(item) for item in value]
    return _IDENTITY.sub("#", value) if isinstance(value, str) else value


_RACED: Final = frozenset({"tries"})
"""Counts that branches and iterations side by side add to, each to what it saw."""

_IDENTITY: Final = re.compile(r"\d{15,}")


_NAMES: Final = frozenset({"execution_id", "frames", "message", "ref", "_ref", "at", "bytes"})
