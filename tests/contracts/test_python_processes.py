"""What code may expect of the process that it runs in, and what it leaves behind."""

from __future__ import annotations

import asyncio
import random
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from arcbook.testing.tools import FakeContext, call_tool
from arcbook.tools.confinement import Confinement
from arcbook.tools.python import Python
from arcbook.tools.python_child.zygote import reseed
from arcbook.tools.python_start import spawn

POOL = """
import multiprocessing
class Pair:
    def __init__(self, x): self.x = x
def squared(pair): return Pair(pair.x ** 2)
with multiprocessing.get_context("fork").Pool(2) as pool:
    result = [pair.x for pair in pool.map(squared, [Pair(1), Pair(2), Pair(3)])]
"""
EXECUTOR = """
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
def squared(x): return x ** 2
def main():
    with ProcessPoolExecutor(2, mp_context=get_context("fork")) as pool:
        return list(pool.map(squared, [1, 2, 3]))
"""
PICKLED = """
import pickle
class Thing:
    def __init__(self): self.numbers = [1, 4, 9]
return pickle.loads(pickle.dumps(Thing())).numbers
"""


@pytest.fixture
async def python() -> AsyncIterator[Python]:
    tool = Python()
    yield tool
    await tool.close()


async def run(tool: Python, code: str, **facts):
    return await call_tool(tool, "python", {"code": code}, **facts)


@pytest.mark.parametrize("code", [POOL, EXECUTOR, PICKLED])
async def test_other_processes_and_pickles_know_the_functions_and_classes_of_code(python, code):
    outcome = await run(python, code)

    assert outcome.is_ok, outcome.error
    assert outcome.data == [1, 4, 9]


@pytest.mark.parametrize(
    "code",
    [
        "import subprocess\nresult = subprocess.run(['sh', '-c', PROGRAM]).returncode",
        "import os\nresult = os.system(PROGRAM)",
        """import os
if not (pid := os.fork()): os._exit(os.system(PROGRAM))
result = os.waitpid(pid, 0)[1]""",
    ],
)
async def test_a_program_that_prints_more_than_the_limit_goes_on(python, code):
    program = "PROGRAM = 'set -e; head -c 3000000 /dev/zero; echo end'\n"
    outcome = await run(python, program + code)

    assert outcome.data == 0
    assert len(outcome.meta["stdout"]) == 1024 * 1024
    assert outcome.meta["truncated"] is True


async def test_what_programs_and_code_print_stays_in_order(python):
    code = "import subprocess\n" + "".join(
        f"print({i})\nsubprocess.run(['echo', 'p{i}'])\n" for i in range(20)
    )
    outcome = await run(python, code)

    assert outcome.data["stdout"].split() == [x for i in range(20) for x in (f"{i}", f"p{i}")]


async def test_a_program_in_the_background_does_not_hold_up_the_end_of_a_call(python):
    began = time.monotonic()
    outcome = await run(python, "import subprocess\nsubprocess.Popen(['sleep', '60'])\nresult = 1")

    assert outcome.data == 1
    assert time.monotonic() - began < 20


async def test_standard_streams_are_what_programs_expect(python):
    outcome = await run(
        python,
        "import sys\n"
        "sys.stdout.buffer.write('ä'.encode())\n"
        "sys.stdout.write('\\ud83d')\n"
        "sys.stderr.reconfigure(line_buffering=True)\n"
        "print(sys.stdin.buffer.read(), sys.stdout.isatty(), sys.stdout.encoding)\n",
    )

    assert outcome.is_ok, outcome.error
    assert outcome.data["stdout"] == "ä\ufffdb'' False utf-8\n"


async def test_the_memory_limit_holds_in_a_process_that_was_started_without_one():
    tool = Python(spawn())
    context = FakeContext(confinement=Confinement(memory_bytes=300 * 1024**2))
    code = "x = bytearray(600 * 1024 ** 2)\nresult = len(x)"
    try:
        outcome = await call_tool(tool, "python", {"code": code}, context=context)
    finally:
        await tool.close()

    assert outcome.error.code == "PY_MemoryError"


DETACHED = """
import subprocess, time
started = subprocess.Popen(["sleep", "300"], start_new_session=True)
with open({file!r}, "w") as file:
    file.write(str(started.pid))
time.sleep({seconds})
"""


async def ended(file: Path) -> bool:
    """Wait until the process whose number is in a file has ended."""
    number = int(file.read_text())
    async with asyncio.timeout(20):
        while Path(f"/proc/{number}").exists():
            await asyncio.sleep(0.01)
    return True


@pytest.mark.parametrize(("seconds", "limit"), [(300, 1.5), (0, None)])
async def test_what_code_starts_in_a_session_of_its_own_ends_with_its_process(
    python, tmp_path, seconds, limit
):
    file = tmp_path / "pid"
    code = DETACHED.format(file=str(file), seconds=seconds)
    await run(python, code, timeout_seconds=limit)

    assert await ended(file)


async def test_nothing_that_code_started_outlives_the_tool(tmp_path):
    tool, file = Python(), tmp_path / "pid"
    code = DETACHED.format(file=str(file), seconds=300)
    running = asyncio.ensure_future(run(tool, code))
    async with asyncio.timeout(20):
        while not file.exists() or not file.read_text():
            await asyncio.sleep(0.01)
    await tool.close()

    assert await ended(file)
    await running


def test_sources_of_random_numbers_that_modules_made_differ_after_a_fork():
    first, second = random.Random(7), random.Random(7)
    reseed([first])

    assert first.random() != second.random()


async def test_random_numbers_differ_from_call_to_call(python):
    code = "import os, random\nresult = random.random()"

    assert len({(await run(python, code)).data for _ in range(4)}) == 4


def test_numpy_draws_other_numbers_after_a_fork(monkeypatch):
    class Numbers:
        seeded = 0

        def seed(self):
            self.seeded += 1

    numbers = Numbers()
    monkeypatch.setitem(sys.modules, "numpy.random", numbers)
    reseed([])

    assert numbers.seeded == 1
