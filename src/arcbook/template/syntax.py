"""Parse templates with Jinja2's lexer and parser, within limits that are checked first.

Only Jinja2's syntax is used, never its compiler or runtime. The parser is recursive, so the
nesting of the token stream is checked before it is parsed.
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
_SIGNS: Final = frozenset({"add", "sub"})
_BOUNDS: Final = frozenset({"block_begin", "block_end", "variable_begin"})
_BLOCKS: Final = frozenset({"for", "if", "macro", "filter", "with", "call", "block", "autoescape"})
_UNREADABLE: Final = (RecursionError, MemoryError, SyntaxError, ValueError)


class _Reader(Environment):
    """Jinja2's syntax, as configured for playbooks."""

    def __init__(self) -> None:
        super().__init__(autoescape=False, keep_trailing_newline=True, cache_size=0)

    def _tokenize(
        self, source: str, name: str | None, filename: str | None = None, state: str | None = None
    ) -> TokenStream:
        tokens = self.lexer.tokeniter(source, name, filename, state)
        return TokenStream(_bounded(self.lexer.wrap(tokens, name, filename)), name, filename)


_reader: Final = _Reader()


class _Nesting:
    """The nesting depth at a token: brackets, prefixes, conditions and blocks."""

    __slots__ = ("_before", "_opens_set", "blocks", "brackets", "conditions", "prefixes")

    def __init__(self) -> None:
        self.brackets = self.prefixes = self.conditions = self.blocks = 0
        self._before = ""
        self._opens_set = False

    def take(self, kind: str, value: str) -> int:
        """Process one token; return its depth."""
        if kind in _OPENING:
            self.brackets += 1
        elif kind in _CLOSING:
            self.brackets -= 1
        elif kind in _BOUNDS:
            self._bound(kind)
        elif kind == "name":
            self._name(value)
        elif kind == "assign" and self.brackets == 0:
            self._opens_set = False
        is_prefix = kind in _SIGNS or (kind == "name" and value == "not")
        self.prefixes = self.prefixes + 1 if is_prefix else 0
        self._before = kind
        return self.brackets + self.prefixes + self.conditions + self.blocks

    def _bound(self, kind: str) -> None:
        if kind == "block_end":
            # A ``set`` without ``=`` is a block.
            self.blocks += self._opens_set
            self._opens_set = False
        else:
            self.brackets = self.conditions = 0

    def _name(self, value: str) -> None:
        if self._before == "block_begin":
            self.blocks += (value in _BLOCKS) - (value.startswith("end") and self.blocks > 0)
            self._opens_set = value == "set"
        elif value == "if":
            self.conditions += 1


def _bounded(tokens: Iterator[Token]) -> Iterator[Token]:
    """Yield the tokens, checking their number and nesting."""
    nesting = _Nesting()
    for count, token in enumerate(tokens):
        if count >= limits.TOKENS_MAX:
            raise BudgetError(f"the template has more than {limits.TOKENS_MAX:,} tokens")
        if nesting.take(token.type, token.value) > limits.NESTING_MAX:
            raise BudgetError(f"template syntax: it nests deeper than {limits.NESTING_MAX} levels")
        yield token


def _check_length(source: str) -> None:
    if len(source) > limits.SOURCE_CHARACTERS_MAX:
        most = f"{limits.SOURCE_CHARACTERS_MAX:,}"
        raise BudgetError(f"a template of more than plain names passes {most} characters", source)


def read_expression(code: str, source: str) -> nodes.Expr | None:
    """Return the syntax tree of one expression, or ``None`` if ``code`` is not one.

    Raises:
        TemplateError: If it exceeds a limit.
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
        TemplateError: If it has a syntax error or exceeds a limit.
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
