"""Upgrade a task: its label, kind, parameters and output."""

from __future__ import annotations

import base64
from typing import Final

from arcbook.dsl.kinds import Kind
from arcbook.dsl.source import ListNode, MapNode, Node
from arcbook.dsl.upgrade.context import UpgradeContext
from arcbook.dsl.upgrade.policies import upgrade_policy
from arcbook.template.render import is_template

_POLICY_KEYS: Final = frozenset({"policy", "timeout", "redelivery", "pool"})
_TASK_KEYS: Final = frozenset(
    ["name", "desc", "description", "kind", "input", "auth", "set", "timeout", "retry", "redelivery", "sink", "output", "spec", "assert"]
)  # fmt: skip
_ENCODED: Final = ("_b64", "_base64")
_PLAIN_ARGS: Final = frozenset({"container"})
SEQUENCE: Final = "task_sequence"
"""The kind that is replaced by its tasks."""


def upgrade_task(
    context: UpgradeContext, task: MapNode, label: str, *, is_listed: bool = False
) -> MapNode:
    """Return a task in normal form, named ``label`` if it has no name."""
    task = upgrade_writes(context, unnested(task))
    if task.get("type") is not None and task.get("kind") is None:
        context.old("a task's 'type' is now 'kind'", task.key_position("type"), "write 'kind'")
        task = task.renamed("type", "kind")
    kind_node = task.get("kind")
    if kind_node is not None and kind_node.value == "workbook":
        own = task.get("name") if is_listed else None
        task = upgrade_writes(context, context.from_workbook(task, own))
        kind_node = task.get("kind")
    if kind_node is not None and kind_node.value == SEQUENCE:
        message = "a 'task_sequence' must be the only tool of its step"
        hint = "write its tasks in the step's list of tasks"
        context.report.error("ARC124", message, kind_node.position, hint)
    if task.get("name") is None:
        task = task.having("name", Node(label, task.mark))
    kind = context.kind(kind_node)
    task = lifted(task)
    task = _task_names(context, task, kind, str(kind_node.value) if kind_node else "")
    task = _sink(context, task)
    return upgrade_policy(context, task)


_WRITES: Final = {"vars": "ctx", "set_vars": "ctx", "set_ctx": "ctx", "set_iter": "iter"}


def upgrade_writes(context: UpgradeContext, node: MapNode) -> MapNode:
    """Convert all writes of variables of a step or task to ``set``."""
    if _WRITES.keys().isdisjoint(node.value):
        return node
    for key, lifetime in _WRITES.items():
        written = node.get(key)
        if written is None:
            continue
        place = node.key_position(key)
        if not isinstance(written, MapNode):
            context.removed(key, node, f"write 'set' with keys that begin with '{lifetime}.'")
            node = node.without(key)
            continue
        names = ", ".join(f"{lifetime}.{name}: ..." for name in list(written.value)[:3])
        context.old(f"'{key}' is now 'set'", place, f"write 'set: {{{names}}}'")
        own = node.get("set")
        entries = {f"{lifetime}.{name}": value for name, value in written.items()}
        marks = {f"{lifetime}.{name}": mark for name, mark in written.key_marks.items()}
        if isinstance(own, MapNode):
            entries, marks = {**entries, **own.value}, {**marks, **own.key_marks}
        node = node.without(key).having("set", MapNode(entries, written.mark, marks), place)
    return node


def lifted(task: MapNode) -> MapNode:
    """Move keys from the task's ``spec`` to the task itself."""
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


def _task_names(context: UpgradeContext, task: MapNode, kind: Kind | None, name: str) -> MapNode:
    if name not in _PLAIN_ARGS and not (kind and kind.param("args")):
        task = task.renamed("args", "input")
    task = task.renamed("description", "desc")
    task = _whole_input(context, task, name)
    task = _connect_and_read(context, task)
    task = _decoded(context, task, kind)
    if name == "transfer":
        task = _transfer(context, task)
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


