"""Upgrade guards with a comparison outside the braces: ``{{ env }} == production``.

The reference renders such a guard to text and compares the text. It becomes an equivalent
expression that compares the text of each side; words need no quotes.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final, NamedTuple

DEPTH_MAX: Final = 50
"""Maximum nesting of parentheses and negations."""

_HOLE: Final = r"\{\{(?:[^{}]|\{[^{}]*\})*\}\}"
_HOLES: Final = re.compile(_HOLE)
_TOKEN: Final = re.compile(
    rf"(?P<space>\s+)|(?P<hole>{_HOLE})"
    r"|(?P<quoted>'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\")"
    r"|(?P<operator>==|!=|<=|>=|<|>|&&|\|\||!|[()\[\],])"
    r"|(?P<word>(?:(?!\{\{|==|!=|&&|\|\|)[^\s<>()\[\],'\"])+)"
)
_NUMBER: Final = re.compile(r"[-+]?\d+(?:\.\d+)?")
_SAME: Final = {"&&": "and", "||": "or", "!": "not"}
_COMPARED: Final = ("==", "!=", "<", "<=", ">", ">=")
_MIRRORED: Final = {"<": ">", "<=": ">=", ">": "<", ">=": "<="}
_KEYWORDS: Final = frozenset({"and", "or", "not", "in", "is", "contains"})
_TESTS: Final = frozenset({"defined", "undefined", "none", "string", "number", "mapping"})


class NotUnderstoodError(ValueError):
    """A guard has text around its templates that is not a comparison."""


class Comparison(NamedTuple):
    """The meaning of a guard."""

    #: The expression that compares as the reference does.
    exact: str
    #: The expression that an author would write.
    shown: str


class _Token(NamedTuple):
    #: ``hole``, ``text``, ``word``, ``operator``; ``end`` behind the last one.
    kind: str
    text: str
    #: Whether white space precedes it.
    is_apart: bool = False


class _Side(NamedTuple):
    """One side of a comparison."""

    #: An expression for its value.
    value: str
    #: An expression for its text.
    text: str
    #: As an author would write it.
    shown: str
    #: Its text, if it contains no templates.
    written: str | None = None
    is_quoted: bool = False
    #: Whether it is text that contains templates.
    is_mixed: bool = False


def stands_outside(guard: str) -> bool:
    """Return whether a guard has text outside its templates."""
    if "{{" not in guard or "{%" in guard:
        return False
    if guard.startswith("{{") and guard.find("{{", 2) < 0 and guard.endswith("}}"):
        return False
    outside = _HOLES.sub("", guard).strip()
    return bool(outside) and "{{" not in outside


def comparison(guard: str) -> Comparison:
    """Return the meaning of a guard with a comparison outside its braces.

    Raises:
        NotUnderstoodError: If its text is not a comparison.
    """
    return _Guard(_tokens(guard)).whole()


def _tokens(guard: str) -> list[_Token]:
    tokens: list[_Token] = []
    at, is_apart = 0, False
    while at < len(guard):
        match = _TOKEN.match(guard, at)
        if match is None:
            raise NotUnderstoodError
        at = match.end()
        if match.lastgroup == "space":
            is_apart = True
            continue
        tokens.append(_token(str(match.lastgroup), match[0], is_apart))
        is_apart = False
    return [*tokens, _Token("end", "")]


def _token(kind: str, text: str, is_apart: bool) -> _Token:  # noqa: FBT001
    if kind == "quoted":
        # A template in quotes is the same as one without them.
        inner = text[1:-1]
        return _Token("hole" if _HOLES.fullmatch(inner) else "text", inner, is_apart)
    if kind == "operator":
        return _Token(kind, _SAME.get(text, text), is_apart)
    if kind == "word" and text.lower() in _KEYWORDS:
        return _Token("operator", text.lower(), is_apart)
    return _Token(kind, text, is_apart)


class _Guard:
    """Reads a guard by recursive descent."""

    def __init__(self, tokens: list[_Token]) -> None:
        self.tokens = tokens
        self.at = 0
        self.depth = 0

    def whole(self) -> Comparison:
        found = self._either()
        if self._now.kind != "end":
            raise NotUnderstoodError
        return found

    @property
    def _now(self) -> _Token:
        return self.tokens[self.at]

    def _takes(self, *texts: str) -> str:
        """Consume and return the next operator if it is one of those given."""
        now = self._now
        if now.kind != "operator" or now.text not in texts:
            return ""
        self.at += 1
        return now.text

    def _either(self) -> Comparison:
        return self._joined("or", lambda: self._joined("and", self._negated))

    def _joined(self, word: str, inner: Callable[[], Comparison]) -> Comparison:
        parts = [inner()]
        while self._takes(word):
            parts.append(inner())
        if len(parts) == 1:
            return parts[0]
        exact = f"({f' {word} '.join(part.exact for part in parts)})"
        return Comparison(exact, f" {word} ".join(part.shown for part in parts))

    def _negated(self) -> Comparison:
        self.depth += 1
        if self.depth > DEPTH_MAX:
            raise NotUnderstoodError
        found = self._one()
        self.depth -= 1
        return found

    def _one(self) -> Comparison:
        if self._takes("not"):
            inner = self._negated()
            return Comparison(f"(not {inner.exact})", f"not {inner.shown}")
        if self._takes("("):
            inner = self._either()
            if not self._takes(")"):
                raise NotUnderstoodError
            return Comparison(inner.exact, f"({inner.shown})")
        return self._compared()

    def _compared(self) -> Comparison:
        left = self._side()
        if self._takes("is"):
            return self._tested(left)
        if self._takes("contains"):
            right = self._side()
            return Comparison(f"({right.text} in {left.value})", f"{right.shown} in {left.shown}")
        is_not = bool(self._takes("not"))
        if self._takes("in"):
            return self._within(left, is_not=is_not)
        operator = "" if is_not else self._takes(*_COMPARED)
        if operator:
            right = self._side()
            exact = _exactly(left, operator, right)
            return Comparison(exact, f"{left.shown} {operator} {right.shown}")
        is_word = left.written not in (None, "true", "false", "True", "False")
        if is_not or is_word or left.is_mixed:
            raise NotUnderstoodError
        return Comparison(left.shown if left.written else left.value, left.shown)

    def _tested(self, left: _Side) -> Comparison:
        is_not = "not " if self._takes("not") else ""
        now = self._now
        if now.kind != "word" or now.text not in _TESTS or left.written is not None:
            raise NotUnderstoodError
        self.at += 1
        test = f"is {is_not}{now.text}"
        return Comparison(f"({left.value} {test})", f"{left.shown} {test}")

    def _within(self, left: _Side, *, is_not: bool) -> Comparison:
        word = "not in" if is_not else "in"
        if not self._takes("["):
            right = self._side()
            exact = f"({left.text} {word} {right.value})"
            return Comparison(exact, f"{left.shown} {word} {right.shown}")
        members: list[str] = []
        while not self._takes("]"):
            members.append(_literal(self._side().written or ""))
            if not self._takes(",") and (self._now.kind, self._now.text) != ("operator", "]"):
                raise NotUnderstoodError
        listed = f"[{', '.join(members)}]"
        exact = f"({left.value} in {listed} or {left.text} in {listed})"
        return Comparison(f"(not {exact})" if is_not else exact, f"{left.shown} {word} {listed}")

    def _side(self) -> _Side:
        """Return the side up to the next operator; empty text if there is nothing."""
        parts: list[_Token] = []
        while self._now.kind in ("hole", "text", "word"):
            if self._now.text.startswith("="):
                raise NotUnderstoodError
            parts.append(self._now)
            self.at += 1
        if all(part.kind != "hole" for part in parts):
            return _written(parts)
        if len(parts) == 1:
            inner = parts[0].text[2:-2].strip("-").strip()
            return _Side(f"({inner})", f"({inner}) | string", inner)
        pieces: list[str] = []
        for i, part in enumerate(parts):
            gap = " " if i and part.is_apart else ""
            if part.kind == "hole":
                pieces += [_literal(gap)] if gap else []
                pieces.append(f"(({part.text[2:-2].strip('-').strip()}) | string)")
            else:
                pieces.append(_literal(gap + part.text))
        text = f"({' ~ '.join(pieces)})"
        return _Side(text, text, text, is_mixed=True)


def _written(parts: list[_Token]) -> _Side:
    """Return text without templates as a side."""
    text = "".join((" " if i and part.is_apart else "") + part.text for i, part in enumerate(parts))
    is_quoted = any(part.kind == "text" for part in parts)
    is_plain = not is_quoted and (
        _NUMBER.fullmatch(text) or text.lower() in ("true", "false", "none", "null")
    )
    shown = {"null": "none"}.get(text.lower(), text.lower()) if is_plain else _literal(text)
    return _Side(_literal(text), _literal(text), shown, text, is_quoted)


def _exactly(left: _Side, operator: str, right: _Side) -> str:
    """Return an expression that compares as the reference does."""
    if left.written is not None and right.written is None:
        return _exactly(right, _MIRRORED.get(operator, operator), left)
    if operator in ("==", "!="):
        found = _equal(left, right)
        return found if operator == "==" else f"(not {found})"
    if right.written is None:
        return f"({left.value} {operator} {right.value})"
    if _NUMBER.fullmatch(right.written):
        return f"({left.value} | float {operator} {right.written})"
    return f"({left.text} {operator} {right.value})"


def _equal(left: _Side, right: _Side) -> str:
    if right.written is None:
        return f"({left.value} == {right.value} or {left.text} == {right.text})"
    word = right.written.lower()
    if not right.is_quoted and word in ("true", "false"):
        return f"({left.text} | lower == '{word}')"
    if not right.is_quoted and word in ("none", "null"):
        return f"({left.text} | lower in ['', 'none', 'null'])"
    value = right.written if _NUMBER.fullmatch(right.written) else right.value
    return f"({left.value} == {value} or {left.text} == {right.value})"


def _literal(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"
