"""Upgrade routing: short and older forms of `next`, and the implicit `end`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from arcbook.dsl.source import ListNode, MapNode, Node
from arcbook.dsl.upgrade.context import UpgradeContext
from arcbook.dsl.upgrade.routes import (
    Branch,
    Branches,
    has_branches,
    router_of,
    shown,
    upgrade_arc,
)

_MODES: Final = ("next_mode", "case_mode")


def upgrade_router(context: UpgradeContext, step: MapNode) -> MapNode:
    """Return a step whose ``next`` is a router with arcs."""
    node = step.get("next")
    if step.get("case") is not None or has_branches(node):
        return _branching(context, step)
    if node is None or node.value is None:
        return step.without("next")
    if isinstance(node, MapNode) and "arcs" not in node.value and "step" in node.value:
        node = ListNode([node], node.mark)
    if isinstance(node.value, str) or isinstance(node, ListNode):
        router = _short_router(context, node, _mode(step))
        hint = f"write '{shown(router)}'"
        context.old("'next' is written in its short form", node.position, hint)
        return _with_router(step, router)
    if isinstance(node, MapNode):
        arcs = node.get("arcs")
        if isinstance(arcs, ListNode):
            kept = [upgrade_arc(context, a) if isinstance(a, MapNode) else a for a in arcs.value]
            node = node.having("arcs", ListNode(kept, arcs.mark))
        return _with_router(step, _with_mode(node, _mode(step)))
    return step


def _branching(context: UpgradeContext, step: MapNode) -> MapNode:
    """Combine a step's branches, in ``case`` and ``next``, to one router."""
    case, node = step.get("case"), step.get("next")
    read = Branches(context)
    branches = [*read.of(case), *_others(read, node)]
    router = router_of(context, branches, _mode(step), step.mark)
    spec = node.get("spec") if isinstance(node, MapNode) else None
    if isinstance(spec, MapNode):
        made = router.get("spec")
        own = made if isinstance(made, MapNode) else MapNode({}, spec.mark, {})
        router = router.having("spec", MapNode({**own.value, **spec.value}, spec.mark, {}))
    key = "next" if case is None else "case"
    hint = f"write '{shown(router)}'"
    context.old("branches are now arcs, each with its 'when'", step.key_position(key), hint)
    return _with_router(step.without("case"), router)


def _others(read: Branches, node: Node | None) -> list[Branch]:
    """Return the branches of the ``next`` beside a ``case``, which apply otherwise."""
    found = read.of(node)
    if isinstance(node, ListNode) and all(isinstance(e.value, str) for e in node.value):
        return [Branch((), tuple(arc for branch in found for arc in branch.arcs))]
    return found


def _mode(step: MapNode) -> Node | None:
    spec = step.get("spec")
    if not isinstance(spec, MapNode):
        return None
    return next((found for key in _MODES if (found := spec.get(key)) is not None), None)


def _with_router(step: MapNode, router: MapNode) -> MapNode:
    spec = step.get("spec")
    step = step.having("next", router)
    if isinstance(spec, MapNode) and any(key in spec.value for key in _MODES):
        step = step.having("spec", spec.without(*_MODES))
    return step


def _with_mode(router: MapNode, mode: Node | None) -> MapNode:
    """Return a router with a default mode."""
    if mode is None:
        return router
    old = router.get("spec")
    made = old if isinstance(old, MapNode) else MapNode({}, mode.mark, {})
    return router if made.get("mode") else router.having("spec", made.having("mode", mode))


def _short_router(context: UpgradeContext, node: Node, mode: Node | None) -> MapNode:
    place = node.mark
    entries: list[Node] = [node] if isinstance(node.value, str) else node.value
    arcs: list[Node] = [
        MapNode({"step": e}, e.mark, {}) if isinstance(e.value, str)
        else upgrade_arc(context, e) if isinstance(e, MapNode) else e
        for e in entries
    ]  # fmt: skip
    if mode is None and all(isinstance(e.value, str) for e in entries) and len(entries) > 1:
        mode = Node("inclusive", place)
    return _with_mode(MapNode({"arcs": ListNode(arcs, place)}, place, {}), mode)


def add_implicit_end(steps: list[Node]) -> None:
    """Route steps without ``next`` to the ``end`` step, if no arc leads to it."""
    maps = [s for s in steps if isinstance(s, MapNode)]
    names = {_name(s): s for s in maps}
    end = names.get("end")
    if end is None or len(maps) < len(steps) or any("end" in _targets(s) for s in maps):
        return
    for i, step in enumerate(steps):
        if isinstance(step, MapNode) and step is not end and step.get("next") is None:
            arc = MapNode({"step": Node("end", step.mark)}, step.mark, {})
            router = MapNode({"arcs": ListNode([arc], step.mark)}, step.mark, {})
            steps[i] = step.having("next", router)


def add_undeclared_end(context: UpgradeContext, steps: list[Node]) -> None:
    """Add the step ``end`` if arcs lead to it but the document lacks it."""
    maps = [s for s in steps if isinstance(s, MapNode)]
    if any(_name(step) == "end" for step in maps):
        return
    place = next((node for step in maps for node in _arcs_to(step, "end")), None)
    if place is not None:
        message = "there is no step 'end': the branch ends there"
        context.old(message, place.position, "write '- step: end' as the last step")
        steps.append(MapNode({"step": Node("end", place.mark)}, place.mark, {}))


def _name(step: MapNode) -> str | None:
    node = step.get("step")
    return node.value if node is not None and isinstance(node.value, str) else None


def _targets(step: MapNode) -> set[str]:
    return {str(target.value) for target in _arc_targets(step)}


def _arcs_to(step: MapNode, name: str) -> Iterator[Node]:
    return (target for target in _arc_targets(step) if target.value == name)


def _arc_targets(step: MapNode) -> Iterator[Node]:
    """Yield the targets of a step's arcs."""
    router = step.get("next")
    arcs = router.get("arcs") if isinstance(router, MapNode) else None
    for arc in arcs.value if isinstance(arcs, ListNode) else ():
        target = arc.get("step") if isinstance(arc, MapNode) else None
        if target is not None:
            yield target
