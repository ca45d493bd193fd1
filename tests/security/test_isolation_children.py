"""Code of one execution that tries to reach another's through the warm processes of Python."""

from __future__ import annotations

import asyncio
import json
import os
import struct
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from arcbook.testing.tools import FakeContext, call_tool
from arcbook.tools import python_pool
from arcbook.tools.python import Python
from arcbook.tools.python_pool import Child, ChildLostError

OUT_OF_PURITY = """
def own(): pass
match own:
    case object(__globals__=world):
        pass
match world["__builtins__"]:
    case object(__import__=load, getattr=get, setattr=put):
        pass
sys = load("sys")
modules = get(sys, "modules")
serving = modules["arcbook.tools.python_child.serving"]
honest = get(serving, "answer")
def stays(sock, reply):
    reply["again"] = True
    honest(sock, reply)
put(serving, "answer", stays)
"""
"""Reaches everything in its process, and has it serve the next call whatever it did."""

LOOK = """
import builtins, json, os, random, sys, threading, time
result = {
    "loads": json.loads("[1]"), "sorted": sorted([1]), "stolen": hasattr(builtins, "stolen"),
    "environment": sorted(set(os.environ) & {"LEFT"}), "folder": os.getcwd(),
    "threads": threading.active_count(), "hooks": sys.gettrace() is None,
    "path": [p for p in sys.path if "left" in p], "left": "left" in globals(),
    "random": random.random() == 4, "children": sorted(m for m in sys.modules if "left" in m),
    "clock": time.time() > 1,
}
"""

LEFTOVERS = {
    "json replaced": "put(modules['json'], 'loads', lambda t: 'stolen')",
    "builtin replaced": "put(world['__builtins__'], 'sorted', lambda t: 666)",
    "builtin added": "put(world['__builtins__'], 'stolen', 1)",
    "environment changed": "get(modules['os'], 'environ')['LEFT'] = '1'",
    "folder changed": "get(modules['os'], 'chdir')('/usr')",
    "module planted": "modules['left'] = modules['json']",
    "import path changed": "get(sys, 'path').insert(0, '/left')",
    "random replaced": "put(modules['random'], 'random', lambda: 4)",
    "clock replaced": "put(modules['time'], 'time', lambda: 0)",
    "thread left": "load('threading').Thread(target=load('time').sleep, args=(60,)).start()",
    "trace hook left": "get(sys, 'settrace')(lambda *a: None)",
    "result of others replaced": """
put(serving, 'run', lambda *a: {'ok': True, 'data': 'forged', 'empty': False})
""",
    "every answer replaced": """
def forged(sock, reply):
    reply['again'] = True
    honest(sock, {'ok': True, 'data': 'forged', 'empty': False, 'printed': 0, 'again': True})
put(serving, 'answer', forged)
""",
}


@pytest.fixture
async def python() -> AsyncIterator[Python]:
    tool = Python()
    yield tool
    await tool.close()


async def run(tool: Python, code: str, execution_id: int, given: Any = None, **facts: Any) -> Any:
    config = {"code": code, **facts}
    return await call_tool(
        tool, "python", config, input=given, execution_id=execution_id, context=FakeContext()
    )


async def pid_of(tool: Python, execution_id: int) -> int:
    """Return the process in which an execution's code runs, warm as it may be."""
    code = OUT_OF_PURITY + "result = get(load('os'), 'getpid')()"
    outcome = await run(tool, code, execution_id)
    assert outcome.is_ok, outcome.error
    return outcome.data


@pytest.mark.parametrize("attack", LEFTOVERS)
async def test_contained_what_code_changes_in_its_process_for(python, attack):
    expected = (await run(python, LOOK, 1)).data
    code = OUT_OF_PURITY + LEFTOVERS[attack]
    for _ in range(3):
        await run(python, code + "\nresult = 1", 2)

    for victim in range(3, 9):
        outcome = await run(python, LOOK, victim)
        assert outcome.is_ok, outcome.error
        assert outcome.data == expected


async def test_contained_a_warm_process_never_serves_two_executions(python):
    pids = {n: {await pid_of(python, n) for _ in range(3)} for n in range(1, 6)}

    assert all(len(own) == 1 for own in pids.values()), "calls of one execution share a process"
    assert len({pid for own in pids.values() for pid in own}) == 5


async def test_contained_a_warm_process_never_serves_two_versions_of_a_document(python):
    code = OUT_OF_PURITY + "result = get(load('os'), 'getpid')()"
    config = {"code": code}
    seen = []
    for version in (1, 2):
        call = python_call(config, catalog_id=version)
        seen.append((await python.run(call, FakeContext())).data)

    assert seen[0] != seen[1]


def python_call(config: dict[str, Any], **facts: Any) -> Any:
    from arcbook.tools.api import ToolCall

    return ToolCall(kind="python", config=config, execution_id=7, step="s", label="t", **facts)


async def test_contained_a_secret_kept_in_a_module_is_not_there_for_the_next_execution(python):
    keep = OUT_OF_PURITY + "put(modules['json'], 'kept', token)\nresult = 1"
    find = "import json\nresult = getattr(json, 'kept', 'nothing')"
    for n in range(4):
        await run(python, keep, n, {"token": "s3cret"})

    assert [(await run(python, find, n)).data for n in range(4, 12)] == ["nothing"] * 8


async def test_contained_code_that_others_run_cannot_be_prepared_by_a_poisoned_process(python):
    victims = "result = token + 1"
    poison = (
        OUT_OF_PURITY
        + """
Prepared = get(serving, 'Prepared')
from_source = get(Prepared, 'from_source')
def forged(source, modules):
    return from_source("result = 'forged ' + str(token)", modules)
put(Prepared, 'from_source', forged)
result = 1
"""
    )
    await run(python, poison, 1)
    assert (await run(python, victims, 1, {"token": 1})).data == "forged 1", "it has itself"

    outcome = await run(python, victims, 2, {"token": 1})
    assert outcome.data == 2


