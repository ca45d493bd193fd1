"""Shards: how executions are spread over servers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import xxhash

SHARDS: Final = 64
"""Number of shards. Stored data depends on it, so it never changes for a database."""


def shard_of(execution_id: int, shards: int = SHARDS) -> int:
    """Return the shard of an execution: XxHash64 of its id as 8 bytes, little-endian."""
    return xxhash.xxh64_intdigest(execution_id.to_bytes(8, "little")) % shards


def id_within(ids: Callable[[], int], shards: frozenset[int]) -> int:
    """Return a new id whose execution belongs to one of the given shards."""
    while shard_of(identity := ids()) not in shards:
        pass
    return identity
