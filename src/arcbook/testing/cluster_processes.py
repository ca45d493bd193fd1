"""Servers and workers as separate processes, started as an operator would."""

from __future__ import annotations

import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, Self

from arcbook.testing.processes import Process
from arcbook.testing.services import bare_environment

_ADDRESS: Final = r"listens on (\S+)"

COMMAND: Final = [sys.executable, "-m", "arcbook"]


class ClusterProcesses:
    """The processes of a cluster; leaving the context ends them all.

    Args:
        environment: variables that name the database, the bus and the home.
        folder: where they run.
    """

    def __init__(self, environment: Mapping[str, str], folder: Path) -> None:
        self._environment = {**bare_environment(), **environment}
        self._folder = folder
        self.servers: list[Process] = []
        self.workers: list[Process] = []

    @property
    def urls(self) -> list[str]:
        """Addresses of the servers' APIs."""
        return [process.find(_ADDRESS) for process in self.servers]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        for process in (*self.workers, *self.servers):
            process.signal(signal.SIGCONT)
            process.stop(signal.SIGKILL)

    def start_server(self) -> str:
        """Start a server on a free port; return the address of its API."""
        process = self._start(["server", "--port", "0"], r"listens on ")
        self.servers.append(process)
        return process.find(_ADDRESS)

    def start_worker(
        self, pools: Sequence[str] = ("shared",), concurrency: int = 32, *, server: str = ""
    ) -> Process:
        """Start a worker; with a server's address, it has no other configuration."""
        arguments = ["worker", "--pool", ",".join(pools), "--concurrency", str(concurrency)]
        if server:
            arguments += ["--server", server]
        process = self._start(arguments, r"pulls from ")
        self.workers.append(process)
        return process

    def _start(self, arguments: list[str], ready: str) -> Process:
        process = Process([*COMMAND, *arguments], ready, cwd=self._folder, env=self._environment)
        process.wait_ready()
        return process
