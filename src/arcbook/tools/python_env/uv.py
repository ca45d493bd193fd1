"""Running uv: it resolves requirements, makes environments and finds interpreters.

It installs wheels only. To build a package from its source would run its code here, in the
worker, and not where the code of playbooks is apart.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import shutil
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from arcbook.tools.environment import environment
from arcbook.tools.python_env.api import EnvironmentFailedError, PackageSources

RUN_SECONDS: Final = 600.0
"""How long one run of uv may take."""

REASON_CHARACTERS_MAX: Final = 800
"""What of uv's reason is in a message."""

_NETWORK: Final = re.compile(
    r"error sending request|failed to fetch|dns error|timed? ?out|connection|network", re.IGNORECASE
)
"""Marks the reasons that another try may overcome."""

_MARKS: Final = re.compile(r"^\W*((error|cause|hint):\s*)?")
"""What uv puts before the lines of a reason."""

_FACTS: Final = (
    "import json, os, sys; print(json.dumps([os.path.realpath(sys.executable), sys.base_prefix, "
    "'.'.join(map(str, sys.version_info[:3]))]))"
)


class Interpreter(NamedTuple):
    """A Python that environments can be made for."""

    executable: str
    base: str
    version: str

    @classmethod
    def own(cls) -> Interpreter:
        """Return the one that runs this process, without the packages that it has."""
        version = ".".join(map(str, sys.version_info[:3]))
        return cls(os.path.realpath(sys.executable), sys.base_prefix, version)


class MissingUvError(ImportError):
    """uv is not installed. The message says which extra has it."""

    def __init__(self) -> None:
        super().__init__(
            "tool kind 'python' needs uv for 'dependencies' and 'python': "
            "pip install 'arcbook[python]'"
        )


def find_uv() -> str:
    """Return where uv is: the package of that name, or a program on the path.

    Raises:
        MissingUvError: it is not installed.
    """
    beside = Path(sys.executable).with_name("uv")
    program = str(beside) if beside.is_file() else shutil.which("uv")
    if program is None:
        raise MissingUvError
    return program


class Uv:
    """uv, with a cache and package indexes of its own."""

    def __init__(self, sources: PackageSources) -> None:
        self._sources = sources
        self._program = find_uv()

    async def interpreter(self, version: str) -> Interpreter:
        """Return an interpreter of a version; without one, our own.

        Raises:
            EnvironmentFailedError: there is none on this machine.
        """
        own = Interpreter.own()
        if f"{own.version}.".startswith(f"{version}.") or not version:
            return own
        done = await self._run("python", "find", "--no-project", "--system", version)
        if not done.code:
            answer = await run([done.output.strip(), "-I", "-S", "-c", _FACTS], self._variables())
            if not answer.code:
                return msgspec.json.decode(answer.output, type=Interpreter)
        raise EnvironmentFailedError(
            f"'python': there is no Python {version} on this machine; install it, for example by "
            f"'uv python install {version}', or name another version",
            code="PYTHON",
        )

    async def resolve(self, requirements: Sequence[str], python: str) -> str:
        """Return the exact versions and digests of all packages that requirements need.

        Raises:
            EnvironmentFailedError: there are no such versions, or the index does not answer.
        """
        done = await self._run(
            *("pip", "compile", "--python", python, "--generate-hashes", "--no-header"),
            *("--no-annotate", "--no-build", *self._options(), "-"),
            stdin="\n".join(requirements),
        )
        if done.code:
            raise _failure(requirements, "cannot be resolved", done.errors)
        return done.output

    async def make(
        self, prefix: Path, python: str, lock: Path, requirements: Sequence[str]
    ) -> None:
        """Make an environment, and install what a lock has.

        Raises:
            EnvironmentFailedError: a package cannot be installed.
        """
        done = await self._run("venv", "--no-project", "--relocatable", "--python", python, str(prefix))  # fmt: skip
        if not done.code and requirements:
            done = await self._run(
                *("pip", "install", "--python", str(prefix / "bin" / "python"), "--no-deps"),
                *("--require-hashes", "--no-build", *self._options(), "--requirement", str(lock)),
            )
        if done.code:
            raise _failure(requirements, "cannot be installed", done.errors)

    def _options(self) -> list[str]:
        if not self._sources.is_offline:
            return []
        return ["--offline"] if self._sources.indexes else ["--offline", "--no-index"]

    def _variables(self) -> dict[str, str]:
        """Return uv's environment; an index can name a password, which no command line shows."""
        own = {
            "UV_CACHE_DIR": str(Path(self._sources.folder) / "cache"),
            "UV_NO_CONFIG": "1",
            "UV_NO_PROGRESS": "1",
            "UV_PYTHON_DOWNLOADS": "never",
            "UV_KEYRING_PROVIDER": "disabled",
            "UV_FIND_LINKS": ",".join(self._sources.find_links),
            "NO_COLOR": "1",
        }
        if self._sources.indexes:
            *others, own["UV_DEFAULT_INDEX"] = self._sources.indexes
            own["UV_INDEX"] = " ".join(others)
        return {**environment(), **{name: value for name, value in own.items() if value}}

    async def _run(self, *arguments: str, stdin: str = "") -> Done:
        return await run([self._program, "--quiet", *arguments], self._variables(), stdin)


class Done(NamedTuple):
    """How a program ended, and what it said."""

    code: int
    output: str
    errors: str


async def run(command: Sequence[str], variables: dict[str, str], stdin: str = "") -> Done:
    """Run a program of ours to its end; it ends with the task that waits for it.

    Everybody may read what it makes: code can run as another user.

    Raises:
        EnvironmentFailedError: it takes too long.
    """
    process = await asyncio.create_subprocess_exec(
        *("/bin/sh", "-c", 'umask 022; exec "$0" "$@"', *command),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=variables,
        start_new_session=True,
    )
    try:
        async with asyncio.timeout(RUN_SECONDS):
            output, errors = await process.communicate(stdin.encode())
    except TimeoutError:
        message = f"the environment was not made within {RUN_SECONDS:,.0f} seconds"
        raise EnvironmentFailedError(message, retryable=True) from None
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            await process.wait()
    assert process.returncode is not None
    return Done(process.returncode, output.decode("utf-8", "replace"), errors.decode("utf-8", "replace"))  # fmt: skip


def reason_of(errors: str) -> str:
    """Return what uv says is wrong, on one line."""
    lines = (_MARKS.sub("", line) for line in errors.splitlines())
    text = "; ".join(line.strip().rstrip(".") for line in lines if line.strip())
    if len(text) <= REASON_CHARACTERS_MAX:
        return text
    return text[:REASON_CHARACTERS_MAX] + " ..."


def _failure(requirements: Sequence[str], failure: str, errors: str) -> EnvironmentFailedError:
    reason = reason_of(errors)
    return EnvironmentFailedError(
        f"'dependencies' ({', '.join(requirements)}) {failure}: {reason}",
        retryable=bool(_NETWORK.search(reason)),
    )