async def test_contained_an_answer_that_claims_to_have_printed_a_terabyte(python):
    code = (
        OUT_OF_PURITY
        + """
def lies(sock, reply):
    honest(sock, {**reply, 'printed': 10 ** 12})
put(serving, 'answer', lies)
result = 1
"""
    )
    outcome = await run(python, code, 1)

    assert outcome.is_ok
    assert len(outcome.meta["stdout"]) <= python_pool.PRINTED_BYTES_MAX


@pytest.mark.parametrize(
    "frame",
    [
        b"[]",
        b"null",
        b"{",
        b"\xff\xfe",
        b'{"ok": 1}',
        b'{"ok": "yes", "again": 1}',
        b'{"bases": 3}',
    ],
)
async def test_refused_an_answer_that_is_none(python, frame):
    code = (
        OUT_OF_PURITY
        + f"""
def lies(sock, reply):
    sock.sendall({struct.pack("!I", len(frame)) + frame!r})
put(serving, 'answer', lies)
result = 1
"""
    )
    outcome = await run(python, code, 1)

    assert not outcome.is_ok
    assert (await run(python, "result = 1", 1)).data == 1


async def test_refused_an_answer_that_passes_the_limit_is_not_read(python):
    size = python_pool.ANSWER_BYTES_MAX + 1
    code = (
        OUT_OF_PURITY
        + f"""
def lies(sock, reply):
    sock.sendall({struct.pack("!I", size)!r})
put(serving, 'answer', lies)
"""
    )
    outcome = await run(python, code, 1)

    assert outcome.error.code == "PY_LOST"
    assert "limit" in outcome.error.message


async def test_contained_a_second_answer_sent_ahead_meets_only_the_execution_that_sent_it(python):
    forged = json.dumps({"ok": True, "data": "forged", "empty": False, "printed": 0}).encode()
    code = (
        OUT_OF_PURITY
        + f"""
def twice(sock, reply):
    honest(sock, {{**reply, 'again': True}})
    sock.sendall({struct.pack("!I", len(forged)) + forged!r})
put(serving, 'answer', twice)
result = 1
"""
    )
    await run(python, code, 1)

    assert [(await run(python, "result = 5", n)).data for n in range(2, 6)] == [5] * 4


async def test_contained_no_descriptor_of_others_is_open_in_a_child(python):
    await asyncio.gather(*(run(python, "import time\ntime.sleep(0.2)", n) for n in range(4)))
    code = """
import os
found = []
for fd in range(3, 256):
    try:
        os.fstat(fd)
    except OSError:
        continue
    found.append(fd)
result = found
"""
    outcome = await run(python, code, 9)

    assert len(outcome.data) == 2, "its socket, and the file that takes what it prints"


async def test_contained_a_child_can_take_only_so_many_descriptors(python):
    code = """
import os
held = []
try:
    while len(held) < 100_000:
        held.append(os.dup(1))
except OSError as error:
    result = [len(held), error.errno]
"""
    outcome = await run(python, code, 1)

    assert outcome.data[0] < 5000


async def test_contained_limits_cannot_be_raised_again_by_code_that_is_not_root(python):
    code = """
import resource
def can_raise(what):
    soft, hard = resource.getrlimit(what)
    try:
        resource.setrlimit(what, (hard + 1, hard + 1))
    except (ValueError, OSError):
        return False
    return True
import os
result = [os.geteuid() == 0] + [can_raise(w) for w in (resource.RLIMIT_NOFILE, resource.RLIMIT_FSIZE)]
"""
    is_root, *raised = (await run(python, code, 1)).data

    assert is_root or raised == [False, False]


async def test_contained_idle_children_of_many_executions_are_bounded(python, monkeypatch):
    monkeypatch.setattr(python_pool, "HELD_MAX", 3)
    pids = [await pid_of(python, n) for n in range(8)]

    async def alive() -> list[int]:
        return [pid for pid in pids if is_running(pid)]

    while len(await alive()) > 3:
        await asyncio.sleep(0.01)
    assert await alive() == pids[-3:]


async def test_contained_a_child_of_an_execution_that_goes_on_no_more_ends(python, monkeypatch):
    monkeypatch.setattr(python_pool, "HELD_SECONDS", 0.05)
    pid = await pid_of(python, 1)

    while is_running(pid):
        await asyncio.sleep(0.01)
    assert await pid_of(python, 1) != pid


def is_running(pid: int) -> bool:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text("ascii")
    except (FileNotFoundError, ProcessLookupError):
        return False
    return stat.rpartition(")")[2].split()[0] != "Z"


async def test_contained_what_a_warm_child_left_running_ends_with_it(python, monkeypatch):
    monkeypatch.setattr(python_pool, "HELD_SECONDS", 0.05)
    code = OUT_OF_PURITY + "result = get(load('subprocess').Popen(['sleep', '600']), 'pid')"
    pid = (await run(python, code, 1)).data
    assert is_running(pid)

    while is_running(pid):
        await asyncio.sleep(0.01)


async def test_a_lost_child_is_told(python):
    child = Child(os.getpid(), *_closed_socket())
    with pytest.raises(ChildLostError):
        await child.ask({})
    child.close()


def _closed_socket() -> tuple[Any, int, int]:
    import socket

    mine, theirs = socket.socketpair()
    theirs.close()
    mine.setblocking(False)  # noqa: FBT003  # the socket API
    return mine, os.open(os.devnull, os.O_RDONLY), os.pidfd_open(os.getpid())
