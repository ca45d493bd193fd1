"""The table of tool kinds, and where other packages add theirs.

A kind's module is imported when a playbook first uses the kind, so nobody pays for tools
that he does not use. The module has ``SPEC``, a :class:`ToolSpec`. Other packages add
kinds by entry points of the group ``arcbook.tools``, each of which names such an object.
"""

from __future__ import annotations

from functools import lru_cache
from importlib import import_module
from typing import Final

from arcbook.dsl.kinds import Absence, Kind, Param, Treatment
from arcbook.errors import MissingError
from arcbook.plugins import Plugin, PluginError, plugins
from arcbook.tools.api import Tool
from arcbook.tools.spec import ToolSpec

ENTRY_POINTS: Final = "arcbook.tools"

MODULES: Final[dict[str, str]] = {
    "agent": "arcbook.tools.agent",
    "artifact": "arcbook.tools.artifact",
    "container": "arcbook.tools.container",
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
    "script": "arcbook.tools.container.script",
    "shell": "arcbook.tools.shell",
    "subscription": "arcbook.tools.subscription",
    "task_sequence": "arcbook.tools.task_sequence",
    "transfer": "arcbook.tools.transfer",
}

_PACKAGE: Final = "install a package that provides it"

ABSENT: Final[dict[str, str]] = {
    "auth": "declare the credential in 'keychain', or name it in 'auth' of the task that needs it",
    "ducklake": "use kind 'duckdb', with ATTACH 'ducklake:...' in 'commands'",
    "gateway": "call the API with kind 'http'",
    "provider": "call the provider's API with kind 'http', and a credential with 'auth'",
    "rhai": "write it in Python: 'kind: python' with the same 'input'; 'let x = 1;' becomes 'x = 1', "
    "'#{a: x}' becomes '{\"a\": x}', and the last expression 'result = ...'",
    "secrets": "declare the secret in 'keychain'",
    "sink": "write the result with the kind of its target: 'postgres', 'duckdb', 'http', 'transfer', ...",
    "snowflake": "use 'kind: python' with 'dependencies: [snowflake-connector-python]'",
    "snowflake_transfer": "use 'kind: python' with 'dependencies: [snowflake-connector-python]'",
    "wasm": "run the program with kind 'container' or 'shell', or write it in Python",
}
"""Kinds of the language for which no tool comes with this package, with what to do instead.

Other packages may add them.
"""

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
def _absent(name: str, absence: Absence) -> Kind:
    return Kind(
        name=name,
        params=tuple(Param(name=key, treatment=Treatment.SCRIPT) for key in SCRIPTS),
        open=True,
        takes_auth=True,
        absence=absence,
    )


def _unknown(name: str) -> str:
    if name not in ABSENT:
        return f"tool kind {name!r} does not exist"
    return f"tool kind {name!r} has no tool in this installation: {ABSENT[name]}"


class UnknownKindError(MissingError):
    """There is no tool of that kind."""

    code = "unknown_kind"


