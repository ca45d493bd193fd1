"""The folder of environments: finding, making and removing them.

An environment is made beside its place and moved there when it is complete, so that one
whose making was interrupted is not found. Whoever makes or removes one holds its lock
alone; whoever uses it shares the lock until its processes have ended.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from arcbook.locks import lock, share, unlock
from arcbook.tools.environment import environment as variables
from arcbook.tools.python_env.api import (
    EnvironmentFailedError,
    EnvironmentRequest,
    PackageSources,
    PythonEnvironment,
)
from arcbook.tools.python_env.uv import RUN_SECONDS, Interpreter, Uv, run

FACTS: Final = "environment.json"

UNUSED_SECONDS: Final = 30 * 24 * 3600.0
"""How long an environment is kept that nobody uses."""

LOOK_SECONDS: Final = 0.1
"""How often somebody looks whether another process has made an environment."""

_FORMAT: Final = "1"
"""Part of every name; another one for another layout of the folder."""


class UsedEnvironment(NamedTuple):
    """An environment that is not removed as long as its lock is shared."""

    environment: PythonEnvironment
    lock: Path
    handle: int

    def release(self) -> None:
        """Let it be removed when nobody else uses it."""
        unlock(self.lock, self.handle)


class EnvironmentStore:
    """The environments of one folder, which several processes may use at once."""

    def __init__(self, sources: PackageSources) -> None:
        self._sources = sources
        self._root = Path(os.path.realpath(sources.folder))
        self._interpreters: dict[str, Interpreter] = {}

    async def obtain(self, request: EnvironmentRequest) -> UsedEnvironment:
        """Return the environment that a task wants; made if it is not there.

        Raises:
            EnvironmentFailedError: it cannot be made.
            MissingUvError: it takes uv, which is not installed.
        """
        if not self._sources.folder:
            raise EnvironmentFailedError("no folder for Python environments is set")
        uv = Uv(self._sources)
        for name in ("locks", "resolved"):
            (self._root / name).mkdir(parents=True, exist_ok=True)
        self._root.chmod(0o755)
        python = await self._interpreter(uv, request.python)
        resolved = await self._resolved(uv, request, python)
        name = _digest(_FORMAT, python.executable, python.version, resolved)
        waited = 0.0
        while (used := self._shared(name)) is None:
            handle = lock(self._lock(name))
            if handle is None:
                await asyncio.sleep(LOOK_SECONDS)
                waited += LOOK_SECONDS
                if waited > RUN_SECONDS:
                    message = f"another process did not make the environment of {request} in time"
                    raise EnvironmentFailedError(message, retryable=True)
                continue
            try:
                await self._make(uv, name, python, resolved, request)
            except EnvironmentFailedError:
                # A version that can no longer be had is not tried again.
                self._resolved_file(request, python).unlink(missing_ok=True)
                raise
            finally:
                unlock(self._lock(name), handle)
        return used

    def _shared(self, name: str) -> UsedEnvironment | None:
        """Return an environment that is complete, with its lock shared."""
        handle = share(self._lock(name))
        if handle is None:
            return None
        file = self._root / name / FACTS
        try:
            environment = msgspec.json.decode(file.read_bytes(), type=PythonEnvironment)
        except FileNotFoundError:
            unlock(self._lock(name), handle)
            return None
        os.utime(file)
        return UsedEnvironment(environment, self._lock(name), handle)

    def _lock(self, name: str) -> Path:
        return self._root / "locks" / name

    # -- making -------------------------------------------------------------------------

    async def _interpreter(self, uv: Uv, version: str) -> Interpreter:
        python = self._interpreters.get(version)
        if python is None:
            python = self._interpreters[version] = await uv.interpreter(version)
        return python

    async def _resolved(self, uv: Uv, request: EnvironmentRequest, python: Interpreter) -> str:
        """Return the exact versions for requirements: those of before, or the newest ones."""
        if not request.requirements:
            return ""
        file = self._resolved_file(request, python)
        if file.exists():
            os.utime(file)
            return file.read_text("utf-8")
        text = await uv.resolve(request.requirements, python.executable)
        temporary = file.with_suffix(f".{os.getpid()}")
        temporary.write_text(text, "utf-8")
        temporary.replace(file)
        return text

    def _resolved_file(self, request: EnvironmentRequest, python: Interpreter) -> Path:
        facts = (*request.requirements, python.executable, python.version, *self._sources.indexes)
        return self._root / "resolved" / _digest(*facts)

    async def _make(
        self, uv: Uv, name: str, python: Interpreter, resolved: str, request: EnvironmentRequest
    ) -> None:
        """Make an environment, whose lock is ours alone, unless it is there by now."""
        place = self._root / name
        if (place / FACTS).exists():
            return
        making = self._root / f"{name}.making"
        await asyncio.to_thread(shutil.rmtree, making, ignore_errors=True)
        making.mkdir()
        making.chmod(0o755)
        (making / "resolved").write_text(resolved, "utf-8")
        prefix = making / "env"
        await uv.make(prefix, python.executable, making / "resolved", request.requirements)
        folder = prefix / "lib" / f"python{python.version.rpartition('.')[0]}" / "site-packages"
        # Processes that use it may not write there. The interpreter compiles and runs nothing.
        compiled = [python.executable, "-I", "-S", "-m", "compileall", "-q", str(folder)]
        await run(compiled, variables())
        facts = PythonEnvironment(
            name=name,
            prefix=str(place / "env"),
            packages=str(place / "env" / folder.relative_to(prefix)),
            interpreter=python.executable,
            base=python.base,
        )
        (making / FACTS).write_bytes(msgspec.json.encode(facts))
        making.rename(place)
        await asyncio.to_thread(self.collect)

    # -- removing -----------------------------------------------------------------------

    def collect(self) -> list[str]:
        """Remove what nobody uses: the rests of interrupted making, and old environments."""
        removed = [name for name in self._superfluous() if self._remove(name)]
        for file in (self._root / "resolved").iterdir():
            if _age(file) > UNUSED_SECONDS:
                file.unlink(missing_ok=True)
        return removed

    def _superfluous(self) -> Iterator[str]:
        """Yield names of environments to remove, the longest unused first."""
        ages: dict[str, float] = {}
        for folder in self._root.iterdir():
            if folder.name.endswith(".making"):
                yield folder.name.removesuffix(".making")
            elif (folder / FACTS).exists():
                ages[folder.name] = _age(folder / FACTS)
        oldest = sorted(ages, key=ages.__getitem__, reverse=True)
        too_many = len(oldest) - self._sources.environments_max
        for number, name in enumerate(oldest):
            if number < too_many or ages[name] > UNUSED_SECONDS:
                yield name

    def _remove(self, name: str) -> bool:
        """Remove an environment, or what is left of its making, unless somebody uses it."""
        handle = lock(self._lock(name))
        if handle is None:
            return False
        try:
            place, aside = self._root / name, self._root / f"{name}.making"
            shutil.rmtree(aside, ignore_errors=True)
            if place.exists():
                # What is moved away is found by nobody, also if this ends in between.
                place.rename(aside)
                shutil.rmtree(aside, ignore_errors=True)
        finally:
            unlock(self._lock(name), handle, remove=True)
        return True


def _digest(*parts: str) -> str:
    return hashlib.blake2b("\0".join(parts).encode(), digest_size=16).hexdigest()


def _age(file: Path) -> float:
    try:
        return time.time() - file.stat().st_mtime
    except FileNotFoundError:
        return 0.0
