"""What the shell tool promises."""

from __future__ import annotations

import asyncio
import contextlib
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from arcbook.outcome import ErrorKind
from arcbook.testing.tools import call_tool
from arcbook.tools import shell as module
from arcbook.tools.keeper import Keeper
from arcbook.tools.shell import KIND, OUTPUT_BYTES_MAX, Shell, shell_for


@pytest.fixture
async def shell() -> AsyncIterator[Shell]:
    tool = Shell()
    yield tool
    await tool.close()


async def run(tool: Shell, command, *, timeout_seconds: float | None = None, **config):
    config = {"command": command, **config}
    return await call_tool(tool, "shell", config, timeout_seconds=timeout_seconds)


async def until(condition) -> None:
    """Wait for a condition, but not for ever."""
    async with asyncio.timeout(5):
        while not condition():  # processes set no event of ours
            await asyncio.sleep(0.005)


def alive(pid: int) -> bool:
    """Whether a process runs; one that is dead and not reaped by its parent does not."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return stat.rpartition(")")[2].split()[0] not in ("Z", "X")


def running(text: str) -> list[int]:
    """Return the processes that were started with a text in their arguments."""
    found = []
    for process in Path("/proc").iterdir():
        if process.name.isdigit():
            with contextlib.suppress(FileNotFoundError, ProcessLookupError, PermissionError):
                if text.encode() in (process / "cmdline").read_bytes():
                    found.append(int(process.name))
    return found


def open_files() -> int:
    """Return how many files this process has open."""
    return len(list(Path("/proc/self/fd").iterdir()))


async def test_a_command_yields_what_it_prints_and_how_it_ended(shell):
    outcome = await run(shell, "echo out; echo err >&2")

    assert outcome.is_ok
    assert outcome.data.pop("duration_ms") > 0
    expected = {
        "exit_code": 0,
        "returncode": 0,
        "stdout": "out\n",
        "stderr": "err\n",
        "truncated": False,
    }
    assert expected == outcome.data


@pytest.mark.parametrize("config", [{"cmds": "echo x"}, {"cmds": ["echo x"]}])
async def test_cmds_is_another_name_of_command(shell, config):
    outcome = await call_tool(shell, "shell", config)

    assert outcome.data["stdout"] == "x\n"


def test_the_language_knows_the_short_name_cmd():
    assert KIND.param("cmds").aliases == ("cmd",)


async def test_several_lines_are_one_script(shell):
    outcome = await run(shell, "x=1\nif true; then\n  echo $x\nfi\n")

    assert outcome.data["stdout"] == "1\n"


async def test_a_list_runs_in_turn_and_each_has_its_own_result(shell):
    outcome = await run(shell, ["echo a", "echo b >&2", "echo c"])

    assert outcome.is_ok
    assert outcome.data["stdout"] == "a\nc\n"
    assert outcome.data["stderr"] == "b\n"
    assert [c["stdout"] for c in outcome.data["commands"]] == ["a\n", "", "c\n"]


async def test_a_list_stops_at_the_first_command_that_fails(shell, tmp_path):
    mark = tmp_path / "ran"
    outcome = await run(shell, ["echo a", "echo no >&2; exit 7", f"touch {mark}"])

    assert outcome.error.message == "command 2 of 3 ended with exit code 7: no"
    assert [c["exit_code"] for c in outcome.data["commands"]] == [0, 7]
    assert not mark.exists()


async def test_an_exit_code_other_than_zero_is_an_error_with_the_last_line_of_stderr(shell):
    outcome = await run(shell, "echo result; echo first >&2; echo last >&2; echo >&2; exit 3")

    assert outcome.error.kind == ErrorKind.PROCESS
    assert outcome.error.code == "EXIT_3"
    assert outcome.error.message == "the command ended with exit code 3: last"
    assert not outcome.error.retryable
    assert outcome.data["exit_code"] == 3
    assert outcome.data["stdout"] == "result\n"


async def test_a_command_that_a_signal_ends_has_the_exit_code_of_shells(shell):
    outcome = await run(shell, "kill -9 $$")

    assert outcome.error.code == "EXIT_137"
    assert "killed" in outcome.error.message


async def test_a_shell_can_be_chosen(shell):
    outcome = await run(shell, 'a=(1 2); echo "${a[1]}"', shell="bash")

    assert outcome.data["stdout"] == "2\n"


@pytest.mark.parametrize(
    ("config", "named"),
    [
        ({"command": "true", "shell": "no-such-shell"}, "no-such-shell"),
        ({"command": "true", "cwd": "/no/such/folder"}, "/no/such/folder"),
        ({"command": " "}, "command"),
        ({"command": []}, "command"),
        ({"command": ["true", None]}, "command"),
        ({"command": "true\0"}, "null byte"),
        ({"command": "true", "env": {"A=B": "x"}}, "environment"),
        ({"command": {"a": 1}}, "command"),
    ],
)
async def test_what_cannot_run_is_a_config_error_that_names_it(shell, config, named):
    outcome = await call_tool(shell, "shell", config)

    assert outcome.error.kind == ErrorKind.CONFIG
    assert named in outcome.error.message


async def test_a_command_that_is_too_long_is_a_limit(shell):
    outcome = await run(shell, "true " + "x" * 200_000)

    assert outcome.error.kind == ErrorKind.LIMIT


async def test_a_command_runs_in_its_folder(shell, tmp_path):
    outcome = await run(shell, "pwd -P", cwd=str(tmp_path))

    assert outcome.data["stdout"] == f"{tmp_path.resolve()}\n"


async def test_a_command_sees_only_the_environment_that_is_given(shell, monkeypatch):
    monkeypatch.setenv("ARCBOOK_SECRET", "hidden")
    env = {"TEXT": "a b", "NUMBER": 1.5, "FLAG": True, "NOTHING": None, "LIST": [1, "x"]}
    script = 'echo "$ARCBOOK_SECRET|$TEXT|$NUMBER|$FLAG|${NOTHING-unset}|$LIST|${PATH:+path}"'
    outcome = await run(shell, script, env=env)

    assert outcome.data["stdout"] == '|a b|1.5|true|unset|[1,"x"]|path\n'


async def test_stdin_is_closed(shell):
    outcome = await run(shell, "cat; echo done")

    assert outcome.data["stdout"] == "done\n"


async def test_output_that_is_no_text_is_marked(shell):
    outcome = await run(shell, r"printf 'a\377b'")

    assert outcome.data["stdout"] == "a\ufffdb"


async def test_output_is_kept_up_to_a_limit_and_the_rest_is_read(shell):
    script = "head -c 3000000 /dev/zero | tr '\\0' x; echo kept >&2; exit 4"
    outcome = await run(shell, script)

    assert len(outcome.data["stdout"]) == OUTPUT_BYTES_MAX
    assert outcome.data["truncated"]
    assert outcome.meta["truncated"]
    assert outcome.error.message.endswith(": kept")


async def test_the_limit_holds_for_a_list_as_a_whole(shell, monkeypatch):
    monkeypatch.setattr(module, "OUTPUT_BYTES_MAX", 10)
    outcome = await run(shell, ["printf 123456", "printf abcdef"])

    assert outcome.data["stdout"] == "123456abcd"
    assert outcome.data["truncated"]


async def test_the_last_line_is_found_beyond_the_limit(shell):
    script = "head -c 2000000 /dev/zero | tr '\\0' x >&2; echo >&2; echo why >&2; exit 1"
    outcome = await run(shell, script)

    assert outcome.error.message.endswith(": why")


async def test_a_command_past_its_time_is_killed_with_what_it_started(shell, tmp_path):
    pids = tmp_path / "pids"
    script = f"echo began; sleep 60 & echo $! >> {pids}; echo $$ >> {pids}; wait"
    outcome = await run(shell, script, timeout_seconds=0.2)

    assert outcome.error.kind == ErrorKind.TIMEOUT
    assert outcome.error.retryable
    assert outcome.data["stdout"] == "began\n"
    assert outcome.data["exit_code"] is None
    started = [int(pid) for pid in pids.read_text().split()]
    assert len(started) == 2
    await until(lambda: not any(alive(pid) for pid in started))


async def test_a_command_that_does_not_listen_is_killed_all_the_same(shell, monkeypatch):
    monkeypatch.setattr(module, "GRACE_SECONDS", 0.05)
    began = time.monotonic()
    outcome = await run(shell, "trap '' TERM; while :; do sleep 60; done", timeout_seconds=0.1)

    assert outcome.error.kind == ErrorKind.TIMEOUT
    assert time.monotonic() - began < 5


async def test_a_command_may_clean_up_when_it_is_told_to_end(shell, tmp_path):
    mark = tmp_path / "clean"
    script = f"trap 'touch {mark}; exit 0' TERM; echo ready; sleep 60 & wait"
    await run(shell, script, timeout_seconds=0.2)

    assert mark.exists()


async def test_a_cancelled_call_has_stopped_its_processes_when_it_returns(shell, tmp_path):
    pids = tmp_path / "pids"
    script = f"sleep 60 & echo $! $$ > {pids}.new; mv {pids}.new {pids}; wait"
    task = asyncio.create_task(run(shell, script))
    await until(pids.exists)
    task.cancel()

    with pytest.raises(asyncio.CancelledError):
        await task

    child, leader = (int(pid) for pid in pids.read_text().split())
    assert leader not in running(str(pids))
    await until(lambda: not alive(child))


async def test_a_call_that_is_cancelled_while_it_starts_leaves_nothing(shell, tmp_path):
    for turns in range(8):
        task = asyncio.create_task(run(shell, f"sleep 60 & sleep 60 # {tmp_path}"))
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    assert running(str(tmp_path)) == []


@pytest.mark.parametrize("redirect", ["", " >/dev/null 2>&1"])
async def test_what_a_command_leaves_in_the_background_ends_with_it(
    shell, tmp_path, monkeypatch, redirect
):
    monkeypatch.setattr(module, "LINGER_SECONDS", 0.05)
    pid = tmp_path / "pid"
    outcome = await run(shell, f"sleep 60{redirect} & echo $! > {pid}; echo done")

    assert outcome.data["stdout"] == "done\n"
    await until(lambda: not alive(int(pid.read_text())))


async def test_output_that_follows_the_end_of_the_command_is_kept(shell):
    outcome = await run(shell, "(sleep 0.05; echo late) & echo done")

    assert outcome.data["stdout"] == "done\nlate\n"


async def test_many_commands_run_at_once(shell):
    outcomes = await asyncio.gather(*(run(shell, f"echo {n}") for n in range(20)))

    assert [f"{n}\n" for n in range(20)] == [o.data["stdout"] for o in outcomes]


async def test_no_file_is_left_open(shell):
    await run(shell, "true")
    before = open_files()
    for _ in range(3):
        await run(shell, "true")
        await run(shell, "sleep 60", timeout_seconds=0.01)

    assert before == open_files()


@pytest.mark.parametrize(
    "script",
    [
        "#!/bin/bash\necho $BASH_VERSION",
        "set -euo pipefail\necho ok",
        "if [[ a == a ]]; then echo ok; fi",
        "cat <<< ok",
        "cat <(echo ok)",
        "xs=(a b); echo ${xs[1]}",
        "v=ok; echo ${v^^}",
        "function f { echo ok; }\nf",
    ],
)
async def test_a_command_for_bash_is_run_by_bash(script):
    outcome = await call_tool(Shell(), "shell", {"command": script})

    assert outcome.is_ok, outcome.error
    assert outcome.data["stdout"].strip()


@pytest.mark.parametrize(
    "script",
    [
        "echo '{{range .items}}'",
        "[ a = a ] && echo ok",
        "echo $((2>(1)))",
        "awk '{print $1}' < /dev/null",
    ],
)
def test_any_other_command_is_run_by_the_plain_shell(script):
    assert shell_for([script]) == "sh"


KILLED_WORKER = """
import asyncio, os, sys
from arcbook.testing.tools import call_tool
from arcbook.tools.keeper import Keeper
from arcbook.tools.shell import Shell

