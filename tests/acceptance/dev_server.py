"""A server in one process, as 'arcbook dev' has it, and the command line that speaks to it."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator

from acceptance.terminal import Ran, Terminal
from arcbook.testing.processes import Process


class Dev:
    """A dev server, started again at will, and the command line that speaks to it."""

    def __init__(self, arcbook: Terminal) -> None:
        self.arcbook = arcbook
        self.process: Process | None = None
        self.url = ""

    def start(self) -> None:
        command = self.arcbook.command("dev", "--port", 0)
        folder, environment = self.arcbook.folder, self.arcbook.environment
        self.process = Process(command, "Ctrl-C stops", cwd=folder, env=environment)
        self.process.wait_ready()
        self.url = self.process.find(r"listen on (\S+)")

    @contextlib.contextmanager
    def serving(self) -> Iterator[Dev]:
        self.start()
        try:
            yield self
        finally:
            assert self.process is not None
            self.process.stop(signal.SIGKILL)

    def __call__(self, *arguments: object) -> Ran:
        return self.arcbook("--server", self.url, *arguments)
