"""The environments that the calls of one process use: each is made once, for all who wait."""

from __future__ import annotations

import asyncio
import time
from typing import Final

from arcbook.tools.python_env.api import EnvironmentFailedError, EnvironmentRequest, PackageSources
from arcbook.tools.python_env.store import EnvironmentStore, UsedEnvironment

FAILURE_SECONDS: Final = 10.0
"""How long a failure counts for others who want the same environment."""

FAILURES_MAX: Final = 256
"""Failures that are remembered."""

MADE_AT_ONCE_MAX: Final = 4
"""Environments that one process makes at once; others wait."""

TURNS_MAX: Final = 256
"""Environments for which it is remembered who makes them."""


class Environments:
    """Finds environments, by what tasks ask for."""

    def __init__(self, sources: PackageSources) -> None:
        self._store = EnvironmentStore(sources)
        self._held: dict[EnvironmentRequest, UsedEnvironment] = {}
        self._makers = asyncio.Semaphore(MADE_AT_ONCE_MAX)
        self._turns: dict[EnvironmentRequest, asyncio.Lock] = {}
        self._failures: dict[EnvironmentRequest, tuple[float, EnvironmentFailedError]] = {}

    def ready(self, request: EnvironmentRequest) -> UsedEnvironment | None:
        """Return an environment that this process already uses."""
        return self._held.get(request)

    async def obtain(self, request: EnvironmentRequest) -> UsedEnvironment:
        """Return an environment; made if it is not there.

        Raises:
            EnvironmentFailedError: it cannot be made.
            MissingUvError: it takes uv, which is not installed.
        """
        if len(self._turns) > TURNS_MAX:
            self._turns = {one: turn for one, turn in self._turns.items() if turn.locked()}
        async with self._turns.setdefault(request, asyncio.Lock()):
            return self._held.get(request) or await self._obtain(request)

    async def _obtain(self, request: EnvironmentRequest) -> UsedEnvironment:
        at, failure = self._failures.get(request, (0.0, None))
        if failure is not None and time.monotonic() - at < FAILURE_SECONDS:
            raise failure
        try:
            async with self._makers:
                used = self._held[request] = await self._store.obtain(request)
        except EnvironmentFailedError as error:
            self._failures[request] = (time.monotonic(), error)
            if len(self._failures) > FAILURES_MAX:
                del self._failures[next(iter(self._failures))]
            raise
        return used

    def release(self, name: str) -> None:
        """Let an environment be removed, as no process of ours uses it any more."""
        for request in [w for w, used in self._held.items() if used.environment.name == name]:
            self._held.pop(request).release()

    def close(self) -> None:
        """Release all environments."""
        for used in self._held.values():
            used.release()
        self._held.clear()
