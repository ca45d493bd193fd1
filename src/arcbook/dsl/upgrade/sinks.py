"""Convert `sink` and `save` blocks, which save a result, to tasks of their own.

The task follows the one whose result it saves. A last task returns that result again, so that
readers of the step still see it.
"""

from __future__ import annotations

import re
from typing import Final

from arcbook.dsl.source import ListNode, MapNode, Mark, Node
from arcbook.dsl.upgrade.context import UpgradeContext
from arcbook.dsl.upgrade.placement import gathered

KEYS: Final = ("sink", "save")

_INSTEAD: Final = "write a task that saves, after the one that yields the data"
_LOGGED: Final = frozenset({"event", "event_log", "eventlog"})
_TABLES: Final = frozenset({"postgres", "duckdb"})
_STATEMENTS: Final = ("statement", "query", "command", "commands", "sql", "queries")
_PLAIN_COLUMN: Final = re.compile(r"[A-Za-z_]\w*")
_FILE_CODE: Final = """\
text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, indent=2)
with open(path, "w", encoding="utf-8") as file:
    file.write(text)
result = {"path": path, "size": len(text)}
"""


def take_sinks(
    context: UpgradeContext, holder: MapNode, name: str
) -> tuple[MapNode, list[MapNode]]:
    """Return a step or task without its blocks, and the tasks that replace them.

    Args:
        context: the playbook's.
        holder: the step or task.
        name: label of the task whose result is saved.
    """
    found: list[MapNode] = []
    if "sink" not in holder.value and "save" not in holder.value:
        return holder, found
    for key in KEYS:
        node = holder.get(key)
        if node is None or isinstance(node.value, bool):
            continue
        if not isinstance(node, (MapNode, ListNode)):
            context.removed(key, holder, _INSTEAD)
            holder = holder.without(key)
            continue
        holder = holder.without(key)
        blocks = node.value if isinstance(node, ListNode) else [node]
        for block in blocks:
            task = _Sink(context, block, name).task() if isinstance(block, MapNode) else None
            if task is not None:
                label = f"{name}_{key}" if not found else f"{name}_{key}_{len(found) + 1}"
                found.append(task.having("name", Node(label, block.mark)))
        kinds = ", ".join(f"{{kind: {_kind(task)}, ...}}" for task in found)
        hint = f"write 'tool: [{{name: {name}, ...}}, {kinds}]'" if kinds else "remove it"
        message = f"a '{key}' block is now a task of the step"
        context.old(message, holder.key_position(key), hint)
    return holder, found


def _kind(task: MapNode) -> str:
    kind = task.get("kind") or task.get("type")
    return str(kind.value) if kind is not None else "?"


def result_again(name: str, mark: Mark) -> MapNode:
    """Return a task that returns the result of another one."""
    entries = {
        "name": Node(f"{name}_again", mark),
        "kind": Node("noop", mark),
        "result": Node(_of_task(name), mark),
    }
    return MapNode(entries, mark, {})


def _of_task(name: str) -> str:
    """Return the template of a task's result, for any label."""
    return f"{{{{ results['{name}'] }}}}"


class _Sink:
    """Reads one block."""

    def __init__(self, context: UpgradeContext, block: MapNode, name: str) -> None:
        self.context = context
        self.block = block
        self.name = name

    def task(self) -> MapNode | None:
        """Return the task that saves, or ``None`` if the event log keeps the result anyway."""
        block = self.block
        if "file" in block.value:
            return self._file(block.renamed("file", "path"))
        inner = block.get("tool")
        if isinstance(inner, MapNode):
            tool = inner
        else:
            named = block.renamed("storage", "kind") if inner is None else block
            named = named.renamed("target", "kind") if "kind" not in named.value else named
            tool = gathered(self.context, named, frozenset({"desc", "description"}))
        kind = tool.get("kind") or tool.get("type")
        if kind is None or not isinstance(kind.value, str):
            self.context.report.error(
                "ARC501", "a 'sink' without a tool says nothing", block.position, _INSTEAD
            )
            return None
        if kind.value in _LOGGED:
            return None
        if kind.value == "file":
            return self._file(tool)
        return self._reading(self._row(tool, kind.value) if kind.value in _TABLES else tool)

    def _reading(self, task: MapNode) -> MapNode:
        """Return a task that reads the result as ``this`` and ``data``."""
        given = task.get("input") or task.get("args")
        own = given if isinstance(given, MapNode) else MapNode({}, task.mark, {})
        for key in ("this", "data"):
            if key not in own.value:
                own = own.having(key, Node(_of_task(self.name), task.mark))
        return task.without("args").having("input", own)

    def _file(self, tool: MapNode) -> MapNode:
        """Return the task that writes a file, as there is no tool for files."""
        mark = tool.mark
        path = tool.get("path")
        if path is None:
            message = "a 'sink' into a file does not say which"
            self.context.report.error("ARC501", message, tool.position, _INSTEAD)
        given = {
            "path": path or Node("", mark),
            "value": tool.get("data") or Node(_of_task(self.name), mark),
        }
        code = {
            "kind": Node("python", mark),
            "input": MapNode(given, mark, {}),
            "code": Node(_FILE_CODE, mark),
        }
        return MapNode(code, mark, {})

    def _row(self, tool: MapNode, kind: str) -> MapNode:
        """Return the task that runs a statement, or inserts a row into a table."""
        written = next((key for key in _STATEMENTS if tool.get(key) is not None), None)
        if written is not None:
            return tool if written == "query" else tool.renamed(written, "query")
        table = tool.get("table")
        values = next(
            (n for k in ("data", "args", "input") if (n := tool.get(k)) is not None), None
        )
        if table is None or not isinstance(values, MapNode):
            return tool
        columns = list(values.value)
        bad = [c for c in columns if not _PLAIN_COLUMN.fullmatch(c)]
        if bad:
            message = f"{bad[0]!r} is no name of a column"
            self.context.report.error("ARC501", message, values.position, _INSTEAD)
        places = [f"%({c})s" if kind == "postgres" else f"${c}" for c in columns]
        into = f"{table.value} ({', '.join(columns)})"
        words = ["INSERT INTO", into, f"VALUES ({', '.join(places)})", *_on_conflict(tool, columns)]
        tool = tool.without("data", "args", "input", "table", "mode", "key")
        query = Node(" ".join(words), table.mark)
        return tool.having("query", query).having("params", values)


def _on_conflict(tool: MapNode, columns: list[str]) -> list[str]:
    mode, key = tool.get("mode"), tool.get("key")
    if mode is None or mode.value != "upsert" or key is None:
        return []
    keys = key.plain() if isinstance(key, ListNode) else [key.value]
    rest = [c for c in columns if c not in keys]
    update = ", ".join(f"{c} = EXCLUDED.{c}" for c in rest)
    action = f"DO UPDATE SET {update}" if rest else "DO NOTHING"
    return ["ON CONFLICT", f"({', '.join(str(k) for k in keys)})", action]
