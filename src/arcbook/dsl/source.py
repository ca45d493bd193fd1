"""A document's text, and its nodes with their lines and columns."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any, Final, NamedTuple

from arcbook.errors import InvalidError

DOCUMENT_BYTES_MAX: Final = 8 * 1024 * 1024
"""Maximum size of one document."""


class Position(NamedTuple):
    """A position in a document; line and column count from 1."""

    line: int
    column: int


Mark = tuple[int, int]
"""A position as nodes store it: line and column, from 1. A :class:`Position` is a mark."""

START: Final = Position(1, 1)


class Node:
    """One YAML value with its position."""

    __slots__ = ("mark", "value")

    def __init__(self, value: Any, mark: Mark) -> None:
        self.value = value
        self.mark = mark

    @property
    def position(self) -> Position:
        """The start of the value."""
        return Position(*self.mark)

    def plain(self) -> Any:
        """Return the value without positions."""
        return self.value

    @property
    def kind(self) -> str:
        """The type of the value, as an error message names it."""
        return KINDS.get(type(self.value), type(self.value).__name__)


KINDS: Final = {
    bool: "a boolean",
    dict: "a mapping",
    float: "a number",
    int: "a number",
    list: "a list",
    str: "text",
    type(None): "nothing",
}


class ListNode(Node):
    """A YAML list."""

    __slots__ = ()
    value: list[Node]

    def plain(self) -> list[Any]:
        return [n.value if type(n) is Node else n.plain() for n in self.value]


class MapNode(Node):
    """A YAML mapping: text keys in document order, each with its position."""

    __slots__ = ("key_marks",)
    value: dict[str, Node]

    def __init__(self, value: dict[str, Node], mark: Mark, key_marks: dict[str, Mark]) -> None:
        self.value = value
        self.mark = mark
        self.key_marks = key_marks

    def plain(self) -> dict[str, Any]:
        return {k: n.value if type(n) is Node else n.plain() for k, n in self.value.items()}

    def get(self, key: str) -> Node | None:
        """Return the node of ``key``, or ``None``."""
        return self.value.get(key)

    def key_position(self, key: str) -> Position:
        """Return the position of a key, or of the mapping if it lacks the key."""
        return Position(*self.key_marks.get(key, self.mark))

    def items(self) -> Iterator[tuple[str, Node]]:
        """Iterate over keys and nodes."""
        return iter(self.value.items())

    def without(self, *keys: str) -> MapNode:
        """Return a copy without some keys."""
        entries = {k: v for k, v in self.value.items() if k not in keys}
        return MapNode(entries, self.mark, self.key_marks)

    def having(self, key: str, node: Node, mark: Mark | None = None) -> MapNode:
        """Return a copy in which ``key`` is ``node``."""
        marks = self.key_marks
        if key not in marks:
            marks = {**marks, key: mark or node.mark}
        return MapNode({**self.value, key: node}, self.mark, marks)

    def renamed(self, old: str, new: str) -> MapNode:
        """Return a copy in which the key ``old`` is named ``new``.

        Returns the mapping itself if it lacks ``old`` or already has ``new``.
        """
        if self.value.get(old) is None or self.value.get(new) is not None:
            return self
        entries = {(new if k == old else k): v for k, v in self.value.items()}
        return MapNode(
            entries, self.mark, {**self.key_marks, new: self.key_marks.get(old, self.mark)}
        )


class SourceError(InvalidError):
    """A document cannot be read as YAML.

    Attributes:
        reason: the problem, in one sentence.
        position: its position.
        code: the diagnostic's code.
        hint: how to fix it, or an empty string.
    """

    code = "invalid_yaml"

    def __init__(self, code: str, reason: str, position: Position, hint: str = "") -> None:
        self.code = code
        self.reason = reason
        self.position = position
        self.hint = hint
        super().__init__(reason)


_BREAK: Final = re.compile("\r\n|[\r\n\x85\u2028\u2029]")


def lines_of(text: str) -> tuple[str, ...]:
    """Return a document's lines as YAML counts them."""
    lines = _BREAK.split(text)
    return tuple(lines if lines[-1] else lines[:-1])


def place_of(text: str, index: int) -> Position:
    """Return the line and column of a character."""
    before = _BREAK.split(text[:index])
    return Position(len(before), len(before[-1]) + 1)


def read_source(content: str | bytes) -> str:
    """Return a document's text.

    Raises:
        SourceError: If it is too large or not UTF-8.
    """
    size = len(content)
    if size > DOCUMENT_BYTES_MAX:
        reason = (
            f"the document has {size / 2**20:.1f} MiB; the limit is "
            f"{DOCUMENT_BYTES_MAX / 2**20:.0f} MiB"
        )
        raise SourceError("ARC001", reason, START, "move data out of the playbook")
    if isinstance(content, str):
        return _encodable(content).removeprefix("\ufeff")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = content[: error.start].decode("utf-8", errors="replace").removeprefix("\ufeff")
        reason = f"byte 0x{content[error.start]:02x} is not UTF-8"
        position = place_of(before, len(before))
        raise SourceError("ARC002", reason, position, "save the document as UTF-8") from None


def readable(content: str | bytes) -> str:
    """Return the text of a document for display, with replacements for invalid characters."""
    if len(content) > DOCUMENT_BYTES_MAX:
        return ""
    if isinstance(content, str):
        content = content.encode(errors="replace")
    return content.decode("utf-8", errors="replace").removeprefix("\ufeff")


def _encodable(text: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        reason = f"character U+{ord(text[error.start]):04X} is a lone surrogate, not text"
        position = place_of(text, error.start)
        raise SourceError("ARC002", reason, position, "save the document as UTF-8") from None
    return text


def place_inside(lines: Sequence[str], node: Node, line: int, column: int = 0) -> Position:
    """Return the position of a line, and optionally a column, inside a text value.

    Only text after '|' has the same lines as the document; for other text, returns its start.
    """
    start = node.position
    written = lines[start.line - 1 : start.line] or ("",)
    inside = start.line + line
    if written[0][start.column - 1 : start.column] != "|" or inside > len(lines):
        return start
    shown = lines[inside - 1]
    if not shown.strip():
        return Position(inside, 1)
    if not column:
        return Position(inside, len(shown) - len(shown.lstrip()) + 1)
    own = str(node.value).split("\n")[line - 1 : line] or [""]
    return Position(inside, max(0, len(shown.rstrip()) - len(own[0].rstrip())) + column)
