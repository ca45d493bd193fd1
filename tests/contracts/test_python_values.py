"""What code yields, and how it fails: as data, or refused with its place."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from arcbook.outcome import MESSAGE_CHARACTERS_MAX, TRACEBACK_CHARACTERS_MAX, ErrorKind
from arcbook.testing.tools import call_tool
from arcbook.tools.python import Python

HUGE = 123456789012345678901234567890


@pytest.fixture
async def python() -> AsyncIterator[Python]:
    tool = Python()
    yield tool
    await tool.close()


async def run(tool: Python, code: str, **given):
    return await call_tool(tool, "python", {"code": code}, input=given)


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("result = {1: 2}.items()", [[1, 2]]),
        ("result = [{1: 2}.keys(), {1: 2}.values(), range(2)]", [[1], [2], [0, 1]]),
        ("import collections\nresult = collections.deque([1, (2, 3)])", [1, [2, 3]]),
        ("import collections\nresult = collections.UserDict(a={1})", {"a": [1]}),
        ("import collections\nresult = [collections.UserList([1]), iter([2])]", [[1], [2]]),
        ("async def f():\n    return 5\nresult = f()", 5),
        ("async def f():\n    return 5\nreturn f()", 5),
        ("result = [2**70, -2**70, n + 1]", [2**70, -(2**70), HUGE + 1]),
        ("result = [float('nan'), {'a': float('inf')}]", [None, {"a": None}]),
        ("result = ['\\ud83d', '\\ud83d\\ude00', 'a\\0b']", ["\ufffd", "\U0001f600", "a\0b"]),
        ("import enum\nclass C(enum.Enum):\n    A = 1\nresult = C.A", 1),
        ("import enum\nclass C(str, enum.Enum):\n    A = 'x'\nresult = C.A", "x"),
        ("result = [ValueError('why'), 'x']", ["why", "x"]),
        ("import sys\nresult = 2**70\nsys.exit()", 2**70),
        ("import json\njson.dumps = json.loads = None\nresult = {1: [2]}", {"1": [2]}),
        ("def main(n, /, *, other=1):\n    return [n, other]", [HUGE, 1]),
        ("def main(n, /, **rest):\n    return [n, rest]", [HUGE, {}]),
        ("import uuid\nresult = uuid.UUID(int=5)", "00000000-0000-0000-0000-000000000005"),
        ("import pathlib\nresult = [pathlib.Path('/a/b')]", ["/a/b"]),
        ("result = [b'ab', bytearray(b'ab'), memoryview(b'ab')]", ["YWI=", "YWI=", "YWI="]),
        ("import decimal\nresult = [decimal.Decimal('0.10')]", ["0.10"]),
        (
            "import datetime as dt\nresult = [dt.datetime(2024, 2, 3, 4, tzinfo=dt.UTC), dt.date(2024, 2, 3), dt.time(5)]",
            ["2024-02-03T04:00:00+00:00", "2024-02-03", "05:00:00"],
        ),
        (
            (
                "import dataclasses, decimal\n@dataclasses.dataclass\nclass P:\n    x: int\n    y: object\n"
                "result = P(1, P(2, decimal.Decimal(3)))"
            ),
            {"x": 1, "y": {"x": 2, "y": "3"}},
        ),
        (
            (
                "import msgspec, decimal\nclass P(msgspec.Struct):\n    x: int\n    y: object = None\n"
                "result = [P(1, P(2, decimal.Decimal(3)))]"
            ),
            [{"x": 1, "y": {"x": 2, "y": "3"}}],
        ),
        (
            (
                "import pydantic, decimal, uuid\nclass P(pydantic.BaseModel):\n    x: int\n    y: object = None\n"
                "result = [P(x=1, y=P(x=2, y=uuid.UUID(int=5)))]"
            ),
            [{"x": 1, "y": {"x": 2, "y": "00000000-0000-0000-0000-000000000005"}}],
        ),
        (
            (
                "import attrs\n@attrs.define\nclass P:\n    x: int\n    y: object = None\n"
                "result = [P(1, P(2, {3}))]"
            ),
            [{"x": 1, "y": {"x": 2, "y": [3]}}],
        ),
        (
            "import collections\nresult = collections.namedtuple('P', 'x y')(1, 2)",
            [1, 2],
        ),
    ],
)
async def test_a_value_is_what_it_is_in_json(python, code, expected):
    outcome = await run(python, code, n=HUGE)

    assert outcome.is_ok, outcome.error
    assert outcome.data == expected
    assert str(outcome.data) == str(expected)


@pytest.mark.parametrize(
    ("code", "place", "named"),
    [
        ("class Thing: pass\nresult = {'rows': [1, Thing()]}", "result['rows'][1]", "Thing"),
        ("result = [len]", "result[0]", "builtin_function"),
        ("result = {'type': int}", "result['type']", "type"),
        ("result = {'deep': {'er': 3j}}", "result['deep']['er']", "complex"),
        ("async def f(): pass\nresult = [f()]", "result[0]", "coroutine"),
        ("result = [10 ** 5000]", "result[0]", "4,300 digits"),
        ("result = [{1: 'a', '1': 'b'}]", "result[0]", "two keys are '1'"),
        ("result = [{None: 'a', 'null': 'b'}]", "result[0]", "two keys are 'null'"),
        ("import sys\nresult = [10 ** 5000]\nsys.exit()", "result", "4,300 digits"),
    ],
)
async def test_a_value_without_a_form_in_json_is_refused_with_its_place(python, code, place, named):
    outcome = await run(python, code)

    assert not outcome.is_ok
    assert outcome.error.kind is ErrorKind.SCHEMA
    assert outcome.error.code == "NO_FORM"
    assert place in outcome.error.message
    assert named in outcome.error.message
    assert " at 0x" not in outcome.error.message


async def test_a_result_that_nests_too_deeply_is_refused_at_a_named_limit(python):
    outcome = await run(python, "x = []\nfor _ in range(500): x = [x]\nresult = x")

    assert outcome.error.kind is ErrorKind.CONFIG
    assert outcome.error.code == "TOO_DEEP"
    assert "100 levels" in outcome.error.message


@pytest.mark.parametrize(
    "code",
    [
        "class E(Exception):\n    def __str__(self): raise OSError\nraise E()",
        "class E(Exception):\n    def __str__(self): return 5\nraise E()",
        "class E(Exception):\n    def __str__(self): raise SystemExit\nraise E()",
        "raise KeyError(10 ** 5000)",
        "import sys\nsys.exit(10 ** 5000)",
    ],
)
async def test_an_exception_that_cannot_say_what_it_is_is_an_outcome(python, code):
    outcome = await run(python, code)

    assert not outcome.is_ok
    assert outcome.error.code.startswith("PY_")
    assert outcome.error.code != "PY_LOST"
    assert "making its text fails" in outcome.error.message


async def test_the_text_of_an_exception_is_bounded(python):
    outcome = await run(python, "raise ValueError('begin' + 'x' * 20_000_000 + 'end')")

    assert len(outcome.error.message) <= MESSAGE_CHARACTERS_MAX
    assert len(outcome.py["traceback"]) <= TRACEBACK_CHARACTERS_MAX
    assert "begin" in outcome.error.message
    assert outcome.error.message.endswith("end")


async def test_a_name_of_an_exception_is_bounded(python):
    outcome = await run(python, "raise type('E' * 1_000_000, (Exception,), {})('x')")

    assert len(outcome.error.code) <= 300
    assert len(outcome.py["exception"]) <= 300
