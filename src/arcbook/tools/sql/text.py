"""Reading SQL text just far enough: where statements end, and how they begin.

The splitter knows what may hold a semicolon that ends nothing: strings, quoted names,
dollar-quoted bodies, comments, parentheses and the ``BEGIN ATOMIC`` bodies of routines.
It goes through the text once. What it cannot make sense of, an open quote for one, it
leaves to the database, whose message is the better one.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import Final, NamedTuple

HEAD_CHARS_MAX: Final = 60
"""Length of a statement's beginning as messages show it."""

HEAD_WORDS: Final = 24
"""Words of a statement that say what kind it is."""

_STOP: Final = re.compile(r"""['"$();]|--|/\*""")
_ROUTINE_STOP: Final = re.compile(r"""['"$();]|--|/\*|\b(?:begin|case|end)\b""", re.IGNORECASE)
_WORD_STOP: Final = re.compile(r"""['"$]|--|/\*|[^\W\d][\w$]*+""")

_SPACE: Final = re.compile(r"\s*+")
_LINE: Final = re.compile(r"[^\r\n]*+")
_COMMENT_EDGE: Final = re.compile(r"/\*|\*/")
_STRING: Final = re.compile(r"[^']*+(?:''[^']*+)*+'")
_ESCAPED_STRING: Final = re.compile(r"[^'\\]*+(?:(?:''|\\.)[^'\\]*+)*+'", re.DOTALL)
_NAME: Final = re.compile(r'[^"]*+(?:""[^"]*+)*+"')
_TAG: Final = re.compile(r"\$(?:[^\W\d]\w*+)?+\$")
_NAME_TAIL: Final = re.compile(r"[\w$]*+")
_PART: Final = re.compile(r'\s*+(?:"((?:[^"]|"")++)"\s*+|([^".\s][^".]*+))(?:\.|$)')


class Piece(NamedTuple):
    """A part of a text of SQL, up to the semicolon that ends it."""

    text: str
    #: The statement in it, without its semicolon; ``None`` where there are but comments.
    statement: str | None


def split(text: str) -> list[str]:
    """Return the statements of a text, each as it is written, without its semicolon.

    Empty statements and those of comments alone are left out.
    """
    return [piece.statement for piece in pieces(text) if piece.statement is not None]


def pieces(text: str) -> Iterator[Piece]:
    """Yield the text cut after each statement. The pieces joined are the text."""
    start = 0
    while start < len(text):
        begin = _skip_blank(text, start)
        end, closed = _end(text, begin) if begin < len(text) else (begin, False)
        content = end - closed > begin
        statement = text[start : end - closed].strip() if content else None
        yield Piece(text[start:end], statement)
        start = end


def words(statement: str) -> Iterator[str]:
    """Yield a statement's bare words in capitals: no strings, quoted names or comments."""
    at = 0
    while (match := _WORD_STOP.search(statement, at)) is not None:
        mark = match.group()
        if mark[0] in "'\"$-/":
            at = _after(statement, match, at)
            continue
        at = match.end()
        if mark in ("e", "E") and statement.startswith("'", at):
            at = _after_string(statement, at + 1, escaped=True)
            continue
        yield mark.upper()


def head(statement: str) -> str:
    """Return how a statement begins, on one line and without what it holds in quotes."""
    start = _skip_blank(statement, 0)
    beginning = statement[start : start + 4 * HEAD_CHARS_MAX]
    beginning = " ".join(re.split(r"['$]|--|/\*", beginning, maxsplit=1)[0].split())
    return (
        beginning
        if len(beginning) <= HEAD_CHARS_MAX
        else beginning[:HEAD_CHARS_MAX].rstrip() + "..."
    )


def place(statements: Sequence[str], number: int) -> str:
    """Return which statement it is, for messages; they count from one."""
    number = min(number, len(statements) - 1)
    return f"statement {number + 1} of {len(statements)}: {head(statements[number])}"


class BadNameError(ValueError):
    """A text is not the name of a table or column."""


def name_parts(name: str) -> tuple[str, ...]:
    """Return the parts of a qualified name, without their quotes.

    Raises:
        BadNameError: it is not a name.
    """
    parts: list[str] = []
    at = 0
    while at < len(name):
        match = _PART.match(name, at)
        if match is None:
            break
        quoted, plain = match.groups()
        parts.append(plain.rstrip() if quoted is None else quoted.replace('""', '"'))
        at = match.end()
    if not parts or at < len(name) or name.endswith("."):
        raise BadNameError(f"{name[:60]!r} is not a name: write table or schema.table")
    return tuple(parts)


def quoted(*parts: str) -> str:
    """Return a name, part by part, quoted such that nothing in it is read as SQL."""
    return ".".join('"' + part.replace('"', '""') + '"' for part in parts)


# -- transactions -----------------------------------------------------------------------


class Mode(enum.Enum):
    """How the statements of a call share transactions."""

    #: All in one.
    TOGETHER = enum.auto()
    #: Each by itself.
    ALONE = enum.auto()
    #: The text begins and ends them.
    WRITTEN = enum.auto()


