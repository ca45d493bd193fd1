"""Where the corpus runs: the embedded runtime here; a cluster in :mod:`corpus.cluster`."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from arcbook.compose.embedded import Embedded
from arcbook.dsl.load import InvalidPlaybookError, Loaded
from arcbook.owner.plans import PlaybookMissingError
from arcbook.performer.services import CredentialPort
from arcbook.settings import Settings
from corpus.ran import Ran, ran_here


class Placed(NamedTuple):
    """Where a document is in the catalog."""

    path: str
    version: int


class MissingError(LookupError):
    """A document cannot be looked up; the message says why."""


class Place(Protocol):
    """A runtime with its catalog."""

    async def register(self, text: str, loaded: Loaded, folder: Path) -> Placed:
        """Register a document that lies in a folder; return its place in the catalog."""

    async def run(self, path: str, version: int, payload: dict[str, Any]) -> Ran:
        """Run a version of a playbook of the catalog to its end.

        Raises:
            MissingError: the catalog has no such playbook, or it cannot run.
        """


class Host(Protocol):
    """What the corpus runs on."""

    def compose(
        self, home: Path, credentials: CredentialPort
    ) -> AbstractAsyncContextManager[Place]:
        """Yield a place for a home folder; several may be used in turn."""


class _Embedded:
    def __init__(self, embedded: Embedded) -> None:
        self._embedded = embedded

    async def register(self, text: str, loaded: Loaded, folder: Path) -> Placed:
        entry = await self._embedded.plans.register(text, loaded, folder=str(folder))
        if loaded.playbook is not None:
            await self._embedded.register_files(loaded.playbook, str(folder))
        return Placed(entry.path, entry.version)

    async def run(self, path: str, version: int, payload: dict[str, Any]) -> Ran:
        runtime = await self._embedded.runtime()
        try:
            planned = await self._embedded.plans.find(path, version)
        except (PlaybookMissingError, InvalidPlaybookError) as error:
            raise MissingError(str(error)) from None
        state = await runtime.run(planned, payload)
        return await ran_here(state, self._embedded.store, self._embedded.results)


class Here:
    """This process."""

    @asynccontextmanager
    async def compose(self, home: Path, credentials: CredentialPort) -> AsyncIterator[Place]:
        """Yield the embedded runtime of a home folder."""
        async with Embedded(Settings(home=home), credentials) as embedded:
            yield _Embedded(embedded)
