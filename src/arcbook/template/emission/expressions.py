"""Generate Python source of expressions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from jinja2 import nodes

from arcbook.template import functions, limits, operators, text, values
from arcbook.template.access import MISSING, View, attribute, item
from arcbook.template.budget import Budget, exhausted
from arcbook.template.characters import whole_text
from arcbook.template.emission.frames import Frame, Loop, Macro
from arcbook.template.emission.words import check_arguments, check_word
from arcbook.template.errors import BudgetError, TemplateError, UnknownWordError
from arcbook.template.methods import NAMES, invoke
from arcbook.template.signatures import Word

_BINARY: Final[dict[type, Callable[..., Any]]] = {
    nodes.Add: operators.add,
    nodes.Sub: operators.sub,
    nodes.Mul: operators.mul,
    nodes.Div: operators.div,
    nodes.FloorDiv: operators.floordiv,
    nodes.Mod: operators.mod,
    nodes.Pow: operators.power,
}

_COMPARING: Final[dict[str, Callable[..., Any]]] = {
    "eq": operators.equal,
    "ne": operators.unequal,
    "lt": operators.less,
    "lteq": operators.less_equal,
    "gt": operators.greater,
    "gteq": operators.greater_equal,
    "in": operators.contains,
    "notin": operators.contains,
}

_PASSING: Final = frozenset(
    {"attr", "d", "default", "first", "get", "last", "max", "min", "random"}
)
"""Filters that may pass on a view."""

_BOOLEAN: Final = (nodes.Compare, nodes.Not, nodes.Test)
_VIEWS: Final = (
    nodes.Name, nodes.Getattr, nodes.Getitem, nodes.CondExpr, nodes.And, nodes.Or, nodes.Call,
)  # fmt: skip

_LOOP_PARTS: Final[dict[str, str]] = {
    "index": "({i} + 1)",
    "index0": "{i}",
    "revindex": "(len({x}) - {i})",
    "revindex0": "(len({x}) - {i} - 1)",
    "first": "({i} == 0)",
    "last": "({i} == len({x}) - 1)",
    "length": "len({x})",
    "depth": "1",
    "depth0": "0",
    "previtem": "({x}[{i} - 1] if {i} else MISSING)",
    "nextitem": "({x}[{i} + 1] if {i} + 1 < len({x}) else MISSING)",
}
"""The source of ``loop.name``, from the items {x} and the current index {i}."""


class Unset:
    """The sentinel for a variable without a value."""


class Globals:
    """The globals of a generated function: functions of this package, and constants."""

    def __init__(self) -> None:
        self.table: dict[str, Any] = {
            "__builtins__": {},
            "MISSING": MISSING,
            "UNSET": Unset(),
            "enumerate": enumerate,
            "exhausted": exhausted,
            "len": len,
        }
        self._functions: dict[Callable[..., Any], str] = {}
        self._count = 0

    def fresh(self, prefix: str) -> str:
        """Return an unused name."""
        self._count += 1
        return f"{prefix}{self._count}"

    def function(self, function: Callable[..., Any]) -> str:
        """Return the name of a function."""
        name = self._functions.get(function)
        if name is None:
            name = self._functions[function] = self.fresh("f")
            self.table[name] = function
        return name

    def constant(self, value: Any) -> str:
        """Return the name, or the literal, of a constant.

        Raises:
            BudgetError: If it is an integer with too many bits.
        """
        if value is None or value is True or value is False:
            return repr(value)
        if isinstance(value, int) and value.bit_length() > limits.NUMBER_BITS_MAX:
            raise BudgetError(f"an integer passes {limits.NUMBER_BITS_MAX:,} bits")
        name = self.fresh("K")
        self.table[name] = whole_text(value) if isinstance(value, str) else value
        return name


class Expressions:
    """Writes expressions as Python source, and adds up what they cost.

    Attributes:
        frame: the names that have a meaning here.
        roots: names that are looked up in the scope.
        cost: units that one evaluation of what was written so far takes.
        depth: the Python expression of how deep in macros the code runs.
    """

    def __init__(self) -> None:
        self.globals = Globals()
        self.frame = Frame()
        self.roots: set[str] = set()
        self.cost = 0
        self.depth = "0"

    # -- ways to write an expression --------------------------------------------------

    def write(self, node: nodes.Node) -> str:
        """Return the source of an expression, whose value may be a view or missing.

        Raises:
            TemplateError: If templates do not support the expression.
        """
        self.cost += 1
        handler = _HANDLERS.get(type(node))
        if handler is None:
            raise TemplateError(f"template syntax: there is no {type(node).__name__} in templates")
        return handler(self, node)

    def data(self, node: nodes.Node) -> str:
        """Return the source of an expression whose value is data."""
        code = self.write(node)
        if isinstance(node, _VIEWS) or (isinstance(node, nodes.Filter) and node.name in _PASSING):
            return f"{self.use(values.data)}({code})"
        return code

    def truth(self, node: nodes.Node) -> str:
        """Return the source of whether an expression counts as true."""
        code = self.write(node)
        return code if isinstance(node, _BOOLEAN) else f"{self.use(operators.truth)}({code})"

    def result(self, node: nodes.Node) -> str:
        """Return the source of an expression whose value is that of a lone template.

        Values passed on unchanged from the scope are not walked.
        """
        if isinstance(node, nodes.CondExpr):
            other = "MISSING" if node.expr2 is None else self.result(node.expr2)
            return f"({self.result(node.expr1)} if {self.truth(node.test)} else {other})"
        if isinstance(node, (nodes.Or, nodes.And)):
            left, right = self._kept(node.left)
            taken, other = left, self.result(node.right)
            if isinstance(node, nodes.And):
                taken, other = other, taken
            return f"({taken} if {right} else {other})"
        if _is_plain_default(node):
            assert isinstance(node, nodes.Filter)
            assert node.node is not None
            kept, condition = self._kept(node.node, is_default=True)
            return f"({kept} if {condition} else {self.result(node.args[0])})"
        if _is_path(node):
            return f"{self.use(given)}({self.write(node)})"
        if _is_passed_on(node):
            return f"{self.use(given_items)}({self.write(node)})"
        if isinstance(node, _BOOLEAN):
            return self.write(node)
        return f"{self.use(result_of)}(b, {self.write(node)})"

    def _kept(self, node: nodes.Expr, *, is_default: bool = False) -> tuple[str, str]:
        """Return the source of a value that was written to a variable, and of the choice of it."""
        variable = self.globals.fresh("t")
        code = f"({variable} := {self.write(node)})"
        condition = (
            f"{self.use(values.is_there)}({code})"
            if is_default
            else f"{self.use(operators.truth)}({code})"
        )
        if _is_path(node):
            return f"{self.use(given)}({variable})", condition
        return f"{self.use(result_of)}(b, {variable})", condition

    def use(self, function: Callable[..., Any]) -> str:
        """Return the name of a function of this package."""
        return self.globals.function(function)

    # -- names ------------------------------------------------------------------------

    def name(self, node: nodes.Name) -> str:
        """Write a name: a variable, or what the scope has."""
        if self.frame.macro(node.name) or self.frame.namespace(node.name):
            raise TemplateError(f"{node.name!r} is no value: a macro is called, a namespace read")
        return self._variable(node.name, self.frame)

    def _variable(self, name: str, frame: Frame | None) -> str:
        if frame is None:
            self.roots.add(name)
            return f"lookup({self.globals.constant(name)})"
        if name == "loop" and frame.loop is not None:
            raise TemplateError("'loop' is no value: its parts are, such as loop.index")
        variable = frame.variables.get(name)
        if variable is None:
            return self._variable(name, frame.outer)
        if name in frame.settled:
            return variable
        return f"({variable} if {variable} is not UNSET else {self._variable(name, frame.outer)})"

    def attribute(self, node: nodes.Getattr) -> str:
        """Write ``a.b``."""
        inner = node.node
        if isinstance(inner, nodes.Name):
            namespace = self.frame.namespace(inner.name)
            if namespace is not None:
                return f"{namespace}.get({self.globals.constant(node.attr)}, MISSING)"
            loop = self.frame.innermost_loop() if inner.name == "loop" else None
            if loop is not None:
                return self._loop_part(loop, node.attr)
        return f"{self.use(attribute)}({self.write(inner)}, {self.globals.constant(node.attr)})"

    def _loop_part(self, loop: Loop, part: str) -> str:
        if part not in _LOOP_PARTS:
            raise UnknownWordError("part of 'loop'", part, tuple(_LOOP_PARTS), "")
        return _LOOP_PARTS[part].format(i=loop.index, x=loop.items)

    def item(self, node: nodes.Getitem) -> str:
        """Write ``a[b]`` and ``a[b:c]``."""
        value = self.write(node.node)
        if isinstance(node.arg, nodes.Slice):
            parts = (node.arg.start, node.arg.stop, node.arg.step)
            bounds = ", ".join("None" if p is None else self.data(p) for p in parts)
            return f"{self.use(operators.cut)}(b, {value}, {bounds})"
        return f"{self.use(item)}({value}, {self.data(node.arg)})"

    # -- literals ---------------------------------------------------------------------

    def const(self, node: nodes.Const) -> str:
        """Write a constant."""
        return self.globals.constant(node.value)

    def template_data(self, node: nodes.TemplateData) -> str:
        """Write text between templates."""
        self.cost += len(node.data) >> 4
        return self.globals.constant(node.data)

    def list_(self, node: nodes.List) -> str:
        """Write a list."""
        return f"[{', '.join(map(self.data, node.items))}]"

    def tuple_(self, node: nodes.Tuple) -> str:
        """Write a list in parentheses."""
        return f"({''.join(self.data(element) + ', ' for element in node.items)})"

    def dict_(self, node: nodes.Dict) -> str:
        """Write a mapping."""
        return f"{{{', '.join(self._pair(pair) for pair in node.items)}}}"

    def _pair(self, pair: nodes.Pair) -> str:
        key = self.data(pair.key)
        if not (isinstance(pair.key, nodes.Const) and isinstance(pair.key.value, str)):
            key = f"{self.use(operators.pair_key)}({key})"
        return f"{key}: {self.data(pair.value)}"

    # -- operators --------------------------------------------------------------------

    def binary(self, node: nodes.BinExpr) -> str:
        """Write arithmetic."""
        function = self.use(_BINARY[type(node)])
        return f"{function}(b, {self.write(node.left)}, {self.write(node.right)})"

    def both(self, node: nodes.And) -> str:
        """Write ``and``, which yields one of its sides."""
        kept = self.globals.fresh("t")
        condition = f"{self.use(operators.truth)}({kept} := {self.write(node.left)})"
        return f"({self.write(node.right)} if {condition} else {kept})"

    def either(self, node: nodes.Or) -> str:
        """Write ``or``, which yields one of its sides."""
        kept = self.globals.fresh("t")
        condition = f"{self.use(operators.truth)}({kept} := {self.write(node.left)})"
        return f"({kept} if {condition} else {self.write(node.right)})"

    def negation(self, node: nodes.Not) -> str:
        """Write ``not``."""
        return f"(not {self.truth(node.node)})"

    def minus(self, node: nodes.Neg) -> str:
        """Write a minus sign."""
        return f"{self.use(operators.neg)}(b, {self.write(node.node)})"

    def plus(self, node: nodes.Pos) -> str:
        """Write a plus sign."""
        return f"{self.use(operators.pos)}(b, {self.write(node.node)})"

    def concat(self, node: nodes.Concat) -> str:
        """Write ``~``."""
        pieces = "".join(self.write(piece) + ", " for piece in node.nodes)
        return f"{self.use(operators.concat)}(b, ({pieces}))"

    def compare(self, node: nodes.Compare) -> str:
        """Write one comparison or several in a row."""
        left = self.write(node.expr)
        written: list[str] = []
        for number, operand in enumerate(node.ops, start=1):
            self.cost += 1
            right = self.write(operand.expr)
            if number < len(node.ops):
                kept = self.globals.fresh("t")
                right, following = f"({kept} := {right})", kept
            else:
                following = ""
            code = f"{self.use(_COMPARING[operand.op])}(b, {left}, {right})"
            written.append(f"(not {code})" if operand.op == "notin" else code)
            left = following
        return written[0] if len(written) == 1 else f"({' and '.join(written)})"

    def condition(self, node: nodes.CondExpr) -> str:
        """Write ``a if b else c``."""
        other = "MISSING" if node.expr2 is None else self.write(node.expr2)
        return f"({self.write(node.expr1)} if {self.truth(node.test)} else {other})"

    # -- words ------------------------------------------------------------------------

    def filter_(self, node: nodes.Filter) -> str:
        """Write a filter."""
        if node.node is None:
            raise TemplateError("template syntax: a filter stands behind a value")
        if _is_plain_default(node):
            kept = self.globals.fresh("t")
            condition = f"{self.use(values.is_there)}({kept} := {self.write(node.node)})"
            return f"({kept} if {condition} else {self.data(node.args[0])})"
        return self.filtered(node, self.write(node.node))

    def filtered(self, node: nodes.Filter, value: str) -> str:
        """Write a filter of a value that is written already."""
        word = check_word(node)
        if word is None:
            return f"{self.use(functions.chosen)}(s, {value})"
        return self._call(word, f"b, {value}", node)

    def test(self, node: nodes.Test) -> str:
        """Write a test."""
        value = self.write(node.node)
        if node.name == "defined":
            return f"({value} is not MISSING)"
        if node.name == "undefined":
            return f"({value} is MISSING)"
        word = check_word(node)
        assert word is not None
        return self._call(word, f"b, {value}", node)

    def _call(self, word: Word, given: str, node: nodes.Filter | nodes.Test | nodes.Call) -> str:
        self.cost += len(node.args)
        return f"{self.use(word.run)}({given}{self._arguments(node, word.parameters)})"

    def _arguments(self, node: Any, parameters: tuple[str, ...]) -> str:
        """Write arguments; only names that a function here has are written as such."""
        written = [f", {self.data(argument)}" for argument in node.args]
        others: list[str] = []
        for keyword in node.kwargs:
            value = self.data(keyword.value)
            if keyword.key in parameters:
                written.append(f", {parameters[parameters.index(keyword.key)]}={value}")
            else:
                others.append(f"{self.globals.constant(keyword.key)}: {value}")
        return "".join(written) + (f", **{{{', '.join(others)}}}" if others else "")

    def call(self, node: nodes.Call) -> str:
        """Write a call of a macro, a function or a method."""
        check_arguments(node)
        target = node.node
        if isinstance(target, nodes.Getattr):
            return self._method(node, target)
        if not isinstance(target, nodes.Name):
            raise TemplateError("template syntax: a value cannot be called")
        macro = self.frame.macro(target.name)
        if macro is not None:
            return self._macro(node, macro, target.name)
        for known, given in ((functions.FUNCTIONS, "b"), (functions.OF_SCOPE, "s")):
            if target.name in known:
                word = known[target.name]
                word.check("function", len(node.args), [k.key for k in node.kwargs])
                return self._call(word, given, node)
        raise UnknownWordError("function", target.name, tuple(functions.KNOWN), "")

    def _method(self, node: nodes.Call, target: nodes.Getattr) -> str:
        inner = target.node
        if isinstance(inner, nodes.Name) and inner.name == "loop" and target.attr == "cycle":
            loop = self.frame.innermost_loop()
            if loop is not None:
                turns = "".join(f"{self.data(a)}, " for a in node.args)
                return f"{self.use(cycled)}({loop.index}, ({turns}))"
        if target.attr not in NAMES:
            raise UnknownWordError("method", target.attr, tuple(sorted(NAMES)), "")
        args = "".join(f"{self.data(a)}, " for a in node.args)
        named = ", ".join(
            f"{self.globals.constant(k.key)}: {self.data(k.value)}" for k in node.kwargs
        )
        method = self.globals.constant(target.attr)
        return f"{self.use(invoke)}(b, {self.write(inner)}, {method}, ({args}), {{{named}}})"

    def _macro(self, node: nodes.Call, macro: Macro, name: str) -> str:
        given = {k.key: self.data(k.value) for k in node.kwargs}
        if len(node.args) > len(macro.parameters) or not given.keys() <= set(
            macro.parameters[len(node.args) :]
        ):
            raise TemplateError(f"macro {name!r} takes {', '.join(macro.parameters) or 'nothing'}")
        written = [self.data(argument) for argument in node.args]
        written += [given.get(p, "UNSET") for p in macro.parameters[len(node.args) :]]
        return f"{macro.function}({', '.join((f'{self.depth} + 1', *written))})"


def cycled(number: int, turns: tuple[Any, ...]) -> Any:
    """Return the current value of ``loop.cycle``."""
    if not turns:
        raise TemplateError("loop.cycle needs values")
    return turns[number % len(turns)]


def given(value: Any) -> Any:
    """Return a value of the scope as the value of a lone template."""
    if isinstance(value, View):
        value = value.plain()
    kind = type(value)
    if kind is dict or kind is list or kind is str or kind is int or value is MISSING:
        return value
    return text.to_value(value)


def given_items(value: Any) -> Any:
    """Return a list of values of the scope, or one of its items, as that of a lone template."""
    if type(value) is not list:
        return given(value)
    if _AS_THEY_ARE.issuperset(map(type, value)):
        return value
    return [None if element is MISSING else given(element) for element in value]


_AS_THEY_ARE: Final = frozenset({dict, list, str, int, bool, type(None)})


def result_of(budget: Budget, value: Any) -> Any:
    """Return a computed value as the value of a lone template."""
    return value if value is MISSING else text.value_of(budget, value)


def _is_path(node: nodes.Node) -> bool:
    while isinstance(node, (nodes.Getattr, nodes.Getitem)):
        if isinstance(node, nodes.Getitem) and isinstance(node.arg, nodes.Slice):
            return False
        node = node.node
    return isinstance(node, nodes.Name)


_CHOOSING: Final = frozenset(
    ["first", "last", "list", "max", "min", "reject", "rejectattr", "reverse", "select", "selectattr", "sort", "unique"]
)  # fmt: skip
"""Filters that return items unchanged, as a list or one of them."""


def _is_passed_on(node: nodes.Node | None) -> bool:
    """Return whether an expression yields unchanged values of the scope, or a list of them."""
    while node is not None and not _is_path(node):
        if (isinstance(node, nodes.Filter) and (node.name in _CHOOSING or _is_map(node))) or (
            isinstance(node, nodes.Getitem) and isinstance(node.arg, nodes.Slice)
        ):
            node = node.node
        else:
            return False
    return node is not None


def _is_map(node: nodes.Filter) -> bool:
    return node.name == "map" and not node.args and len(node.kwargs) == 1


def _is_plain_default(node: nodes.Node) -> bool:
    return (
        isinstance(node, nodes.Filter)
        and node.node is not None
        and node.name in ("default", "d")
        and len(node.args) == 1
        and not node.kwargs
        and node.dyn_args is None
        and node.dyn_kwargs is None
    )


_HANDLERS: Final[dict[type, Callable[[Expressions, Any], str]]] = {
    **dict.fromkeys(_BINARY, Expressions.binary),
    nodes.And: Expressions.both,
    nodes.Call: Expressions.call,
    nodes.Compare: Expressions.compare,
    nodes.Concat: Expressions.concat,
    nodes.CondExpr: Expressions.condition,
    nodes.Const: Expressions.const,
    nodes.Dict: Expressions.dict_,
    nodes.Filter: Expressions.filter_,
    nodes.Getattr: Expressions.attribute,
    nodes.Getitem: Expressions.item,
    nodes.List: Expressions.list_,
    nodes.Name: Expressions.name,
    nodes.Neg: Expressions.minus,
    nodes.Not: Expressions.negation,
    nodes.Or: Expressions.either,
    nodes.Pos: Expressions.plus,
    nodes.TemplateData: Expressions.template_data,
    nodes.Test: Expressions.test,
    nodes.Tuple: Expressions.tuple_,
}