def mode(
    statements: Sequence[str], stands_alone: Callable[[list[str]], bool], *, autocommit: bool
) -> Mode:
    """Return how statements share transactions.

    Args:
        statements: the statements of a call.
        stands_alone: whether a statement, by its first words, refuses a transaction.
        autocommit: whether the task asks for none.
    """
    heads = [list(islice(words(s), HEAD_WORDS)) for s in statements]
    if any(_controls(h) for h in heads):
        return Mode.WRITTEN
    alone = autocommit or len(statements) == 1 or any(stands_alone(h) for h in heads)
    return Mode.ALONE if alone else Mode.TOGETHER


def _controls(head_: list[str]) -> bool:
    """Whether a statement begins or ends a transaction."""
    first = head_[0] if head_ else ""
    if first == "ROLLBACK":
        return "TO" not in head_[1:3]
    if first == "PREPARE":
        return head_[1:2] == ["TRANSACTION"]
    return first in ("BEGIN", "START", "COMMIT", "END", "ABORT")


# -- scanning ---------------------------------------------------------------------------


def _skip_blank(text: str, at: int) -> int:
    """Return where something other than space and whole comments begins."""
    while True:
        at = _match_end(_SPACE, text, at)
        if text.startswith("--", at):
            at = _match_end(_LINE, text, at)
        elif text.startswith("/*", at):
            end = _after_comment(text, at + 2)
            if end < 0:
                return at
            at = end
        else:
            return at


def _end(text: str, begin: int) -> tuple[int, bool]:
    """Return where the statement ends that begins there, and whether a semicolon ends it."""
    stops = _ROUTINE_STOP if _makes_routine(text, begin) else _STOP
    at, depth, blocks = begin, 0, 0
    while (match := stops.search(text, at)) is not None:
        mark = match.group()
        if mark == ";":
            if depth == 0 and blocks == 0:
                return match.end(), True
            at = match.end()
        elif mark in "()":
            depth = max(0, depth + (1 if mark == "(" else -1))
            at = match.end()
        elif mark[0].isalpha():
            if depth == 0:
                blocks = _blocks(blocks, mark.upper())
            at = match.end()
        else:
            at = _after(text, match, at)
    return len(text), False


def _blocks(blocks: int, word: str) -> int:
    """Return how many blocks of a routine's body are open after a word."""
    if word == "BEGIN" or (word == "CASE" and blocks):
        return blocks + 1
    return blocks - 1 if word == "END" and blocks else blocks


def _makes_routine(text: str, begin: int) -> bool:
    if text[begin : begin + 6].upper() != "CREATE":
        return False
    first = words(text[begin : begin + 200])
    prefix = [word for word, _ in zip(first, range(4), strict=False)]
    kind = prefix[3:4] if prefix[1:3] == ["OR", "REPLACE"] else prefix[1:2]
    return kind in (["FUNCTION"], ["PROCEDURE"])


def _after(text: str, opening: re.Match[str], since: int) -> int:
    """Return where the quoted thing or comment ends that a match begins.

    Args:
        text: the SQL.
        opening: the match of its opening.
        since: where the text begins that nothing has read yet.
    """
    mark, start = opening.group(), opening.start()
    if mark == "'":
        return _after_string(text, opening.end(), escaped=_has_escapes(text, start, since))
    if mark == '"':
        return _match_end(_NAME, text, opening.end(), otherwise=len(text))
    if mark == "--":
        return _match_end(_LINE, text, start)
    if mark == "/*":
        end = _after_comment(text, opening.end())
        return len(text) if end < 0 else end
    return _after_dollar(text, start, since)


def _after_string(text: str, at: int, *, escaped: bool) -> int:
    return _match_end(_ESCAPED_STRING if escaped else _STRING, text, at, otherwise=len(text))


def _has_escapes(text: str, quote: int, since: int) -> bool:
    """Whether a string has an ``E`` before it, which is no part of a longer name."""
    if quote - 1 < since or text[quote - 1] not in "eE":
        return False
    return quote - 2 < since or not _is_name_char(text[quote - 2])


def _after_dollar(text: str, at: int, since: int) -> int:
    """Return where a dollar-quoted body ends, or a name or parameter with a dollar in it."""
    if at > since and _is_name_char(text[at - 1]):
        return _match_end(_NAME_TAIL, text, at)
    tag = _TAG.match(text, at)
    if tag is None:
        return at + 1
    end = text.find(tag.group(), tag.end())
    return len(text) if end < 0 else end + len(tag.group())


def _after_comment(text: str, at: int) -> int:
    """Return where a comment ends, with those nested in it; -1 if it does not."""
    depth = 1
    while depth:
        edge = _COMMENT_EDGE.search(text, at)
        if edge is None:
            return -1
        depth += 1 if edge.group() == "/*" else -1
        at = edge.end()
    return at


def _is_name_char(char: str) -> bool:
    return char.isalnum() or char in "_$"


def _match_end(pattern: re.Pattern[str], text: str, at: int, otherwise: int = -1) -> int:
    match = pattern.match(text, at)
    return otherwise if match is None else match.end()
