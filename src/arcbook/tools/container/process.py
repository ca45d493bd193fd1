"""Jobs as processes of this machine, for development and tests: the image is not used.

A small shell, the keeper, runs the command apart from the worker, so that it goes on when
the worker ends. Each job has a folder with its facts, its log and its exit code.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import shutil
import signal
import subprocess
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import msgspec

from arcbook.outcome import ErrorKind
from arcbook.tools.confinement import PROGRAMS, Confinement, OutsideError, ProcessPlace
from arcbook.tools.container.jobs import (
    LOG_BYTES_MAX,
    Job,
    JobError,
    JobLog,
    JobName,
    JobState,
    JobStatus,
)

GRACE_SECONDS: Final = 1.0
"""Time that a job has to end by itself when it is told to."""

FOLDERS_MAX: Final = 1000
"""Folders that one look for old jobs goes through."""

_KEEPER: Final = (
    "folder=$1; shift; exec 3<&0; trap : TERM INT; "
    '( "$@" <&3 3<&- >"$folder/log" 2>&1; echo $? >"$folder/exit" ) >/dev/null 2>&1 & '
    "echo $!"
)
"""Starts a command in the background, and says which process keeps it."""

TIMED_OUT: Final = "timeout"
"""Stands in place of the exit code of a job that was stopped at its deadline."""


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """What a folder knows of its job."""

    name: str
    uid: str
    kind: str
    execution_id: str
    step: str
    began: float
    deadline_seconds: float
    ttl_seconds: int
    #: The process that keeps it, when that began, and its group.
    keeper: int = 0
    keeper_began: str = ""
    group: int = 0


class ProcessJobs:
    """Runs jobs as processes."""

    def __init__(self, confinement: Confinement) -> None:
        self._confinement = confinement
        self._folder = Path(confinement.jobs.folder)
        if not confinement.jobs.folder:
            raise JobError("there is no folder for jobs: set ARCBOOK_HOME")

    async def start(self, job: Job) -> JobName:
        return await asyncio.to_thread(self._start, job)

    async def look(self, name: JobName) -> JobState | None:
        return await asyncio.to_thread(self._look, name.name)

    async def log(self, name: JobName) -> JobLog:
        return await asyncio.to_thread(self._log, name.name)

    async def remove(self, name: JobName) -> None:
        await asyncio.to_thread(self._remove, name.name)

    async def close(self) -> None:
        return None

    def all(self) -> Iterator[Facts]:
        """Return the facts of all jobs that are kept here."""
        with contextlib.suppress(FileNotFoundError):
            for number, folder in enumerate(self._folder.iterdir()):
                facts = _facts(folder)
                if facts is not None:
                    yield facts
                if number >= FOLDERS_MAX:
                    return

    def state(self, name: str) -> JobState | None:
        """Return how a job stands."""
        return self._look(name)

    def _start(self, job: Job) -> JobName:
        if job.secrets:
            names = ", ".join(sorted(job.secrets))
            message = f"the backend 'process' has no Kubernetes secrets, which 'env' names: {names}"
            raise JobError(message)
        if not job.command and not job.args:
            raise JobError("the backend 'process' needs 'command': it does not run the image")
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._sweep()
        folder = self._folder / job.name
        folder.mkdir(exist_ok=True, mode=0o700)
        with _locked(folder):
            facts = _facts(folder)
            if facts is None:
                facts = self._launch(job, folder)
        return JobName(
            backend="process",
            namespace="",
            name=job.name,
            uid=facts.uid,
            began=int(facts.began),
        )

    def _launch(self, job: Job, folder: Path) -> Facts:
        """Start a job's command, and note in its folder that it was started."""
        confinement = self._confinement
        workspace = "" if confinement.is_open else confinement.make_workspace(job.execution_id)
        try:
            directory = job.working_dir
            cwd = confinement.resolve(directory, workspace) if directory else workspace or None
        except OutsideError as error:
            raise JobError(f"'working_dir': {error}") from None
        env = confinement.environment(workspace, dict(job.env))
        place = ProcessPlace(execution_id=job.execution_id, workspace=workspace, cwd=cwd, env=env)
        try:
            launch = confinement.launch(
                [*job.command, *([job.code] if job.code else ()), *job.args], place
            )
            with launch.opened() as opened:
                keeping = subprocess.Popen(
                    ["/bin/sh", "-c", _KEEPER, "sh", str(folder), *opened.argv],
                    stdin=opened.stdin,
                    stdout=subprocess.PIPE,
                    pass_fds=opened.passed,
                    cwd=launch.cwd,
                    env={"PATH": PROGRAMS, **launch.env},
                    start_new_session=True,
                )
                output, _ = keeping.communicate()
        except (OSError, ValueError) as error:
            raise JobError(f"the job cannot be started: {error}", ErrorKind.PROCESS) from None
        keeper = int(output)
        facts = Facts(
            name=job.name,
            uid=uuid.uuid4().hex,
            kind=job.kind,
            execution_id=str(job.execution_id),
            step=job.step,
            began=time.time(),
            deadline_seconds=job.deadline_seconds,
            ttl_seconds=job.ttl_seconds,
            keeper=keeper,
            keeper_began=_began(keeper),
            group=keeping.pid,
        )
        partial = folder / "facts.new"
        partial.write_bytes(msgspec.json.encode(facts))
        partial.rename(folder / "facts")
        return facts

    def _look(self, name: str) -> JobState | None:
        folder = self._folder / name
        facts = _facts(folder)
        if facts is None:
            return None
        is_kept = bool(facts.keeper_began) and _began(facts.keeper) == facts.keeper_began
        ended = _exit(folder)
        if ended:
            return _ended(facts, ended)
        if not is_kept:
            reason = "the machine was started anew, or the job was killed"
            return _ended(facts, "", JobState(status=JobStatus.NODE_LOST, reason=reason))
        if time.time() < facts.began + facts.deadline_seconds:
            return JobState(status=JobStatus.RUNNING, uid=facts.uid, started_at=_at(facts.began))
        _kill(facts, folder)
        (folder / "exit").write_text(TIMED_OUT)
        return _ended(facts, TIMED_OUT)

    def _log(self, name: str) -> JobLog:
        try:
            with (self._folder / name / "log").open("rb") as file:
                size = os.fstat(file.fileno()).st_size
                file.seek(max(0, size - LOG_BYTES_MAX))
                text = file.read(LOG_BYTES_MAX).decode("utf-8", "replace")
        except FileNotFoundError:
            return JobLog()
        except OSError as error:
            raise JobError(f"the job's log cannot be read: {error}", ErrorKind.PROCESS) from None
        return JobLog(text=text, is_truncated=size > LOG_BYTES_MAX)

    def _remove(self, name: str) -> None:
        folder = self._folder / name
        facts = _facts(folder)
        if facts is not None:
            _kill(facts, folder)
        shutil.rmtree(folder, ignore_errors=True)

    def _sweep(self) -> None:
        """Delete the folders of jobs that ended long ago."""
        now = time.time()
        for facts in list(self.all()):
            folder = self._folder / facts.name
            with contextlib.suppress(OSError):
                if (folder / "exit").stat().st_mtime + facts.ttl_seconds < now:
                    shutil.rmtree(folder, ignore_errors=True)


