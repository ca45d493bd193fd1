"""The embedded runtime as the corpus uses it: with credentials of its own."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NamedTuple

from arcbook.embedded import Embedded
from arcbook.results.kept import Kept
from arcbook.runtime.local import LocalRuntime
from arcbook.runtime.plans import Plans
from arcbook.runtime.services import CredentialPort
from arcbook.settings import Settings
from arcbook.tools.registry import Registry


class Local(NamedTuple):
    """A runtime and its parts."""

    runtime: LocalRuntime
    plans: Plans
    kept: Kept
    registry: Registry


@asynccontextmanager
async def compose(home: Path, credentials: CredentialPort) -> AsyncIterator[Local]:
    """Yield the runtime of a home folder, which several runtimes may use in turn."""
    async with Embedded(Settings(home=home), credentials) as embedded:
        runtime = await embedded.runtime()
        yield Local(runtime, embedded.plans, embedded.kept, embedded.registry)
