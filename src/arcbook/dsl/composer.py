"""Compose YAML text into nodes with lines and columns.

One pass over the parser's events, without an intermediate tree, so limits apply while the
text is read. Values follow the core schema of YAML 1.2: ``yes`` and ``on`` are text, and
there are no dates and no base-60 numbers.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final, NamedTuple

import yaml
from yaml.events import (
    AliasEvent,
    DocumentStartEvent,
    MappingEndEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceEndEvent,
    StreamEndEvent,
)

from arcbook.dsl.misreadings import explain
from arcbook.dsl.source import START, ListNode, MapNode, Mark, Node, Position, SourceError

NODES_MAX: Final = 1_000_000
"""Maximum scalars, lists and mappings in one document, with aliases expanded."""

DEPTH_MAX: Final = 80
"""Maximum nesting of lists and mappings in one document."""

FAULTS_MAX: Final = 100
"""Maximum faults of one document that are collected while it is read."""


class Composed(NamedTuple):
    """A document's nodes."""

    root: Node
    #: Problems that do not prevent reading the rest.
    faults: tuple[SourceError, ...]


def compose(text: str) -> Composed:
    """Return the nodes of the single document in ``text``.

    Raises:
        SourceError: If it is not YAML, is empty, or exceeds a limit.
    """
    composer: _Composer | None = None
    try:
        parser = _PARSER(text)
        composer = _Composer(text, parser.get_event)
        root = composer.document()
    except yaml.YAMLError as error:
        raise explain(error, text) from None
    if root is None:
        raise SourceError(
            "ARC004", "the document is empty", START, "begin with 'apiVersion: noetl.io/v2'"
        )
    return Composed(root, tuple(composer.faults[:FAULTS_MAX]))


_PARSER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

_TAG: Final = "tag:yaml.org,2002:"


class _Composer:
    """Turns events into nodes."""

    def __init__(self, text: str, next_event: Callable[[], Any]) -> None:
        self.text = text
        self.next = next_event
        self.count = 0
        #: Each anchor's node and its number of nodes; ``None`` while it is being read.
        self.anchors: dict[str, tuple[Node, int] | None] = {}
        self.faults: list[SourceError] = []

    def document(self) -> Node | None:
        """Return the root of the only document, or ``None`` if there is none."""
        self.next()
        event = self.next()
        if type(event) is StreamEndEvent:
            return None
        root = self.node(self.next(), 0)
        self.next()
        after = self.next()
        if type(after) is DocumentStartEvent:
            place = _position(after)
            raise SourceError("ARC005", "one file holds one document", place, "remove what follows")
        is_empty = type(root) is Node and root.value is None and not self.text.strip("-. \t\r\n")
        return None if is_empty else root

    def node(self, event: Any, depth: int) -> Node:
        """Return the node that starts with ``event``."""
        self.count += 1
        if self.count > NODES_MAX:
            self._too_many(event)
        kind = type(event)
        if kind is AliasEvent:
            return self._alias(event)
        anchor = event.anchor
        if anchor is not None:
            self.anchors[anchor] = None
        before = self.count
        if kind is ScalarEvent:
            node = self._scalar(event)
        elif depth >= DEPTH_MAX:
            reason = f"values nest deeper than {DEPTH_MAX} levels"
            raise SourceError("ARC008", reason, _position(event), "move data out of the playbook")
        elif kind is MappingStartEvent:
            node = self._map(event, depth + 1)
        else:
            node = self._list(event, depth + 1)
        if anchor is not None:
            self.anchors[anchor] = node, self.count - before + 1
        return node

    def _too_many(self, event: Any) -> None:
        reason = f"the document has more than {NODES_MAX:,} values once its aliases are expanded"
        hint = "move data out of the playbook"
        raise SourceError("ARC006", reason, _position(event), hint)

    def _alias(self, event: Any) -> Node:
        name, place = event.anchor, _position(event)
        anchored = self.anchors.get(name)
        if anchored is not None:
            node, size = anchored
            self.count += size - 1
            if self.count > NODES_MAX:
                self._too_many(event)
            return node
        if name in self.anchors:
            reason = f"alias '*{name}' refers to a value that contains it"
            self._fault("ARC007", reason, place, "write the value instead of the alias")
        else:
            hint = "quote the text if it is not meant as an alias"
            self._fault("ARC003", f"invalid YAML: alias '*{name}' has no anchor", place, hint)
        return Node(None, place)

    def _scalar(self, event: Any) -> Node:
        start = event.start_mark
        mark = (start.line + 1, start.column + 1)
        if event.style or event.tag is not None:
            value = event.value if event.tag is None else self._tagged(event)
        else:
            value = core_value(event.value)
        return Node(value, mark)

    def _tagged(self, event: Any) -> Any:
        tag, text = event.tag, event.value
        if tag in ("!", f"{_TAG}str"):
            return text
        value = core_value(text)
        if tag == f"{_TAG}float" and type(value) is int:
            return float(value)
        if type(value) is not _TAGGED.get(tag, object):
            self._unknown_tag(event)
        return value

    def _unknown_tag(self, event: Any) -> None:
        name = "!!" + event.tag.removeprefix(_TAG) if event.tag.startswith(_TAG) else event.tag
        reason = f"tag {name!r} does not fit, or is not one of YAML's core schema"
        self._fault("ARC012", reason, _position(event), "remove it; quote what is to be text")

    def _list(self, start: Any, depth: int) -> ListNode:
        if start.tag not in (None, "!", f"{_TAG}seq"):
            self._unknown_tag(start)
        values: list[Node] = []
        while type(event := self.next()) is not SequenceEndEvent:
            values.append(self.node(event, depth))
        return ListNode(values, _mark(start))

    def _map(self, start: Any, depth: int) -> Node:
        if start.tag not in (None, "!", f"{_TAG}map"):
            self._unknown_tag(start)
        entries: dict[str, Node] = {}
        marks: dict[str, Mark] = {}
        merged: list[MapNode] = []
        is_template = False
        while type(event := self.next()) is not MappingEndEvent:
            mark = _mark(event)
            if type(event) is ScalarEvent:
                key = self._key(event, mark)
            else:
                is_template |= start.flow_style and type(event) is MappingStartEvent
                key = self._odd_key(self.node(event, depth), mark, is_quiet=is_template)
            value = self.node(self.next(), depth)
            if key == "<<" and not getattr(event, "style", None):
                merged += self._merged(value)
            elif key in marks:
                self._duplicate(key, marks[key], mark)
            else:
                entries[key] = value
                marks[key] = mark
        if is_template:
            return self._unquoted(start, event)
        for source in merged:
            _add_missing(source, entries, marks)
        return MapNode(entries, _mark(start), marks)

    def _key(self, event: Any, mark: Mark) -> str:
        self.count += 1
        key: str = event.value
        if event.anchor is not None:
            self.anchors[event.anchor] = Node(key, mark), 1
        return key

    def _odd_key(self, node: Node, mark: Mark, *, is_quiet: bool) -> str:
        """Return the text of an alias used as a key; other values cannot be keys."""
        if isinstance(node.value, str):
            return node.value
        if not is_quiet:
            message = f"a key must be text, not {node.kind}"
            self._fault("ARC011", message, Position(*mark), "write a text before the ':'")
        return f"?{mark}"

    def _unquoted(self, start: Any, end: Any) -> Node:
        """Report an unquoted ``{{ name }}``, and return it as the text it was meant to be."""
        text = self.text[start.start_mark.index : end.end_mark.index]
        if not text.startswith("{{"):
            hint = "write a text before the ':'"
            self._fault("ARC011", "a key must be text, not a mapping", _position(start), hint)
            return MapNode({}, _mark(start), {})
        template = " ".join(text.split())
        reason = f"the template {template} is not quoted, so YAML reads its braces as a mapping"
        self._fault("ARC013", reason, _position(start), f'write "{template}"')
        return Node(text, _mark(start))

    def _merged(self, value: Node) -> list[MapNode]:
        sources = value.value if isinstance(value, ListNode) else [value]
        maps = [source for source in sources if isinstance(source, MapNode)]
        if len(maps) < len(sources):
            reason = "'<<' takes a mapping or a list of mappings"
            self._fault("ARC010", reason, value.position, "name an anchor of a mapping: *name")
        return maps

    def _duplicate(self, key: str, first: Mark, mark: Mark) -> None:
        reason = f"key {key!r} is already written on line {first[0]}"
        self._fault("ARC009", reason, Position(*mark), "remove one of them")

    def _fault(self, code: str, reason: str, position: Position, hint: str = "") -> None:
        if len(self.faults) < FAULTS_MAX:
            self.faults.append(SourceError(code, reason, position, hint))


