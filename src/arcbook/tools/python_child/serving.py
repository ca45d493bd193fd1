"""A child: serves calls until one may have left something behind."""

from __future__ import annotations

import json
import linecache
import os
import socket
import sys
import traceback
from typing import Any, Final, NamedTuple

from arcbook.tools.python_child import apart, seccomp
from arcbook.tools.python_child.output import Programs
from arcbook.tools.python_child.prepare import FILENAME, RENAMED, Prepared
from arcbook.tools.python_child.running import run
from arcbook.tools.python_child.wire import answer, receive

TEMPORARY: Final = "/tmp"
"""Where temporary files of executions are."""

PROCESSES_MAX: Final = 512
"""Processes of one execution, where its code runs as a user of its own."""


class ChildFolders(NamedTuple):
    """What a child in a sandbox sees of files that are no programs; nothing elsewhere."""

    workspaces: str = ""
    folders: tuple[str, ...] = ()
    #: Descriptor of the workspaces.
    of_all: int = -1


PROCESSES_OF_ALL_MAX: Final = 1024
"""Processes of all executions of a sandbox, where their code runs as one user."""


def serve(sock: socket.socket, output_fd: int, place: ChildFolders) -> None:
    """Serve calls of one execution in a child, until one may have left something behind."""
    give_output(output_fd)
    known: dict[str, Prepared] = {}
    _warm_up()
    is_placed = False
    while (request := receive(sock)) is not None:
        if not is_placed:
            is_placed = True
            take_place(request, place)
        reply = reply_to(request, known, sock, output_fd)
        pure = reply.pop("pure")
        reply["again"] = pure and reply["ok"]
        answer(sock, reply)
        if not reply["again"]:
            return


def give_output(output_fd: int) -> None:
    """Have a file take what this process prints."""
    os.dup2(output_fd, 1)
    os.dup2(output_fd, 2)


def reply_to(
    request: dict[str, Any], known: dict[str, Prepared], sock: socket.socket, output_fd: int
) -> dict[str, Any]:
    """Run the code of a request; return the reply, and in it whether the code was ``pure``."""
    os.lseek(output_fd, 0, os.SEEK_SET)
    try:
        prepared = prepared_for(request, known, sock)
    except UnpreparedError as failure:
        reply, fresh = failure.reply, True
    else:
        reply, fresh = _run(request, prepared, output_fd)
    return {**reply, "pure": not fresh, "printed": os.lseek(output_fd, 0, os.SEEK_CUR)}


class UnpreparedError(ValueError):
    """Code cannot be prepared; the reply says why."""

    def __init__(self, reply: dict[str, Any]) -> None:
        super().__init__()
        self.reply = reply


def prepared_for(
    request: dict[str, Any], known: dict[str, Prepared], sock: socket.socket
) -> Prepared:
    """Return a request's code ready to run.

    Raises:
        UnpreparedError: it is not Python.
    """
    digest = request["digest"]
    prepared, wire = known.get(digest), None
    if prepared is None:
        try:
            prepared, wire = _prepare(request)
        except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
            raise UnpreparedError(_syntax_failure(error)) from None
        known[digest] = prepared
    if wire is not None and request.get("tells"):
        # Told before the code runs, which could say something else afterwards.
        answer(sock, {"prepared": wire})
    return prepared


def _run(
    request: dict[str, Any], prepared: Prepared, output_fd: int
) -> tuple[dict[str, Any], bool]:
    """Run prepared code; return the reply, and whether the process is used up by it."""
    linecache.cache[FILENAME] = (0, None, request.get("lines") or [], FILENAME)
    if prepared.pure and not request.get("env") and not request.get("cwd"):
        return run(request, prepared), False
    _settle_in(request)
    programs = Programs(output_fd)
    reply = run(request, prepared)
    programs.finish()
    return reply, True


def _prepare(request: dict[str, Any]) -> tuple[Prepared, dict[str, Any] | None]:
    """Return the code ready to run, and what the parent should remember of it."""
    held = request.get("prepared")
    if held:
        return Prepared.from_wire(held), None
    prepared = Prepared.from_source(request["source"], _modules(request.get("libs")))
    return prepared, prepared.wire()


def _modules(libs: Any) -> list[str]:
    """Return the modules that a task lists, by the names under which code gets them."""
    if isinstance(libs, list):
        return [str(name) for name in libs]
    if not isinstance(libs, dict):
        return []
    modules = [str((t.get("from") if isinstance(t, dict) else t) or a) for a, t in libs.items()]
    if any(alias != module for alias, module in zip(libs, modules, strict=True)):
        modules.append(RENAMED)
    return modules


_NOTHING: Final = Prepared.from_source("result = json.dumps(None)", ["json"])


def _warm_up() -> None:
    """Run nothing, while nobody waits: what a fork shares is copied where it is first used."""
    request = json.loads('{"digest": "", "input": {}, "libs": ["json"], "lines": []}')
    json.dumps(run(request, _NOTHING))


def take_place(request: dict[str, Any], place: ChildFolders) -> None:
    """Be the execution's own process from now on: its workspace, its user, nothing else."""
    apart.limit_memory(request.get("memory_bytes") or 0)
    workspace: str = request.get("workspace") or ""
    uid: int | None = request.get("uid")
    if place.workspaces:
        apart.see_only(place.of_all, workspace)
    if workspace:
        _set({"HOME": workspace, "TMPDIR": TEMPORARY})
        os.chdir(workspace)
    if uid is not None or place.workspaces:
        apart.limit_processes(PROCESSES_MAX if uid is not None else PROCESSES_OF_ALL_MAX)
    if uid is not None:
        apart.become(uid)
    if place.workspaces:
        apart.drop_capabilities()
        seccomp.install()


def _set(variables: dict[str, Any]) -> None:
    os.environ.update({str(k): str(v) for k, v in variables.items()})


def _settle_in(request: dict[str, Any]) -> None:
    """Give a child that serves one call its own environment, folder and limits."""
    if request.get("env"):
        _set(request["env"])
    if request.get("cwd"):
        os.chdir(request["cwd"])
        sys.path.insert(0, request["cwd"])


def _syntax_failure(error: Exception) -> dict[str, Any]:
    line = getattr(error, "lineno", None)
    place = f" (line {line} of the code)" if line else ""
    message = getattr(error, "msg", None) or str(error) or type(error).__name__
    text = "".join(traceback.format_exception_only(type(error), error))
    return {
        "ok": False,
        "exception": type(error).__name__,
        "bases": [c.__name__ for c in type(error).__mro__],
        "message": f"{message}{place}",
        "traceback": text.strip(),
    }
