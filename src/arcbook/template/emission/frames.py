"""Resolve the names of a template to variables."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from jinja2 import nodes

from arcbook.template.errors import TemplateError


@dataclass(slots=True)
class Macro:
    """A macro: its Python function and its parameters."""

    function: str
    parameters: tuple[str, ...]
    required: int


@dataclass(slots=True)
class Loop:
    """A ``for`` block: the Python variables of its items and of the current index."""

    items: str
    index: str


@dataclass(slots=True)
class Frame:
    """The names that a part of a template gives a meaning to.

    Attributes:
        variables: Python variables, by name.
        settled: names whose variable certainly has a value at this point.
        macros: macros by name.
        namespaces: Python variables of namespaces, by name.
        loop: the innermost ``for`` block.
    """

    outer: Frame | None = None
    variables: dict[str, str] = field(default_factory=dict)
    settled: set[str] = field(default_factory=set)
    macros: dict[str, Macro] = field(default_factory=dict)
    namespaces: dict[str, str] = field(default_factory=dict)
    loop: Loop | None = None

    def macro(self, name: str) -> Macro | None:
        """Return the macro that a name refers to, or ``None``."""
        if name in self.macros:
            return self.macros[name]
        if name in self.variables or self.outer is None:
            return None
        return self.outer.macro(name)

    def namespace(self, name: str) -> str | None:
        """Return the variable of the namespace that a name refers to, or ``None``."""
        if name in self.namespaces:
            return self.namespaces[name]
        if name in self.variables or self.outer is None:
            return None
        return self.outer.namespace(name)

    def innermost_loop(self) -> Loop | None:
        """Return the ``for`` block that ``loop`` refers to, or ``None``."""
        if "loop" in self.variables:
            return None
        if self.loop is not None or self.outer is None:
            return self.loop
        return self.outer.innermost_loop()


def assigned(body: Iterable[nodes.Node]) -> list[nodes.Node]:
    """Return what assigns a name of the frame that ``body`` is: not what has a frame of its own."""
    assignments: list[nodes.Node] = []
    for node in body:
        if isinstance(node, (nodes.Assign, nodes.AssignBlock, nodes.Macro)):
            assignments.append(node)
        elif isinstance(node, nodes.If):
            assignments += assigned((*node.body, *node.elif_, *node.else_))
    return assignments


def target_names(target: nodes.Node) -> list[str]:
    """Return the names that a target of an assignment or loop binds."""
    if isinstance(target, nodes.Name):
        return [target.name]
    if isinstance(target, nodes.Tuple):
        return [name for inner in target.items for name in target_names(inner)]
    if isinstance(target, nodes.NSRef):
        return []
    raise TemplateError("only names can be given values")


def is_namespace(node: nodes.Node) -> bool:
    """Return whether an expression creates a namespace."""
    return (
        type(node) is nodes.Call and type(node.node) is nodes.Name and node.node.name == "namespace"
    )
