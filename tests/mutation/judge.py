"""Runs the unit suite for each mutant, in forks of one process that has imported it all.

A fork puts the mutant's code into the functions that it changes, and runs the tests that reach
its block, the quick ones first. What runs when its module is imported is tried in a new process
instead, with the whole suite.
"""

from __future__ import annotations

import os
import resource
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Final, NoReturn, TextIO

import pytest

from mutation.blocks import Blocks
from mutation.mutants import Mutant
from mutation.swap import Functions, NotInFunctionsError

ROOT: Final = Path(__file__).parents[2]
PACKAGE: Final = ROOT / "src" / "arcbook"

SUITE: Final = ("tests/unit", "tests/oracle", "tests/security/test_templates.py")
"""What should notice a mutant."""

APART: Final = ("test_rules.py", "test_mutants.py", "test_live_steps.py", "test_docs.py")
"""Tests of the source's text, and tests that measure: a fork cannot judge by them."""

KILLED, SURVIVED, UNDECIDED = 1, 0, 2
"""How a fork exits."""

UNREACHED: Final = "UNREACHED"
"""What is said of a mutant in code that no test runs."""

WORK_FACTOR: Final = 10
WORK_SECONDS: Final = 5
"""A test that works this much longer than without the mutant has met it."""

WAIT_SECONDS: Final = 300
"""How long a fork may take, working or not."""

SUITE_SECONDS: Final = 900
"""The same for the whole suite in a new process."""

MEMORY_MORE: Final = 4 << 30
"""What a fork may use more than the process that it comes from."""

FILES_FIRST: Final = 5
"""How many files of tests are asked before the whole suite."""


class Judge:
    """A plug-in of pytest that tries mutants instead of running the tests once."""

    def __init__(self, chosen: list[Mutant], tell: Callable[[str], None]) -> None:
        self.killed = 0
        self._chosen = chosen
        self._tell = tell
        self._blocks = Blocks({mutant.file for mutant in chosen})
        self._blocks.watch()
        self._imported: frozenset[int] = frozenset()
        self._seconds: dict[str, float] = {}
        self._reaching: dict[int, list[pytest.Item]] = {}

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """Look which tests reach what, then try one mutant after another."""
        items = [item for item in session.items if item.path.name not in APART]
        self._functions = Functions()
        self._look(session, items)
        for number, mutant in enumerate(self._chosen, 1):
            began = time.monotonic()
            verdict = self._verdict(session, mutant)
            self.killed += verdict == "killed"
            place = f"{mutant.file.relative_to(ROOT)}:{mutant.line}"
            took = f"{time.monotonic() - began:.1f} s"
            said = f"{number}/{len(self._chosen)} {verdict:9}"
            self._tell(f"{said} {place}: {mutant.what} ({took})")
        return True

    def _look(self, session: pytest.Session, items: list[pytest.Item]) -> None:
        """Run every test once in a fork, and learn its blocks and its time."""
        self._imported = self._blocks.take()
        reading, writing = os.pipe()
        child = os.fork()
        if not child:
            os.close(reading)
            with os.fdopen(writing, "w") as told:
                _quietly(lambda: self._told(session, items, told))
        os.close(writing)
        with os.fdopen(reading) as lines:
            for line, item in zip(lines, items, strict=True):
                seconds, *blocks = line.split()
                self._seconds[item.nodeid] = float(seconds)
                for block in blocks:
                    self._reaching.setdefault(int(block), []).append(item)
        os.waitpid(child, 0)
        for reaching in self._reaching.values():
            reaching.sort(key=lambda item: self._seconds[item.nodeid])

    def _told(self, session: pytest.Session, items: list[pytest.Item], told: TextIO) -> int:
        for item in items:
            self._blocks.take()
            began = time.process_time()
            _run(session, item)
            took = time.process_time() - began
            print(took, *sorted(self._blocks.take()), file=told, flush=True)
        if session.testsfailed:
            print(f"{session.testsfailed} tests fail without any mutant", file=sys.__stderr__)
        return SURVIVED

    def _verdict(self, session: pytest.Session, mutant: Mutant) -> str:
        """Return what became of a mutant."""
        block = self._blocks.of(mutant.file, mutant.line)
        ended = UNDECIDED
        if block is not None and block not in self._imported:
            items = self._reaching.get(block, [])
            if not items:
                return UNREACHED
            ended = self._tried_in_forks(session, mutant, items)
        if ended == UNDECIDED:
            ended = _fails_anew(mutant, [*self._files(mutant.file), *SUITE])
        return "killed" if ended == KILLED else "SURVIVED"

    def _files(self, file: Path) -> list[str]:
        """Return the tests of a module, those first that reach the most of it."""
        counts: Counter[str] = Counter()
        for block, items in self._reaching.items():
            if self._blocks.all[block].file == file:
                counts.update(_paths(items))
        return [path for path, _ in counts.most_common(FILES_FIRST)]

    def _tried_in_forks(
        self, session: pytest.Session, mutant: Mutant, items: list[pytest.Item]
    ) -> int:
        """Run tests on a mutant until one fails that passes in a fork without the mutant."""
        while items:
            reading, writing = os.pipe()
            with os.fdopen(reading, "rb") as numbers:
                ended = _forked(partial(self._tried, session, mutant, items, writing))
                os.close(writing)
                number = int(numbers.read() or len(items))
            if ended != KILLED or number >= len(items):
                return ended
            if _forked(partial(self._alone, session, items[number])) == SURVIVED:
                return KILLED
            items = items[number + 1 :]
        return SURVIVED

    def _alone(self, session: pytest.Session, item: pytest.Item) -> int:
        """Run a test without a mutant."""
        return KILLED if self._fails(session, item) else SURVIVED

    def _tried(
        self, session: pytest.Session, mutant: Mutant, items: list[pytest.Item], told: int
    ) -> int:
        """Run tests on a mutant until one fails, and write its number."""
        source = mutant.file.read_text("utf-8")
        try:
            swap = self._functions.swaps(str(mutant.file), source, mutant.text)
        except NotInFunctionsError:
            return UNDECIDED
        swap()
        for number, item in enumerate(items):
            if self._fails(session, item):
                os.write(told, str(number).encode())
                return KILLED
        return SURVIVED

    def _fails(self, session: pytest.Session, item: pytest.Item) -> bool:
        before = session.testsfailed
        seconds = WORK_SECONDS + WORK_FACTOR * self._seconds[item.nodeid]
        signal.setitimer(signal.ITIMER_PROF, seconds)
        _run(session, item)
        signal.setitimer(signal.ITIMER_PROF, 0)
        return session.testsfailed > before


