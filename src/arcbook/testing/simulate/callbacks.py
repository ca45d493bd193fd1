"""Simulated callbacks: they arrive after a while, sometimes twice, at any server."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Coroutine, Sequence
from typing import Any, Final, Protocol

from arcbook.engine.inputs import CalledBack
from arcbook.owner.drive import ExecutionMissingError
from arcbook.server.core import OwnerAwayError, Server
from arcbook.store.api import StoreError
from arcbook.testing.simulate.checks import Checks
from arcbook.testing.simulate.faults import Faults
from arcbook.testing.simulate.loop import Process
from arcbook.testing.simulate.scenario import Scenario
from arcbook.testing.simulate.tools import callback_of

TRIES_MAX: Final = 200
"""Attempts to deliver a callback."""

TWICE_RISK: Final = 0.2
"""Probability that a callback is sent a second time."""


class Servers(Protocol):
    """Port: the servers that receive callbacks."""

    scenario: Scenario
    faults: Faults
    checks: Checks
    main: Process

    def alive(self, *, servers: bool) -> Sequence[Any]:
        """Return the nodes of a kind that live and are not leaving."""

    async def ask(self, work: Coroutine[Any, Any, Any], node: Any, seconds: float) -> Any:
        """Have a node do something; nothing, if it does not in time."""


class Callbacks:
    """Sends a callback for every command that waits for one."""

    def __init__(self, world: Servers) -> None:
        self._world = world
        #: Waits with an accepted callback, by command and generation.
        self._taken: set[tuple[str, int]] = set()

    def asked(self, execution_id: int, command_id: str, generation: int) -> None:
        """Answer a command in a while."""
        rng = self._world.faults.rng
        outcome = callback_of(self._world.scenario.seed, command_id, generation)
        callback = CalledBack(command_id=command_id, generation=generation, outcome=outcome)
        for _ in range(2 if rng.random() < TWICE_RISK else 1):
            self._world.main.run(self._answer(execution_id, callback, rng.random() * 3))

    async def _answer(self, execution_id: int, callback: CalledBack, seconds: float) -> None:
        await asyncio.sleep(seconds)
        for _ in range(TRIES_MAX):
            nodes = self._world.alive(servers=True)
            if nodes:
                node = nodes[int(self._world.faults.rng.random() * len(nodes))]
                server = node.part
                assert isinstance(server, Server)
                with contextlib.suppress(ExecutionMissingError, OwnerAwayError, StoreError):
                    taken = await self._world.ask(server.give(execution_id, callback), node, 15.0)
                    if taken is not None:
                        self._heard(execution_id, callback, taken=taken)
                        return
            await asyncio.sleep(0.5)

    def _heard(self, execution_id: int, callback: CalledBack, *, taken: bool) -> None:
        """Whoever is told that it was taken finds it in the log, and it is taken once."""
        wait = (callback.command_id, callback.generation)
        if taken and wait in self._taken:
            self._world.checks.fail(
                "once", f"{callback.command_id} was called back twice for one wait"
            )
        if taken:
            self._taken.add(wait)
        command = self._world.checks.states[execution_id].command(callback.command_id)
        waits = command is not None and command.wait is not None
        if taken and command is not None and waits and command.generation == callback.generation:
            self._world.checks.fail(
                "acknowledged", f"{callback.command_id} was called back and waits"
            )
