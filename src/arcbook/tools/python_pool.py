"""Warm processes for Python code: a zygote forks them ahead of need.

A child that ran code of one execution never runs code of another. A call takes a child
that its own execution left idle, or a clean one; another clean one is ordered at once, so
that the next execution finds one waiting. What a child says is never believed: it may be
the code that speaks.
"""

from __future__ import annotations

import array
import asyncio
import contextlib
import os
import signal
import socket
import struct
import subprocess
from collections import OrderedDict, deque
from collections.abc import Iterable
from typing import Any, Final

from arcbook.jsons import JsonError, read, write
from arcbook.tools.confinement import Confinement, Isolation
from arcbook.tools.python_env.api import PythonEnvironment
from arcbook.tools.python_start import Spawned, spawn

CLEAN_AHEAD: Final = 2
"""Children that never ran anything and wait for a call, for each zygote."""

HELD_MAX: Final = 128
"""Idle children of executions, for each zygote; the longest idle one ends. As many as a worker
performs commands at once: with fewer, executions that take turns would fork for each call."""

HELD_SECONDS: Final = 5.0
"""How long an idle child waits for another call of its execution, which may have ended."""

END_SECONDS: Final = 2.0
"""How long a zygote may take to end its children and itself."""

ASKED_MAX: Final = 1000
"""Sets of modules that are remembered as asked for once."""

ZYGOTES_MAX: Final = 4
"""Zygotes with modules of their own imported."""

ANSWER_BYTES_MAX: Final = 256 * 1024 * 1024
"""Size of what a call may yield."""

PRINTED_BYTES_MAX: Final = 1024 * 1024
"""Size of what a call may print."""

PREPARED_MAX: Final = 2048
"""Compiled code that is remembered."""


class ChildLostError(RuntimeError):
    """A child ended without an answer: it was killed, or ran out of memory."""


Owner = tuple[int, int]
"""An execution, and the version of its document."""


class Child:
    """One process that can serve calls of one execution."""

    __slots__ = ("_handle", "_received", "ending", "is_clean", "output_fd", "owner", "pid", "sock")

    def __init__(self, pid: int, sock: socket.socket, output_fd: int, handle: int) -> None:
        #: Its process group; 0 if it is in a sandbox, where it takes all that is its own along.
        self.pid = pid
        self.sock = sock
        self.output_fd = output_fd
        self._handle = handle
        #: Whose code it may run; nobody's yet.
        self.owner: Owner | None = None
        #: Whether it has run nobody's code, so that it is ours that speaks.
        self.is_clean = True
        #: Ends it when it has been idle for long.
        self.ending: asyncio.TimerHandle | None = None
        self._received = b""

    async def ask(self, request: dict[str, Any]) -> dict[str, Any]:
        """Send a request and return the answer, or what comes before it.

        Raises:
            ChildLostError: the child ended first.
        """
        loop = asyncio.get_running_loop()
        body = write(request)
        try:
            await loop.sock_sendall(self.sock, struct.pack("!I", len(body)) + body)
        except OSError as error:
            raise ChildLostError(str(error)) from None
        return await self.answer()

    async def answer(self) -> dict[str, Any]:
        """Return what the child says next.

        Raises:
            ChildLostError: it ended first, or says what is no answer.
        """
        loop = asyncio.get_running_loop()
        try:
            answer = read(await self._frame(loop))
        except OSError as error:
            raise ChildLostError(str(error)) from None
        except JsonError:
            answer = None
        if not isinstance(answer, dict):
            raise ChildLostError("what it answered is no answer")
        return answer

    async def _frame(self, loop: asyncio.AbstractEventLoop) -> bytes:
        data = self._received or await loop.sock_recv(self.sock, 1 << 16)
        while 0 < len(data) < 4:
            data += await loop.sock_recv(self.sock, 1 << 16)
        if not data:
            raise ChildLostError("the process ended without an answer")
        size = 4 + struct.unpack("!I", data[:4])[0]
        if size > ANSWER_BYTES_MAX:
            raise ChildLostError(
                f"the result has {size:,} bytes; the limit is {ANSWER_BYTES_MAX:,}"
            )
        parts, got = [data], len(data)
        while got < size:
            part = await loop.sock_recv(self.sock, min(size - got, 1 << 20))
            if not part:
                raise ChildLostError("the process ended in the middle of its answer")
            parts.append(part)
            got += len(part)
        data = b"".join(parts)
        self._received = data[size:]
        return data[4:size]

    def printed(self, size: Any = None) -> str:
        """Return what the call printed, as far as the child's word on its size is believed."""
        if not isinstance(size, int):
            size = os.lseek(self.output_fd, 0, os.SEEK_CUR)
        size = max(0, min(size, PRINTED_BYTES_MAX))
        return os.pread(self.output_fd, size, 0).decode("utf-8", "replace") if size else ""

    def kill(self) -> None:
        """End the child and everything that it started."""
        if self.output_fd >= 0:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                if self.pid:
                    os.killpg(self.pid, signal.SIGKILL)
                else:
                    signal.pidfd_send_signal(self._handle, signal.SIGKILL)
        self.close()

    def close(self) -> None:
        """Let go of the child's descriptors; a child whose socket closes ends."""
        if self.ending is not None:
            self.ending.cancel()
            self.ending = None
        if self.output_fd >= 0:
            self.sock.close()
            os.close(self.output_fd)
            os.close(self._handle)
            self.output_fd = -1


