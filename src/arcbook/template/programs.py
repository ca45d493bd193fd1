"""Programs: compiled expressions and texts with templates.

A program is a Python function generated from Jinja2's syntax tree. It is compiled when it is
first run, so that registering or linting a document compiles and evaluates nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Final

from arcbook.template import syntax
from arcbook.template.emission.statements import Statements
from arcbook.template.errors import TemplateError
from arcbook.template.inspection import inspect
from arcbook.template.names import Names
from arcbook.template.perform import Program, located
from arcbook.template.quick import quick_names

_UNCOMPILABLE: Final = (MemoryError, RecursionError, SyntaxError, ValueError)


def expression_names(code: str, source: str) -> Names | None:
    """Return the names that an expression reads, or ``None`` if ``code`` is not one expression.

    Raises:
        TemplateError: If it cannot be compiled.
    """
    quick = quick_names(code)
    return parsed_names(code, source) if quick is None else quick


def parsed_names(code: str, source: str) -> Names | None:
    """Like :func:`expression_names`, but always use Jinja2's parser."""
    tree = syntax.read_expression(code, source)
    if tree is None:
        return None
    return inspect(tree, source, partial(_emit_expression, tree, is_result=False))


def text_names(source: str) -> Names:
    """Return the names that a text with templates reads.

    Raises:
        TemplateError: If it cannot be compiled.
    """
    tree = syntax.read_text(source)
    return inspect(tree, source, partial(_emit_text, tree))


def expression(code: str, source: str, *, is_result: bool) -> Program | None:
    """Compile ``code`` to a function from a scope to its value.

    Args:
        code: the expression.
        source: the template that contains it, for messages.
        is_result: whether to convert the value to plain data.

    Returns:
        The function; ``None`` if it is not one expression, such as ``a }} and {{ b``, or has an
        error that :func:`text` reports with its line.
    """
    tree = syntax.read_expression(code, source)
    if tree is None:
        return None
    return _program(partial(_emit_expression, tree, is_result=is_result), source)


def text(source: str) -> Program:
    """Compile ``source`` to a function from a scope to text."""
    return _program(partial(_emit_text, syntax.read_text(source)), source)


def _emit_expression(tree: Any, *, is_result: bool) -> tuple[Statements, str]:
    emitter = Statements()
    return emitter, emitter.expression(tree, is_result=is_result)


def _emit_text(tree: Any) -> tuple[Statements, str]:
    emitter = Statements()
    return emitter, emitter.template(tree)


def _program(emit: Callable[[], tuple[Statements, str]], source: str) -> Program:
    try:
        emitter, code = emit()
        table = emitter.globals.table
        exec(compile(code, "<template>", "exec"), table)  # noqa: S102  # generated, nothing of it is the template's
    except TemplateError as error:
        raise located(error, source) from None
    except _UNCOMPILABLE:
        raise TemplateError("template syntax: it nests too deep", source) from None
    run: Program = table["run"]
    return run
