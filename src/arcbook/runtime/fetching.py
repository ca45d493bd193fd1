"""Having at hand what an execution's templates need of values kept by reference."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from arcbook.engine.views import Gone
from arcbook.events.types import ResultRef
from arcbook.results.frames import frames_of
from arcbook.results.kept import Kept, ResultMissingError
from arcbook.runtime.outlet import Pending

LOADED_VALUES_MAX: Final = 32
"""Values kept by reference that an execution holds in memory."""


async def fetch(kept: Kept, entry: Pending, refs: Iterable[ResultRef]) -> None:
    """Fetch what references stand for; of what is gone, note that it is."""
    slot = entry.slot
    for ref in refs:
        # A loop that ends in this batch has frames that are not in the log yet.
        more = frames_of(ref, entry.events) if ref.store == "loop" else []
        try:
            slot.loaded[ref.ref] = await kept.load(ref, more)
        except ResultMissingError as error:
            slot.loaded[ref.ref] = Gone(str(error))
        while len(slot.loaded) > LOADED_VALUES_MAX:
            slot.loaded.popitem(last=False)