class Zygote:
    """A process that forks children; started when first needed."""

    def __init__(
        self,
        modules: Iterable[str],
        confinement: Confinement,
        spawned: Spawned | None = None,
        environment: PythonEnvironment | None = None,
    ) -> None:
        self._modules = sorted(modules)
        self._confinement = confinement
        self._environment = environment
        self._spawned = spawned
        self._busy = 0
        self._is_retired = False
        self._clean: deque[Child] = deque()
        self._held: OrderedDict[Child, None] = OrderedDict()
        self._waiting: deque[asyncio.Future[Child]] = deque()
        self._ordered = 0
        self._listens = False

    def _start(self) -> None:
        """Start the process if it is not there, and take the children that come."""
        if self._spawned is None:
            self._spawned = start_zygote(self._confinement, self._modules, self._environment)
        if not self._listens:
            self._listens = True
            self._listen()

    def _listen(self) -> None:
        assert self._spawned is not None
        asyncio.get_running_loop().add_reader(self._spawned.control, self._receive)

    def _order(self, count: int) -> None:
        assert self._spawned is not None
        self._ordered += count
        with contextlib.suppress(BlockingIOError, OSError):
            self._spawned.control.send(b"F" * count)

    def _receive(self) -> None:
        while self._spawned is not None:
            try:
                data, ancillary, _, _ = self._spawned.control.recvmsg(4, socket.CMSG_SPACE(12))
            except BlockingIOError:
                return
            except OSError:
                data = b""
            if len(data) < 4 or not ancillary:
                self._lost()
                return
            fds = array.array("i")
            fds.frombytes(ancillary[0][2][:12])
            sock = socket.socket(fileno=fds[0])
            sock.setblocking(False)  # noqa: FBT003  # the socket API
            self._ordered -= 1
            self._hand_out(Child(struct.unpack("!I", data)[0], sock, *fds[1:]))

    def _hand_out(self, child: Child) -> None:
        while self._waiting:
            future = self._waiting.popleft()
            if not future.done():
                future.set_result(child)
                return
        self._clean.append(child)

    def _order_ahead(self) -> None:
        """Order what is missing for those who wait, and some for whoever comes next."""
        wanted = len(self._waiting) + CLEAN_AHEAD - len(self._clean) - self._ordered
        if wanted > 0 and self._spawned is not None:
            self._order(min(wanted, 64))

    def _lost(self) -> None:
        """The process is gone: whoever waits gets an error, the next call a new one."""
        self.stop()
        while self._waiting:
            future = self._waiting.popleft()
            if not future.done():
                future.set_exception(ChildLostError("the process that forks children is gone"))

    async def take(self, owner: Owner) -> Child:
        """Return an idle child of an execution, or a clean one, which is now its own."""
        self._start()
        child = self._idle(owner)
        if child is None:
            child = await self._taken_clean(owner)
        self._busy += 1
        return child

    async def _taken_clean(self, owner: Owner) -> Child:
        if self._clean:
            child = self._clean.popleft()
            if not self._clean:
                # After the call's request is sent; else when it is answered, out of its way.
                asyncio.get_running_loop().call_soon(self._order_ahead)
        else:
            future: asyncio.Future[Child] = asyncio.get_running_loop().create_future()
            self._waiting.append(future)
            self._order_ahead()
            child = await self._coming(future)
        child.owner = owner
        return child

    async def _coming(self, future: asyncio.Future[Child]) -> Child:
        try:
            return await future
        except asyncio.CancelledError:
            if future.done() and not future.cancelled() and future.exception() is None:
                self._hand_out(future.result())
            raise

    def _idle(self, owner: Owner) -> Child | None:
        for child in reversed(self._held):
            if child.owner == owner:
                self._forget(child)
                return child
        return None

    def _forget(self, child: Child) -> None:
        del self._held[child]
        if child.ending is not None:
            child.ending.cancel()
            child.ending = None

    def give_back(self, child: Child, *, serves_again: bool) -> None:
        """Take back a child after a call; it ends unless it can serve another one."""
        self._busy -= 1
        self._order_ahead()
        if self._is_retired and not self._busy:
            self.stop()
        if not serves_again or self._spawned is None:
            child.kill()
            return
        loop = asyncio.get_running_loop()
        self._held[child] = None
        child.ending = loop.call_later(HELD_SECONDS, self._end, child)
        if len(self._held) > HELD_MAX:
            self._end(next(iter(self._held)))

    def _end(self, child: Child) -> None:
        """End an idle child, with whatever its code left running."""
        self._forget(child)
        child.kill()

    def retire(self) -> None:
        """Stop as soon as no child is in a call."""
        self._is_retired = True
        if not self._busy:
            self.stop()

    def stop(self) -> None:
        """End the process and its children; stopping twice is well."""
        spawned, self._spawned = self._spawned, None
        if spawned is not None and self._listens:
            with contextlib.suppress(RuntimeError, ValueError):
                asyncio.get_running_loop().remove_reader(spawned.control)
        for child in list(self._held):
            self._end(child)
        for child in self._clean:
            child.close()
        self._clean.clear()
        self._ordered = 0
        self._listens = False
        if spawned is None:
            return
        spawned.control.close()
        try:
            # It ends what is left of its children first.
            spawned.process.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            spawned.process.kill()
            spawned.process.wait()


