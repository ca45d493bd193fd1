"""What the python tool promises."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from arcbook.outcome import ErrorKind
from arcbook.testing.tools import FakeContext, call_tool
from arcbook.tools.confinement import Confinement
from arcbook.tools.python import Python


@pytest.fixture
async def python() -> AsyncIterator[Python]:
    tool = Python()
    yield tool
    await tool.close()


async def run(tool: Python, code: str, given=None, **facts):
    config: dict[str, Any] = {
        "code": code,
        **{k: facts.pop(k) for k in ("libs", "env", "cwd") if k in facts},
    }
    return await call_tool(tool, "python", config, input=given, **facts)


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("result = x + 1", 4),
        ("def main(x):\n    return x * 2", 6),
        ("def main(**inputs):\n    return inputs['x']", 3),
        ("async def main(x):\n    return x", 3),
        ("if x:\n    return {'x': x}\nreturn None", {"x": 3}),
        ("x = x + 1\nreturn x", 4),
        ("result = input_data['x'] + args.get('x')", 6),
        ("result = json.dumps({'x': x})", '{"x": 3}'),
        ("result = f'{x:02}'", "03"),
        ("result = {1: (2, {3})}", {"1": [2, [3]]}),
        ("result = float('nan')", None),
        ("import decimal\nresult = decimal.Decimal('1.10')", "1.10"),
    ],
)
async def test_a_result_is_found_however_the_code_yields_it(python, code, expected):
    outcome = await run(python, code, {"x": 3})

    assert outcome.is_ok, outcome.error
    assert expected == outcome.data


async def test_code_without_a_result_yields_what_it_printed(python):
    outcome = await run(python, "print('hello')")

    assert outcome.data == {"stdout": "hello\n", "stderr": ""}


async def test_nothing_that_code_changes_reaches_the_next_call(python):
    vandal = """
import json, os, sys, builtins, random
os.environ["LEFT"] = "behind"
os.chdir("/")
sys.path.insert(0, "/left")
json.loads = None
builtins.LEFT = 1
random.random = lambda: 4
leftover = 1
"""
    look = """
import json, os, sys, builtins, random
return [
    os.environ.get("LEFT"), os.getcwd() == "/", "/left" in sys.path, json.loads("1"),
    hasattr(builtins, "LEFT"), random.random() == 4, "leftover" in globals(),
]
"""
    for _ in range(3):
        assert (await run(python, vandal)).is_ok
        outcome = await run(python, look)
        assert outcome.data == [None, False, False, 1, False, False, False]


async def test_a_process_is_used_again_only_for_code_that_leaves_nothing(python):
    import_os = "import os\nresult = os.getpid()"
    pids = [(await run(python, import_os)).data for _ in range(3)]

    assert len(set(pids)) == 3


async def test_an_exception_is_an_outcome_with_its_traceback(python):
    outcome = await run(python, "def f():\n    return 1 / 0\nf()")

    assert outcome.error.message == "ZeroDivisionError: division by zero"
    assert outcome.error.code == "PY_ZeroDivisionError"
    assert "line 2, in f" in outcome.error.traceback
    assert "python_child" not in outcome.error.traceback
    assert outcome.py["exception"] == "ZeroDivisionError"


async def test_a_syntax_error_names_its_line(python):
    outcome = await run(python, "x = 1\ny = = 2")

    assert outcome.error.kind == ErrorKind.PARSE
    assert "line 2" in outcome.error.message


async def test_a_call_past_its_time_is_killed_with_what_it_started(python, tmp_path):
    mark = tmp_path / "alive"
    code = f"""
import subprocess, time
subprocess.Popen(["sh", "-c", "sleep 1; touch {mark}"])
print("began", flush=True)
time.sleep(30)
"""
    outcome = await run(python, code, timeout_seconds=0.5)

    assert outcome.error.kind == ErrorKind.TIMEOUT
    assert outcome.error.retryable
    assert outcome.data["stdout"] == "began\n"
    follow_up = await run(python, "import time\ntime.sleep(1.2)\nresult = 1")
    assert follow_up.is_ok
    assert not mark.exists()


async def test_output_is_kept_up_to_a_limit(python):
    outcome = await run(python, "for i in range(300000):\n    print('0123456789')\nresult = 1")

    assert outcome.is_ok
    assert outcome.meta["truncated"]
    assert len(outcome.meta["stdout"]) <= 1024 * 1024


async def test_memory_has_a_limit():
    tool = Python()
    context = FakeContext(confinement=Confinement(memory_bytes=256 * 1024 * 1024))
    try:
        code = "x = bytearray(1024 * 1024 * 1024)\nresult = 1"
        outcome = await run(tool, code, context=context)
    finally:
        await tool.close()

    assert outcome.error.kind == ErrorKind.LIMIT


async def test_a_process_that_dies_is_an_outcome_and_the_next_call_works(python):
    outcome = await run(python, "import os\nos.kill(os.getpid(), 9)")

    assert outcome.error.kind == ErrorKind.PROCESS
    assert (await run(python, "result = 1")).is_ok


async def test_sys_exit_with_a_code_is_a_failure(python):
    outcome = await run(python, "import sys\nsys.exit(3)")

    assert outcome.error.kind == ErrorKind.PROCESS


async def test_libraries_are_variables_under_their_aliases(python):
    libs = {"m": "math", "datetime": {"from": "datetime", "import": "datetime"}}
    outcome = await run(python, "result = [m.floor(2.5), datetime(2020, 1, 2).day]", libs=libs)

    assert outcome.data == [2, 2]


async def test_a_missing_library_is_named(python):
    outcome = await run(python, "result = 1", libs={"nope": "no_such_module"})

    assert outcome.error.kind == ErrorKind.CONFIG
    assert "'nope'" in outcome.error.message


async def test_code_sees_only_the_environment_that_is_given(python, monkeypatch):
    monkeypatch.setenv("ARCBOOK_SECRET", "hidden")
    code = "import os\nresult = [os.environ.get('ARCBOOK_SECRET'), os.environ.get('GIVEN')]"
    outcome = await run(python, code, env={"GIVEN": 1})

    assert outcome.data == [None, "1"]


async def test_context_holds_every_name(python):
    context = FakeContext(names={"load": {"rows": 2}})
    outcome = await run(python, "result = context['load']['rows']", context=context)

    assert outcome.data == 2


async def test_a_query_result_is_a_mapping_its_rows_and_its_first_row(python):
    rows = {"rows": [{"n": 5}], "columns": ["n"], "row_count": 1, "command_0": {}}
    code = """
result = [
    isinstance(q, list), isinstance(q, dict), [r["n"] for r in q], q[0]["n"], q["n"],
    q.get("command_0"), q.get("absent", 7), len(q), json.loads(json.dumps(q))["row_count"],
]
"""
    outcome = await run(python, code, {"q": rows})

    assert outcome.data == [True, True, [5], 5, 5, {}, 7, 1, 1]


async def test_a_script_is_read_beside_its_playbook(python, tmp_path):
    (tmp_path / "job.py").write_text("def main(name):\n    return 'hello ' + name")
    config = {"script": {"uri": "./job.py", "source": {"type": "file"}}}
    context = FakeContext(folder=str(tmp_path))
    outcome = await call_tool(python, "python", config, input={"name": "you"}, context=context)

    assert outcome.data == "hello you"


async def test_a_script_that_is_not_there_is_a_clear_failure(python):
    config = {"script": {"uri": "nope.py", "source": {"type": "file"}}}
    outcome = await call_tool(python, "python", config)

    assert outcome.error.kind == ErrorKind.NOT_FOUND
    assert "nope.py" in outcome.error.message
