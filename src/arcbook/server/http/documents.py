"""Read documents of the catalog: their content, and the data for a start form."""

from __future__ import annotations

import base64
import binascii
from typing import Any

from arcbook.dsl.composer import compose
from arcbook.dsl.source import MapNode, SourceError, read_source


def text_of(content: str) -> str:
    """Return a document that was sent as text or as Base64."""
    packed = "".join(content.split())
    try:
        return base64.b64decode(packed, validate=True).decode() if packed else content
    except (binascii.Error, ValueError):
        return content


def root_of(content: str) -> MapNode | None:
    """Return the top-level mapping of a document; empty if it cannot be read."""
    try:
        root, _ = compose(read_source(content))
    except SourceError:
        return None
    return root if isinstance(root, MapNode) else None


def part_of(root: MapNode | None, key: str) -> Any:
    """Return one top-level value of a document as plain data."""
    node = root.get(key) if root is not None else None
    return node.plain() if node is not None else None
