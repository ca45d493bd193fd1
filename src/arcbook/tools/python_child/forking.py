"""A child that has the packages of an environment: it forks a process for each call.

Packages are code that somebody chose for an execution. Where executions are apart from each
other, they are imported here, by a process that is already its execution's own, and not
by the zygote, which could reach all executions. Each call runs in a fork, which is made before the call
comes, so that it waits for no import.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import sys
from typing import Any, Final

from arcbook.tools.python_child import apart
from arcbook.tools.python_child.packages import Packages, import_ahead, reseed
from arcbook.tools.python_child.prepare import Prepared
from arcbook.tools.python_child.serving import (
    ChildFolders,
    UnpreparedError,
    give_output,
    prepared_for,
    reply_to,
    take_place,
)
from arcbook.tools.python_child.wire import answer, receive

NOTE_BYTES_MAX: Final = 16 * 1024 * 1024
"""Size of what a fork tells about its call: modules to import ahead, and prepared code."""


def serve(sock: socket.socket, output_fd: int, place: ChildFolders, packages: Packages) -> None:
    """Serve calls of one execution in forks that has the packages imported."""
    request = receive(sock)
    if request is None:
        return
    give_output(output_fd)
    take_place(request, place)
    known: dict[str, Prepared] = {}
    try:
        # Told before any package is imported, whose code could say something else.
        prepared = prepared_for(request, known, sock)
    except UnpreparedError as failure:
        answer(sock, {**failure.reply, "printed": 0, "again": False})
        return
    packages.enter()
    Forks(sock, output_fd, known, prepared.imports).run(request)


class Forks:
    """Forks that serve calls, one after the other."""

    def __init__(
        self,
        sock: socket.socket,
        output_fd: int,
        known: dict[str, Prepared],
        modules: frozenset[str],
    ) -> None:
        self._sock = sock
        self._output_fd = output_fd
        self._known = known
        self._modules = modules
        self._below = apart.Below()

    def run(self, request: Any) -> None:
        """Serve a call that has come, and those that follow, until one ends without an answer."""
        generators: list[Any] = []
        while True:
            if self._modules:
                generators = import_ahead(self._modules)
            note = self._serve_one(request, generators)
            if note is None:
                return
            self._remember(note)
            request = None

    def _serve_one(self, request: Any, generators: list[Any]) -> dict[str, Any] | None:
        """Have a fork serve a call; return what it tells of it, or nothing if it gave no answer."""
        notes = os.memfd_create("note", os.MFD_CLOEXEC)
        pid = os.fork()
        if pid == 0:
            try:
                reseed(generators)
                self._serve_in_fork(request, notes)
            finally:
                os._exit(0)  # whatever was raised: nothing may run in a fork but a call
        os.waitpid(pid, 0)
        self._end_left_behind()
        text = os.pread(notes, min(os.fstat(notes).st_size, NOTE_BYTES_MAX), 0)
        os.close(notes)
        return _note(text)

    def _serve_in_fork(self, request: Any, notes: int) -> None:
        """Serve calls until one may have left something behind; then tell what came of them."""
        modules: set[str] = set()
        prepared: dict[str, Any] = {}
        serves_again = True
        while serves_again:
            request = request or receive(self._sock)
            if request is None:
                return
            digest, is_known = request["digest"], request["digest"] in self._known
            reply = reply_to(request, self._known, self._sock, self._output_fd)
            serves_again = reply.pop("pure") and reply["ok"]
            answer(self._sock, {**reply, "again": True})
            if not is_known and digest in self._known:
                modules |= self._known[digest].imports
                prepared[digest] = self._known[digest].wire()
            request = None
        os.write(notes, json.dumps({"modules": sorted(modules), "prepared": prepared}).encode())

    def _end_left_behind(self) -> None:
        """End what a call had started, in whatever session it is: all of it is ours by now."""
        while pids := self._below.now():
            for pid in pids:
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.kill(pid, signal.SIGKILL)
            with contextlib.suppress(ChildProcessError):
                os.waitpid(-1, 0)

    def _remember(self, note: dict[str, Any]) -> None:
        """Take what a fork of the same execution found out about its code."""
        self._modules = frozenset(note["modules"]) - sys.modules.keys()
        for digest, wire in note["prepared"].items():
            self._known[digest] = Prepared.from_wire(wire)


def _note(text: bytes) -> dict[str, Any] | None:
    try:
        note = json.loads(text)
    except ValueError:
        return None
    return note if isinstance(note, dict) else None