def start_zygote(
    confinement: Confinement,
    modules: Iterable[str] = (),
    environment: PythonEnvironment | None = None,
) -> Spawned:
    """Start a zygote, apart as it is to be."""
    is_sandbox = confinement.isolation is Isolation.SANDBOX
    readable = [environment.base, environment.prefix] if environment else []
    return spawn(
        modules,
        confinement.memory_bytes,
        before=confinement.zygote(readable),
        workspaces=confinement.workspaces if is_sandbox else "",
        folders=[*(confinement.folders or ()), *readable],
        is_confined=not confinement.is_open,
        environment=environment,
        enters=has_packages(confinement),
    )


def has_packages(confinement: Confinement) -> bool:
    """Whether a zygote may import packages of an environment, which are code of users.

    Where it can do more than its children, only they may.
    """
    return confinement.isolation is Isolation.PROCESS


class PythonPool:
    """Children for calls, from the plain zygote or from one with the modules needed."""

    def __init__(
        self,
        confinement: Confinement,
        spawned: Spawned | None = None,
        environment: PythonEnvironment | None = None,
    ) -> None:
        self._confinement = confinement
        self._environment = environment
        #: Whether children come with modules imported, or import those of their execution.
        self._imports = environment is None or has_packages(confinement)
        self._plain = Zygote((), confinement, spawned, environment)
        self._special: OrderedDict[frozenset[str], Zygote] = OrderedDict()
        #: Modules that code has asked for once, without a zygote that has them.
        self._asked: OrderedDict[frozenset[str], None] = OrderedDict()
        self._prepared: OrderedDict[bytes, dict[str, Any]] = OrderedDict()

    def prepared(self, digest: bytes) -> dict[str, Any] | None:
        """Return what is known of code that ran before."""
        return self._prepared.get(digest)

    def remember(self, digest: bytes, prepared: dict[str, Any]) -> None:
        """Keep what a child found out about code."""
        self._prepared[digest] = prepared
        while len(self._prepared) > PREPARED_MAX:
            self._prepared.popitem(last=False)

    def zygote(self, modules: frozenset[str]) -> Zygote:
        """Return the zygote for code that imports modules.

        The second call that wants modules which no zygote has starts one with them.
        """
        if not modules or not self._imports:
            return self._plain
        for held, zygote in self._special.items():
            if modules <= held:
                self._special.move_to_end(held)
                return zygote
        if modules not in self._asked:
            self._asked[modules] = None
            while len(self._asked) > ASKED_MAX:
                self._asked.popitem(last=False)
            return self._plain
        found = self._special[modules] = Zygote(
            modules, self._confinement, environment=self._environment
        )
        while len(self._special) > ZYGOTES_MAX:
            _, oldest = self._special.popitem(last=False)
            oldest.retire()
        return found

    def close(self) -> None:
        """End all processes."""
        self._plain.stop()
        for zygote in self._special.values():
            zygote.stop()
        self._special.clear()
