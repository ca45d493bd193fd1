"""Upgrade pagination of the first version: a loop over pages, or a retry with a next call.

Both become a task that jumps back to itself while there are further pages. Variables of the
pipeline hold the items collected so far and the next request.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from arcbook.dsl.source import MapNode, Node
from arcbook.dsl.upgrade.context import UpgradeContext
from arcbook.dsl.upgrade.policies import PAGES_INSTEAD, of_outcome
from arcbook.dsl.upgrade.reactions import with_rules

PAGES_MAX: Final = 1000
"""Default number of pages."""

_STRATEGIES: Final = frozenset({"append", "extend", "concat", "collect", "replace"})
#: Parts of a request that differ from page to page.
_MAPS: Final = ("params", "headers", "json", "payload", "data", "body", "form")
_TEXTS: Final = ("url", "endpoint")
_KEYS: Final = frozenset(
    ["type", "continue_while", "next_page", "merge_strategy", "merge_path", "max_iterations", "max_pages", "into", "retry", "when", "then"]
)  # fmt: skip
_BRACES: Final = re.compile(r"\{\{.*?\}\}", re.DOTALL)
_OK: Final = "output.status == 'ok'"


class Pages(NamedTuple):
    """The settings of a pagination block."""

    #: Expression for whether there is a further page.
    more: str
    #: Changes of the next request.
    changes: MapNode
    strategy: str
    #: Expression for a page's items.
    items: str
    #: Maximum number of pages: a number or an expression.
    most: str
    #: Name of the variable that holds the collected items.
    into: str


def paged(context: UpgradeContext, task: MapNode, block: MapNode, label: str) -> list[MapNode]:
    """Return the tasks that fetch every page; the last one returns all items."""
    pages = _read(context, block)
    if pages is None:
        return [task]
    message = "pages are fetched by a rule that jumps back to the task"
    context.old(message, block.position, PAGES_INSTEAD)
    first = task.having("name", Node(label, task.mark))
    first = _asking(first, pages)
    rules = _rules(pages, label, task)
    first = with_rules(first, rules)
    retry = block.get("retry")
    if retry is not None and first.get("retry") is None:
        first = first.having("retry", retry, block.key_marks.get("retry"))
    last = {
        "name": Node(f"{label}_pages", task.mark),
        "kind": Node("noop", task.mark),
        "result": Node(f"{{{{ {pages.into} }}}}", task.mark),
    }
    return [first, MapNode(last, task.mark, {})]


def _read(context: UpgradeContext, block: MapNode) -> Pages | None:
    more = block.get("continue_while") or block.get("when")
    then = block.get("then")
    call = block.get("next_page")
    collect: MapNode = block
    if isinstance(then, MapNode):
        call = then.get("next_call")
        given = then.get("collect")
        collect = given if isinstance(given, MapNode) else MapNode({}, then.mark, {})
    strategy = _text(collect, "merge_strategy", "strategy") or "append"
    why = _missing(block, more, call, strategy)
    if more is None or not isinstance(call, MapNode) or why:
        message = f"this pagination cannot be upgraded: {why}"
        context.report.error("ARC501", message, block.position, PAGES_INSTEAD)
        return None
    path = _text(collect, "merge_path", "path")
    most = block.get("max_iterations") or block.get("max_pages") or block.get("max_attempts")
    if isinstance(then, MapNode):
        most = then.get("max_attempts") or then.get("attempts") or most
    return Pages(
        more=_expression(of_outcome(str(more.value))),
        changes=_of_outcome(call),
        strategy=strategy,
        items=_items(path, from_body=isinstance(then, MapNode)),
        most=str(PAGES_MAX) if most is None else _expression(str(most.value)),
        into=_text(collect, "into") or "pages",
    )


def _items(path: str, *, from_body: bool) -> str:
    """Return the expression for a page's items.

    The path begins at the body or at the result, of which ``data`` is the body; documents mix
    the two up.
    """
    names = [name for name in path.split(".") if name]
    at_body = _at(names)
    if names[:1] != ["data"]:
        return at_body
    at_result = _at(names[1:])
    first, second = (at_body, at_result) if from_body else (at_result, at_body)
    return f"{first} | default({second})"


def _at(names: list[str]) -> str:
    """Return the expression for a field of the body, whatever else has its name."""
    parts = [f"['{name}']" if name.isidentifier() else f".{name}" for name in names]
    return "output.data" + "".join(parts)


def _of_outcome(node: MapNode) -> MapNode:
    """Return the next request with the names of rules in its templates, as in the guard."""
    values: dict[str, Node] = {}
    for key, value in node.items():
        if isinstance(value, MapNode):
            values[key] = _of_outcome(value)
        elif isinstance(value.value, str):
            text = _BRACES.sub(lambda match: of_outcome(match[0]), value.value)
            values[key] = Node(text, value.mark)
        else:
            values[key] = value
    return MapNode(values, node.mark, node.key_marks)


def _missing(block: MapNode, more: Node | None, call: Node | None, strategy: str) -> str:
    """Return why a block cannot be upgraded, or an empty string."""
    others = sorted(block.value.keys() - _KEYS)
    if others:
        return f"{others[0]!r} has no counterpart"
    if more is None:
        return "it does not say while what it goes on ('continue_while')"
    if not isinstance(call, MapNode):
        return "it does not say what the next page is ('next_page')"
    if strategy not in _STRATEGIES:
        return f"its strategy is {strategy!r}, not one of {', '.join(sorted(_STRATEGIES))}"
    odd = [key for key, node in call.items() if not _can_change(key, node)]
    return f"the next page changes {odd[0]!r}" if odd else ""


def _can_change(key: str, node: Node) -> bool:
    return key in _TEXTS or (key in _MAPS and isinstance(node, MapNode))


def _asking(task: MapNode, pages: Pages) -> MapNode:
    """Return a task that requests the first page, or the page that was set."""
    given = task.get("input") or task.get("args")
    inputs = given if isinstance(given, MapNode) else MapNode({}, task.mark, {})
    for key in _MAPS:
        change = pages.changes.get(key)
        if not isinstance(change, MapNode):
            continue
        written = task.get(key)
        made = written if isinstance(written, MapNode) else MapNode({}, change.mark, {})
        if isinstance(written, MapNode):
            inputs = inputs.having(f"first_{key}", written)
        for name in change.value:
            text = f"{{{{ next_{key}['{name}'] | default(first_{key}['{name}']) }}}}"
            made = made.having(name, Node(text, change.mark))
        task = task.having(key, made)
    for key in _TEXTS:
        change, written = pages.changes.get(key), task.get("url") or task.get("endpoint")
        if change is not None and written is not None:
            inputs = inputs.having("first_url", written)
            value = Node("{{ next_url | default(first_url) }}", change.mark)
            task = task.without("endpoint").having("url", value)
    return task.without("args").having("input", inputs) if inputs.value else task


def _rules(pages: Pages, label: str, task: MapNode) -> list[Node]:
    mark = task.mark
    into, where = pages.into, pages.items
    items = f"({where})"
    if pages.strategy != "collect":
        is_one = f"{items} is mapping or {items} is string or {items} is not iterable"
        items = f"([] if {items} is none else [{items}] if {is_one} else {items})"
    else:
        items = f"[{items}]"
    found = f"({into} | default([])) + {items}"
    collected = Node(f"{{{{ {where if pages.strategy == 'replace' else found} }}}}", mark)
    done = MapNode({into: collected}, mark, {})
    count = "(page_count | default(1))"
    goes_on = done.having("page_count", Node(f"{{{{ {count} + 1 }}}}", mark))
    for key in (*_MAPS, *_TEXTS):
        change = pages.changes.get(key)
        if change is not None:
            name = "next_url" if key in _TEXTS else f"next_{key}"
            goes_on = goes_on.having(name, change)
    jump = {"do": Node("jump", mark), "to": Node(label, mark), "set": goes_on}
    stop = {"do": Node("continue", mark), "set": done}
    more = f"{_OK} and ({pages.more}) and {count} < ({pages.most})"
    return [
        _rule(more, MapNode(jump, mark, {}), mark),
        _rule(_OK, MapNode(stop, mark, {}), mark),
    ]


def _rule(when: str, then: MapNode, mark: tuple[int, int]) -> Node:
    return MapNode({"when": Node(f"{{{{ {when} }}}}", mark), "then": then}, mark, {})


def _expression(text: str) -> str:
    text = text.strip()
    is_whole = text.startswith("{{") and text.endswith("}}")
    return text[2:-2].strip("-").strip() if is_whole else text


def _text(node: MapNode, *keys: str) -> str:
    found = next((n.value for k in keys if (n := node.get(k)) is not None), None)
    return str(found) if found is not None else ""