def _facts(folder: Path) -> Facts | None:
    try:
        return msgspec.json.decode((folder / "facts").read_bytes(), type=Facts)
    except (OSError, msgspec.MsgspecError):
        return None


def _exit(folder: Path) -> str:
    try:
        return (folder / "exit").read_text(errors="replace").strip()[:20]
    except OSError:
        return ""


def _ended(facts: Facts, ended: str, state: JobState | None = None) -> JobState:
    if ended == TIMED_OUT:
        state = JobState(status=JobStatus.TIMEOUT)
    elif state is None:
        code = int(ended) if ended.isdigit() else 1
        status = JobStatus.SUCCEEDED if code == 0 else JobStatus.FAILED
        state = JobState(status=status, exit_code=code)
    return msgspec.structs.replace(state, uid=facts.uid, started_at=_at(facts.began))


def _at(seconds: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))


def _began(process: int) -> str:
    """Return when a process began, which tells it from a later one of the same number."""
    try:
        stat = Path(f"/proc/{process}/stat").read_text()
    except OSError:
        return ""
    words = stat.rpartition(")")[2].split()
    return "" if words[0] == "Z" else words[19]


def _kill(facts: Facts, folder: Path) -> None:
    """End a job with all of its group, if it still runs."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        if not facts.keeper_began or _began(facts.keeper) != facts.keeper_began:
            return
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(facts.group, number)
        until = time.monotonic() + GRACE_SECONDS
        while time.monotonic() < until and _began(facts.keeper) == facts.keeper_began:
            time.sleep(0.01)


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Hold a folder's lock: two deliveries of one call start one job."""
    with (folder / "lock").open("wb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
