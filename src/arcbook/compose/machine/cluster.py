"""A cluster on this machine: PostgreSQL, NATS, a server and workers, each a process."""

from __future__ import annotations

import asyncio
import secrets
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final, Self

from arcbook.bus.api import BusError
from arcbook.client import Client, ClientError
from arcbook.compose.machine.children import Child, end_leftovers, note
from arcbook.compose.machine.programs import ServiceFailedError, check_free
from arcbook.compose.machine.services import LocalNats, LocalPostgres
from arcbook.locks import lock, unlock
from arcbook.secrets.keys import KEY_FILE, make_key_file
from arcbook.settings import Settings, environment_for
from arcbook.store.api import StoreError
from arcbook.store.postgres import upgrade

READY_SECONDS: Final = 60.0
"""Time limit for a process to become ready."""

LOOK_SECONDS: Final = 0.2
"""Interval of checks whether the processes run."""

HEALTH_LOOKS: Final = 10
"""Number of checks between two health requests to the server ..."""

SICK_MAX: Final = 5
"""... and of consecutive failures after which the server is restarted."""

PAUSES: Final = (0.0, 0.5, 1.0, 2.0, 5.0, 10.0)
"""Pauses before restarting a process that keeps ending; the last one repeats."""

CALM_SECONDS: Final = 30.0
"""Time after which the pauses start over."""

SERVERS_POOLS: Final = ("shared", "python", "system")
"""The pools of the workers."""


