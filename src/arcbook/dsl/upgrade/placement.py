"""Move a tool's parameters, which the first version wrote beside its name, into the tool.

``{step: load, tool: python, code: ...}`` is ``{step: load, tool: {kind: python, code: ...}}``.
"""

from __future__ import annotations

from typing import Final

from arcbook.dsl.grammar import STEP
from arcbook.dsl.kinds import Kind
from arcbook.dsl.source import ListNode, MapNode, Node
from arcbook.dsl.upgrade.context import UpgradeContext

#: Keys of a step that are not its tool's, older ones included.
_OF_STEP: Final = (frozenset(STEP) - {"input", "tool"}) | {
    "case", "description", "retry", "save", "set_ctx", "set_iter", "set_vars", "sink", "vars",
}  # fmt: skip
_INPUTS: Final = ("args", "with", "input", "data")
_ITEMS: Final = ("collection", "list", "items")
_ITEM: Final = ("element", "item")
_AT_ONCE: Final = ("concurrency", "max_concurrency", "max_concurrent")


def placed(context: UpgradeContext, step: MapNode) -> MapNode:
    """Return a step whose tool is a mapping that contains its parameters."""
    tool = step.get("tool")
    if tool is None and isinstance(step.get("call"), MapNode):
        place = step.key_position("call")
        context.old("a step's 'call' is now 'tool'", place, "write 'tool: {kind: ...}'")
        step = step.renamed("call", "tool")
        step = step.having("tool", gathered(context, step.value["tool"], frozenset()))
    elif tool is None and isinstance(_value(step, "type"), str):
        step = _gathered_step(context, step, "type")
    elif tool is not None and isinstance(tool.value, str):
        step = _gathered_step(context, step, "tool")
    elif isinstance(tool, MapNode):
        step = _with_auth(context, step, tool)
    return _iterated(context, _routing(context, step))


def gathered(context: UpgradeContext, entry: Node, others: frozenset[str]) -> MapNode:
    """Return the tool that a mapping names by ``type`` or by ``tool``, as text.

    Args:
        context: the playbook's.
        entry: the mapping.
        others: its keys that are not the tool's.
    """
    assert isinstance(entry, MapNode)
    named = next(
        (key for key in ("kind", "tool", "type") if _value(entry, key) is not None), "kind"
    )
    tool = entry.without(*others).renamed(named, "kind")
    return _with_inputs(context, tool)


def _gathered_step(context: UpgradeContext, step: MapNode, key: str) -> MapNode:
    kind = step.value[key]
    tool = gathered(context, step, _OF_STEP)
    beside = [name for name in tool.value if name not in ("kind", "name")]
    suffix = f", and below it {', '.join(repr(name) for name in beside[:4])}" if beside else ""
    message = f"a step's tool is a mapping, with the tool's parameters in it, not '{key}' as text"
    context.old(message, step.key_position(key), f"write 'tool: {{kind: {kind.value}}}'{suffix}")
    own_entries = {name: node for name, node in step.items() if name in _OF_STEP}
    rest = MapNode(own_entries, step.mark, step.key_marks)
    return rest.having("tool", tool, step.key_marks.get(key))


def _routing(context: UpgradeContext, step: MapNode) -> MapNode:
    """Remove the tools ``start`` and ``end`` from a step."""
    tool = step.get("tool")
    if not isinstance(tool, MapNode) or _value(tool, "kind") not in ("start", "end"):
        return step
    message = f"{_value(tool, 'kind')!r} is no tool: a step that only routes has none"
    context.old(message, step.key_position("tool"), "remove it")
    return step.without("tool")


def _with_auth(context: UpgradeContext, step: MapNode, tool: MapNode) -> MapNode:
    """Move a tool's inputs and credential from the step into the tool."""
    if tool.get("with") is not None or _value(tool, "kind") == "workbook":
        tool = _with_inputs(context, tool)
        step = step.having("tool", tool)
    auth = step.get("auth")
    if auth is None or tool.get("auth") is not None:
        return step
    place = step.key_position("auth")
    context.old("'auth' belongs to the tool", place, "move it below 'tool'")
    return step.without("auth").having("tool", tool.having("auth", auth, place))


def _with_inputs(context: UpgradeContext, tool: MapNode) -> MapNode:
    """Rename the older keys of a tool's inputs to ``input``."""
    kind = context.kind(tool.get("kind"))
    for key in _INPUTS:
        node = tool.get(key)
        if node is None or key == "input" or _has_param(kind, key):
            continue
        if isinstance(node, MapNode) or key != "data":
            tool = tool.renamed(key, "input")
        elif isinstance(node.value, str):
            own = MapNode({key: node}, node.mark, {})
            tool = tool.without(key).having("input", own)
    return tool


def _has_param(kind: Kind | None, name: str) -> bool:
    if kind is None or kind.name == "workbook":
        return False
    return any(name == p.name or name in p.aliases for p in kind.params)


def _iterated(context: UpgradeContext, step: MapNode) -> MapNode:
    """Replace the tool ``iterator`` of a step by a loop."""
    tool = step.get("tool")
    if not isinstance(tool, MapNode) or _value(tool, "kind") != "iterator":
        return step
    place = step.key_position("tool")
    context.old("the kind 'iterator' is now 'loop' on the step", place, "write 'loop: {in: ...}'")
    loop = tool
    for names, now in ((_ITEMS, "in"), (_ITEM, "iterator"), (_AT_ONCE, "max_in_flight")):
        for name in names:
            loop = loop.renamed(name, now)
    keys = ("in", "iterator", "mode", "max_in_flight", "spec", "on_error")
    loop = MapNode({k: n for k, n in loop.items() if k in keys}, tool.mark, loop.key_marks)
    inner = next((n for k in ("task", "tasks", "body") if (n := tool.get(k)) is not None), None)
    step = step.without("tool").having("loop", loop)
    if inner is None:
        return step
    if isinstance(inner, ListNode):
        tasks: list[Node] = [_inner(context, n) for n in inner.value]
        return step.having("tool", ListNode(tasks, inner.mark))
    return step.having("tool", _inner(context, inner))


def _inner(context: UpgradeContext, task: Node) -> Node:
    """Return the task of an iteration, which may be written like a step."""
    if not isinstance(task, MapNode):
        return task
    tool = task.get("tool")
    if isinstance(tool, MapNode):
        name = task.get("name") or task.get("task")
        return tool if name is None or tool.get("name") else tool.having("name", name)
    return gathered(context, task, frozenset({"desc", "description"}))


def _value(node: MapNode, key: str) -> object:
    child = node.get(key)
    return None if child is None else child.value
