"""How shards are divided among servers."""

from __future__ import annotations

from collections.abc import Sequence

from arcbook.shards import SHARDS
from arcbook.store.api import LeaseState


def share_of(servers: int) -> int:
    """Return how many shards a server may own among so many."""
    return -(-SHARDS // servers)


def standing(owned: Sequence[int], servers: int) -> LeaseState:
    """Return what a server owns, and what of it is beyond its share."""
    return LeaseState(frozenset(owned), frozenset(owned[share_of(servers) :]), servers)
