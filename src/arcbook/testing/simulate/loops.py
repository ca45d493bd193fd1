"""Loops that raise what nobody expects, and what must come of it: their process ends."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from arcbook.server.core import Server

if TYPE_CHECKING:
    from arcbook.testing.simulate.world import Node, World
    from arcbook.worker.core import Worker

ENDING_SECONDS: Final = 15.0
"""How long a process may take to end when a loop of it has, as on the command line."""


class PlantedError(Exception):
    """What no loop expects."""


def loops_of(part: Server | Worker) -> frozenset[asyncio.Task[None]]:
    """Return the loops of a server or a worker: none of them is to end by itself."""
    inner = part.beating if isinstance(part, Server) else part.pulling
    tasks = part.service.tasks | inner.tasks
    return frozenset(task for task in tasks if not task.get_name().endswith(": scan"))


def raise_in(world: World, node: Node) -> None:
    """Have a loop of a process raise, where it waits at present."""
    loops = sorted(node.loops, key=lambda task: task.get_name())
    if not loops or node.leaving or node.process.ready:
        return  # what is due in it now may be what one of them waits for
    loop = loops[int(world.faults.rng.random() * len(loops))]
    waiter = _waited_for(loop)
    if waiter is not None and not waiter.done():
        world.note(node.process.name, f"! raises in {loop.get_name()}")
        waiter.set_exception(PlantedError(f"in {loop.get_name()}"))


def _waited_for(task: asyncio.Task[None]) -> asyncio.Future[None] | None:
    waiter: asyncio.Future[None] | None = task
    while isinstance(waiter, asyncio.Task):
        waiter = waiter._fut_waiter  # type: ignore[attr-defined]  # there is no other way
    return waiter


def silent(node: Node) -> list[str]:
    """Return the loops that ended in a process that goes on as if nothing were."""
    process, service = node.process, node.part.service
    if not process.alive or process.halted or node.leaving or service.failed.is_set():
        return []
    return sorted(task.get_name() for task in node.loops if task.done())


async def end_if_broken(world: World, node: Node) -> None:
    """Do what a process does when a loop of it has ended: stop, and end in any case."""
    await node.part.service.failed.wait()
    if node.leaving:
        return
    node.leaving = True
    world.note(node.process.name, f"ends, as a loop of it has: {node.part.service.cause!r}")
    stopping = node.process.run(node.part.__aexit__(None, None, None))
    await asyncio.wait({stopping}, timeout=ENDING_SECONDS)
    world.crash(node.process)