def _paths(items: list[pytest.Item]) -> list[str]:
    return [*dict.fromkeys(str(item.path.relative_to(ROOT)) for item in items)]


def _run(session: pytest.Session, item: pytest.Item) -> None:
    """Run a test, and tear down all that it set up, modules' and sessions' fixtures as well."""
    item.config.hook.pytest_runtest_protocol(item=item, nextitem=None)


def _forked(work: Callable[[], int]) -> int:
    """Return how a fork ends; one that works or waits for too long counts as killed."""
    child = os.fork()
    if not child:
        _quietly(work)
    handle = os.pidfd_open(child)
    try:
        ready, _, _ = select.select([handle], [], [], WAIT_SECONDS)
        if not ready:
            os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
    finally:
        os.close(handle)
    return os.WEXITSTATUS(status) if os.WIFEXITED(status) else KILLED


def _quietly(work: Callable[[], int]) -> NoReturn:
    """Do the work of a fork, say nothing, and end it."""
    ended = UNDECIDED
    try:
        nothing = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nothing, 1)
        os.dup2(nothing, 2)
        used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        resource.setrlimit(resource.RLIMIT_DATA, (used + MEMORY_MORE,) * 2)
        ended = work()
    finally:
        os._exit(ended)


def _fails_anew(mutant: Mutant, paths: list[str]) -> int:
    """Return whether tests of some files kill a mutant in a new process."""
    with tempfile.TemporaryDirectory(prefix="arcbook-mutant-") as folder:
        copy = Path(folder) / "arcbook"
        shutil.copytree(PACKAGE, copy, ignore=shutil.ignore_patterns("__pycache__"))
        (copy / mutant.file.relative_to(PACKAGE)).write_text(mutant.text, "utf-8")
        # Twice, since a busy machine lets a test fail now and then.
        return KILLED if _fails(folder, paths) and _fails(folder, paths) else SURVIVED


def _fails(folder: str, paths: list[str]) -> bool:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([folder, str(ROOT / "tests")])}
    apart = [f"--ignore=tests/unit/{name}" for name in APART]
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", *apart, *paths]
    try:
        done = subprocess.run(
            command,
            cwd=ROOT,
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=SUITE_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return True
    return done.returncode != 0
