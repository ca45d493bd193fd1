"""Generate Python source of statements: text, ``if``, ``for``, ``set``, ``with``, ``macro``, ..."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

from jinja2 import nodes

from arcbook.template import limits, operators, scope, text
from arcbook.template.access import MISSING
from arcbook.template.emission.expressions import Expressions
from arcbook.template.emission.frames import (
    Frame,
    Loop,
    Macro,
    assigned,
    is_namespace,
    target_names,
)
from arcbook.template.errors import BudgetError, TemplateError


class Statements(Expressions):
    """Writes a whole template as the source of a function.

    Attributes:
        lines: the source so far.
        indent: what the next line begins with.
    """

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []
        self.indent = ""
        self._output = "o"
        self._loops = 0

    def line(self, code: str) -> int:
        """Add a line; return its number."""
        self.lines.append(self.indent + code)
        return len(self.lines) - 1

    def expression(self, node: nodes.Expr, *, is_result: bool) -> str:
        """Return the source of a function of one expression."""
        self.line("def run(s):")
        with_body = _Indented(self)
        with with_body:
            at = self._begin()
            code = self.result(node) if is_result else self.write(node)
            self.line(f"return {code}")
            self._charge(at)
        return "\n".join(self.lines)

    def template(self, tree: nodes.Template) -> str:
        """Return the source of a function of a text with templates."""
        self.line("def run(s):")
        with _Indented(self):
            at = self._begin()
            self.line("o = []")
            self.block(tree.body, Frame())
            self.line(f"return {self.use(text.joined)}(b, o)")
            self._charge(at)
        return "\n".join(self.lines)

    def _begin(self) -> int:
        self.line("b = s.budget")
        self.line("lookup = s.lookup")
        return self.line("charge")

    def _charge(self, at: int) -> None:
        """Insert the cost of the code written since line ``at`` into that line."""
        indent = self.lines[at].removesuffix("charge")
        charge = f"b.left -= {self.cost}\n{indent}if b.left < 0: exhausted(b)"
        self.lines[at] = indent + charge
        self.cost = 0

    # -- blocks -----------------------------------------------------------------------

    def block(self, body: Sequence[nodes.Node], frame: Frame) -> None:
        """Write statements in a frame of their own."""
        frame.outer = self.frame
        self.frame = frame
        for node in assigned(body):
            self._declare(node)
        for node in assigned(body):
            if isinstance(node, nodes.Macro):
                self._macro_body(node)
        self.statements(body)
        assert frame.outer is not None
        self.frame = frame.outer

    def _declare(self, node: nodes.Node) -> None:
        frame = self.frame
        if isinstance(node, nodes.Macro):
            names = tuple(a.name for a in node.args)
            required = len(names) - len(node.defaults)
            frame.macros[node.name] = Macro(self.globals.fresh("m"), names, required)
            return
        assert isinstance(node, (nodes.Assign, nodes.AssignBlock))
        if isinstance(node, nodes.Assign) and is_namespace(node.node):
            if not isinstance(node.target, nodes.Name):
                raise TemplateError("a namespace is given one name")
            name = node.target.name
            if name not in frame.namespaces:
                variable = frame.namespaces[name] = self.globals.fresh("n")
                self.line(f"{variable} = {{}}")
            return
        for name in target_names(node.target):
            if name in frame.namespaces or name in frame.macros:
                raise TemplateError(f"{name!r} is the name of a namespace or macro already")
            if name not in frame.variables:
                variable = frame.variables[name] = self.globals.fresh("v")
                self.line(f"{variable} = UNSET")

    def statements(self, body: Iterable[nodes.Node]) -> None:
        """Write statements."""
        for node in body:
            self.cost += 1
            handler = _HANDLERS.get(type(node))
            if handler is None:
                what = type(node).__name__.lower()
                raise TemplateError(f"template syntax: there is no {what} block in templates")
            handler(self, node)

    # -- text -------------------------------------------------------------------------

    def output(self, node: nodes.Output) -> None:
        """Write text and the expressions in it."""
        for piece in node.nodes:
            self.cost += 1
            if isinstance(piece, nodes.TemplateData):
                if piece.data:
                    self.line(f"{self._output}.append({self.template_data(piece)})")
                continue
            name = self.globals.constant(_shown_name(piece))
            self.line(
                f"{self._output}.append({self.use(shown)}(s, b, {self.write(piece)}, {name}))"
            )

    def _captured(self, body: Sequence[nodes.Node], frame: Frame) -> str:
        """Write statements whose output is a value; return its source."""
        outer, self._output = self._output, self.globals.fresh("o")
        self.line(f"{self._output} = []")
        self.block(body, frame)
        captured, self._output = self._output, outer
        return f"{self.use(text.joined)}(b, {captured})"

    # -- control ----------------------------------------------------------------------

    def if_(self, node: nodes.If) -> None:
        """Write ``if``, ``elif`` and ``else``."""
        settled = self.frame.settled
        keyword = "if"
        for branch in (node, *node.elif_):
            self.line(f"{keyword} {self.truth(branch.test)}:")
            keyword = "elif"
            self._branch(branch.body, settled)
        if node.else_:
            self.line("else:")
            self._branch(node.else_, settled)
        self.frame.settled = settled

    def _branch(self, body: Sequence[nodes.Node], settled: set[str]) -> None:
        self.frame.settled = set(settled)
        with _Indented(self):
            self.line("pass")
            self.statements(body)

    def for_(self, node: nodes.For) -> None:
        """Write ``for``, with its condition and its ``else``."""
        if node.recursive:
            raise TemplateError("template syntax: there are no recursive loops in templates")
        self._loops += 1
        if self._loops > limits.LOOPS_NESTED_MAX:
            raise BudgetError(f"loops nest deeper than {limits.LOOPS_NESTED_MAX} levels")
        items = self.globals.fresh("x")
        self.line(f"{items} = {self.use(operators.each)}(b, {self.write(node.iter)})")
        if node.test is not None:
            items = self._filtered_items(node, items)
        index = self.globals.fresh("i")
        frame = Frame(loop=Loop(items, index))
        with self._iteration(f"for {index}, {{}} in enumerate({items}):", node.target, frame):
            self.block(node.body, frame)
        self._loops -= 1
        if node.else_:
            self.line(f"if not {items}:")
            with _Indented(self):
                self.block(node.else_, Frame())

    def _filtered_items(self, node: nodes.For, items: str) -> str:
        assert node.test is not None
        kept, element = self.globals.fresh("x"), self.globals.fresh("e")
        self.line(f"{kept} = []")
        frame = Frame()
        with self._iteration(f"for {element} in {items}:", node.target, frame, element):
            frame.outer, self.frame = self.frame, frame
            self.line(f"if {self.truth(node.test)}: {kept}.append({element})")
            self.frame = frame.outer
        return kept

    def _iteration(self, head: str, target: nodes.Node, frame: Frame, element: str = "") -> Any:
        element = element or self.globals.fresh("e")
        outer, self.cost = self.cost, 2
        self.line(head.format(element))
        indented = _Indented(self)
        indented.__enter__()
        at = self.line("charge")
        self._bind(target, element, frame)

        def leave() -> None:
            self._charge(at)
            self.cost = outer
            indented.__exit__()

        return _Leaving(leave)

    def _bind(self, target: nodes.Node, value: str, frame: Frame) -> None:
        """Bind names of a frame to a value, or to its parts."""
        if isinstance(target, nodes.Name):
            frame.variables[target.name] = self.globals.fresh("v")
            frame.settled.add(target.name)
            self.line(f"{frame.variables[target.name]} = {value}")
            return
        if not isinstance(target, nodes.Tuple):
            raise TemplateError("only names can be given values")
        parts = [self.globals.fresh("p") for _ in target.items]
        self.line(f"{', '.join(parts)}, = {self.use(operators.unpack)}({value}, {len(parts)})")
        for inner, part in zip(target.items, parts, strict=True):
            self._bind(inner, part, frame)

    def with_(self, node: nodes.With) -> None:
        """Write ``with``: names for a part of the text."""
        frame = Frame()
        for target, value in zip(node.targets, node.values, strict=True):
            self._bind(target, self.write(value), frame)
        self.block(node.body, frame)

    # -- names ------------------------------------------------------------------------

    def assign(self, node: nodes.Assign) -> None:
        """Write ``set name = value``."""
        if is_namespace(node.node):
            self._namespace(node)
        else:
            self._set(node.target, self.write(node.node))

    def _namespace(self, node: nodes.Assign) -> None:
        assert isinstance(node.target, nodes.Name)
        assert isinstance(node.node, nodes.Call)
        if node.node.args or node.node.dyn_args or node.node.dyn_kwargs:
            raise TemplateError("namespace() takes values by name")
        pairs = ", ".join(
            f"{self.globals.constant(k.key)}: {self.write(k.value)}" for k in node.node.kwargs
        )
        self.line(f"{self.frame.namespaces[node.target.name]} = {{{pairs}}}")

    def _set(self, target: nodes.Node, value: str) -> None:
        if isinstance(target, nodes.Name):
            self.line(f"{self.frame.variables[target.name]} = {value}")
            self.frame.settled.add(target.name)
            return
        if isinstance(target, nodes.NSRef):
            variable = self.frame.namespace(target.name)
            if variable is None:
                raise TemplateError(f"{target.name!r} is no namespace; make it by namespace()")
            self.line(f"{variable}[{self.globals.constant(target.attr)}] = {value}")
            return
        assert isinstance(target, nodes.Tuple)
        parts = [self.globals.fresh("p") for _ in target.items]
        self.line(f"{', '.join(parts)}, = {self.use(operators.unpack)}({value}, {len(parts)})")
        for inner, part in zip(target.items, parts, strict=True):
            self._set(inner, part)

    def assign_block(self, node: nodes.AssignBlock) -> None:
        """Write ``set name`` around a text."""
        value = self._captured(node.body, Frame())
        if node.filter is not None:
            value = self._filters(node.filter, value)
        self._set(node.target, value)

    def filter_block(self, node: nodes.FilterBlock) -> None:
        """Write ``filter`` around a text."""
        value = self._filters(node.filter, self._captured(node.body, Frame()))
        self.line(f"{self._output}.append({self.use(text.text_of)}(b, {value}))")

    def _filters(self, node: nodes.Expr, value: str) -> str:
        """Write a chain of filters of a text."""
        assert isinstance(node, nodes.Filter)
        self.cost += 1
        return self.filtered(node, value if node.node is None else self._filters(node.node, value))

    # -- macros -----------------------------------------------------------------------

    def macro(self, node: nodes.Macro) -> None:
        """No-op: macros are written at the beginning of their frame."""

    def _macro_body(self, node: nodes.Macro) -> None:
        macro = self.frame.macros[node.name]
        cost, output, depth, loops = self.cost, self._output, self.depth, self._loops
        self.cost, self._output, self._loops = 4, "o", 0
        self.depth = self.globals.fresh("d")
        parameters = [self.globals.fresh("v") for _ in macro.parameters]
        self.line(f"def {macro.function}({', '.join((self.depth, *parameters))}):")
        with _Indented(self):
            at = self.line("charge")
            self.line(f"if {self.depth} > {limits.MACRO_DEPTH_MAX}: {self.use(too_deep)}()")
            self.line("o = []")
            self.block(node.body, self._parameters(node, macro, parameters))
            self.line(f"return {self.use(text.joined)}(b, o)")
            self._charge(at)
        self.cost, self._output, self.depth, self._loops = cost, output, depth, loops

    def _parameters(self, node: nodes.Macro, macro: Macro, variables: list[str]) -> Frame:
        frame = Frame(outer=self.frame)
        outer, self.frame = self.frame, frame
        for number, (name, variable) in enumerate(zip(macro.parameters, variables, strict=True)):
            default = "MISSING"
            if number >= macro.required:
                default = self.write(node.defaults[number - macro.required])
            self.line(f"if {variable} is UNSET: {variable} = {default}")
            frame.variables[name] = variable
            frame.settled.add(name)
        self.frame = outer
        return frame


class _Indented:
    """Indents the lines written within it."""

    def __init__(self, statements: Statements) -> None:
        self._statements = statements

    def __enter__(self) -> None:
        self._statements.indent += " "

    def __exit__(self, *_: object) -> None:
        self._statements.indent = self._statements.indent[:-1]


class _Leaving:
    """Calls a function at the end of a ``with``."""

    def __init__(self, leave: Callable[[], None]) -> None:
        self._leave = leave

    def __enter__(self) -> None:
        pass

    def __exit__(self, *_: object) -> None:
        self._leave()


def shown(current: scope.Scope, budget: Any, value: Any, name: str) -> str:
    """Return a value as text, recording it in the scope if it is missing."""
    if type(value) is str:
        budget.left -= len(value) >> 4
        return value
    if value is MISSING:
        current.note_missing(name)
        return ""
    return text.text_of(budget, value)


def too_deep() -> None:
    """Raise the error for too deeply nested macro calls.

    Raises:
        BudgetError: Always.
    """
    raise BudgetError(f"macros call each other deeper than {limits.MACRO_DEPTH_MAX} levels")


def _shown_name(node: nodes.Node) -> str:
    """Return the source of a name, for the warning that it has no value."""
    parts: list[str] = []
    while isinstance(node, (nodes.Getattr, nodes.Getitem)):
        if isinstance(node, nodes.Getattr):
            parts.append(f".{node.attr}")
        else:
            arg = node.arg
            parts.append(f"[{arg.value!r}]" if isinstance(arg, nodes.Const) else "[…]")
        node = node.node
    if not isinstance(node, nodes.Name):
        return "expression"
    return node.name + "".join(reversed(parts))


_HANDLERS: Final[dict[type, Callable[[Statements, Any], None]]] = {
    nodes.Assign: Statements.assign,
    nodes.AssignBlock: Statements.assign_block,
    nodes.FilterBlock: Statements.filter_block,
    nodes.For: Statements.for_,
    nodes.If: Statements.if_,
    nodes.Macro: Statements.macro,
    nodes.Output: Statements.output,
    nodes.With: Statements.with_,
}
