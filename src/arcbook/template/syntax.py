"""Reading templates: Jinja2's lexer and parser, within limits that are checked first.

Only Jinja2's syntax is used, never its compiler or its runtime. The parser recurses, so
the nesting of what it is given is counted in the stream of tokens before it goes there.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NoReturn

from jinja2 import Environment, TemplateSyntaxError, nodes
from jinja2.lexer import Token, TokenStream
from jinja2.parser import Parser

from arcbook.template import limits
from arcbook.template.errors import BudgetError, TemplateError

_OPENING: Final = frozenset({"lparen", "lbracket", "lbrace"})
_CLOSING: Final = frozenset({"rparen", "rbracket", "rbrace"})
_BLOCKS: Final = frozenset({"for", "if", "macro", "filter", "with", "call", "block", "autoescape"})
_UNREADABLE: Final = (RecursionError, MemoryError, SyntaxError, ValueError)


class _Reader(Environment):
    """Jinja2's syntax, as templates of playbooks have it."""

    def __init__(self) -> None:
        super().__init__(autoescape=False, keep_trailing_newline=True, cache_size=0)

    def _tokenize(
        self, source: str, name: str | None, filename: str | None = None, state: str | None = None
    ) -> TokenStream:
        tokens = self.lexer.tokeniter(source, name, filename, state)
        return TokenStream(_bounded(self.lexer.wrap(tokens, name, filename)), name, filename)


_reader: Final = _Reader()


def _bounded(tokens: Iterator[Token]) -> Iterator[Token]:
    """Pass tokens on, as long as they are not too many and do not nest too deep."""
    count = brackets = prefixes = conditions = blocks = 0
    before = ""
    opens_set = False
    for token in tokens:
        count += 1
        kind, value = token.type, token.value
        if kind in _OPENING:
            brackets += 1
        elif kind in _CLOSING:
            brackets -= 1
        elif kind in ("block_begin", "variable_begin"):
            brackets = conditions = 0
        elif kind == "block_end":
            blocks += opens_set
            opens_set = False
        elif kind == "assign" and brackets == 0:
            opens_set = False
        elif kind == "name" and before == "block_begin":
            blocks += (value in _BLOCKS) - (value.startswith("end") and blocks > 0)
            opens_set = value == "set"
        elif kind == "name" and value == "if":
            conditions += 1
        is_prefix = kind in ("sub", "add") or (kind == "name" and value == "not")
        prefixes = prefixes + 1 if is_prefix else 0
        before = kind
        if count > limits.TOKENS_MAX:
            raise BudgetError(f"the template has more than {limits.TOKENS_MAX:,} tokens")
        if brackets + prefixes + conditions + blocks > limits.NESTING_MAX:
            raise BudgetError(f"template syntax: it nests deeper than {limits.NESTING_MAX} levels")
        yield token


def _check_length(source: str) -> None:
    if len(source) > limits.SOURCE_CHARACTERS_MAX:
        most = f"{limits.SOURCE_CHARACTERS_MAX:,}"
        raise BudgetError(f"a template of more than plain names passes {most} characters", source)


def read_expression(code: str, source: str) -> nodes.Expr | None:
    """Return the syntax tree of one expression, or ``None`` if ``code`` is not one.

    Raises:
        TemplateError: it passes a limit.
    """
    _check_length(source)
    try:
        parser = Parser(_reader, code, state="variable")
        parsed = parser.parse_expression()
        is_whole = parser.stream.eos
    except TemplateSyntaxError:
        return None
    except _UNREADABLE as error:
        _refuse(error, source)
    return parsed if is_whole else None


def read_text(source: str) -> nodes.Template:
    """Return the syntax tree of a text with templates.

    Raises:
        TemplateError: it is none, or passes a limit.
    """
    _check_length(source)
    try:
        return Parser(_reader, source).parse()
    except (TemplateSyntaxError, *_UNREADABLE) as error:
        _refuse(error, source)


def _refuse(error: BaseException, source: str) -> NoReturn:
    if isinstance(error, TemplateError):
        raise type(error)(error.reason, source) from None
    if isinstance(error, TemplateSyntaxError):
        reason, line = f"template syntax: {error.message}", error.lineno or 1
        raise TemplateError(reason, source, line) from None
    if isinstance(error, ValueError):
        raise TemplateError("template syntax: a number has too many digits", source) from None
    raise TemplateError("template syntax: the expression nests too deep", source) from None
