"""Having at hand what an execution's templates need of values kept by reference."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from arcbook.engine.views import MissingResult
from arcbook.events.types import ResultRef
from arcbook.owner.ports import CommitEntry
from arcbook.results.frames import frames_of
from arcbook.results.store import ResultMissingError, ResultStore

LOADED_VALUES_MAX: Final = 32
"""Values kept by reference that an execution holds in memory."""


async def fetch(results: ResultStore, entry: CommitEntry, refs: Iterable[ResultRef]) -> None:
    """Fetch what references stand for; of what is gone, note that it is."""
    slot = entry.slot
    for ref in refs:
        # A loop that ends in this batch has frames that are not in the log yet.
        more = frames_of(ref, entry.events) if ref.store == "loop" else []
        try:
            slot.loaded[ref.ref] = await results.load(ref, more)
        except ResultMissingError as error:
            slot.loaded[ref.ref] = MissingResult(str(error))
        while len(slot.loaded) > LOADED_VALUES_MAX:
            slot.loaded.popitem(last=False)
