"""Server processes of tests, with their logs and folders."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
import threading
from collections import deque
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from arcbook.compose.machine.programs import ServiceFailedError

READY_SECONDS: Final = 60.0
"""How long a server may take to become ready, in seconds."""

STOP_SECONDS: Final = 20.0
"""How long a server may take to stop before it is killed, in seconds."""

LINES_KEPT: Final = 200
"""Lines of a server's log that are kept: so many of its beginning, and of its end."""


class Process:
    """A server process whose log shows when it is ready."""

    def __init__(self, command: list[str], ready: str, **options: Any) -> None:
        self._ready = re.compile(ready)
        self._told = threading.Event()
        self._is_ready = False
        self._first: list[str] = []
        self._lines: deque[str] = deque(maxlen=LINES_KEPT)
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            **options,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    def find(self, pattern: str) -> str:
        """Return the first group of a pattern's first match in what is kept of the log."""
        for line in [*self._first, *self._lines]:
            match = re.search(pattern, line)
            if match is not None:
                return match[1]
        raise ServiceFailedError(f"the log has no {pattern!r}:\n" + self.log)

    @property
    def log(self) -> str:
        """The end of the log."""
        return "".join(self._lines)

    def wait_ready(self) -> None:
        """Wait until the log shows that the server is ready.

        Raises:
            ServiceFailedError: it ended first, or took too long.
        """
        if self._told.wait(READY_SECONDS) and self._is_ready:
            return
        self.stop()
        raise ServiceFailedError("the server did not start:\n" + self.log)

    @property
    def is_alive(self) -> bool:
        """Whether the process is running."""
        return self._process.poll() is None

    def signal(self, number: int) -> None:
        """Send a signal if the process is still running."""
        if self.is_alive:
            self._process.send_signal(number)

    def kill_tree(self) -> None:
        """Kill the process and its children at once."""
        self.signal_tree(signal.SIGKILL)
        self.stop(signal.SIGKILL)

    def signal_tree(self, number: int) -> None:
        """Send a signal to the process and its children."""
        for pid in [self.pid, *_children(self.pid)]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)

    def stop(self, stop_signal: int | None = None) -> None:
        """Stop the process and wait for it to exit. Idempotent."""
        if self._process.poll() is None:
            if stop_signal is None:
                self._process.terminate()
            else:
                self._process.send_signal(stop_signal)
            try:
                self._process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        self._reader.join()
        if self._process.stdout is not None:
            self._process.stdout.close()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if len(self._first) < LINES_KEPT:
                self._first.append(line)
            self._lines.append(line)
            if not self._is_ready and self._ready.search(line):
                self._is_ready = True
                self._told.set()
        self._told.set()


def _children(pid: int) -> list[int]:
    """Return the child processes of a process."""
    file = Path(f"/proc/{pid}/task/{pid}/children")
    return [int(child) for child in file.read_text().split()] if file.exists() else []


class Server:
    """A server in a private folder: started on entry, stopped and removed on exit."""

    _process: Process | None = None

    def __init__(self) -> None:
        self.folder = Path()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    @property
    def pid(self) -> int:
        """The process id of the server."""
        assert self._process is not None
        return self._process.pid

    @property
    def log(self) -> str:
        """The end of the server's log."""
        return self._process.log if self._process is not None else ""

    def start(self) -> None:
        """Create the folder and start the server."""
        raise NotImplementedError

    def stop(self) -> None:
        """Stop the server and remove its folder. Idempotent."""
        if self._process is not None:
            self._process.stop()
            self._process = None
        if self.folder != Path():
            shutil.rmtree(self.folder, ignore_errors=True)
            self.folder = Path()
