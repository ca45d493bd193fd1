"""Translate errors of the YAML parser for authors of playbooks."""

from __future__ import annotations

import re
from typing import Any, Final

import yaml
from yaml.reader import ReaderError

from arcbook.dsl.source import START, Position, SourceError, lines_of, place_of

_UNQUOTED: Final = re.compile(r"(?:^|[:\-,\[]\s+)(\{\{.*?\}\})")

_REASONS: Final = {
    "could not find expected ':'": "a key needs a ':' after it",
    "did not find expected '-' indicator": "the entries of this list do not line up",
    "did not find expected key": "the keys of this mapping do not line up",
    "expected <block end>, but found": "the keys of this mapping do not line up",
    "mapping values are not allowed": "there is a ':' where a value stands already",
    "sequence entries are not allowed": "a list cannot begin here",
}
"""Parts of the parser's messages, and our messages."""

_HINTS: Final = {
    "a ':' after": "write 'key: value', or quote the text",
    "a ':' where": "quote a text that has ': ' in it, or check the indentation of this line",
    "a list cannot": "begin it on a line of its own",
    "did not find expected ','": "close the bracket before this line, or write a ',' between values",
    "do not line up": "indent entries of one level by the same number of spaces",
}


_FLATTER: Final = "move data out of the playbook"

_CHECK: Final = "check the indentation, quotes and brackets around this place"


def explain(error: yaml.YAMLError, text: str) -> SourceError:
    """Convert an error of the YAML parser to one with a position and a hint."""
    if isinstance(error, ReaderError):
        return _unreadable(error, text)
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    position = Position(mark.line + 1, mark.column + 1) if mark else START
    problem = getattr(error, "problem", None) or str(error)
    context = getattr(error, "context", None)
    opening = getattr(error, "context_mark", None)
    if opening is not None and "end of stream" in problem:
        opening_position = Position(opening.line + 1, opening.column + 1)
        reason = "invalid YAML: what is opened here is not closed"
        return SourceError("ARC003", reason, opening_position, "close the quote or bracket")
    if "nesting depth" in problem:  # the parser has a limit of its own, far beyond ours
        return SourceError("ARC008", "values nest too deep", position, _FLATTER)
    reason = _reason(problem)
    hint = _hint(reason, position, text)
    if reason is problem and context:
        reason = f"{problem} ({context})"
    return SourceError("ARC003", f"invalid YAML: {reason}", position, hint)


def _reason(problem: str) -> str:
    for words, explanation in _REASONS.items():
        if words in problem:
            return explanation
    return problem


def _hint(reason: str, position: Position, text: str) -> str:
    lines = lines_of(text)
    line = lines[position.line - 1] if position.line <= len(lines) else ""
    template = _UNQUOTED.search(line)
    if template and template.start(1) < position.column:
        return f'quote templates: "{template[1]}"'
    character = line[position.column - 1 : position.column]
    if character == "\t" or "tab character" in reason:
        return "indent with spaces: YAML takes no tabs there"
    if "cannot start any token" in reason:
        return f"quote the text: {character!r} cannot begin a value"
    return next((hint for words, hint in _HINTS.items() if words in reason), _CHECK)


def _unreadable(error: Any, text: str) -> SourceError:
    """Return the error for a character that YAML does not allow."""
    number = error.character if isinstance(error.character, int) else ord(error.character)
    index = text.find(chr(number))
    position = place_of(text, max(index, 0))
    reason = f"invalid YAML: the character U+{number:04X} is not allowed"
    return SourceError(
        "ARC003", reason, position, f'write it in double quotes, as "\\x{number:02x}"'
    )


_OTHER_LANGUAGES: Final = (
    (re.compile(r"&&"), "write 'and' for '&&'"),
    (re.compile(r"\|\|"), "write 'or' for '||'"),
    (re.compile(r"\?\?"), "write '{{ name | default(value) }}' for '??'"),
    (re.compile(r"\?\."), "write '.' for '?.': what is missing has no parts, and no error"),
    (re.compile(r"\?[^:]*:"), "write '{{ one if condition else other }}' for '? :'"),
    (re.compile(r"={3}|!=="), "write '==' or '!='"),
    (re.compile(r"![^=]"), "write 'not' for '!'"),
    (re.compile(r"[^=!<>]=[^=]"), "write '==' to compare"),
)
_QUOTED_TEXT: Final = re.compile(r"'[^']*'|\"[^\"]*\"")


def of_other_languages(template: str) -> str:
    """Return a hint for an operator of another language, or a general one."""
    plain = _QUOTED_TEXT.sub("''", template)
    for pattern, hint in _OTHER_LANGUAGES:
        if pattern.search(plain):
            return hint
    return "check brackets, quotes and the ends '}}' and '%}'"