class Registry:
    """Tool kinds by name, and one tool of each kind for a runtime.

    Args:
        modules: the modules of built-in kinds, by kind.
    """

    def __init__(self, modules: dict[str, str] | None = None) -> None:
        self._modules = dict(MODULES if modules is None else modules)
        self._specs: dict[str, ToolSpec] = {}
        self._tools: dict[str, Tool] = {}
        self._plugins: dict[str, list[Plugin]] | None = None
        self._faults: dict[str, PluginError] = {}

    def kind(self, name: str) -> Kind | None:
        """Return what the language knows of a kind.

        A kind whose module or package cannot be imported is as good as absent: documents
        that use it can be checked all the same, and the kind says what is wrong.
        """
        try:
            spec = self.spec(name)
        except PluginError as error:
            reason = f"cannot be used, because {error}"
            return _absent(name, Absence(reason=reason, advice=error.advice, is_fault=True))
        except ImportError as error:
            return _absent(name, Absence(reason=f"cannot be used: {error}", advice=_PACKAGE))
        if spec is not None:
            return spec.kind
        return _absent(name, Absence(advice=ABSENT[name])) if name in ABSENT else None

    def names(self) -> tuple[str, ...]:
        """Return the names of all kinds."""
        return tuple(sorted({*self._modules, *self._specs, *self._added()}))

    def tool(self, name: str) -> Tool:
        """Return the runtime's tool of a kind.

        Raises:
            UnknownKindError: there is no such kind.
            PluginError: the package that provides the kind is broken.
            ImportError: the kind needs packages that are not installed.
        """
        tool = self._tools.get(name)
        if tool is None:
            spec = self.spec(name)
            if spec is None:
                raise UnknownKindError(_unknown(name))
            tool = self._tools[name] = self._make(name, spec)
        return tool

    def spec(self, name: str) -> ToolSpec | None:
        """Return a kind's declaration, or ``None`` if there is no such kind.

        Raises:
            PluginError: the package that provides the kind is broken.
            ImportError: the kind needs packages that are not installed.
        """
        name = NAMES.get(name, name)
        spec = self._specs.get(name)
        if spec is not None:
            return spec
        path = self._modules.get(name)
        if path is not None:
            spec = import_module(path).SPEC
        elif name in self._added():
            spec = self._of_package(name)
        else:
            return None
        self._specs[name] = spec
        return spec

    def add(self, name: str, tool: Tool, kind: Kind | None = None) -> None:
        """Add a tool, or put one in another's place; for tests and embedding."""
        kind = kind or Kind(name=name, open=True)
        self._specs[name] = ToolSpec(kind=kind, factory=lambda: tool)
        self._tools[name] = tool

    def add_spec(self, spec: ToolSpec) -> None:
        """Add a kind, or put one in another's place; for tests and embedding."""
        for name in (spec.kind.name, *spec.kind.names):
            self._specs[name] = spec
            self._tools.pop(name, None)

    def problems(self) -> list[PluginError]:
        """Return what is wrong with the packages that add kinds; imports all of them."""
        found: list[PluginError] = []
        for name, brought in self._added().items():
            if name in self._modules:
                found += [_taken(plugin) for plugin in brought]
                continue
            try:
                self.spec(name)
            except PluginError as error:
                found.append(error)
        return found

    async def close(self) -> None:
        """Close every tool that was used."""
        tools, self._tools = list(self._tools.values()), {}
        for tool in tools:
            await tool.close()

    def _added(self) -> dict[str, list[Plugin]]:
        """Return what other packages add, by kind. The packages are looked for once."""
        if self._plugins is None:
            self._plugins = self._search()
        return self._plugins

    def _search(self) -> dict[str, list[Plugin]]:
        by_kind: dict[str, list[Plugin]] = {}
        for plugin in plugins(ENTRY_POINTS):
            by_kind.setdefault(plugin.name, []).append(plugin)
        return by_kind

    def _of_package(self, name: str) -> ToolSpec:
        if name in self._faults:
            raise self._faults[name]
        try:
            return _loaded(self._added()[name])
        except PluginError as error:
            self._faults[name] = error
            raise

    def _make(self, name: str, spec: ToolSpec) -> Tool:
        """Make a tool; what a package's factory raises is a fault of the package."""
        if NAMES.get(name, name) in self._modules or name not in self._added():
            return spec.factory()
        try:
            return spec.factory()
        except ImportError as error:
            if not spec.extra:
                raise _broken_factory(self._added()[name][0], name, error) from error
            what = f"tool kind {name!r} needs packages that are not installed: {error}"
            raise ImportError(f"{what}; pip install '{spec.extra}'") from error
        except Exception as error:
            raise _broken_factory(self._added()[name][0], name, error) from error


def _loaded(brought: list[Plugin]) -> ToolSpec:
    """Return the one declaration that packages provide under a name."""
    plugin, *others = brought
    if others:
        names = ", ".join(repr(other.package) for other in others)
        problem = f"and {names} both provide tool kind {plugin.name!r}"
        raise plugin.error(problem, "remove all of these packages but one")
    spec = plugin.load(ToolSpec)
    if plugin.name not in (spec.kind.name, *spec.kind.names):
        problem = f"provides tool kind {spec.kind.name!r} under the name {plugin.name!r}"
        raise plugin.error(problem, "name the entry point as the kind")
    return spec


def _taken(plugin: Plugin) -> PluginError:
    problem = f"provides tool kind {plugin.name!r}, which Arcbook has itself: its own is used"
    return plugin.error(problem, "name the package's kind otherwise")


def _broken_factory(plugin: Plugin, kind: str, error: Exception) -> PluginError:
    why = f"{type(error).__name__}: {error}"
    return plugin.error(f"cannot make the tool of kind {kind!r}: {why}")
