"""What must hold of every execution, whatever happened to the cluster."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from itertools import pairwise

from arcbook.engine.fold import fold
from arcbook.engine.state import State
from arcbook.events.codec import decode
from arcbook.events.types import (
    TERMINAL,
    CommandCompleted,
    Recorded,
    StepExit,
)
from arcbook.owner.slots import rebuild, row_of
from arcbook.store.api import ClusterStore, ExecutionRow, all_events


async def violations(store: ClusterStore, row: ExecutionRow) -> list[str]:
    """Return a sentence for each rule that an execution breaks."""
    events = [
        Recorded(e.seq, e.at, decode(e.body)) async for e in all_events(store, row.execution_id)
    ]
    stored = await store.load(row.execution_id)
    assert stored is not None
    replayed = fold(State(execution_id=row.execution_id), events)
    found = [*_chain(events), *_once(events)]
    if row_of(replayed, row.updated_at) != row:
        found.append("its row is not what its events say")
    if rebuild(row.execution_id, stored) != replayed:
        found.append("its snapshot and the events after it are not what its events say")
    return [f"{row.path} {row.execution_id}: {sentence}" for sentence in found]


def _chain(events: list[Recorded]) -> Iterator[str]:
    """Yield what is wrong with the order of events."""
    types = [recorded.event.type for recorded in events]
    if [recorded.seq for recorded in events] != list(range(1, len(events) + 1)):
        yield "its event numbers have gaps"
    if types.count("playbook.started") != 1 or types[0] != "playbook.started":
        yield "it has not one root"
    if sum(kind in TERMINAL for kind in types) != 1 or types[-1] not in TERMINAL:
        yield f"it has not one terminal event, at the end: {types[-3:]}"
    if any(a.at > b.at for a, b in pairwise(events)):
        yield "its times go back"


def _once(events: list[Recorded]) -> Iterator[str]:
    """Yield what was accepted more than once."""
    exits = Counter((e.event.step, e.event.visit) for e in events if isinstance(e.event, StepExit))
    yield from (f"step {step} ended twice" for (step, _), n in exits.items() if n > 1)
    done: Counter[tuple[str, int, int]] = Counter()
    for recorded in events:
        event = recorded.event
        if isinstance(event, CommandCompleted):
            done.update((event.step, event.visit, event.first + i) for i in range(event.count))
    twice = [key for key, count in done.items() if count > 1]
    if twice:
        yield f"iterations were accepted twice: {twice[:5]}"
