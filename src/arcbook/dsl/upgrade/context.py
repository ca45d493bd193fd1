"""What every part of an upgrade shares: the report, the tool kinds, guards."""

from __future__ import annotations

from collections.abc import Callable

from arcbook.dsl.diagnostics import Report
from arcbook.dsl.kinds import Kind, Kinds
from arcbook.dsl.source import MapNode, Node, Position
from arcbook.dsl.upgrade.comparisons import NotUnderstoodError, comparison, stands_outside


class UpgradeContext:
    """Notes what is old in one playbook."""

    def __init__(self, report: Report, kinds: Kinds) -> None:
        self.report = report
        self.kinds = kinds
        #: Whether the document reads ``result.status`` anywhere.
        self.mentions_status = False
        #: Returns what stands for a ``workbook`` task, given its label.
        self.from_workbook: Callable[[MapNode, Node | None], MapNode] = lambda task, _: task
        #: Returns the kind of the entry that a ``workbook`` task names.
        self.kind_of_entry: Callable[[MapNode], Node | None] = lambda _: None

    def old(self, message: str, position: Position, hint: str) -> None:
        """Note an old spelling that is understood."""
        self.report.warning("ARC502", message, position, hint)

    def removed(self, key: str, node: MapNode, instead: str, *, where: str = "") -> None:
        """Note a spelling that the language no longer has."""
        message = f"'{key}'{where} is no longer part of the language"
        self.report.error("ARC501", message, node.key_position(key), instead)

    def kind(self, node: Node | None) -> Kind | None:
        """Return the tool kind that a task's ``kind`` names."""
        return self.kinds.kind(str(node.value)) if node is not None else None

    def guard(self, node: Node) -> Node:
        """Return a guard whose comparison, if it has one, stands inside of its braces."""
        if not isinstance(node.value, str) or not stands_outside(node.value):
            return node
        try:
            meant = comparison(node.value)
        except NotUnderstoodError:
            message = "the guard has text around its template, so it would always be true"
            hint = "write the comparison inside the braces: \"{{ name == 'value' }}\""
            self.report.error("ARC302", message, node.position, hint)
            return node
        message = "the comparison stands outside of the braces"
        self.old(message, node.position, f'write "{{{{ {meant.shown} }}}}"')
        return Node(f"{{{{ {meant.exact} }}}}", node.mark)

    def guarded(self, node: MapNode) -> MapNode:
        """Return a mapping whose ``when`` is such a guard."""
        when = node.get("when")
        made = None if when is None else self.guard(when)
        return node if made is when or made is None else node.having("when", made)
