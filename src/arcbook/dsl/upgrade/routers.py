"""Where a step leads: short forms of `next`, and the implicit `end`."""

from __future__ import annotations

from arcbook.dsl.source import ListNode, MapNode, Node
from arcbook.dsl.upgrade.context import Context


def upgrade_router(context: Context, step: MapNode) -> MapNode:
    """Return a step whose ``next`` is a router with arcs."""
    node = step.get("next")
    if node is None or node.value is None:
        return step.without("next")
    spec = step.get("spec")
    if isinstance(node, MapNode) and "arcs" not in node.value and "step" in node.value:
        node = ListNode([node], node.mark)
    if isinstance(node.value, str) or isinstance(node, ListNode):
        context.old("'next' is written in its short form", node.position, "write 'next.arcs'")
        step = step.having("next", _short_router(context, node, spec))
        return step.having("spec", spec.without("next_mode")) if isinstance(spec, MapNode) else step
    if isinstance(node, MapNode):
        arcs = node.get("arcs")
        if isinstance(arcs, ListNode):
            kept = [_arc(context, a) for a in arcs.value]
            node = node.having("arcs", ListNode(kept, arcs.mark))
        if isinstance(spec, MapNode) and spec.get("next_mode"):
            mode = spec.value["next_mode"]
            old = node.get("spec")
            made = old if isinstance(old, MapNode) else MapNode({}, mode.mark, {})
            if not made.get("mode"):
                node = node.having("spec", made.having("mode", mode))
            step = step.having("spec", spec.without("next_mode"))
        return step.having("next", node)
    return step


def _arc(context: Context, arc: Node) -> Node:
    if not isinstance(arc, MapNode):
        return arc
    if arc.get("args") is not None:
        context.old("an arc's 'args' is now 'set'", arc.key_position("args"), "write 'set'")
        arc = arc.renamed("args", "set")
    if arc.get("cond") is not None and arc.get("when") is None:
        context.old("an arc's 'cond' is now 'when'", arc.key_position("cond"), "write 'when'")
        arc = arc.renamed("cond", "when")
    return arc


def _short_router(context: Context, node: Node, spec: Node | None) -> MapNode:
    place = node.mark
    mode = spec.get("next_mode") if isinstance(spec, MapNode) else None
    if isinstance(node.value, str):
        arcs: list[Node] = [MapNode({"step": node}, place, {})]
    else:
        entries: list[Node] = node.value
        arcs = [
            MapNode({"step": e}, e.mark, {}) if isinstance(e.value, str)
            else _arc(context, e)
            for e in entries
        ]  # fmt: skip
        if mode is None and all(isinstance(e.value, str) for e in entries) and len(entries) > 1:
            mode = Node("inclusive", place)
    router = MapNode({"arcs": ListNode(arcs, place)}, place, {})
    if mode is not None:
        router = router.having("spec", MapNode({"mode": mode}, place, {}))
    return router


def add_implicit_end(steps: list[Node]) -> None:
    """Route steps without ``next`` to an ``end`` step that nothing else routes to."""
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


def _name(step: MapNode) -> str | None:
    node = step.get("step")
    return node.value if node is not None and isinstance(node.value, str) else None


def _targets(step: MapNode) -> set[str]:
    router = step.get("next")
    arcs = router.get("arcs") if isinstance(router, MapNode) else None
    found: set[str] = set()
    if isinstance(arcs, ListNode):
        for arc in arcs.value:
            target = arc.get("step") if isinstance(arc, MapNode) else None
            if target is not None:
                found.add(str(target.value))
    return found