begins = Keeper.begins
Keeper.begins = lambda keeper, group: (begins(keeper, group), print(group, flush=True))

async def main():
    tool = Shell()
    await call_tool(tool, "shell", {"command": "true"})
    await asyncio.gather(*(call_tool(tool, "shell", {"command": text}) for text in sys.argv[1:]))

asyncio.run(main())
"""


async def test_commands_and_what_they_started_end_with_a_worker_that_is_killed(tmp_path):
    notes = [tmp_path / name for name in ("one", "two")]
    commands = [f"sleep 600 & echo $! > {note}.0; echo $$ > {note}; wait" for note in notes]
    worker = await asyncio.create_subprocess_exec(
        sys.executable, "-c", KILLED_WORKER, *commands, stdout=asyncio.subprocess.PIPE
    )
    for _ in range(3):  # the keeper knows of all commands
        assert await asyncio.wait_for(worker.stdout.readline(), 20)
    await until(lambda: all(note.is_file() and note.read_text() for note in notes))
    pids = [int(path.read_text()) for path in tmp_path.iterdir()]
    assert [alive(pid) for pid in pids] == [True] * 4

    worker.kill()
    await worker.wait()

    await until(lambda: not any(alive(pid) for pid in pids))


async def test_a_group_that_has_ended_is_not_killed_later(tmp_path):
    keeper = Keeper()
    ended, other = [
        await asyncio.create_subprocess_exec("sleep", "600", start_new_session=True) for _ in "ab"
    ]
    for process in (ended, other):
        keeper.begins(process.pid)
    keeper.ends(ended.pid)

    keeper.close()

    await other.wait()
    assert alive(ended.pid)
    ended.kill()
    await ended.wait()


async def test_the_keeper_is_told_of_each_group_when_it_begins_and_when_it_ends(shell, monkeypatch):
    told = []
    for word in ("begins", "ends"):
        monkeypatch.setattr(Keeper, word, lambda _, group, word=word: told.append((word, group)))

    await run(shell, ["true", "exit 1"])
    await run(shell, "sleep 60", timeout_seconds=0.05)

    groups = [group for _, group in told[::2]]
    assert len(set(groups)) == 3
    assert told == [(word, group) for group in groups for word in ("begins", "ends")]