def _decoded(context: UpgradeContext, task: MapNode, kind: Kind | None) -> MapNode:
    """Decode a task's parameters that are written in Base64."""
    for key in [key for key in task.value if key.endswith(_ENCODED)]:
        node, name = task.value[key], key.rpartition("_")[0]
        if kind is None or not isinstance(node.value, str) or is_template(node.value):
            continue
        if not any(name == p.name or name in p.aliases for p in kind.params):
            continue
        context.old(f"{key!r} is now {name!r}", task.key_position(key), f"write {name!r} as text")
        try:
            text = base64.b64decode(node.value, validate=True).decode()
        except ValueError:
            message = f"{key!r} is not Base64 of a text"
            context.report.error("ARC404", message, node.position, f"write {name!r} as text")
            text = ""
        task = task.without(key).having(name, Node(text, node.mark))
    return task


def _transfer(context: UpgradeContext, task: MapNode) -> MapNode:
    """Move a transfer's mapping to its target, and rename its older modes."""
    target, mapping = task.get("target"), task.get("mapping")
    if not isinstance(target, MapNode):
        return task
    if mapping is not None and target.get("mapping") is None:
        place = task.key_position("mapping")
        context.old("'mapping' belongs to the target", place, "move it below 'target'")
        target = target.having("mapping", mapping, place)
        task = task.without("mapping").having("target", target)
    for holder in (task, target):
        mode = holder.get("mode")
        if mode is not None and mode.value == "insert":
            context.old("the mode 'insert' is now 'append'", mode.position, "write 'mode: append'")
            changed = holder.having("mode", Node("append", mode.mark))
            task = changed if holder is task else task.having("target", changed)
    return task


def _whole_input(context: UpgradeContext, task: MapNode, kind: str) -> MapNode:
    """Upgrade an input that is a single value: ``input: "{{ row }}"``."""
    task_input = task.get("input")
    if (
        task_input is None
        or not isinstance(task_input.value, str)
        or not is_template(task_input.value)
    ):
        return task
    if kind == "playbook" and task.get("payload") is None:
        context.old("an input as a whole is 'payload'", task_input.position, "write 'payload'")
        return task.renamed("input", "payload")
    if kind == "python":
        hint = "write 'input: {input_data: \"{{ ... }}\"}'"
        context.old("the inputs of code have names", task_input.position, hint)
        return task.having("input", MapNode({"input_data": task_input}, task_input.mark, {}))
    return task


def _connect_and_read(context: UpgradeContext, task: MapNode) -> MapNode:
    """Replace ``timeout: {connect, read}`` by their sum."""
    timeout = task.get("timeout")
    if not isinstance(timeout, MapNode):
        return task
    parts = [n.value for n in timeout.value.values()]
    if not all(isinstance(part, (int, float)) for part in parts):
        return task
    message = "a task has one timeout, for all of a call"
    context.old(message, timeout.position, f"write 'timeout: {sum(parts)}'")
    return task.having("timeout", Node(sum(parts), timeout.mark))


def _sink(context: UpgradeContext, task: MapNode) -> MapNode:
    sink = task.get("sink")
    if sink is None:
        return task
    if sink.value is True and task.get("redelivery") is None:
        task = task.having("redelivery", Node("never", sink.mark))
    elif not isinstance(sink.value, bool):
        message = f"'sink' must be true or false, not {sink.kind}"
        hint = "write a task that saves, after this one"
        context.report.error("ARC103", message, sink.position, hint)
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
    """Combine a task's settings for storing its result to one ``output``."""
    output = task.get("output")
    normal = normal_output(output) if isinstance(output, MapNode) else None
    select = task.get("output_select")
    if select is not None and not (kind and kind.param("output_select")):
        place = task.key_position("output_select")
        base = normal_output(MapNode({"output_select": select}, place, {}))
        normal = (
            base if normal is None else MapNode({**base.value, **normal.value}, normal.mark, {})
        )
        task = task.without("output_select")
    inline = task.get("inline_max_bytes")
    if inline is not None:
        normal = (normal or MapNode({}, inline.mark, {})).having("inline_max_bytes", inline)
        task = task.without("inline_max_bytes")
    return task if normal is None else task.having("output", normal)


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
