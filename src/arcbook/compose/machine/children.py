"""Processes that are watched over: started, found dead, started again, stopped by their id."""

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
"""How long a process may take to end before it is killed."""

LOG_TAIL_BYTES: Final = 2000


class Child:
    """A process of ours, with its log in a file.

    It has a process group of its own, so that Ctrl-C in the terminal reaches its parent
    only, which stops all in order.
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
        """Start it."""
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
        """How it ended; nothing while it runs."""
        return self._process.poll() if self._process is not None else None

    def tail(self) -> str:
        """Return the end of its log."""
        data = self.log.read_bytes() if self.log.exists() else b""
        return data[-LOG_TAIL_BYTES:].decode("utf-8", "replace").strip()

    def ask_to_stop(self) -> None:
        """Ask it to end."""
        if self._process is not None and self.code is None:
            self._process.send_signal(self._stop_signal)

    def stop(self) -> None:
        """Have it end, and wait for that; stopping twice is well."""
        self.ask_to_stop()
        if self._process is None:
            return
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill()

    def kill(self) -> None:
        """End it at once."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()


def note(file: Path, children: Iterable[Child]) -> None:
    """Write down which processes are ours, for a start after we were killed."""
    found = {str(child.pid): _began(child.pid) for child in children if child.pid}
    whole = file.with_suffix(".new")
    whole.write_text(json.dumps(found), "ascii")
    whole.replace(file)


def end_leftovers(file: Path) -> int:
    """End processes that a killed process left behind; return how many there were."""
    try:
        noted: Mapping[str, str] = json.loads(file.read_text("ascii"))
    except (OSError, ValueError):
        return 0
    left = [int(pid) for pid, began in noted.items() if began and _began(int(pid)) == began]
    for pid in left:
        _send(pid, signal.SIGINT)
    ends_at = time.monotonic() + STOP_SECONDS
    for pid in left:
        while _began(pid) == noted[str(pid)] and time.monotonic() < ends_at:
            time.sleep(0.05)
        if _began(pid) == noted[str(pid)]:
            _send(pid, signal.SIGKILL)
    file.unlink(missing_ok=True)
    return len(left)


def _send(pid: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


def _began(pid: int) -> str:
    """Return when a process began, which tells it from a later one of the same id."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text("utf-8").rpartition(")")[2].split()
    except OSError:
        return ""
    return "" if fields[0] == "Z" else fields[19]
