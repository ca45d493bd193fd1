"""Loading the values stored by reference that an execution's templates need."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from arcbook.engine.views import MissingResult
from arcbook.events.types import ResultRef
from arcbook.owner.ports import CommitEntry
from arcbook.results.frames import frames_of
from arcbook.results.store import ResultMissingError, ResultStore

LOADED_VALUES_MAX: Final = 32
"""Values stored by reference that an execution holds in memory."""


async def fetch(results: ResultStore, entry: CommitEntry, refs: Iterable[ResultRef]) -> None:
    """Load referenced values into the slot; a deleted one becomes a MissingResult."""
    slot = entry.slot
    for ref in refs:
        # The frames of a loop that ends in this batch are not in the log yet.
        more = frames_of(ref, entry.events) if ref.store == "loop" else []
        try:
            slot.loaded[ref.ref] = await results.load(ref, more)
        except ResultMissingError as error:
            slot.loaded[ref.ref] = MissingResult(str(error))
        while len(slot.loaded) > LOADED_VALUES_MAX:
            slot.loaded.popitem(last=False)
