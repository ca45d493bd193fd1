"""The process that forks children for its parent."""

from __future__ import annotations

import array
import contextlib
import fcntl
import os
import select
import signal
import socket
import struct
import sys
import traceback
from typing import Any

from arcbook.tools.python_child import apart
from arcbook.tools.python_child.running import OUTPUT_BYTES_MAX
from arcbook.tools.python_child.serving import serve


class Zygote:
    """Forks children for its parent, and takes them along when the parent is gone."""

    def __init__(self, control: socket.socket, memory_bytes: int) -> None:
        self.control = control
        self.memory_bytes = memory_bytes
        self.children: set[int] = set()

    def run(self) -> None:
        """Serve the parent until it closes its end."""
        apart.hide()
        apart.take_no_privileges()
        wake, signalled = os.pipe()
        for fd in (wake, signalled):
            os.set_blocking(fd, False)
        signal.signal(signal.SIGCHLD, _nothing)
        signal.set_wakeup_fd(signalled, warn_on_full_buffer=False)
        watched: list[Any] = [self.control, wake]
        while True:
            ready, _, _ = select.select(watched, [], [])
            if wake in ready:
                with contextlib.suppress(BlockingIOError):
                    os.read(wake, 4096)
                self._reap()
            if self.control in ready:
                try:
                    wanted = self.control.recv(256)
                except ConnectionError:
                    wanted = b""
                if not wanted:
                    self._end()
                    return
                for _ in wanted:
                    self._fork()

    def _reap(self) -> None:
        with contextlib.suppress(ChildProcessError):
            while True:
                pid, _ = os.waitpid(-1, os.WNOHANG)
                if pid == 0:
                    return
                self.children.discard(pid)

    def _fork(self) -> None:
        mine, theirs = socket.socketpair()
        output_fd = _output_file()
        pid = os.fork()
        if pid == 0:
            status = 1
            try:
                self._become_child([mine.fileno(), output_fd])
                serve(mine, output_fd)
                status = 0
            except BaseException:  # noqa: BLE001  # nothing may run in a child but a call
                traceback.print_exc(file=sys.__stderr__)
            finally:
                os._exit(status)
        self.children.add(pid)
        mine.close()
        fds = array.array("i", [theirs.fileno(), output_fd])
        ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, fds)]
        with contextlib.suppress(OSError):
            self.control.sendmsg([struct.pack("!I", pid)], ancillary)
        theirs.close()
        os.close(output_fd)

    def _become_child(self, kept: list[int]) -> None:
        os.setpgid(0, 0)
        signal.set_wakeup_fd(-1)
        for number in (signal.SIGCHLD, signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_DFL)
        apart.close_others(kept)
        apart.limit(self.memory_bytes)

    def _end(self) -> None:
        for pid in self.children:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(pid, signal.SIGKILL)


def _nothing(*_: object) -> None:
    """Take a signal, so that it wakes ``select``."""


def _output_file() -> int:
    """Return a file in memory that cannot grow past what code may print."""
    fd = os.memfd_create("printed", os.MFD_ALLOW_SEALING | os.MFD_CLOEXEC)
    os.ftruncate(fd, OUTPUT_BYTES_MAX + 4096)
    fcntl.fcntl(fd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_GROW | fcntl.F_SEAL_SHRINK)
    return fd
