"""Upgrade older forms of routing: `case`, `then` and `else`, in any combination.

Each is read as branches with a guard and targets, which become the arcs of a router.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from arcbook.dsl.source import ListNode, MapNode, Mark, Node, Position
from arcbook.dsl.upgrade.context import UpgradeContext

_BRANCHING: Final = frozenset({"when", "cond", "then", "else", "case", "next"})
FORKED_MAX: Final = 50
"""Maximum mutually exclusive branches if one of them leads to several steps."""

_LEADING: Final = frozenset({"then", "else", "case", "next"})
_IN_BRANCH: Final = _BRANCHING | {"set", "vars", "desc", "description", "name"}
_OLDER: Final = frozenset({"args", "cond", "data", "input", "with"})
_VALUES: Final = ("args", "data", "with", "input")


class Branch(NamedTuple):
    """One branch of a step."""

    #: Guards that must all be true.
    guards: tuple[Node, ...]
    #: Arcs to take if they are, without guards.
    arcs: tuple[MapNode, ...]


def has_branches(node: Node | None) -> bool:
    """Return whether a ``next`` contains a branch in an older form."""
    if isinstance(node, MapNode) and isinstance(node.value.get("arcs"), ListNode):
        node = node.value["arcs"]
    if not isinstance(node, ListNode):
        return isinstance(node, MapNode) and _is_branch(node)
    return any(isinstance(entry, MapNode) and _is_branch(entry) for entry in node.value)


def _is_branch(node: MapNode) -> bool:
    return "step" not in node.value and not _BRANCHING.isdisjoint(node.value)


class Branches:
    """Reads the branches of one step."""

    def __init__(self, context: UpgradeContext) -> None:
        self.context = context

    def of(self, node: Node | None, guards: tuple[Node, ...] = ()) -> list[Branch]:
        """Return the branches of a ``case`` or ``next``, in order."""
        if node is None or node.value is None:
            return []
        if isinstance(node, ListNode):
            return [branch for entry in node.value for branch in self.of(entry, guards)]
        if isinstance(node.value, str):
            return [Branch(guards, (MapNode({"step": node}, node.mark, {}),))]
        if not isinstance(node, MapNode):
            return [Branch(guards, (MapNode({"step": node}, node.mark, {}),))]
        if "step" in node.value:
            return [self._arc(node, guards)]
        if isinstance(node.get("arcs"), ListNode):
            return self.of(node.value["arcs"], guards)
        return self._branching(node, guards)

    def _branching(self, node: MapNode, guards: tuple[Node, ...]) -> list[Branch]:
        guard = self._guard(node)
        inner = guards if guard is None else (*guards, guard)
        found = self._targets(node.get("then"), inner)
        found += self._targets(node.get("else"), guards)
        for key in ("case", "next"):
            found += self.of(node.get(key), inner)
        self._no_others(node)
        if guard is not None and not node.value.keys() & _LEADING:
            message = "a branch does not say where it leads"
            self.context.report.error("ARC110", message, node.position, "write 'step' or 'then'")
        return found

    def _guard(self, node: MapNode) -> Node | None:
        guard = node.get("when") or node.get("cond")
        return None if guard is None or guard.value is None else self.context.guard(guard)

    def _targets(self, node: Node | None, guards: tuple[Node, ...]) -> list[Branch]:
        """Return the branches of a ``then`` or ``else``; steps without guards form one branch."""
        entries = node.value if isinstance(node, ListNode) else [] if node is None else [node]
        plain: list[MapNode] = []
        guarded: list[Branch] = []
        writes: list[MapNode] = []
        for entry in entries:
            if isinstance(entry, MapNode) and "step" not in entry.value:
                sets = [entry.get("set"), entry.get("vars")]
                writes += [node for node in sets if isinstance(node, MapNode)]
            for branch in self.of(entry, guards):
                if branch.guards == guards:
                    plain += branch.arcs
                else:
                    guarded.append(branch)
        if node is None:
            return []
        if writes and not plain and not guarded:
            message = "a branch that leads nowhere cannot set variables"
            hint = "write 'set' on the step, with the condition in the value"
            self.context.report.error("ARC501", message, node.position, hint)
        found = guarded if guarded and not plain else [*guarded, Branch(guards, tuple(plain))]
        return [_writing(branch, writes) for branch in found]

    def _arc(self, arc: MapNode, guards: tuple[Node, ...]) -> Branch:
        arc = upgrade_arc(self.context, arc)
        guard = arc.get("when")
        own = guards if guard is None or guard.value is None else (*guards, guard)
        return Branch(own, (arc.without("when"),))

    def _no_others(self, node: MapNode) -> None:
        """Report actions of a branch other than routing."""
        for key in node.value.keys() - _IN_BRANCH:
            hint = _INSTEAD.get(key, "let a step do it, and lead there")
            self.context.removed(key, node, hint, where=" in a branch")


def upgrade_arc(context: UpgradeContext, arc: MapNode) -> MapNode:
    """Return an arc in normal form."""
    if _OLDER.isdisjoint(arc.value):
        return context.guarded(arc)
    for key in _VALUES:
        if arc.get(key) is not None:
            place = arc.key_position(key)
            context.old(f"an arc's '{key}' is now 'set'", place, "write 'set'")
            arc = arc.renamed(key, "set")
    if arc.get("cond") is not None and arc.get("when") is None:
        context.old("an arc's 'cond' is now 'when'", arc.key_position("cond"), "write 'when'")
        arc = arc.renamed("cond", "when")
    return context.guarded(arc)


def router_of(
    context: UpgradeContext, branches: list[Branch], mode: Node | None, place: Mark
) -> MapNode:
    """Convert branches to a router.

    A branch with several steps leads to all of them; the guards of the other branches are then
    extended so that only one branch is taken.
    """
    is_inclusive = mode is not None and str(mode.value).lower() == "inclusive"
    # One without steps ends there, so that the others are not taken.
    has_fork = not is_inclusive and any(len(branch.arcs) != 1 for branch in branches)
    if has_fork and len(branches) > FORKED_MAX:
        message = f"more than {FORKED_MAX} branches, of which one leads to several steps"
        hint = "write 'next: {spec: {mode: inclusive}, arcs: [...]}' with the guards that are meant"
        context.report.error("ARC501", message, Position(*place), hint)
        branches = branches[:FORKED_MAX]
    arcs: list[Node] = []
    before: list[str] = []
    for branch in branches:
        own = [_expression(guard) for guard in branch.guards]
        guard = _guard(branch.guards, [*before, *own] if has_fork else own, place)
        arcs += [a if guard is None else a.having("when", guard) for a in branch.arcs]
        if has_fork:
            before.append(f"not ({_all(own)})" if own else "false")
    router = MapNode({"arcs": ListNode(arcs, place)}, place, {})
    if has_fork:
        mode = Node("inclusive", place)
    return router if mode is None else router.having("spec", MapNode({"mode": mode}, place, {}))


def _guard(guards: tuple[Node, ...], expressions: list[str], place: Mark) -> Node | None:
    if not expressions:
        return None
    if len(guards) == 1 and len(expressions) == 1:
        return guards[0]
    mark = guards[-1].mark if guards else place
    return Node("{{ " + _all(expressions) + " }}", mark)


def _all(expressions: list[str]) -> str:
    return " and ".join(e if e.startswith("not (") else f"({e})" for e in expressions)


def _expression(guard: Node) -> str:
    text = str(guard.value).strip()
    if isinstance(guard.value, bool):
        return text.lower()
    is_whole = text.startswith("{{") and text.endswith("}}") and text.count("{{") == 1
    return text[2:-2].strip("-").strip() if is_whole else text


def _writing(branch: Branch, writes: list[MapNode]) -> Branch:
    """Return a branch whose arcs set further values, before their own."""
    if not writes:
        return branch
    arcs: list[MapNode] = []
    for arc in branch.arcs:
        own = arc.get("set")
        sources = [*writes, own] if isinstance(own, MapNode) else writes
        entries = {key: node for source in sources for key, node in source.items()}
        arcs.append(arc.having("set", MapNode(entries, writes[0].mark, {})))
    return Branch(branch.guards, tuple(arcs))


_INSTEAD: Final = {
    "collect": "write a rule that jumps back, with 'set', in 'spec.policy.rules' of the task",
    "fail": "write 'then: {do: fail}' in 'spec.policy.rules' of the task",
    "retry": "write 'then: {do: retry}' in 'spec.policy.rules' of the task",
    "rhai": "write the condition as 'when', an expression in braces",
}


SHOWN_MAX: Final = 160
"""Maximum length of a router in a suggestion."""


def shown(router: MapNode) -> str:
    """Format a router on one line, for a suggestion."""
    arcs = router.get("arcs")
    entries = [_shown_arc(a) for a in arcs.value] if isinstance(arcs, ListNode) else []
    spec = router.get("spec")
    mode = spec.get("mode") if isinstance(spec, MapNode) else None
    head = f"spec: {{mode: {mode.value}}}, " if mode is not None else ""
    text = f"next: {{{head}arcs: [{', '.join(entries)}]}}"
    return text if len(text) <= SHOWN_MAX else f"{text[:SHOWN_MAX]}..."


def _shown_arc(arc: Node) -> str:
    if not isinstance(arc, MapNode):
        return str(arc.value)
    when = arc.get("when")
    guard = f', when: "{when.value}"' if when is not None else ""
    rest = ", set: ..." if arc.get("set") is not None else ""
    step = arc.get("step")
    return f"{{step: {step.value if step else '?'}{guard}{rest}}}"
