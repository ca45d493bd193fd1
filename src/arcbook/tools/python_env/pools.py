"""Processes with the packages of environments, for all executions that use the same one."""

from __future__ import annotations

import contextlib
from collections import OrderedDict
from collections.abc import AsyncIterator
from typing import Final

from arcbook.tools.confinement import Confinement
from arcbook.tools.python_env.api import EnvironmentRequest, PythonEnvironment
from arcbook.tools.python_env.environments import Environments
from arcbook.tools.python_pool import PythonPool

POOLS_MAX: Final = 8
"""Environments whose processes are kept while no call uses them; the longest unused ones end."""


class EnvironmentPool(PythonPool):
    """Children for calls, with the interpreter and packages of an environment."""

    def __init__(self, confinement: Confinement, environment: PythonEnvironment) -> None:
        super().__init__(confinement, environment=environment)
        #: Calls that use it.
        self.users = 0


class EnvironmentPools:
    """One pool for each environment in use."""

    def __init__(self, confinement: Confinement) -> None:
        self._confinement = confinement
        self._environments = Environments(confinement.packages)
        self._pools: OrderedDict[str, EnvironmentPool] = OrderedDict()

    @contextlib.asynccontextmanager
    async def use(self, request: EnvironmentRequest) -> AsyncIterator[PythonPool]:
        """Yield the pool of an environment, which is made if it is not there.

        Raises:
            EnvironmentFailedError: it cannot be made.
            MissingUvError: it takes uv, which is not installed.
        """
        used = self._environments.ready(request) or await self._environments.obtain(request)
        name = used.environment.name
        pool = self._pools.get(name)
        if pool is None:
            pool = self._pools[name] = EnvironmentPool(self._confinement, used.environment)
        self._pools.move_to_end(name)
        pool.users += 1
        self._end_unused()
        try:
            yield pool
        finally:
            pool.users -= 1

    def _end_unused(self) -> None:
        unused = [name for name, pool in self._pools.items() if not pool.users]
        for name in unused[: max(0, len(self._pools) - POOLS_MAX)]:
            self._pools.pop(name).close()
            self._environments.release(name)

    def close(self) -> None:
        """End all processes."""
        for pool in self._pools.values():
            pool.close()
        self._pools.clear()
        self._environments.close()
