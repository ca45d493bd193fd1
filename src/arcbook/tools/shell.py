"""``shell``: runs shell commands, each in a process group of its own."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import re
import shutil
import signal
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Final, NamedTuple

import msgspec
from msgspec import Meta

from arcbook.outcome import ErrorKind, Outcome, failed, ok
from arcbook.tools.api import Effects, Params, ToolCall, ToolContext, declare, parse
from arcbook.tools.confinement import Confinement, Launch, OutsideError, ProcessPlace
from arcbook.tools.keeper import Keeper
from arcbook.tools.spec import ToolSpec
from arcbook.tools.texts import text_of

TIMEOUT_SECONDS: Final = 3600.0
"""How long a call may take where the task says nothing."""

OUTPUT_BYTES_MAX: Final = 1024 * 1024
"""What is kept of stdout, and of stderr; the rest is read and dropped."""

LAST_BYTES_MAX: Final = 4096
"""What is looked through for the last line, wherever the output was cut."""

GRACE_SECONDS: Final = 1.0
"""Time that a command has to end by itself when it is told to."""

LINGER_SECONDS: Final = 0.5
"""Time that output may go on after its command ended."""

PROCESSES_MAX: Final = 64
"""Commands at once; further calls wait."""

MESSAGE_CHARS_MAX: Final = 500
"""What of the last line of stderr an error message shows."""


KEY_VARIABLE: Final = "IDEMPOTENCY_KEY"
"""Variable that has the call's idempotency key, the same for every try of it."""


class ShellParams(Params, frozen=True, kw_only=True):
    """Parameters of ``shell``."""

    command: Annotated[
        str | list[Any] | None,
        Meta(description="Command or script. Of a list each runs in turn, until one fails."),
    ] = None
    cmds: Annotated[str | list[Any] | None, Meta(description="The same as command.")] = None
    shell: Annotated[
        str | None,
        Meta(description="Shell that runs it; `sh`, or `bash` for what only bash understands."),
    ] = None
    cwd: Annotated[str | None, Meta(description="Folder to run in.")] = None
    env: Annotated[dict[str, Any] | None, Meta(description="Environment variables.")] = None


def summary(config: Mapping[str, Any]) -> str:
    """Say which command a call runs first."""
    written = config.get("command") or config.get("cmds")
    first = written[0] if isinstance(written, list) and written else written
    lines = str(first).strip().splitlines() or [""]
    return f"run {lines[0]}" + (" ..." if len(lines) > 1 else "")


KIND = declare(
    "shell",
    ShellParams,
    "Runs shell commands; its result is what they print, and how they end.",
    aliases={"cmds": ["cmd"]},
    scripts=["command", "cmds"],
    any_of=[("command", "cmds")],
    result={
        "exit_code": "Exit code of the last command that ran.",
        "returncode": "The same.",
        "stdout": "What the commands wrote to their output.",
        "stderr": "What they wrote to their errors.",
        "truncated": "Whether more was written than is kept.",
        "duration_ms": "Time that they took, in milliseconds.",
        "commands": "The same for each command that ran, where there are several.",
    },
    effects=[Effects.KEYED],
    summary=summary,
    example="""
    tool:
      kind: shell
      command: wc -l < orders.csv
      timeout: 30
    """,
)


class ShellError(RuntimeError):
    """Commands cannot be run; the message says why."""

    def __init__(
        self, message: str, kind: ErrorKind = ErrorKind.CONFIG, *, retryable: bool = False
    ) -> None:
        self.kind = kind
        self.retryable = retryable
        super().__init__(message)


class Shell:
    """Runs commands."""

    def __init__(self) -> None:
        self._slots = asyncio.Semaphore(PROCESSES_MAX)
        self._keeper = Keeper()

    async def run(self, call: ToolCall, context: ToolContext) -> Outcome:
        params = parse(ShellParams, call)
        if isinstance(params, Outcome):
            return params
        seconds = TIMEOUT_SECONDS if call.timeout_seconds is None else call.timeout_seconds
        commands: list[ShellProcess] = []
        try:
            scripts = _scripts(params)
            setting = _setting(params, scripts, call, context, self._keeper)
            async with self._slots, asyncio.timeout(seconds):
                await _run_all(scripts, setting, commands)
        except ShellError as error:
            return failed(
                error.kind,
                str(error),
                code=error.kind.name,
                retryable=error.retryable,
                data=_data(commands) if commands else None,
            )
        except TimeoutError:
            message = f"the command did not end within {seconds:g} seconds"
            data = _data(commands) if commands else None
            return failed(
                ErrorKind.TIMEOUT, message, code="SHELL_TIMEOUT", retryable=True, data=data
            )
        return _outcome(commands, len(scripts))

    async def close(self) -> None:
        await asyncio.to_thread(self._keeper.close)