def _add_missing(source: MapNode, entries: dict[str, Node], marks: dict[str, Mark]) -> None:
    """Add the entries of a merge key that the mapping does not define itself."""
    for key, value in source.items():
        if key not in entries:
            entries[key] = value
            marks[key] = source.key_marks.get(key, source.mark)


def _mark(event: Any) -> Mark:
    start = event.start_mark
    return (start.line + 1, start.column + 1)


def _position(event: Any) -> Position:
    return Position(*_mark(event))


_TAGGED: Final[dict[str, type]] = {
    f"{_TAG}bool": bool,
    f"{_TAG}float": float,
    f"{_TAG}int": int,
    f"{_TAG}null": type(None),
}

_WORDS: Final[dict[str, bool | None]] = {
    "~": None, "null": None, "Null": None, "NULL": None,
    "true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False,
}  # fmt: skip
_INT: Final = re.compile(r"[-+]?[0-9]+")
_BASED: Final = re.compile(r"0x[0-9a-fA-F]+|0o[0-7]+")
_FLOAT: Final = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_NUMBER_STARTS: Final = frozenset("0123456789+-.")
_INT_DIGITS_MAX: Final = 300


def core_value(text: str) -> Any:
    """Return the value of unquoted text in YAML 1.2's core schema.

    Infinities, and numbers with more digits than JSON readers accept, remain text.
    """
    if not text:
        return None
    if text[0] not in _NUMBER_STARTS:
        return _WORDS.get(text, text)
    if len(text) > _INT_DIGITS_MAX:
        return text
    if _INT.fullmatch(text):
        return int(text)
    if _FLOAT.fullmatch(text):
        return _finite(text)
    return int(text, 0) if _BASED.fullmatch(text) else text


def _finite(text: str) -> float | str:
    value = float(text)
    return text if value in (float("inf"), float("-inf")) else value
