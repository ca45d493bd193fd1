"""Making code ready to run: what it uses, and its compiled form."""

from __future__ import annotations

import ast
import base64
import marshal
import sys
from collections.abc import Iterable, Iterator
from types import CodeType
from typing import Any, Final, NamedTuple

from arcbook.tools.python_child.purity import Purity

FILENAME: Final = "<playbook>"

RENAMED: Final = "not.plain"
"""Stands for modules that code gets under other names; what they are is not looked into."""

#: Modules that code may use without importing them.
GIVEN_MODULES: Final = frozenset(
    [
        "base64",
        "collections",
        "csv",
        "datetime",
        "functools",
        "hashlib",
        "io",
        "itertools",
        "json",
        "logging",
        "math",
        "os",
        "random",
        "re",
        "statistics",
        "string",
        "sys",
        "textwrap",
        "time",
        "traceback",
        "urllib",
        "uuid",
    ]
)


class Prepared(NamedTuple):
    """Code made ready: compiled, and what is known of it."""

    code: CodeType
    #: Modules that it uses without importing them.
    given: frozenset[str]
    #: Modules that it imports and that are not at hand.
    imports: frozenset[str]
    #: Whether it leaves nothing behind in its process.
    pure: bool
    #: Whether it has a ``return`` of its own, and so became a function's body.
    returns: bool

    @classmethod
    def from_source(cls, source: str, modules: list[str]) -> Prepared:
        """Prepare code that uses modules which its task lists.

        Raises:
            SyntaxError: it is not Python.
        """
        tree = ast.parse(source, FILENAME)
        given = _given_modules(tree)
        imports = _not_at_hand(tree, {*modules, *given} - {RENAMED})
        purity = Purity({*(m.partition(".")[0] for m in modules), *given})
        purity.visit(tree)
        pure = purity.pure and all("." not in m for m in modules)
        returns = _has_top_level_return(tree)
        code = compile(_in_function(tree) if returns else tree, FILENAME, "exec")
        return cls(code, given, imports, pure, returns)

    @classmethod
    def from_wire(cls, wire: dict[str, Any]) -> Prepared:
        """Take back what :meth:`wire` gave."""
        code = marshal.loads(base64.b64decode(wire["code"]))  # noqa: S302  # our own
        given, imports = frozenset(wire["given"]), frozenset(wire["imports"])
        return cls(code, given, imports, wire["pure"], wire["returns"])

    def wire(self) -> dict[str, Any]:
        """Return it as the parent keeps it for other children."""
        return {
            "code": base64.b64encode(marshal.dumps(self.code)).decode(),
            "given": sorted(self.given),
            "imports": sorted(self.imports),
            "pure": self.pure,
            "returns": self.returns,
        }


def _given_modules(tree: ast.Module) -> frozenset[str]:
    """Return modules that the code uses and does not import."""
    stored = {
        n.id for n in ast.walk(tree) if isinstance(n, ast.Name) and not isinstance(n.ctx, ast.Load)
    }
    for node in ast.walk(tree):
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            stored |= {(a.asname or a.name).partition(".")[0] for a in node.names}
        elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            stored.add(node.name)
        if isinstance(node, ast.arguments):
            stored |= {a.arg for a in (*node.args, *node.kwonlyargs, *node.posonlyargs)}
    loaded = frozenset(
        n.id for n in ast.walk(tree) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Load)
    )
    return (loaded & GIVEN_MODULES) - stored


def _not_at_hand(tree: ast.Module, modules: set[str]) -> frozenset[str]:
    """Return modules that the code imports and that this process has not imported yet."""
    found = set(modules)
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {a.name for a in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.add(node.module)
    return frozenset(
        name for name in found if name not in sys.modules and name.replace(".", "").isidentifier()
    )


def _outside_functions(nodes: Iterable[ast.AST]) -> Iterator[ast.AST]:
    """Yield nodes that belong to the module itself, not to a function or class in it."""
    remaining = list(nodes)
    while remaining:
        node = remaining.pop()
        yield node
        inner = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda)
        if not isinstance(node, inner):
            remaining.extend(ast.iter_child_nodes(node))


def _has_top_level_return(tree: ast.Module) -> bool:
    return any(isinstance(node, ast.Return) for node in _outside_functions(tree.body))


def _in_function(tree: ast.Module) -> ast.Module:
    """Return code with a ``return`` of its own as the body of a function.

    Its names stay global: code may read an input and then assign to the same name.
    """
    names: set[str] = set()
    for node in _outside_functions(tree.body):
        if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
            names.add(node.id)
        elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            names.add(node.name)
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            names |= {(a.asname or a.name).partition(".")[0] for a in node.names} - {"*"}
        elif isinstance(node, ast.ExceptHandler) and node.name:
            names.add(node.name)
    body = ([ast.Global(sorted(names))] if names else []) + tree.body
    empty = ast.arguments([], [], None, [], [], None, [])
    function = ast.FunctionDef("_playbook_body_", empty, body, [], None, None)
    if sys.version_info >= (3, 12):
        function.type_params = []
    module = ast.Module([function], [])
    return ast.fix_missing_locations(module)
