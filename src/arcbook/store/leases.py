"""Division of the shards among servers."""

from __future__ import annotations

from collections.abc import Sequence

from arcbook.shards import SHARDS
from arcbook.store.api import LeaseState


def share_of(servers: int) -> int:
    """Return the maximum number of shards for one of several servers."""
    return -(-SHARDS // servers)


def lease_state(owned: Sequence[int], servers: int) -> LeaseState:
    """Return the lease state of a server, with the shards beyond its share."""
    return LeaseState(frozenset(owned), frozenset(owned[share_of(servers) :]), servers)
