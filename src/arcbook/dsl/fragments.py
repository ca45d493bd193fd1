"""Detect documents that are only a part of a playbook, such as examples copied from docs."""

from __future__ import annotations

from typing import Final

from arcbook.dsl.diagnostics import Report
from arcbook.dsl.grammar import PLAYBOOK
from arcbook.dsl.source import ListNode, MapNode, Node

HEADER: Final = ("apiVersion", "kind", "metadata", "workflow")
"""Keys that every playbook has at its root."""

DOCUMENT_KINDS: Final = frozenset(
    {"Agent", "Credential", "Mcp", "Memory", "Playbook", "Subscription"}
)
"""Kinds of complete documents."""

_BELOW_STEP: Final = "below '- step: <name>' in the 'workflow'"
#: Keys that identify a part, its description, and where it belongs.
_PARTS: Final = (
    ("step", "a step", "below 'workflow:'"),
    ("arcs", "a router", "below 'next:' of a step"),
    ("kind", "a task", "below 'tool:' of a step"),
    ("do", "what a rule says to do", "below 'then:' of a rule"),
    ("then", "a rule", "below 'spec.policy.rules' of a task"),
    *((key, "a part of a step", _BELOW_STEP) for key in ("tool", "next", "loop", "case", "set")),
)


def is_fragment(root: Node, report: Report) -> bool:
    """Report a document that is only a part of a playbook; return whether it is one."""
    part = root
    if isinstance(root, ListNode) and root.value:
        part = root.value[0]
    if not isinstance(part, MapNode) or _is_whole(part):
        return False
    missing = [repr(key) for key in HEADER if key not in part.value or part is not root]
    description, location = _part(part)
    if part is not root:
        description = f"a list that begins with {description}"
    keys = " and ".join([", ".join(missing[:-1]), missing[-1]]) if missing[1:] else missing[0]
    message = f"this is only a part of a playbook, {description}: its root lacks {keys}"
    hint = f"write it {location} of a playbook, which begins with 'apiVersion: noetl.io/v2'"
    report.error("ARC115", message, root.position, hint)
    return True


def _is_whole(root: MapNode) -> bool:
    """Return whether a mapping is, or was meant to be, a complete document."""
    kind = root.get("kind")
    is_known = kind is not None and isinstance(kind.value, str) and kind.value in DOCUMENT_KINDS
    return is_known or "apiVersion" in root.value


def _part(part: MapNode) -> tuple[str, str]:
    names = [key for key in part.value if key in PLAYBOOK and key != "kind"]
    if names:
        return f"{' and '.join(repr(key) for key in names[:3])}", "at the root"
    for key, description, location in _PARTS:
        if key in part.value:
            return description, location
    keys = ", ".join(repr(key) for key in list(part.value)[:3])
    return f"a mapping of {keys}" if keys else "an empty mapping", "where it belongs, inside"