# -- what to run ----------------------------------------------------------------------


def _scripts(params: ShellParams) -> list[str]:
    given = params.command if params.cmds is None else params.cmds
    scripts = [text_of(one) or "" for one in (given if isinstance(given, list) else [given])]
    if not scripts or not all(script.strip() for script in scripts):
        raise ShellError("'command' is empty")
    return scripts


_BASH: Final = re.compile(
    r"\A#!.*\bbash\b|\bpipefail\b|(?:^|[\s;&|(!])\[\[\s|<<<|(?:^|\s)[<>]\(\S|^\s*declare\s+-|\bBASH_|"
    r"^\s*(?:shopt|mapfile|readarray)\s|^\s*function\s+\w+|\$\{\w+\[|\$\{\w+(?:\^|,,|//)",
    re.MULTILINE,
)
"""What bash understands and other shells refuse, or take for something else."""


def shell_for(scripts: Iterable[str]) -> str:
    """Return the shell for commands that name none.

    A plain ``sh`` would take ``[[ ... ]]`` for a command that is not there, and go on.
    """
    return "bash" if any(_BASH.search(script) for script in scripts) else "sh"


class Setting(NamedTuple):
    """What commands run in."""

    shell: str
    place: ProcessPlace
    confinement: Confinement
    keeper: Keeper

    def launch(self, script: str) -> Launch:
        """Return how to start a script."""
        return self.confinement.launch([self.shell, "-c", script], self.place)


def _setting(
    params: ShellParams,
    scripts: list[str],
    call: ToolCall,
    context: ToolContext,
    keeper: Keeper,
) -> Setting:
    confinement = context.confinement
    workspace = "" if confinement.is_open else context.workspace
    env = confinement.environment(
        workspace, {KEY_VARIABLE: call.idempotency_key, **(params.env or {})}
    )
    name = params.shell or shell_for(scripts)
    shell = shutil.which(name, path=env.get("PATH"))
    if shell is None:
        why = "" if params.shell else ", which the command is written for"
        raise ShellError(f"there is no shell {name!r}{why}")
    try:
        cwd = confinement.resolve(params.cwd, workspace) if params.cwd else workspace or None
    except OutsideError as error:
        raise ShellError(f"'cwd': {error}") from None
    if cwd and not Path(cwd).is_dir():
        raise ShellError(f"there is no folder {params.cwd!r} to run in")
    place = ProcessPlace(execution_id=call.execution_id, workspace=workspace, cwd=cwd, env=env)
    return Setting(shell, place, confinement, keeper)


# -- running --------------------------------------------------------------------------


class Stream:
    """What a command prints: the beginning, as far as there is room, and the end."""

    __slots__ = ("kept", "last", "room", "truncated")

    def __init__(self, room: int) -> None:
        self.room = room
        self.kept = bytearray()
        self.last = b""
        self.truncated = False

    def add(self, data: bytes) -> None:
        """Take what came."""
        room = self.room - len(self.kept)
        self.kept += data[:room]
        self.truncated = self.truncated or len(data) > room
        self.last = (self.last + data)[-LAST_BYTES_MAX:]

    def text(self) -> str:
        """Return what was kept, with a mark for bytes that are no text."""
        return self.kept.decode("utf-8", "replace")

    def last_line(self) -> str:
        """Return the last line that is not blank."""
        lines = self.last.decode("utf-8", "replace").split("\n")
        return next((line.strip() for line in reversed(lines) if line.strip()), "")


class ShellProcess(asyncio.SubprocessProtocol):
    """One command: what it printed, and how it ended.

    The loop's ``Process.wait`` waits for pipes as well, which a process in the background
    may hold open for ever; a protocol is told of each by itself.
    """

    def __init__(self, room: tuple[int, int]) -> None:
        self.stdout = Stream(room[0])
        self.stderr = Stream(room[1])
        self.exited = asyncio.Event()
        self.silent = asyncio.Event()
        self.exit_code: int | None = None
        self.killed = False
        self._pipes = 2
        self._began = time.perf_counter()
        self.duration_ms = 0.0

    def pipe_data_received(self, fd: int, data: bytes) -> None:
        (self.stdout if fd == 1 else self.stderr).add(data)

    def pipe_connection_lost(self, fd: int, exc: Exception | None) -> None:
        self._pipes -= 1
        if self._pipes == 0:
            self.silent.set()

    def process_exited(self) -> None:
        self.duration_ms = round((time.perf_counter() - self._began) * 1000, 3)
        self.exited.set()


async def _run_all(scripts: list[str], setting: Setting, commands: list[ShellProcess]) -> None:
    """Run scripts one after the other until one fails; ``commands`` takes note of each."""
    for script in scripts:
        command = ShellProcess(_room(commands))
        commands.append(command)
        await _run(script, setting, command)
        if command.exit_code != 0:
            return


