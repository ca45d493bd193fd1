"""The arguments of a commit: one array for each column."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from arcbook.events.types import TERMINAL
from arcbook.shards import shard_of
from arcbook.store.api import Change, StoreError

FENCES: Final = 13
"""The number of leading arguments that fence the commit."""

_ENCODER: Final = msgspec.json.Encoder()


def arguments(changes: Sequence[Change]) -> list[Any]:
    """Return the arguments of the query ``commit``, in order; empty lists are null.

    Raises:
        StoreError: event numbers have a gap.
    """
    ordered = sorted(changes, key=_identity) if len(changes) > 1 else changes
    claims = [(c.execution_id, *claim) for c in ordered if c.claims for claim in c.claims]
    ticks = [(c.execution_id, *c.tick) for c in ordered if c.tick is not None]
    keys = [(c.execution_id, *c.key) for c in ordered if c.key is not None]
    *fences, last = _columns(_heads(ordered), 3)
    *claimed, workers = _columns(claims, 5)
    *ticked, upcoming = _columns(ticks, 4)
    *keyed, expiries = _columns(keys, 5)
    return [
        *fences,
        *claimed,
        *ticked,
        *keyed,
        last,
        workers,
        upcoming,
        expiries,
        *_columns(_events(ordered), 7),
        *_columns(_rows(ordered), 10),
        *_columns(_snapshots(ordered), 3),
        *_columns(_results(ordered), 6),
        *_timers(ordered),
        [d for c in ordered if c.done for d in c.done] or None,
        *_columns(_issued(ordered), 9),
        *owned(changes),
    ]


def owned(changes: Sequence[Change]) -> tuple[str, list[int]]:
    """Return the writing server and the shards that it must own, in order."""
    owner = next((c.owner for c in changes), "")
    return owner, sorted({shard_of(c.execution_id) for c in changes}) if owner else []


def _identity(change: Change) -> int:
    return change.execution_id


def _heads(changes: Sequence[Change]) -> list[Any]:
    """Return each execution with the numbers of its last event before and after the commit."""
    heads = []
    for change in changes:
        if events := change.events:
            after, last = change.after_seq, events[-1].seq
            if events[0].seq != after + 1 or last != after + len(events):
                raise StoreError(f"execution {change.execution_id}: event numbers have a gap")
            heads.append((change.execution_id, after, last))
        elif change.looks_at_head:  # another server may have cancelled the claimed commands
            heads.append((change.execution_id, change.after_seq, change.after_seq))
    return heads


def _columns(rows: list[Any], width: int) -> Sequence[Any]:
    return tuple(zip(*rows, strict=True)) if rows else (None,) * width


def _events(changes: Sequence[Change]) -> list[Any]:
    return [
        (c.execution_id, seq, at, kind, step, kind in TERMINAL, body)
        for c in changes
        for seq, at, kind, step, body in c.events
    ]


def _rows(changes: Sequence[Change]) -> list[Any]:
    return [
        (
            r.execution_id,
            shard_of(r.execution_id),
            r.path,
            r.status,
            r.seq,
            r.parent_execution_id,
            r.ended_at,
            _ENCODER.encode(r),
            r.tenant,
            r.organization,
        )
        for c in changes
        if (r := c.row) is not None
    ]


def _snapshots(changes: Sequence[Change]) -> list[Any]:
    return [
        (c.execution_id, c.after_seq + len(c.events), c.snapshot)
        for c in changes
        if c.snapshot is not None
    ]


def _results(changes: Sequence[Change]) -> list[Any]:
    # A statement cannot write a row twice, so only the last value of each is written.
    latest = {(c.execution_id, r.ref): r for c in changes if c.results for r in c.results}
    return [(execution_id, *result) for (execution_id, _), result in latest.items()]


def _timers(changes: Sequence[Change]) -> Sequence[Any]:
    timed = [c for c in changes if c.timers is not None]
    timers = [(c.execution_id, *timer) for c in timed for timer in (c.timers or {}).items()]
    return ([c.execution_id for c in timed] or None, *_columns(timers, 3))


def _issued(changes: Sequence[Change]) -> list[Any]:
    latest = {row.command_id: row for c in changes if c.issued for row in c.issued}
    return [
        (
            row.command_id,
            row.execution_id,
            shard_of(row.execution_id),
            row.step,
            row.pool,
            row.generation,
            row.attempt,
            row.issued_at,
            row.worker,
        )
        for row in latest.values()
    ]
