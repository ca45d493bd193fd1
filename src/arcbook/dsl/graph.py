"""The graph of a playbook: reachability and loops, as bit sets over the steps.

A set of steps is an ``int`` whose bit *i* is step *i* of the document. Everything is computed
once per playbook, so that moving a token costs a single ``&``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple


class Graph(NamedTuple):
    """The reachability of a playbook's steps."""

    #: Steps by position in the document.
    names: tuple[str, ...]
    #: For each step, the steps that its arcs lead to.
    successors: tuple[int, ...]
    #: For each step, the steps reachable from it by one or more arcs.
    reach: tuple[int, ...]
    #: For each step, the steps from which it is reachable.
    ancestors: tuple[int, ...]
    #: For each step S, the steps from which a token could still arrive at S in the same visit.
    blockers: tuple[int, ...]


def bits(mask: int) -> list[int]:
    """Return the positions of the bits set in ``mask``, ascending."""
    positions: list[int] = []
    while mask:
        low = mask & -mask
        positions.append(low.bit_length() - 1)
        mask ^= low
    return positions


def build(names: Sequence[str], arcs: Sequence[Sequence[str]]) -> Graph:
    """Return the graph of the steps ``names``, where step *i* has arcs to ``arcs[i]``.

    Targets that do not exist are ignored.
    """
    index = {name: i for i, name in enumerate(names)}
    successors = [0] * len(names)
    for i, targets in enumerate(arcs):
        for target in targets:
            if target in index:
                successors[i] |= 1 << index[target]
    predecessors = reverse(successors)
    ancestors = closure(predecessors)
    loops = loop_arcs(successors)
    return Graph(
        names=tuple(names),
        successors=tuple(successors),
        reach=tuple(closure(successors)),
        ancestors=tuple(ancestors),
        blockers=tuple(_blockers(predecessors, ancestors, loops)),
    )


def reverse(successors: Sequence[int]) -> list[int]:
    """Return, for each step, the steps whose arcs lead to it."""
    predecessors = [0] * len(successors)
    for i, targets in enumerate(successors):
        for j in bits(targets):
            predecessors[j] |= 1 << i
    return predecessors


def closure(successors: Sequence[int]) -> list[int]:
    """Return, for each step, the steps reachable from it by one or more arcs."""
    reach = [0] * len(successors)
    for component in components(successors, (1 << len(successors)) - 1):
        members = bits(component)
        reachable = 0
        for i in members:
            reachable |= successors[i]
            for j in bits(successors[i] & ~component):
                reachable |= reach[j]
        if len(members) > 1:
            reachable |= component
        for i in members:
            reach[i] = reachable
    return reach


def components(successors: Sequence[int], within: int) -> list[int]:
    """Return the strongly connected components within a subgraph, in reverse topological order.

    Tarjan's algorithm, iterative because a playbook may be a chain of thousands of steps.
    """
    return _Tarjan(successors, within).run()


class _Tarjan:
    def __init__(self, successors: Sequence[int], within: int) -> None:
        self.successors = successors
        self.within = within
        self.order: dict[int, int] = {}
        self.low: dict[int, int] = {}
        self.stack: list[int] = []
        self.on_stack = 0
        self.found: list[int] = []
        self.work: list[tuple[int, int]] = []

    def run(self) -> list[int]:
        for root in bits(self.within):
            if root not in self.order:
                self._enter(root)
                while self.work:
                    self._step()
        return self.found

    def _enter(self, node: int) -> None:
        self.order[node] = self.low[node] = len(self.order)
        self.stack.append(node)
        self.on_stack |= 1 << node
        self.work.append((node, self.successors[node] & self.within))

    def _step(self) -> None:
        node, rest = self.work.pop()
        if not rest:
            self._leave(node)
            return
        bit = rest & -rest
        self.work.append((node, rest ^ bit))
        child = bit.bit_length() - 1
        if child not in self.order:
            self._enter(child)
        elif self.on_stack & bit:
            self.low[node] = min(self.low[node], self.order[child])

    def _leave(self, node: int) -> None:
        if self.work:
            parent = self.work[-1][0]
            self.low[parent] = min(self.low[parent], self.low[node])
        if self.low[node] != self.order[node]:
            return
        component = 0
        while not component >> node & 1:
            member = self.stack.pop()
            component |= 1 << member
            self.on_stack &= ~(1 << member)
        self.found.append(component)


class LoopArcs(NamedTuple):
    """The steps that form a loop, and its first step."""

    members: int
    header: int


def loop_arcs(successors: Sequence[int]) -> list[LoopArcs]:
    """Return the loops of the graph, outer before inner.

    In each strongly connected component, the step that comes first in the document is the
    header; removing the arcs into the header leaves the inner loops (Bourdoncle's
    decomposition). Every cycle runs through a header, inside its loop.
    """
    loops: list[LoopArcs] = []
    reduced = list(successors)
    parts = [(1 << len(successors)) - 1]
    while parts:
        part = parts.pop()
        for component in components(reduced, part):
            members = bits(component)
            header = members[0]
            if len(members) == 1 and not reduced[header] >> header & 1:
                continue
            loops.append(LoopArcs(component, header))
            for i in members:
                reduced[i] &= ~(1 << header)
            if len(members) > 1:
                parts.append(component)
    return loops


def _blockers(
    predecessors: Sequence[int], ancestors: Sequence[int], loops: Sequence[LoopArcs]
) -> list[int]:
    """Return, for each step S, the steps from which a token may still arrive at S.

    A token waits at S while another live token can reach S without passing through S.
    Paths that close a loop around S do not count, because their tokens belong to the next
    visit. Two tokens therefore never wait for each other, in any graph: a cycle of waits
    would be a cycle of arcs without an arc into its header.
    """
    size = len(predecessors)
    looping = 0
    for loop in loops:
        looping |= loop.members
    blockers: list[int] = []
    for step in range(size):
        if not looping >> step & 1:
            # The step is on no cycle, so all paths to it count.
            blockers.append(ancestors[step])
            continue
        closing: dict[int, int] = {}
        for loop in loops:
            if loop.members >> step & 1:
                closing[loop.header] = closing.get(loop.header, 0) | loop.members
        itself = 1 << step
        seen = 0
        remaining = predecessors[step] & ~closing.get(step, 0) & ~itself
        while remaining:
            bit = remaining & -remaining
            seen |= bit
            node = bit.bit_length() - 1
            before = predecessors[node] & ~closing.get(node, 0)
            remaining = (remaining ^ bit) | before & ~seen & ~itself
        blockers.append(seen)
    return blockers
