"""Running every command in turn, and looking whether it did what it must."""

from __future__ import annotations

import json
import re
import shlex
import time
import urllib.request
from pathlib import Path
from typing import NamedTuple

from noetl_client.expected import CASES, FILES, NOT_WORKING, Case
from noetl_client.program import Program, Ran

ENDS_SECONDS = 30.0

FOUND = re.compile(r'"execution_id"\s*:\s*"(\d+)"')

LISTED = re.compile(r"^  ([a-z][a-z0-9-]*)", re.MULTILINE)


class Record(NamedTuple):
    """A command, its exit code, what it printed, and whether that is as expected."""

    command: str
    code: int
    output: str
    wrong: str


class Session:
    """One run of all commands against one server."""

    def __init__(self, program: Program, url: str, folder: Path) -> None:
        self._program = program
        self._url = url
        self._names = {"url": url, "id": "1", "slow": "1"}
        for name, text in FILES.items():
            file = folder / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)

    def run(self) -> list[Record]:
        """Run the commands, and look whether any subcommand was left out."""
        found = [self._one(case) for case in CASES]
        asked = [record.command for record in found]
        left_out = [leaf for leaf in self._leaves([]) if not _is_known(leaf, asked)]
        wrong = "nobody says what becomes of this subcommand"
        return found + [Record(leaf, 0, "", wrong) for leaf in left_out]

    def _one(self, case: Case) -> Record:
        if case.ends:
            self._wait(self._names[case.ends])
        # Braces of JSON are doubled in the case, since names stand in braces.
        command = case.command.format(**self._names)
        ran = self._program.run(shlex.split(command, posix=False))
        identity = FOUND.search(ran.output)
        if case.keeps and identity:
            self._names[case.keeps] = identity[1]
        return Record(command, ran.code, ran.output, self._wrong(case, ran))

    def _wrong(self, case: Case, ran: Ran) -> str:
        says = case.says
        for name, value in self._names.items():
            says = says.replace("{" + name + "}", value)
        if ran.code != case.code:
            return f"exit code {case.code} was expected"
        return "" if says in ran.output else f"{says!r} was expected in its output"

    def _wait(self, execution_id: str) -> None:
        """Wait for an execution's end, through the API itself."""
        url = f"{self._url}/api/executions/{execution_id}/status"
        until = time.monotonic() + ENDS_SECONDS
        while time.monotonic() < until:
            with urllib.request.urlopen(url) as answer:
                if json.load(answer)["completed"]:
                    return
            time.sleep(0.1)

    def _leaves(self, above: list[str]) -> list[str]:
        """Return every subcommand that the command lists in its own help."""
        said = self._program.run([*above, "--help"]).output
        listed = re.search(r"^Commands:\n(.*?)(?=^\S)", said, re.DOTALL | re.MULTILINE)
        if listed is None:
            return [" ".join(above)]
        names = [name for name in LISTED.findall(listed[1]) if name != "help"]
        return [leaf for name in names for leaf in self._leaves([*above, name])]


def _is_known(leaf: str, asked: list[str]) -> bool:
    """Return whether a subcommand is asked for, or said not to work."""
    is_asked = any(f"{one} ".startswith(f"{leaf} ") for one in asked)
    return is_asked or any(f"{leaf} ".startswith(f"{one} ") for one in NOT_WORKING)
