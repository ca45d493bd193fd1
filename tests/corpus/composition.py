"""Where the corpus runs: the embedded runtime here; a cluster in :mod:`corpus.cluster`."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any, Protocol

from arcbook.embedded import Embedded
from arcbook.engine.state import State
from arcbook.results.kept import Kept
from arcbook.runtime.plans import Planned, Plans
from arcbook.runtime.services import CredentialPort
from arcbook.settings import Settings
from arcbook.store.api import EventLog
from arcbook.tools.registry import Registry


class Place(Protocol):
    """A runtime and its parts."""

    plans: Plans
    kept: Kept
    registry: Registry
    log: EventLog

    async def run(self, planned: Planned, payload: dict[str, Any]) -> State:
        """Run a playbook to its end."""


class Host(Protocol):
    """What the corpus runs on."""

    def compose(
        self, home: Path, credentials: CredentialPort
    ) -> AbstractAsyncContextManager[Place]:
        """Yield a place for a home folder; several may be used in turn."""


class _Embedded:
    def __init__(self, embedded: Embedded) -> None:
        self._embedded = embedded
        self.plans = embedded.plans
        self.kept = embedded.kept
        self.registry = embedded.registry
        self.log = embedded.store

    async def run(self, planned: Planned, payload: dict[str, Any]) -> State:
        runtime = await self._embedded.runtime()
        return await runtime.run(planned, payload)


class Here:
    """This process."""

    @asynccontextmanager
    async def compose(self, home: Path, credentials: CredentialPort) -> AsyncIterator[Place]:
        """Yield the embedded runtime of a home folder."""
        async with Embedded(Settings(home=home), credentials) as embedded:
            yield _Embedded(embedded)