def _room(commands: list[ShellProcess]) -> tuple[int, int]:
    used = [sum(len(s.kept) for s in streams) for streams in (
        [c.stdout for c in commands], [c.stderr for c in commands]
    )]  # fmt: skip
    return OUTPUT_BYTES_MAX - used[0], OUTPUT_BYTES_MAX - used[1]


async def _run(script: str, setting: Setting, command: ShellProcess) -> None:
    """Run one script to its end; nothing that it started in its group outlives this."""
    starting = asyncio.ensure_future(_start(script, setting, command))
    try:
        transport = await asyncio.shield(starting)
    except asyncio.CancelledError:
        with contextlib.suppress(ShellError):
            await _end(await starting, command, setting.keeper)
        raise
    try:
        await command.exited.wait()
        await _within(LINGER_SECONDS, command.silent)
    finally:
        await _end(transport, command, setting.keeper)
    code = transport.get_returncode()
    assert code is not None
    # As shells have it: 128 and the number of the signal.
    command.exit_code = code if code >= 0 else 128 - code
    command.killed = code < 0


async def _start(
    script: str, setting: Setting, command: ShellProcess
) -> asyncio.SubprocessTransport:
    loop = asyncio.get_running_loop()
    try:
        launch = setting.launch(script)
        with launch.opened() as opened:
            transport, _ = await loop.subprocess_exec(
                lambda: command,
                *opened.argv,
                stdin=opened.stdin,
                pass_fds=opened.passed,
                cwd=launch.cwd,
                env=launch.env,
                start_new_session=True,
            )
    except ValueError as error:
        raise ShellError(f"the command cannot be run: {error}") from None
    except OSError as error:
        raise _not_started(error) from None
    setting.keeper.begins(transport.get_pid())
    return transport


def _not_started(error: OSError) -> ShellError:
    message = f"the command cannot be run: {error.strerror or error}"
    if error.errno == errno.E2BIG:
        return ShellError(f"{message}: give large data in a file", ErrorKind.LIMIT)
    if error.errno in (errno.EAGAIN, errno.ENOMEM, errno.EMFILE, errno.ENFILE):
        return ShellError(message, ErrorKind.PROCESS, retryable=True)
    return ShellError(message)


async def _end(
    transport: asyncio.SubprocessTransport, command: ShellProcess, keeper: Keeper
) -> None:
    """End a command with all of its group, and reap it."""
    group = transport.get_pid()
    try:
        if not command.exited.is_set():
            _signal(group, signal.SIGTERM)
            await _within(GRACE_SECONDS, command.exited)
    finally:
        _signal(group, signal.SIGKILL)
        keeper.ends(group)
        try:
            await command.exited.wait()
            await _within(LINGER_SECONDS, command.silent)
        finally:
            transport.close()


def _signal(group: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)


async def _within(seconds: float, event: asyncio.Event) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await event.wait()


# -- what came of it ------------------------------------------------------------------


def _outcome(commands: list[ShellProcess], count: int) -> Outcome:
    data = _data(commands)
    meta = {"truncated": True} if data["truncated"] else {}
    last = commands[-1]
    if last.exit_code == 0:
        return ok(data, meta=meta)
    which = "the command" if count == 1 else f"command {len(commands)} of {count}"
    how = "was killed, which is" if last.killed else "ended with"
    message = f"{which} {how} exit code {last.exit_code}"
    line = last.stderr.last_line()[:MESSAGE_CHARS_MAX]
    outcome = failed(
        ErrorKind.PROCESS,
        f"{message}: {line}" if line else message,
        code=f"EXIT_{last.exit_code}",
        data=data,
    )
    return msgspec.structs.replace(outcome, meta=meta)


def _data(commands: list[ShellProcess]) -> dict[str, Any]:
    """Return the result: all output together and, of several commands, that of each."""
    each = [_shown(command) for command in commands]
    data: dict[str, Any] = {
        "exit_code": each[-1]["exit_code"],
        "returncode": each[-1]["exit_code"],
        "stdout": "".join(one["stdout"] for one in each),
        "stderr": "".join(one["stderr"] for one in each),
        "truncated": any(c.stdout.truncated or c.stderr.truncated for c in commands),
        "duration_ms": round(sum(c.duration_ms for c in commands), 3),
    }
    return {**data, "commands": each} if len(each) > 1 else data


def _shown(command: ShellProcess) -> dict[str, Any]:
    """Return the result of one command; not its text, into which secrets may be rendered."""
    return {
        "exit_code": command.exit_code,
        "returncode": command.exit_code,
        "stdout": command.stdout.text(),
        "stderr": command.stderr.text(),
        "duration_ms": command.duration_ms,
    }


SPEC = ToolSpec(kind=KIND, factory=Shell)
