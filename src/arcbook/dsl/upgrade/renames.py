"""Rename older names in templates: ``vars.x`` becomes ``ctx.x``."""

from __future__ import annotations

import re
from typing import Final

from arcbook.dsl.source import ListNode, MapNode, Node, Position
from arcbook.dsl.upgrade.context import UpgradeContext

NAMES: Final = {"args": "", "outcome": "output", "response": "output", "vars": "ctx"}
"""Older root names and their replacements; empty if the root is dropped."""

GUARDS: Final = frozenset({"when", "expr", "cond"})
"""Keys whose text is an expression, with braces or without."""

_WORDS: Final = re.compile(rf"\b(?:{'|'.join(NAMES)})\b")
#: Templates of GitHub Actions are left unchanged.
_TEMPLATE: Final = re.compile(
    r"(?<!\$)\{\{(?:[^{}]|\{(?:[^{}]|\{[^{}]*\})*\})*\}\}|\{%(?:(?!\{%)[^%]|%(?!\}))*%\}"
)
_INSIDE: Final = re.compile(
    r"'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\"|\.\s*\w+"
    rf"|(?P<name>\b(?:{'|'.join(NAMES)})\b)(?P<path>(?:\.\w+)*)(?!\s*(?:\(|=[^=]))"
)
_STATUS: Final = re.compile(r"\bresult\.status\b(?!\s*[=!]=\s*['\"])")
_LOCAL_MAPS: Final = frozenset({"args", "data", "input", "with"})
_LOCAL_TEXTS: Final = frozenset({"element", "iterator", "name"})


class Renaming:
    """Renames older names in the templates of one playbook."""

    def __init__(self, context: UpgradeContext, root: MapNode) -> None:
        self.context = context
        steps = root.get("workflow")
        found = steps.value if isinstance(steps, ListNode) else []
        self.taken = {
            str(n.value) for s in found if isinstance(s, MapNode) and (n := s.get("step"))
        }
        for step in found:
            for key in ("set", "vars"):
                self.taken |= _keys(step, key)
        self.taken |= _keys(root, "workload")
        self.taken |= {key for key, node in root.items() if isinstance(node, MapNode)} - {"vars"}

    def applied(self, node: Node) -> Node:
        """Return a part of a playbook with older names in its templates replaced."""
        names = NAMES.keys() - self.taken - _local_names(node)
        return self._in(node, names, is_guard=False) if names else node

    def _in(self, node: Node, names: set[str], *, is_guard: bool) -> Node:
        if isinstance(node, MapNode):
            entries = {k: self._in(v, names, is_guard=k in GUARDS) for k, v in node.items()}
            return MapNode(entries, node.mark, node.key_marks)
        if isinstance(node, ListNode):
            return ListNode([self._in(n, names, is_guard=False) for n in node.value], node.mark)
        if isinstance(node.value, str) and _WORDS.search(node.value):
            return Node(self._text(node.value, node.position, names, is_guard), node.mark)
        return node

    def _text(self, text: str, place: Position, names: set[str], is_guard: bool) -> str:  # noqa: FBT001
        def renamed(match: re.Match[str]) -> str:
            name, path = match["name"], match["path"]
            now = f"{NAMES[name]}{path}".removeprefix(".") if name in names else ""
            if not now:
                return match[0]
            is_now = f"'{NAMES[name]}'" if NAMES[name] else "read by its name alone"
            self.context.old(f"'{name}' is now {is_now}", place, f"write '{now}'")
            return now

        if is_guard and "{{" not in text:
            return _INSIDE.sub(renamed, text)
        return _TEMPLATE.sub(lambda template: _INSIDE.sub(renamed, template[0]), text)


def status_codes(context: UpgradeContext, step: MapNode) -> MapNode:
    """Return a step with an ``http`` tool that reads the status code by its current name.

    The reference's command line returns ``body`` and ``status``; here ``status`` is ``ok`` or
    ``error``, and ``status_code`` is the number.
    """

    def changed(node: Node) -> Node:
        if isinstance(node, MapNode):
            return MapNode({k: changed(n) for k, n in node.items()}, node.mark, node.key_marks)
        if isinstance(node, ListNode):
            return ListNode([changed(n) for n in node.value], node.mark)
        if not isinstance(node.value, str) or not _STATUS.search(node.value):
            return node
        message = "the number of an answer is 'status_code'"
        context.old(message, node.position, "write 'result.status_code'")
        return Node(_STATUS.sub("result.status_code", node.value), node.mark)

    for key in ("set", "vars", "case", "next"):
        node = step.get(key)
        step = step if node is None else step.having(key, changed(node))
    return step


def uses_older_names(text: str) -> bool:
    """Return whether a document's text contains a word that may be an older name."""
    return any(name in text for name in NAMES) and _WORDS.search(text) is not None


def _keys(node: Node, key: str) -> set[str]:
    found = node.get(key) if isinstance(node, MapNode) else None
    if not isinstance(found, MapNode):
        return set()
    return {name.removeprefix("ctx.").partition(".")[0] for name in found.value}


def _local_names(node: Node) -> set[str]:
    """Return the names that a step defines for inputs, items and tasks."""
    found: set[str] = set()
    remaining = [node]
    while remaining:
        now = remaining.pop()
        if isinstance(now, ListNode):
            remaining += now.value
        if not isinstance(now, MapNode):
            continue
        for key, inner in now.items():
            if key in _LOCAL_MAPS and isinstance(inner, MapNode):
                found |= inner.value.keys()
            elif key in _LOCAL_TEXTS and isinstance(inner.value, str):
                found.add(inner.value)
            remaining.append(inner)
    return found
