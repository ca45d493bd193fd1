"""YAML text to nodes that know their line and column.

The loader reads one document as YAML 1.2's core schema has it: ``yes`` and ``on`` are
text, there are no dates and no base-60 numbers. Duplicate keys, wrong encodings and
documents that would expand without bound are errors with a place.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final, NamedTuple

import yaml

DOCUMENT_BYTES_MAX: Final = 4 * 1024 * 1024
"""Size of one document."""

NODES_MAX: Final = 400_000
"""Scalars, lists and mappings in one document, aliases counted as often as used."""

DEPTH_MAX: Final = 80
"""Nesting of lists and mappings in one document."""


class Position(NamedTuple):
    """A place in a document; line and column count from 1."""

    line: int
    column: int


class Node:
    """One YAML value with its place."""

    __slots__ = ("position", "value")

    def __init__(self, value: Any, position: Position) -> None:
        self.value = value
        self.position = position

    def plain(self) -> Any:
        """Return the value without places."""
        return self.value

    @property
    def kind(self) -> str:
        """What the value is, in the words of an error message."""
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
        return [node.plain() for node in self.value]


class MapNode(Node):
    """A YAML mapping: text keys, in the order written, each with its place."""

    __slots__ = ("key_positions",)
    value: dict[str, Node]

    def __init__(
        self, value: dict[str, Node], position: Position, key_positions: dict[str, Position]
    ) -> None:
        super().__init__(value, position)
        self.key_positions = key_positions

    def plain(self) -> dict[str, Any]:
        return {key: node.plain() for key, node in self.value.items()}

    def get(self, key: str) -> Node | None:
        """Return the node of ``key``, if it is there."""
        return self.value.get(key)

    def key_position(self, key: str) -> Position:
        """Return the place of a key, or of the mapping where the key is not written."""
        return self.key_positions.get(key, self.position)

    def items(self) -> Iterator[tuple[str, Node]]:
        """Iterate over keys and nodes."""
        return iter(self.value.items())

    def without(self, *keys: str) -> MapNode:
        """Return a copy without some keys."""
        kept = {k: v for k, v in self.value.items() if k not in keys}
        return MapNode(kept, self.position, self.key_positions)

    def having(self, key: str, node: Node, position: Position | None = None) -> MapNode:
        """Return a copy in which ``key`` is ``node``."""
        positions = self.key_positions
        if key not in positions:
            positions = {**positions, key: position or node.position}
        return MapNode({**self.value, key: node}, self.position, positions)


class SourceError(ValueError):
    """A document cannot be read as YAML.

    Attributes:
        reason: what is wrong and what to do, in one sentence.
        position: where.
        code: the diagnostic's code.
    """

    def __init__(self, code: str, reason: str, position: Position) -> None:
        self.code = code
        self.reason = reason
        self.position = position
        super().__init__(reason)


START: Final = Position(1, 1)


def read_source(content: str | bytes) -> str:
    """Return a document's text.

    Raises:
        SourceError: it is too large or not UTF-8.
    """
    size = len(content)
    if size > DOCUMENT_BYTES_MAX:
        reason = (
            f"the document has {size / 2**20:.1f} MiB; the limit is "
            f"{DOCUMENT_BYTES_MAX / 2**20:.0f} MiB: move data out of the playbook"
        )
        raise SourceError("ARC001", reason, START)
    if isinstance(content, str):
        return content.removeprefix("\ufeff")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        column = error.start - content.rfind(b"\n", 0, error.start)
        byte = content[error.start]
        reason = f"byte 0x{byte:02x} is not UTF-8: save the document as UTF-8"
        raise SourceError("ARC002", reason, Position(line, column)) from None


def load(text: str) -> Node:
    """Return the root node of the one document in ``text``.

    Raises:
        SourceError: it is not YAML, is empty, or passes a limit.
    """
    loader = _Loader(text)
    try:
        root = loader.get_single_node()
    except yaml.YAMLError as error:
        raise _syntax(error) from None
    except (RecursionError, ValueError) as error:
        raise SourceError("ARC003", f"invalid YAML: {error}", START) from None
    finally:
        loader.dispose()
    if root is None:
        raise SourceError("ARC004", "the document is empty", START)
    return _Builder().build(root, 0)


_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def _syntax(error: yaml.YAMLError) -> SourceError:
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    position = Position(mark.line + 1, mark.column + 1) if mark else START
    problem = getattr(error, "problem", None) or str(error)
    context = getattr(error, "context", None)
    if "but found another document" in problem:
        return SourceError("ARC005", "one file holds one document: remove what follows", position)
    reason = f"invalid YAML: {problem}" + (f" ({context})" if context else "")
    if "tab" in problem or "\\t" in problem:
        reason += "; indent with spaces"
    return SourceError("ARC003", reason, position)


class _Builder:
    """Turns PyYAML's nodes into ours, once for each node, counting what aliases repeat."""

    def __init__(self) -> None:
        self.built: dict[int, tuple[Node, int]] = {}
        self.open: set[int] = set()

    def build(self, root: Any, depth: int) -> Node:
        return self._build(root, depth)[0]

    def _build(self, node: Any, depth: int) -> tuple[Node, int]:
        known = self.built.get(id(node))
        if known:
            return known
        position = Position(node.start_mark.line + 1, node.start_mark.column + 1)
        if isinstance(node, yaml.ScalarNode):
            made: tuple[Node, int] = (Node(_scalar(node), position), 1)
        else:
            self._enter(node, depth, position)
            if isinstance(node, yaml.SequenceNode):
                made = self._list(node, depth, position)
            else:
                made = self._map(node, depth, position)
            self.open.discard(id(node))
        if made[1] > NODES_MAX:
            reason = f"the document has more than {NODES_MAX:,} values once aliases are expanded"
            raise SourceError("ARC006", reason, position)
        self.built[id(node)] = made
        return made

    def _enter(self, node: Any, depth: int, position: Position) -> None:
        if id(node) in self.open:
            raise SourceError("ARC007", "an alias refers to a value that contains it", position)
        if depth >= DEPTH_MAX:
            raise SourceError("ARC008", f"values nest deeper than {DEPTH_MAX} levels", position)
        self.open.add(id(node))

    def _list(self, node: Any, depth: int, position: Position) -> tuple[Node, int]:
        built = [self._build(child, depth + 1) for child in node.value]
        return ListNode([n for n, _ in built], position), 1 + sum(size for _, size in built)

    def _map(self, node: Any, depth: int, position: Position) -> tuple[Node, int]:
        entries: dict[str, Node] = {}
        places: dict[str, Position] = {}
        size = 1
        merged: list[MapNode] = []
        for key_node, value_node in node.value:
            place = Position(key_node.start_mark.line + 1, key_node.start_mark.column + 1)
            value, value_size = self._build(value_node, depth + 1)
            size += 1 + value_size
            if key_node.value == "<<" and not key_node.style:
                merged += _merged(value)
                continue
            key = _key(key_node, place)
            if key in places:
                reason = f"key {key!r} is written twice in one mapping: remove one"
                raise SourceError("ARC009", reason, place)
            entries[key] = value
            places[key] = place
        for source in merged:
            for key, value in source.items():
                if key not in entries:
                    entries[key] = value
                    places[key] = source.key_position(key)
        return MapNode(entries, position, places), size


