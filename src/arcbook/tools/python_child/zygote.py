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
from collections.abc import Sequence
from typing import Any

from arcbook.tools.python_child import apart, forking
from arcbook.tools.python_child.output import OUTPUT_BYTES_MAX
from arcbook.tools.python_child.packages import Packages, import_ahead, reseed
from arcbook.tools.python_child.serving import ChildFolders, serve

__all__ = ["ChildFolders", "Packages", "Zygote", "import_ahead", "reseed"]


class Zygote:
    """Forks children for its parent, and takes them along when the parent is gone."""

    def __init__(
        self,
        control: socket.socket,
        memory_bytes: int,
        *,
        place: ChildFolders,
        is_confined: bool,
        generators: Sequence[Any],
        packages: Packages | None = None,
    ) -> None:
        self.control = control
        self.memory_bytes = memory_bytes
        self.place = place
        self.is_confined = is_confined
        #: Sources of random numbers that modules have made; each child draws its own.
        self.generators = generators
        #: What children still have to enter, each for its execution.
        self.packages = packages
        self.children: set[int] = set()
        self.below = None if place.workspaces else apart.Below()
        self.pids = apart.Pids() if place.workspaces else None

    def run(self) -> None:
        """Serve the parent until it closes its end."""
        apart.hide()
        apart.adopt()
        if self.is_confined:
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
            while pid := os.waitpid(-1, os.WNOHANG)[0]:
                self.children.discard(pid)
        self._end_left_behind()

    def _end_left_behind(self) -> None:
        """End what children that are gone had started, in whatever session it is.

        A child is the parent of all that lives below it, and so are we once it is gone. In a
        sandbox each child takes all that is its own along.
        """
        if self.below is None:
            return
        for pid in self.below.now() - self.children:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)

    def _fork(self) -> None:
        mine, theirs = socket.socketpair()
        output_fd = _output_file()
        if self.pids is not None:
            self.pids.divide()
        pid = os.fork()
        if pid == 0:
            status = 1
            try:
                of_all = self._become_child([mine.fileno(), output_fd])
                place = self.place._replace(of_all=of_all)
                if self.packages is None:
                    serve(mine, output_fd, place)
                else:
                    forking.serve(mine, output_fd, place, self.packages)
                status = 0
            except BaseException:  # noqa: BLE001  # nothing may run in a child but a call
                traceback.print_exc(file=sys.__stderr__)
            finally:
                os._exit(status)
        if self.pids is not None:
            self.pids.rejoin()
        self.children.add(pid)
        mine.close()
        handle = os.pidfd_open(pid)
        fds = array.array("i", [theirs.fileno(), output_fd, handle])
        ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, fds)]
        with contextlib.suppress(OSError):
            # The number means something to the parent only where it sees the same processes.
            self.control.sendmsg([struct.pack("!I", 0 if self.pids else pid)], ancillary)
        theirs.close()
        os.close(output_fd)
        os.close(handle)

    def _become_child(self, kept: list[int]) -> int:
        os.setpgid(0, 0)
        apart.adopt()
        reseed(self.generators)
        signal.set_wakeup_fd(-1)
        for number in (signal.SIGCHLD, signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_DFL)
        apart.close_others(kept)
        apart.limit(self.memory_bytes)
        if self.is_confined:
            apart.drop_bounding_set()
        if not self.place.workspaces:
            return -1
        return apart.separate(self.place.workspaces, self.place.folders)

    def _end(self) -> None:
        for pid in self.children:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(pid, signal.SIGKILL)
        # What they had started is ours as each of them ends, and ends then.
        with contextlib.suppress(ChildProcessError):
            while True:
                pid, _ = os.waitpid(-1, 0)
                self.children.discard(pid)
                self._end_left_behind()


def _nothing(*_: object) -> None:
    """Take a signal, so that it wakes ``select``."""


def _output_file() -> int:
    """Return a file in memory that cannot grow past what code may print."""
    fd = os.memfd_create("printed", os.MFD_ALLOW_SEALING | os.MFD_CLOEXEC)
    os.ftruncate(fd, OUTPUT_BYTES_MAX + 4096)
    fcntl.fcntl(fd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_GROW | fcntl.F_SEAL_SHRINK)
    return fd
