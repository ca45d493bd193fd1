"""A dry run: everything happens but the calls that have effects.

It runs in a temporary home, so nothing of it can be resumed as if it were a real one. The
catalog is a copy of the home's, and credentials come from there.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any, Self

import msgspec

from arcbook.compose.embedded import Embedded
from arcbook.settings import Settings


class DryRun(Embedded):
    """The runtime of a dry run.

    Args:
        settings: those of the home that it is about.
    """

    is_dry = True

    def __init__(self, settings: Settings) -> None:
        self._real = Embedded(settings)
        self._folder = tempfile.TemporaryDirectory(prefix="arcbook-dry-")
        super().__init__(msgspec.structs.replace(settings, home=Path(self._folder.name)), self)

    async def credential(self, alias: str, execution_id: int) -> Any:
        """Return a credential of the home."""
        return await self._real.credentials.credential(alias, execution_id)

    async def __aenter__(self) -> Self:
        self._stack.callback(self._folder.cleanup)
        await self._stack.enter_async_context(self._real)
        await super().__aenter__()
        for entry in await self._real.store.entries():
            await self.store.register(entry)
        return self
