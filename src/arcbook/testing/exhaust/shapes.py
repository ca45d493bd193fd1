"""Every small graph: the shapes of playbooks up to a size, each once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import permutations, product
from typing import Any, Final, NamedTuple

from arcbook.dsl.model import (
    Arc,
    Assignment,
    Lifetime,
    Loop,
    LoopMode,
    OnError,
    Playbook,
    Router,
    RouterMode,
    Step,
    Task,
)
from arcbook.testing.generate import KIND

TURNS: Final = 1
"""How often an arc that goes back may be taken."""

_CAUGHT: Final = "event.name == 'call.error'"
_PASSED: Final = "output.status == 'ok'"
_EITHER: Final = "output.status in ['ok', 'error']"

GUARDS: Final[dict[str, str | None]] = {
    "plain": None,
    "ok": _PASSED,
    "error": _CAUGHT,
    "both": _EITHER,
    "never": "false",
}
"""Kinds of arcs that go forward, with their guards."""

BACK: Final[dict[str, str]] = {"back": _PASSED, "again": _CAUGHT}
"""Kinds of arcs that go back, or stay; each is taken no more than :data:`TURNS` times."""

FIRES_ON: Final[dict[str, tuple[bool, ...]]] = {
    "plain": (True,),
    "ok": (True,),
    "error": (False,),
    "both": (True, False),
    "never": (),
}
"""On which outcomes of its step an arc fires: true is success."""


class Arrow(NamedTuple):
    """An arc: where it leads, and its kind."""

    to: int
    kind: str


class Route(NamedTuple):
    """The arcs of a step in their order, and whether all that fire are taken."""

    inclusive: bool
    arrows: tuple[Arrow, ...]


class Rounds(NamedTuple):
    """A loop: how many iterations, how many at once, whether a failure stops it."""

    items: int
    in_flight: int
    stops: bool = True


class Shape(NamedTuple):
    """A graph; its steps are numbers, and 0 is where it begins."""

    routes: tuple[Route, ...]
    #: Tokens that start each step; 0 for all that can arrive.
    joins: tuple[int, ...]
    loops: tuple[Rounds | None, ...]

    @property
    def is_acyclic(self) -> bool:
        """Whether no arc goes back."""
        return all(a.to > i for i, route in enumerate(self.routes) for a in route.arrows)

    @property
    def has_early_join(self) -> bool:
        """Whether a step may start before all of its tokens have come."""
        return any(self.joins)

    @property
    def may_stop_midway(self) -> bool:
        """Whether a failure may keep other iterations from being given out."""
        return any(r is not None and r.stops and r.items > 1 for r in self.loops)

    def __str__(self) -> str:
        parts = []
        for number, (route, join, rounds) in enumerate(
            zip(self.routes, self.joins, self.loops, strict=True)
        ):
            arrows = " ".join(f"{a.kind}>{a.to}" for a in route.arrows)
            how = "" if len(route.arrows) < 2 else "all of " if route.inclusive else "first of "
            text = f"{number}: {how}{arrows}" if arrows else f"{number}: end"
            text += f" join {join}" if join else ""
            text += f" {rounds}" if rounds else ""
            parts.append(text)
        return "; ".join(parts)


class Size(NamedTuple):
    """Which graphs are enumerated, and what may happen to them."""

    name: str
    steps: int
    #: Kinds of arcs from a step to a later one, and to itself or an earlier one.
    forward: tuple[str, ...]
    back: tuple[str, ...] = ()
    #: Arcs that go back, at most.
    backs_max: int = 0
    #: Ways to join, where several arcs lead to a step; 0 is all.
    joins: tuple[int, ...] = (0, 1, 2)
    #: Loops; at most one step has one.
    loops: tuple[Rounds, ...] = ()
    #: Tasks that fail, at most, in one course of events.
    errors_max: int = 99
    #: Whether it may be cancelled at any moment.
    cancel: bool = False
    #: Deliveries of each command that may be lost.
    losses: int = 0


def shapes(size: Size) -> Iterator[Shape]:
    """Return every graph of a size in which all steps can be reached, each once."""
    count = size.steps
    places = [(i, j) for i in range(count) for j in range(count)]
    kinds = [("", *(size.forward if j > i else size.back)) for i, j in places]
    for chosen in product(*kinds):
        arcs = {place: kind for place, kind in zip(places, chosen, strict=True) if kind}
        if sum(j <= i for i, j in arcs) > size.backs_max or not _reaches_all(arcs, count):
            continue
        for routes in product(*(list(_routes(arcs, i, count)) for i in range(count))):
            for joins in product(*(_joins(arcs, j, count, size) for j in range(count))):
                for loops in _loops(count, size):
                    shape = Shape(routes, joins, loops)
                    if not shape.is_acyclic or _is_first(shape):
                        yield shape


def _reaches_all(arcs: Iterable[tuple[int, int]], count: int) -> bool:
    reached = {0}
    while True:
        more = {j for i, j in arcs if i in reached} - reached
        if not more:
            return len(reached) == count
        reached |= more


def _routes(arcs: dict[tuple[int, int], str], step: int, count: int) -> Iterator[Route]:
    arrows = [Arrow(j, arcs[step, j]) for j in range(count) if (step, j) in arcs]
    yield Route(inclusive=True, arrows=tuple(arrows))
    if len(arrows) > 1:
        for order in permutations(arrows):
            yield Route(inclusive=False, arrows=order)


def _joins(arcs: Iterable[tuple[int, int]], step: int, count: int, size: Size) -> tuple[int, ...]:
    coming = sum(j == step for _, j in arcs)
    return tuple(join for join in size.joins if join <= coming) if coming > 1 else (0,)


def _loops(count: int, size: Size) -> Iterator[tuple[Rounds | None, ...]]:
    yield (None,) * count
    for step in range(count):
        for rounds in size.loops:
            yield tuple(rounds if i == step else None for i in range(count))


def _is_first(shape: Shape) -> bool:
    """Return whether a shape is the least among those that are it under other numbers.

    Without cycles the engine makes nothing of the order in which steps are written.
    """
    mine = _key(shape)
    count = len(shape.routes)
    for order in permutations(range(1, count)):
        named = (0, *order)
        if any(named[a.to] < named[i] for i, r in enumerate(shape.routes) for a in r.arrows):
            continue
        if _key(_renamed(shape, named)) < mine:
            return False
    return True


def _renamed(shape: Shape, named: tuple[int, ...]) -> Shape:
    count = len(named)
    routes: list[Any] = [None] * count
    joins, loops = [0] * count, list(shape.loops)
    for i, route in enumerate(shape.routes):
        arrows = [Arrow(named[a.to], a.kind) for a in route.arrows]
        ordered = sorted(arrows) if route.inclusive else arrows
        routes[named[i]] = Route(route.inclusive, tuple(ordered))
        joins[named[i]], loops[named[i]] = shape.joins[i], shape.loops[i]
    return Shape(tuple(routes), tuple(joins), tuple(loops))


def _key(shape: Shape) -> tuple[Any, ...]:
    return shape.routes, shape.joins, tuple(r or () for r in shape.loops)


# -- as a playbook --------------------------------------------------------------------


def playbook_of(shape: Shape) -> Playbook:
    """Return the playbook of a shape."""
    steps = tuple(_step(shape, number) for number in range(len(shape.routes)))
    return Playbook(name="small", path="small", steps=steps, entry="s0")


def _step(shape: Shape, number: int) -> Step:
    route, rounds = shape.routes[number], shape.loops[number]
    mode = RouterMode.INCLUSIVE if route.inclusive else RouterMode.EXCLUSIVE
    arcs = tuple(_arc(number, arrow) for arrow in route.arrows)
    return Step(
        name=f"s{number}",
        tasks=(Task(label="t", kind=KIND),),
        router=Router(mode=mode, arcs=arcs),
        join=shape.joins[number],
        loop=_loop(rounds) if rounds is not None else None,
    )


def _arc(number: int, arrow: Arrow) -> Arc:
    to = f"s{arrow.to}"
    if arrow.kind in GUARDS:
        guard = GUARDS[arrow.kind]
        return Arc(to=to, when=None if guard is None else f"{{{{ {guard} }}}}")
    name = f"back{number}{arrow.to}"
    taken = f"(ctx.{name} | default(0))"
    counted = Assignment(lifetime=Lifetime.CTX, path=(name,), value=f"{{{{ {taken} + 1 }}}}")
    guard = f"{{{{ {BACK[arrow.kind]} and {taken} < {TURNS} }}}}"
    return Arc(to=to, when=guard, set=(counted,))


def _loop(rounds: Rounds) -> Loop:
    return Loop(
        iterator="item",
        mode=LoopMode.PARALLEL,
        items=list(range(rounds.items)),
        max_in_flight=rounds.in_flight,
        on_error=OnError.FAIL if rounds.stops else OnError.CONTINUE,
    )
