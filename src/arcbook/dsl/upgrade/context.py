"""What every part of an upgrade shares: the report, the tool kinds, the workbook."""

from __future__ import annotations

from arcbook.dsl.diagnostics import Report, did_you_mean
from arcbook.dsl.kinds import Kind, Kinds
from arcbook.dsl.source import ListNode, MapNode, Node, Position


class Context:
    """Notes what is old in one playbook, and knows its workbook."""

    def __init__(self, report: Report, kinds: Kinds) -> None:
        self.report = report
        self.kinds = kinds
        self.workbook: dict[str, MapNode] = {}

    def old(self, message: str, position: Position, hint: str) -> None:
        """Note an old spelling that is understood."""
        self.report.warning("ARC502", message, position, hint)

    def removed(self, key: str, node: MapNode, instead: str) -> None:
        """Note a spelling that the language no longer has."""
        message = f"'{key}' is no longer part of the language"
        self.report.error("ARC501", message, node.key_position(key), instead)

    def kind(self, node: Node | None) -> Kind | None:
        """Return the tool kind that a task's ``kind`` names."""
        return self.kinds.kind(str(node.value)) if node is not None else None

    def read_workbook(self, workbook: Node | None) -> None:
        """Take the entries that tasks may use by name."""
        if workbook is None or workbook.value is None:
            return
        if not isinstance(workbook, ListNode):
            message = f"'workbook' must be a list, not {workbook.kind}"
            hint = "write '- name: ...' for each entry"
            self.report.error("ARC103", message, workbook.position, hint)
            return
        for entry in workbook.value:
            name = entry.get("name") if isinstance(entry, MapNode) else None
            tool = entry.get("tool") if isinstance(entry, MapNode) else None
            if name is None or not isinstance(name.value, str):
                message = "a workbook entry needs a name"
                self.report.error("ARC120", message, entry.position, "write 'name'")
            elif not isinstance(tool, MapNode):
                message = f"workbook entry {name.value!r} needs a tool"
                self.report.error("ARC121", message, entry.position, "write 'tool: {kind: ...}'")
            else:
                self.workbook[name.value] = tool

    def from_workbook(self, task: MapNode, label: Node | None) -> MapNode:
        """Return the entry that a ``workbook`` task stands for, with what the task adds."""
        wanted = task.get("task") or task.get("action") or task.get("name")
        name = wanted.value if wanted else None
        if wanted is None or not isinstance(name, str):
            message = "a workbook task needs the 'name' of an entry"
            hint = did_you_mean("", self.workbook) or "write 'name: <entry>'"
            self.report.error("ARC122", message, task.position, hint)
            return task
        found = self.workbook.get(name)
        if found is None:
            hint = did_you_mean(name, self.workbook) or self._entries()
            message = f"the workbook has no entry {name!r}"
            self.report.error("ARC123", message, wanted.position, hint)
            return task
        return _merged(task, found, label)

    def _entries(self) -> str:
        if not self.workbook:
            return "the playbook's workbook has no entries"
        return f"its entries are {', '.join(sorted(self.workbook))}"


_OWN_KEYS = ("set", "spec", "auth", "timeout", "redelivery", "output")


def _merged(task: MapNode, entry: MapNode, label: Node | None) -> MapNode:
    merged = MapNode(dict(entry.value), task.mark, entry.key_marks).without("name")
    inputs = [node.renamed("args", "input").get("input") for node in (entry, task)]
    given = [node for node in inputs if isinstance(node, MapNode)]
    if given:
        both = {key: node for source in given for key, node in source.items()}
        marks = {key: mark for source in given for key, mark in source.key_marks.items()}
        merged = merged.without("args").having("input", MapNode(both, given[-1].mark, marks))
    for key in _OWN_KEYS:
        node = task.get(key)
        if node is not None:
            merged = merged.having(key, node)
    return merged if label is None else merged.having("name", label)
