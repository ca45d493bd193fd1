"""Upgrade the workbook: tasks that steps use by name."""

from __future__ import annotations

from typing import Final

from arcbook.dsl.diagnostics import did_you_mean
from arcbook.dsl.parse.reader import unknown_key
from arcbook.dsl.source import ListNode, MapNode, Node
from arcbook.dsl.upgrade.context import UpgradeContext
from arcbook.dsl.upgrade.placement import gathered

#: Keys of an entry that are not its tool's.
_OF_ENTRY: Final = frozenset({"name", "desc", "description", "assert", "sink", "title"})
#: Keys of a task that replace those of the entry it names.
_OWN_KEYS: Final = ("set", "spec", "auth", "timeout", "redelivery", "output")

#: Keys of a task that names an entry; the others would be ignored.
_OF_REFERENCE: Final = frozenset(
    ["kind", "name", "task", "action", "input", "args", "desc", "assert", "sink", *_OWN_KEYS]
)


class Workbook:
    """The entries of a playbook's workbook, in normal form."""

    def __init__(self, context: UpgradeContext, node: Node | None) -> None:
        self.context = context
        self.entries: dict[str, MapNode] = {}
        #: The workbook as the parser reads it.
        self.node = node
        if isinstance(node, ListNode):
            self.node = ListNode([self._entry(entry) for entry in node.value], node.mark)
        elif node is not None and node.value is not None:
            message = f"'workbook' must be a list, not {node.kind}"
            hint = "write '- name: ...' for each entry"
            context.report.error("ARC103", message, node.position, hint)

    def _entry(self, entry: Node) -> Node:
        if isinstance(entry, MapNode):
            entry = self._gathered(entry)
        name = entry.get("name") if isinstance(entry, MapNode) else None
        tool = entry.get("tool") if isinstance(entry, MapNode) else None
        report = self.context.report
        if name is None or not isinstance(name.value, str):
            message = "a workbook entry needs a name"
            report.error("ARC120", message, entry.position, "write 'name'")
        elif not isinstance(tool, MapNode):
            message = f"workbook entry {name.value!r} needs a tool"
            report.error("ARC121", message, entry.position, "write 'tool: {kind: ...}'")
        else:
            self.entries[name.value] = tool
        return entry

    def _gathered(self, entry: MapNode) -> MapNode:
        """Return an entry whose tool is a mapping that contains its parameters."""
        for key in ("tool", "type", "kind"):
            named = entry.get(key)
            if named is None or not isinstance(named.value, str):
                continue
            message = f"a workbook entry's tool is a mapping, not '{key}' as text"
            hint = f"write 'tool: {{kind: {named.value}}}', and below it the other keys"
            self.context.old(message, entry.key_position(key), hint)
            tool = gathered(self.context, entry, _OF_ENTRY)
            own_entries = {name: node for name, node in entry.items() if name in _OF_ENTRY}
            normal = MapNode(own_entries, entry.mark, entry.key_marks).renamed(
                "description", "desc"
            )
            return normal.without("title").having("tool", tool)
        return entry.renamed("description", "desc")

    def kind(self, task: MapNode) -> Node | None:
        """Return the kind of the entry that a task names, or ``None``."""
        name_node = task.get("task") or task.get("action") or task.get("name")
        entry = (
            self.entries.get(name_node.value)
            if name_node and isinstance(name_node.value, str)
            else None
        )
        return None if entry is None else entry.get("kind") or entry.get("type")

    def task(self, task: MapNode, label: Node | None) -> MapNode:
        """Return the entry that a ``workbook`` task names, overlaid by the task's own keys."""
        report = self.context.report
        name_node = task.get("task") or task.get("action") or task.get("name")
        name = name_node.value if name_node else None
        if name_node is None or not isinstance(name, str):
            message = "a workbook task needs the 'name' of an entry"
            hint = did_you_mean("", self.entries) or "write 'name: <entry>'"
            report.error("ARC122", message, task.position, hint)
            return task
        entry = self.entries.get(name)
        if entry is None:
            hint = did_you_mean(name, self.entries) or self._names()
            message = f"the workbook has no entry {name!r}"
            report.error("ARC123", message, name_node.position, hint)
            return task
        for key in task.value:
            if key not in _OF_REFERENCE:
                unknown_key(report, key, task, "task", _OF_REFERENCE)
        return _merged(task, entry, label)

    def _names(self) -> str:
        if not self.entries:
            return "the playbook's workbook has no entries"
        return f"its entries are {', '.join(sorted(self.entries))}"


def _merged(task: MapNode, entry: MapNode, label: Node | None) -> MapNode:
    merged = MapNode(dict(entry.value), task.mark, entry.key_marks).without("name")
    inputs = [node.renamed("args", "input").get("input") for node in (entry, task)]
    own_inputs = [node for node in inputs if isinstance(node, MapNode)]
    if own_inputs:
        both = {key: node for source in own_inputs for key, node in source.items()}
        marks = {key: mark for source in own_inputs for key, mark in source.key_marks.items()}
        merged = merged.without("args").having("input", MapNode(both, own_inputs[-1].mark, marks))
    inherited = task.get("input")
    if inherited is not None and inherited.value is not None and inherited not in own_inputs:
        merged = merged.having("input", inherited)  # not a mapping, which the parser reports
    for key in _OWN_KEYS:
        node = task.get(key)
        if node is not None:
            merged = merged.having(key, node)
    return merged if label is None else merged.having("name", label)
