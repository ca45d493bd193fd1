"""The command line in processes of its own, and a terminal for it."""

from __future__ import annotations

import contextlib
import io
import json
import os
import pty
import re
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

from arcbook.cli.main import VERBS, main

ARCBOOK = str(Path(sys.executable).with_name("arcbook"))
PATIENCE_SECONDS = 30.0
"""How long a test waits for something before it is taken not to come."""

_CONTROL = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]|\x1b\][^\x07]*\x07|\r")


class Ran(NamedTuple):
    """What a command answered."""

    code: int
    out: str
    err: str

    @property
    def all(self) -> str:
        return self.out + self.err

    @property
    def json(self) -> Any:
        return json.loads(self.out)


class Terminal:
    """Runs ``arcbook`` in a folder, on one home.

    Args:
        folder: where files are, and commands run.
        home: the home; a folder in that one by default.
        forks: run commands in forks of the tests, which have imported most of them already.
    """

    def __init__(self, folder: Path, home: Path | None = None, *, forks: bool = False) -> None:
        self.folder = folder
        self._forks = forks
        self._started: list[subprocess.Popen[str]] = []
        self.home = home or folder / "home"
        self.environment = {
            **{k: v for k, v in os.environ.items() if not k.startswith("ARCBOOK_")},
            "TERM": "xterm-256color",
            "TMPDIR": str(folder),
            "XDG_CACHE_HOME": str(folder / "cache"),
            "COLUMNS": "120",
        }

    def write(self, name: str, text: str | bytes) -> str:
        """Write a file; return its name."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return name

    def __call__(self, *arguments: object, **more: Any) -> Ran:
        """Run a command to its end; no command may answer with a traceback."""
        if self._forks and not more:
            return self._forked(arguments)
        process = self.start(*arguments, **more)
        try:
            out, err = process.communicate(timeout=2 * PATIENCE_SECONDS)
        finally:
            process.kill()
        return _checked(Ran(process.returncode, out, err))

    def _forked(self, arguments: tuple[object, ...]) -> Ran:
        for module, _ in VERBS.values():
            import_module(f"arcbook.cli.commands.{module}")
        with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
            pid = os.fork()
            if pid == 0:
                self._become(out.fileno(), err.fileno(), arguments)
            _, status = os.waitpid(pid, 0)
            texts = [os.pread(file.fileno(), 1 << 20, 0).decode() for file in (out, err)]
        return _checked(Ran(os.waitstatus_to_exitcode(status), *texts))

    def _become(self, out: int, err: int, arguments: tuple[object, ...]) -> NoReturn:
        """Be the command line, from here on."""
        try:
            os.dup2(out, 1)
            os.dup2(err, 2)
            sys.stdout = io.TextIOWrapper(io.FileIO(1, "w"))
            sys.stderr = io.TextIOWrapper(io.FileIO(2, "w"))
            os.chdir(self.folder)
            os.environ.clear()
            os.environ.update(self.environment)
            tempfile.tempdir = str(self.folder)
            sys.argv = self.command(*arguments)
            main()
        finally:
            os._exit(70)

    def start(self, *arguments: object, **more: Any) -> subprocess.Popen[str]:
        """Start a command."""
        process = subprocess.Popen(
            self.command(*arguments),
            **{
                "cwd": self.folder,
                "env": self.environment,
                "stdin": subprocess.DEVNULL,
                "stdout": subprocess.PIPE,
                "stderr": subprocess.PIPE,
                "text": True,
                **more,
            },
        )
        self._started.append(process)
        return process

    def close(self) -> None:
        """End what is still going on."""
        for process in self._started:
            if process.poll() is None:
                process.kill()
            process.communicate()

    def command(self, *arguments: object) -> list[str]:
        return [ARCBOOK, "--home", str(self.home), *map(str, arguments)]

    def executions(self) -> list[dict[str, Any]]:
        """Return the executions of the home, newest first."""
        return list(self("executions", "list", "--json").json)

    def events(self, execution_id: object) -> list[dict[str, Any]]:
        lines = self("events", execution_id, "--json").out.splitlines()
        return [json.loads(line) for line in lines]


def _checked(ran: Ran) -> Ran:
    assert "Traceback" not in ran.err, ran.err
    assert "bug in Arcbook" not in ran.err, ran.err

    return ran


class Screen:
    """A command on a terminal of its own: what it wrote, and keys for it."""

    def __init__(self, terminal: Terminal, *arguments: object) -> None:
        self.pid, self._handle = pty.fork()
        if self.pid == 0:
            os.chdir(terminal.folder)
            os.execve(ARCBOOK, terminal.command(*arguments), terminal.environment)
        self._written = b""

    @property
    def text(self) -> str:
        """All that was written so far, without colours and cursor movements."""
        return _CONTROL.sub("", self._written.decode("utf-8", "replace"))

    def wait_for(self, pattern: str) -> str:
        """Read until something matching a pattern was written."""
        ends_at = time.monotonic() + PATIENCE_SECONDS
        while not re.search(pattern, self.text):
            more = self._read(ends_at - time.monotonic())
            assert more, f"{pattern!r} never came:\n{self.text}"
        return self.text

    def press(self, keys: bytes) -> None:
        os.write(self._handle, keys)

    def end(self) -> int:
        """Read to the end; return the exit code."""
        ends_at = time.monotonic() + PATIENCE_SECONDS
        while self._read(ends_at - time.monotonic()):
            pass
        _, status = os.waitpid(self.pid, 0)
        os.close(self._handle)
        return os.waitstatus_to_exitcode(status)

    def _read(self, seconds: float) -> bool:
        ready, _, _ = select.select([self._handle], [], [], max(0.0, seconds))
        if not ready:
            os.kill(self.pid, signal.SIGKILL)
            return False
        with contextlib.suppress(OSError):
            data = os.read(self._handle, 65536)
            self._written += data
            return bool(data)
        return False


def files_below(folder: Path) -> Iterator[Path]:
    """Yield every file below a folder."""
    return (path for path in folder.rglob("*") if path.is_file())