def _merged(value: Node) -> list[MapNode]:
    sources = value.value if isinstance(value, ListNode) else [value]
    maps = [source for source in sources if isinstance(source, MapNode)]
    if len(maps) < len(sources):
        raise SourceError("ARC010", "<< takes a mapping or a list of mappings", value.position)
    return maps


def _key(node: Any, place: Position) -> str:
    if not isinstance(node, yaml.ScalarNode):
        raise SourceError("ARC011", "a key must be text", place)
    return str(node.value)


_NULLS: Final = frozenset({"", "~", "null", "Null", "NULL"})
_BOOLS: Final = {
    "true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False,
}  # fmt: skip
_INT: Final = re.compile(r"[-+]?[0-9]+")
_BASED: Final = re.compile(r"0x[0-9a-fA-F]+|0o[0-7]+")
_FLOAT: Final = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_INT_DIGITS_MAX: Final = 300


def _scalar(node: Any) -> Any:
    text = node.value
    if node.style:
        return text
    if node.tag == "tag:yaml.org,2002:str":
        return _core_number(text)
    if text in _NULLS:
        return None
    if text in _BOOLS:
        return _BOOLS[text]
    if _INT.fullmatch(text):
        return int(text) if len(text) <= _INT_DIGITS_MAX else text
    if _BASED.fullmatch(text):
        return int(text, 0)
    if _FLOAT.fullmatch(text):
        return float(text)
    return text


def _core_number(text: str) -> Any:
    """Return the number that plain text is in YAML 1.2 but not in PyYAML's YAML 1.1."""
    if text[:1] not in "0123456789+-." or not text:
        return text
    if _BASED.fullmatch(text):
        return int(text, 0)
    return float(text) if "e" in text.lower() and _FLOAT.fullmatch(text) else text
