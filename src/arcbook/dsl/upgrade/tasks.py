"""A task: its label, kind, parameters and output."""

from __future__ import annotations

from typing import Final

from arcbook.dsl.kinds import Kind
from arcbook.dsl.source import ListNode, MapNode, Node
from arcbook.dsl.upgrade.context import Context
from arcbook.dsl.upgrade.policies import upgrade_policy

_POLICY_KEYS: Final = frozenset({"policy", "timeout", "redelivery", "pool"})
_TASK_KEYS: Final = frozenset(
    ["name", "desc", "description", "kind", "input", "auth", "set", "timeout", "retry", "redelivery", "sink", "output", "spec", "assert"]
)  # fmt: skip
_PLAIN_ARGS: Final = frozenset({"container"})
SEQUENCE: Final = "task_sequence"
"""The kind whose tasks take its place."""


def upgrade_task(
    context: Context, task: MapNode, label: str, *, is_listed: bool = False
) -> MapNode:
    """Return a task in normal form; ``label`` is its name where it has none."""
    task = unnested(task)
    if task.get("type") is not None and task.get("kind") is None:
        context.old("a task's 'type' is now 'kind'", task.key_position("type"), "write 'kind'")
        task = task.renamed("type", "kind")
    kind_node = task.get("kind")
    if kind_node is not None and kind_node.value == "workbook":
        own = task.get("name") if is_listed else None
        task = context.from_workbook(task, own)
        kind_node = task.get("kind")
    if kind_node is not None and kind_node.value == SEQUENCE:
        message = "a 'task_sequence' must be the only tool of its step"
        hint = "write its tasks in the step's list of tasks"
        context.report.error("ARC124", message, kind_node.position, hint)
    if task.get("eval") is not None:
        context.removed("eval", task, "write 'spec.policy.rules'")
        task = task.without("eval")
    if task.get("name") is None:
        task = task.having("name", Node(label, task.mark))
    kind = context.kind(kind_node)
    task = lifted(task)
    task = _task_names(task, kind, str(kind_node.value) if kind_node else "")
    task = _sink(context, task)
    return upgrade_policy(context, task)


def lifted(task: MapNode) -> MapNode:
    """Move what documents write below ``spec`` to the task itself."""
    spec = task.get("spec")
    if not isinstance(spec, MapNode):
        return task
    for key, node in spec.items():
        if key in _POLICY_KEYS:
            continue
        if task.get(key) is None:
            task = task.having(key, node, spec.key_position(key))
        spec = spec.without(key)
    for key in ("timeout", "redelivery"):
        written = spec.get(key)
        if written is not None:
            spec = spec.without(key)
            if task.get(key) is None:
                task = task.having(key, written)
    return task.having("spec", spec)


def _task_names(task: MapNode, kind: Kind | None, name: str) -> MapNode:
    if name not in _PLAIN_ARGS and not (kind and kind.param("args")):
        task = task.renamed("args", "input")
    task = task.renamed("description", "desc")
    if not (kind and kind.param("timeout_seconds")):
        task = task.renamed("timeout_seconds", "timeout")
    if kind is not None:
        if kind.takes_auth and task.get("auth") is None:
            task = task.renamed("credential", "auth")
        for param in kind.params:
            for alias in param.aliases:
                if alias not in _TASK_KEYS:
                    task = task.renamed(alias, param.name)
    return _task_output(task, kind)


def _sink(context: Context, task: MapNode) -> MapNode:
    sink = task.get("sink")
    if sink is None:
        return task
    if sink.value is True and task.get("redelivery") is None:
        task = task.having("redelivery", Node("never", sink.mark))
    elif not isinstance(sink.value, bool):
        context.old(
            "a 'sink' block is no longer part of the language",
            task.key_position("sink"),
            "write a task that saves, after this one",
        )
    return task.without("sink")


def unnested(task: MapNode) -> MapNode:
    """Return ``{label: {kind: ...}}`` as ``{name: label, kind: ...}``."""
    if len(task.value) != 1 or "kind" in task.value or "type" in task.value:
        return task
    ((label, inner),) = task.items()
    if not isinstance(inner, MapNode) or not ("kind" in inner.value or "type" in inner.value):
        return task
    return inner.having("name", Node(label, task.key_position(label)))


def _task_output(task: MapNode, kind: Kind | None) -> MapNode:
    """Return a task whose ways of saying how its result is kept are one ``output``."""
    output = task.get("output")
    made = normal_output(output) if isinstance(output, MapNode) else None
    select = task.get("output_select")
    if select is not None and not (kind and kind.param("output_select")):
        place = task.key_position("output_select")
        base = normal_output(MapNode({"output_select": select}, place, {}))
        made = base if made is None else MapNode({**base.value, **made.value}, made.mark, {})
        task = task.without("output_select")
    inline = task.get("inline_max_bytes")
    if inline is not None:
        made = (made or MapNode({}, inline.mark, {})).having("inline_max_bytes", inline)
        task = task.without("inline_max_bytes")
    return task if made is None else task.having("output", made)


def normal_output(node: MapNode) -> MapNode:
    """Return an ``output`` block in normal form: ``select`` is a list of names."""
    select = node.get("select") or node.get("output_select")
    node = node.without("output_select")
    if isinstance(select, MapNode):
        inner = select.get("select") or select.get("fields")
        select = inner if inner is not None else ListNode([], select.mark)
    if isinstance(select, ListNode):
        names: list[Node] = []
        for entry in select.value:
            path = entry.get("path") if isinstance(entry, MapNode) else entry
            if path is not None:
                names.append(path)
        node = node.having("select", ListNode(names, select.mark))
    return node
