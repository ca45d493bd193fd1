"""A whole playbook."""

from __future__ import annotations

from arcbook.dsl.diagnostics import Report
from arcbook.dsl.kinds import Kinds
from arcbook.dsl.source import ListNode, MapNode, Node
from arcbook.dsl.upgrade.context import Context
from arcbook.dsl.upgrade.routers import add_implicit_end
from arcbook.dsl.upgrade.steps import upgrade_step


def upgrade(root: MapNode, report: Report, kinds: Kinds) -> MapNode:
    """Return the playbook in normal form, as far as its shape allows."""
    context = Context(report, kinds)
    if root.get("vars"):
        context.removed("vars", root, "write the values under 'workload'")
    context.read_workbook(root.get("workbook"))
    steps = root.get("workflow")
    if not isinstance(steps, ListNode):
        return root
    upgraded: list[Node] = [
        upgrade_step(context, s) if isinstance(s, MapNode) else s for s in steps.value
    ]
    add_implicit_end(upgraded)
    return root.having("workflow", ListNode(upgraded, steps.mark))
