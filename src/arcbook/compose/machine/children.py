"""Child processes of a local cluster: start, watch, restart and stop them."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

STOP_SECONDS: Final = 20.0
"""Time limit for a process to end before it is killed."""

LOG_TAIL_BYTES: Final = 2000


class Child:
    """A child process that logs to a file.

    It has its own process group, so that Ctrl-C in the terminal only reaches the parent,
    which stops all children in order.
    """

    def __init__(
        self,
        name: str,
        command: list[str],
        log: Path,
        *,
        stop_signal: int = signal.SIGTERM,
        **options: Any,
    ) -> None:
        self.name = name
        self.log = log
        self.starts = 0
        self._command = command
        self._options = options
        self._stop_signal = stop_signal
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start the process."""
        self.starts += 1
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                **self._options,
            )

    @property
    def pid(self) -> int:
        """Id of the process."""
        return self._process.pid if self._process is not None else 0

    @property
    def code(self) -> int | None:
        """The exit code; None while it runs."""
        return self._process.poll() if self._process is not None else None

    def tail(self) -> str:
        """Return the last lines of its log."""
        data = self.log.read_bytes() if self.log.exists() else b""
        return data[-LOG_TAIL_BYTES:].decode("utf-8", "replace").strip()

    def ask_to_stop(self) -> None:
        """Send the stop signal."""
        if self._process is not None and self.code is None:
            self._process.send_signal(self._stop_signal)

    def stop(self) -> None:
        """Stop the process and wait for its end. Idempotent."""
        self.ask_to_stop()
        if self._process is None:
            return
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill()

    def kill(self) -> None:
        """Kill the process."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()


def note(file: Path, children: Iterable[Child]) -> None:
    """Record the child processes, for a start after the parent was killed."""
    processes = {str(child.pid): _began(child.pid) for child in children if child.pid}
    temporary = file.with_suffix(".new")
    temporary.write_text(json.dumps(processes), "ascii")
    temporary.replace(file)


def end_leftovers(file: Path) -> int:
    """End recorded processes that still run; return their number."""
    try:
        noted: Mapping[str, str] = json.loads(file.read_text("ascii"))
    except (OSError, ValueError):
        return 0
    running = [int(pid) for pid, began in noted.items() if began and _began(int(pid)) == began]
    for pid in running:
        _send(pid, signal.SIGINT)
    ends_at = time.monotonic() + STOP_SECONDS
    for pid in running:
        while _began(pid) == noted[str(pid)] and time.monotonic() < ends_at:
            time.sleep(0.05)
        if _began(pid) == noted[str(pid)]:
            _send(pid, signal.SIGKILL)
    file.unlink(missing_ok=True)
    return len(running)


def _send(pid: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


def _began(pid: int) -> str:
    """Return the start time of a process, to recognize a reused id."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text("utf-8").rpartition(")")[2].split()
    except OSError:
        return ""
    return "" if fields[0] == "Z" else fields[19]