class LocalCluster:
    """The processes of a local cluster; a context manager that starts and stops them.

    Args:
        folder: the folder for their data and logs.
        settings: the address of the server, and the pools.
        workers: the number of workers.
        with_nats: whether NATS is the bus; otherwise PostgreSQL is.
        tell: called with a sentence for each thing that happens.
    """

    def __init__(
        self,
        folder: Path,
        settings: Settings,
        *,
        workers: int,
        with_nats: bool,
        tell: Callable[[str], None],
    ) -> None:
        self.folder = folder
        self._settings = settings
        self._workers = workers
        self._with_nats = with_nats
        self._tell = tell
        self._handle: int | None = None
        self.url = f"http://{settings.host}:{settings.port}"
        self.children: list[Child] = []
        self.server: Child | None = None
        self._ended_at: dict[str, float] = {}
        self._ends: dict[str, int] = {}

    # -- lifetime ---------------------------------------------------------------------

    async def __aenter__(self) -> Self:
        self._lock()
        try:
            if end_leftovers(self._noted):
                self._tell("ended the processes of a killed 'arcbook up'")
            await self._start_all()
        except BaseException:
            self._stop_all()
            raise
        return self

    async def __aexit__(self, *exc: object) -> None:
        self._stop_all()

    def _lock(self) -> None:
        """Lock the folder.

        Raises:
            ServiceFailedError: another process runs a cluster in it.
        """
        (self.folder / "logs").mkdir(parents=True, exist_ok=True)
        self._handle = lock(self.folder / "lock")
        if self._handle is None:
            raise ServiceFailedError(
                f"another 'arcbook up' runs in {self.folder}: stop it, or choose another "
                "folder with --home"
            )

    @property
    def _noted(self) -> Path:
        return self.folder / "processes.json"

    async def _start_all(self) -> None:
        # Another process on the port would be mistaken for the new server.
        check_free(self._settings.port)
        database = LocalPostgres(self.folder / "postgres", self._log("postgres"))
        settings = {"dsn": database.dsn, "home": str(self.folder / "home")}
        make_key_file(self.folder / "home" / KEY_FILE)  # a server alone makes none
        await self._start(database.child, lambda: _accepts_tables(database.dsn))
        self._tell(
            f"PostgreSQL  127.0.0.1:{database.port}, user arcbook, password in {database.secret}"
        )
        if self._with_nats:
            nats = LocalNats(self.folder / "nats", self._log("nats"))
            settings |= {"nats_url": nats.url, "nats_token": nats.token}
            await self._start(nats.child, lambda: _listens(nats.port))
            self._tell(f"NATS        {nats.url}")
        else:
            self._tell("NATS        none, PostgreSQL is the bus")
        settings.setdefault(
            "internal_token", self._settings.internal_token or secrets.token_hex(16)
        )
        self.server = self._arcbook("server", settings, "--port", str(self._settings.port))
        await self._start(self.server, self._is_well)
        self._tell(f"server      {self.url}")
        del settings["internal_token"]
        await self._start_workers(settings)

    async def _start_workers(self, settings: dict[str, str]) -> None:
        pools = ",".join(dict.fromkeys([*SERVERS_POOLS, *self._settings.pools]))
        names = [f"worker-{number}" for number in range(1, self._workers + 1)]
        for name in names:
            arguments = ("--pool", pools, "--name", name, "--concurrency", "auto")
            child = self._arcbook("worker", settings, *arguments, name=name)
            await self._start(child, _at_once)

        async def are_there() -> bool:
            async with Client(self.url) as client:
                there = {worker.name for worker in await client.workers()}
            return there.issuperset(names)

        if names:
            await self._ready(self.children[-1], are_there)
        self._tell(f"workers     {', '.join(names) or 'none'}, pools {pools}")

    def _arcbook(
        self, verb: str, settings: dict[str, str], *arguments: str, name: str = ""
    ) -> Child:
        command = [sys.executable, "-m", "arcbook", verb, *arguments]
        log = self._log(name or verb)
        return Child(name or verb, command, log, env=environment_for(**settings))

    def _log(self, name: str) -> Path:
        return self.folder / "logs" / f"{name}.log"

    def _stop_all(self) -> None:
        """Stop the workers, then the server, then its services."""
        workers = [c for c in self.children if c.name.startswith("worker-")]
        for child in workers:
            child.ask_to_stop()
        for child in [*workers, *reversed([c for c in self.children if c not in workers])]:
            child.stop()
        self._noted.unlink(missing_ok=True)
        if self._handle is not None:
            unlock(self.folder / "lock", self._handle)
            self._handle = None

    # -- starting ---------------------------------------------------------------------

    async def _start(self, child: Child, is_ready: Callable[[], Awaitable[bool]]) -> None:
        self.children.append(child)
        child.start()
        note(self._noted, self.children)
        await self._ready(child, is_ready)

    async def _ready(self, child: Child, is_ready: Callable[[], Awaitable[bool]]) -> None:
        """Wait until a process is ready.

        Raises:
            ServiceFailedError: it ended, or took too long.
        """
        loop = asyncio.get_running_loop()
        ends_at = loop.time() + READY_SECONDS
        while child.code is None and loop.time() < ends_at:
            try:
                if await is_ready():
                    return
            except (ClientError, StoreError, BusError, OSError):
                pass  # not yet
            await asyncio.sleep(0.05)
        how = "took too long to start" if child.code is None else "did not start"
        raise ServiceFailedError(f"{child.name} {how}; its log {child.log} ends:\n{child.tail()}")

    async def _is_well(self) -> bool:
        async with Client(self.url) as client, asyncio.timeout(LOOK_SECONDS * HEALTH_LOOKS):
            return (await client.health()).status == "ok"

    # -- watching ---------------------------------------------------------------------

    async def watch(self) -> None:
        """Restart processes that end, until cancelled."""
        looks = sick = 0
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            for child in self.children:
                if child.code is not None:
                    await self._again(child)
            looks += 1
            if looks % HEALTH_LOOKS == 0 and self.server is not None:
                sick = 0 if await self._is_well_now() else sick + 1
                if sick == SICK_MAX:
                    self._tell("the server does not answer; restarting it")
                    self.server.kill()
                    sick = 0

    async def _is_well_now(self) -> bool:
        try:
            return await self._is_well()
        except (ClientError, TimeoutError):
            return False

    async def _again(self, child: Child) -> None:
        now = asyncio.get_running_loop().time()
        is_repeated = now - self._ended_at.get(child.name, -CALM_SECONDS) < CALM_SECONDS
        self._ends[child.name] = self._ends.get(child.name, 0) + 1 if is_repeated else 0
        self._ended_at[child.name] = now
        self._tell(f"{child.name} ended ({child.code}); restarting it, see {child.log}")
        await asyncio.sleep(PAUSES[min(self._ends[child.name], len(PAUSES) - 1)])
        child.start()
        note(self._noted, self.children)


async def _at_once() -> bool:
    return True


async def _accepts_tables(dsn: str) -> bool:
    await upgrade(dsn)
    return True


async def _listens(port: int) -> bool:
    _, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.close()
    await writer.wait_closed()
    return True
