"""Whatever is done, all stores answer alike."""

from __future__ import annotations

import random

import pytest

from arcbook.ids import EPOCH_MS
from arcbook.shards import SHARDS
from arcbook.store.api import (
    Change,
    Claim,
    ExecutionFilter,
    FencedError,
    LostServerError,
    ResultRow,
    Tick,
)
from arcbook.store.memory import MemoryStore
from arcbook.store.sqlite import SqliteStore
from arcbook.testing.contracts.store import event, row
from arcbook.testing.contracts.store_cluster import LEASE, server
from arcbook.testing.contracts.store_commands import command, schedule

pytestmark = pytest.mark.services

STEPS = 80
ENDS = ("playbook.completed", "playbook.failed", "playbook.cancelled")
FIRST = (1_751_328_000_000 - EPOCH_MS) << 22


class Story:
    """A sequence of things that happen, drawn by what happened before."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.ids = [*range(1, 6), *range(FIRST, FIRST + 6)]
        self.known = MemoryStore()

    def batch(self) -> list[Change]:
        """Return changes of a few executions, some of them stale."""
        some = self.random.sample(self.ids, self.random.randint(1, 4))
        return [self.change(identity) for identity in some]

    def change(self, identity: int) -> Change:
        """Return a change, most often one that follows what is stored."""
        draw, known = self.random, self.known
        log = known.log.get(identity, [])
        after = max(0, len(log) + draw.choice([0] * 12 + [-1, -2, 1, 3]))
        if log and log[-1].type in ENDS:
            after = len(log) - 1
        count = draw.randint(1, 4)
        events = [event(after + n, step=draw.choice("ab")) for n in range(1, count + 1)]
        ends = draw.random() < 0.1
        if ends:
            events[-1] = events[-1]._replace(type=draw.choice(ENDS))
        made = Change(execution_id=identity, after_seq=after, events=events)
        if ends or not log or draw.random() < 0.4:
            made.row = row(
                identity,
                path=["a/b", "A_c", "x%y"][identity % 3],
                seq=after + count,
                status="COMPLETED" if ends else "RUNNING",
                ended_at=9 if ends else 0,
                parent_execution_id=self.ids[0] if identity % 3 == 0 else 0,
            )
        if draw.random() < 0.2:
            made.snapshot = bytes(draw.randrange(256) for _ in range(5))
        if draw.random() < 0.2:
            made.results = [ResultRow(draw.choice("xyz"), "s", draw.randrange(9), "", "d")]
        if draw.random() < 0.2:
            made.timers = {draw.choice("tu"): draw.randrange(99)}
        self._draw_commands(made)
        if draw.random() < 0.1:
            tick = known.ticking.get("s1") or schedule("s1")
            made.tick = Tick("s1", tick.next_at + draw.choice([0, 0, 1]), draw.randrange(50))
        return made

    def _draw_commands(self, made: Change) -> None:
        draw, identity = self.random, made.execution_id
        mine = [c for c in self.known.out.values() if c.execution_id == identity]
        draw.shuffle(mine)
        for known in mine[:2]:
            if draw.random() < 0.5:
                made.done.append(known.command_id)
            else:
                stale = draw.random() < 0.2
                made.claims.append(
                    Claim(known.command_id, known.generation, known.attempt + stale, "w")
                )
        if draw.random() < 0.5:
            name = f"{identity}/{draw.choice('abc')}"
            if all(claim.command_id != name for claim in made.claims):
                facts = {"attempt": draw.randrange(3), "pool": draw.choice("pq")}
                made.issued.append(command(name, identity, **facts))


async def answer(store, verb, *given):
    """Return what a store answers, errors included."""
    try:
        return await getattr(store, verb)(*given)
    except FencedError as error:
        return error.execution_ids
    except LostServerError:
        return "lost"


async def view(store, story, shards):
    """Return all that can be read."""
    seen = [await store.load(i) for i in story.ids]
    seen += [await store.events(i, step="a", types=["step.enter"]) for i in story.ids]
    seen += [sorted(await store.results(i)) for i in story.ids]
    seen += [await store.unfinished(), await store.unfinished(shards), await store.backlog()]
    seen += [await store.commands(), await store.commands(shards, after="3", limit=3)]
    seen += [await store.schedules(), await store.due_schedules(30)]
    for facts in ({"path": "a_"}, {"path": "%"}, {"status": "RUNNING", "path": "A/"}):
        seen.append(await store.executions(ExecutionFilter(**facts)))
    wanted = ExecutionFilter(parent_execution_id=1, status="COMPLETED", limit=2)
    return [*seen, await store.executions(wanted), [s.server_id for s in await store.servers()]]


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4))
async def test_all_stores_answer_alike(seed, tmp_path, store):
    story = Story(seed)
    draw = story.random
    async with SqliteStore(tmp_path / "a.db") as embedded:
        stores = (story.known, embedded, store)
        for number in range(STEPS):
            step = draw_step(story)
            answers = []
            for each in stores[1:] + stores[:1]:  # the one that is drawn from comes last
                found = await answer(each, *step)
                answers.append(None if step[0] in ("join", "post") else found)
            assert answers[1:] == answers[:-1], (number, step)
            shards = set(draw.sample(range(SHARDS), 40))
            views = [await view(each, story, shards) for each in stores]
            for other in views[1:]:
                assert other == views[0], (number, step)


def draw_step(story):
    """Return a call: the name of a method and its arguments."""
    draw = story.random
    kind = draw.random()
    if kind < 0.7:
        return ("commit", story.batch())
    if kind < 0.75:
        return ("delete_execution", draw.choice(story.ids))
    if kind < 0.8:
        return ("put_schedule", schedule(draw.choice(["s1", "s2"]), next_at=draw.randrange(50)))
    name = draw.choice("ABC")
    if kind < 0.85:
        return ("join", server(name), LEASE)
    if kind < 0.95:
        return ("renew_lease", name, LEASE)
    return draw.choice([("leave", name), ("release", name, draw.sample(range(SHARDS), 9))])
