"""The context of an upgrade: the report, the tool kinds, and guards."""

from __future__ import annotations

from collections.abc import Callable

from arcbook.dsl.diagnostics import Report
from arcbook.dsl.kinds import Kind, Kinds
from arcbook.dsl.source import MapNode, Node, Position
from arcbook.dsl.upgrade.comparisons import NotUnderstoodError, comparison, stands_outside


class UpgradeContext:
    """Reports old spellings of one playbook."""

    def __init__(self, report: Report, kinds: Kinds) -> None:
        self.report = report
        self.kinds = kinds
        #: Whether the document reads ``result.status`` anywhere.
        self.mentions_status = False
        #: Returns the replacement of a ``workbook`` task, given its label.
        self.from_workbook: Callable[[MapNode, Node | None], MapNode] = lambda task, _: task
        #: Returns the kind of the entry that a ``workbook`` task names.
        self.kind_of_entry: Callable[[MapNode], Node | None] = lambda _: None

    def old(self, message: str, position: Position, hint: str) -> None:
        """Warn about an old spelling that is still accepted."""
        self.report.warning("ARC502", message, position, hint)

    def removed(self, key: str, node: MapNode, instead: str, *, where: str = "") -> None:
        """Report a spelling that was removed from the language."""
        message = f"'{key}'{where} is no longer part of the language"
        self.report.error("ARC501", message, node.key_position(key), instead)

    def kind(self, node: Node | None) -> Kind | None:
        """Return the tool kind that a task's ``kind`` names."""
        return self.kinds.kind(str(node.value)) if node is not None else None

    def guard(self, node: Node) -> Node:
        """Return a guard with its comparison, if any, moved inside its braces."""
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
        guard = None if when is None else self.guard(when)
        return node if guard is when or guard is None else node.having("when", guard)
