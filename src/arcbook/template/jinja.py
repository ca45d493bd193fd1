"""Programs over Jinja2: what an expression or a text with templates compiles to."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from jinja2 import TemplateSyntaxError, Undefined, nodes
from jinja2.compiler import generate
from jinja2.exceptions import SecurityError
from jinja2.exceptions import TemplateError as JinjaError
from jinja2.parser import Parser

from arcbook.template.access import MISSING
from arcbook.template.environment import ScopeContext, environment, joined
from arcbook.template.errors import TemplateError
from arcbook.template.inspection import inspect
from arcbook.template.names import Names
from arcbook.template.quick import quick_names
from arcbook.template.scope import Scope

Program = Callable[[Scope], Any]

_RESULT = "result_"
_UNREADABLE = (RecursionError, MemoryError, SyntaxError, ValueError)
_FAULTS = (
    JinjaError,
    ArithmeticError,
    AttributeError,
    LookupError,
    RecursionError,
    TypeError,
    ValueError,
)


def expression_names(code: str, source: str) -> Names | None:
    """Return the names that an expression reads, or ``None`` if ``code`` is not one expression.

    Raises:
        TemplateError: it cannot be compiled.
    """
    quick = quick_names(code)
    if quick is not None:
        return quick
    tree = _expression(code, source)
    return None if tree is None else inspect(tree, source, partial(expression, code, source))


def text_names(source: str) -> Names:
    """Return the names that a text with templates reads.

    Raises:
        TemplateError: it cannot be compiled.
    """
    return inspect(_text(source), source, partial(text, source))


def expression(code: str, source: str) -> Program | None:
    """Compile ``code`` to a function from a scope to its native value.

    Returns ``None`` if it is not one expression: ``a }} and {{ b``, or an error that
    :func:`text` reports with its place.
    """
    parsed = _expression(code, source)
    if parsed is None:
        return None
    body: list[nodes.Node] = [nodes.Assign(nodes.Name(_RESULT, "store"), parsed, lineno=1)]
    try:
        root = _load(nodes.Template(body, lineno=1))
    except TemplateSyntaxError:
        return None
    except _UNREADABLE as error:
        raise _syntax(error, source) from None

    def run(scope: Scope) -> Any:
        context = ScopeContext(environment, scope)
        try:
            for _ in root(context):
                pass
        except _FAULTS as error:
            raise _fault(error, source) from None
        found = context.vars[_RESULT]
        return MISSING if isinstance(found, Undefined) or callable(found) else found

    return run


def _expression(code: str, source: str) -> nodes.Expr | None:
    try:
        parser = Parser(environment, code, state="variable")
        parsed = parser.parse_expression()
        is_whole = parser.stream.eos
    except TemplateSyntaxError:
        return None
    except _UNREADABLE as error:
        raise _syntax(error, source) from None
    return parsed if is_whole else None


def text(source: str) -> Program:
    """Compile ``source`` to a function from a scope to text."""
    tree = _text(source)
    try:
        root = _load(tree)
    except (TemplateSyntaxError, *_UNREADABLE) as error:
        raise _syntax(error, source) from None

    def run(scope: Scope) -> str:
        try:
            return joined(root(ScopeContext(environment, scope)))
        except _FAULTS as error:
            raise _fault(error, source) from None

    return run


def _text(source: str) -> nodes.Template:
    try:
        return environment.parse_source(source)
    except (TemplateSyntaxError, *_UNREADABLE) as error:
        raise _syntax(error, source) from None


def _load(tree: nodes.Template) -> Callable[[ScopeContext], Any]:
    tree.set_environment(environment)
    source = generate(tree, environment, None, None)
    assert isinstance(source, str)
    code = compile(source, "<template>", "exec")
    template = environment.template_class.from_code(environment, code, {})
    return template.root_render_func


def _syntax(error: BaseException, source: str) -> TemplateError:
    if isinstance(error, TemplateSyntaxError):
        return TemplateError(f"template syntax: {error.message}", source, error.lineno or 1)
    if isinstance(error, ValueError):
        return TemplateError("template syntax: a number has too many digits", source)
    return TemplateError("template syntax: the expression nests too deep", source)


def _fault(error: Exception, source: str) -> TemplateError:
    if isinstance(error, TemplateError):
        return error
    if isinstance(error, SecurityError):
        return TemplateError(f"the template may not do this: {error}", source)
    if isinstance(error, RecursionError):
        return TemplateError("the template recurses too deep", source)
    return TemplateError(f"{error}" or type(error).__name__, source)
