"""The ``noetl`` command from the package index, in a virtual environment of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

VERSION = "5.3.2"

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "tmp" / f"noetl-{VERSION}"

COMMAND_SECONDS = 60.0


class NotInstallableError(RuntimeError):
    """The command cannot be had here: the package index is away, or has it not."""


class Ran(NamedTuple):
    """What came of one command."""

    code: int
    output: str


def installed() -> Path:
    """Return the command, installed if it is not there yet.

    Raises:
        NotInstallableError: it cannot be installed.
    """
    program = FOLDER / "bin" / "noetl"
    if program.exists():
        return program
    for step in (
        [sys.executable, "-m", "venv", str(FOLDER)],
        [str(FOLDER / "bin" / "python"), "-m", "pip", "install", "-q", f"noetl=={VERSION}"],
    ):
        done = subprocess.run(step, capture_output=True, text=True, check=False)
        if done.returncode:
            raise NotInstallableError(f"{' '.join(step)}\n{done.stdout}{done.stderr}")
    return program


class Program:
    """The command, for one server.

    Args:
        program: where it is.
        url: the server's address.
        folder: its home, and where it runs.
    """

    def __init__(self, program: Path, url: str, folder: Path) -> None:
        self._program = program
        self._url = url
        self._folder = folder

    def run(self, arguments: Sequence[str]) -> Ran:
        """Run it; output and errors come together, as a person sees them."""
        home = self._folder / "home"
        home.mkdir(exist_ok=True)
        environment = {"HOME": str(home), "PATH": os.environ["PATH"], "NO_COLOR": "1"}
        done = subprocess.run(
            [str(self._program), "--server-url", self._url, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=COMMAND_SECONDS,
            cwd=self._folder,
            env=environment,
            text=True,
            check=False,
        )
        return Ran(done.returncode, done.stdout)
