"""The table of tool kinds, and where third parties add theirs.

A kind's module is imported when a playbook first uses the kind, so nobody pays for tools
that he does not use. The module has ``KIND``, what the language knows of it, and
``TOOL``, which makes the tool. Other packages add kinds in the entry-point group
``arcbook.tools``.
"""

from __future__ import annotations

from functools import lru_cache
from importlib import import_module
from typing import Any, Final

from arcbook.dsl.kinds import Kind, Param, Treatment
from arcbook.errors import MissingError
from arcbook.tools.api import Tool

ENTRY_POINTS: Final = "arcbook.tools"

MODULES: Final[dict[str, str]] = {
    "agent": "arcbook.tools.agent",
    "artifact": "arcbook.tools.artifact",
    "duckdb": "arcbook.tools.duckdb",
    "http": "arcbook.tools.http",
    "mcp": "arcbook.tools.mcp",
    "nats": "arcbook.tools.nats",
    "noop": "arcbook.tools.noop",
    "object": "arcbook.tools.object",
    "playbook": "arcbook.tools.playbook",
    "postgres": "arcbook.tools.postgres",
    "python": "arcbook.tools.python",
    "result_fetch": "arcbook.tools.result_fetch",
    "shell": "arcbook.tools.shell",
    "task_sequence": "arcbook.tools.task_sequence",
    "transfer": "arcbook.tools.transfer",
}

ABSENT: Final = frozenset(
    [
        "auth",
        "container",
        "ducklake",
        "gateway",
        "provider",
        "rhai",
        "script",
        "secrets",
        "sink",
        "snowflake",
        "snowflake_transfer",
        "subscription",
        "wasm",
    ]
)
"""Kinds of the language for which no tool comes with this package; others may add them."""

SCRIPTS: Final = ("args", "cmd", "cmds", "code", "command", "commands", "content", "script")
"""Parameters of those kinds that may hold text of other programs, braces included."""

NAMES: Final[dict[str, str]] = {
    "azure": "object",
    "gcs": "object",
    "playbooks": "playbook",
    "result-fetch": "result_fetch",
    "s3": "object",
}
"""Other names of our kinds."""


@lru_cache
def _absent(name: str) -> Kind:
    return Kind(
        name=name,
        params=tuple(Param(name=key, treatment=Treatment.SCRIPT) for key in SCRIPTS),
        open=True,
        takes_auth=True,
        is_absent=True,
    )


class UnknownKindError(MissingError):
    """There is no tool of that kind."""

    code = "unknown_kind"


class Registry:
    """Tool kinds by name, and one tool of each kind for a runtime."""

    def __init__(self, modules: dict[str, str] | None = None) -> None:
        self._modules = dict(MODULES if modules is None else modules)
        self._loaded: dict[str, Any] = {}
        self._tools: dict[str, Tool] = {}
        self._searched = False

    def kind(self, name: str) -> Kind | None:
        """Return what the language knows of a kind.

        A kind whose module lacks something that it imports is as good as absent: documents
        that use it can be checked all the same.
        """
        try:
            module = self._module(name)
        except ImportError:
            return _absent(name)
        if module is not None:
            kind: Kind = module.KIND
            return kind
        return _absent(name) if name in ABSENT else None

    def names(self) -> tuple[str, ...]:
        """Return the names of all kinds."""
        self._search()
        return tuple(sorted(self._modules))

    def tool(self, name: str) -> Tool:
        """Return the runtime's tool of a kind.

        Raises:
            UnknownKindError: there is no such kind.
        """
        tool = self._tools.get(name)
        if tool is None:
            module = self._module(name)
            if module is None:
                why = "has no tool in this installation" if name in ABSENT else "does not exist"
                raise UnknownKindError(f"tool kind {name!r} {why}")
            tool = self._tools[name] = module.TOOL()
        return tool

    def add(self, name: str, tool: Tool, kind: Kind | None = None) -> None:
        """Add a tool, or put one in another's place; for tests and embedding."""
        module = type("Added", (), {"KIND": kind or Kind(name=name, open=True)})
        self._loaded[name] = module
        self._modules[name] = ""
        self._tools[name] = tool

    async def close(self) -> None:
        """Close every tool that was used."""
        tools, self._tools = list(self._tools.values()), {}
        for tool in tools:
            await tool.close()

    def _module(self, name: str) -> Any:
        name = NAMES.get(name, name)
        if name in self._loaded:
            return self._loaded[name]
        if name not in self._modules:
            self._search()
        path = self._modules.get(name)
        if path is None:
            return None
        self._loaded[name] = found = import_module(path)
        return found

    def _search(self) -> None:
        """Look once for kinds of other packages."""
        if self._searched:
            return
        self._searched = True
        from importlib import metadata  # slow to import; most playbooks need none of it

        for entry in metadata.entry_points(group=ENTRY_POINTS):
            self._modules.setdefault(entry.name, entry.value)
