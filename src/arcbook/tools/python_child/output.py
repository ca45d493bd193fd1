"""What code prints, and what programs print that it starts: kept up to a limit, then dropped."""

from __future__ import annotations

import codecs
import contextlib
import io
import os
import select
import sys
from typing import Any, Final

OUTPUT_BYTES_MAX: Final = 1024 * 1024
"""What code may print; the rest is dropped."""

DRAINED_BYTES_MAX: Final = 8 * 1024 * 1024
"""What is still read of programs that print on when the code has ended."""

MARKED: Final = "arcbook.marked"
"""Name of the rule for characters without a UTF-8 form."""

STARTS: Final = frozenset({"os.fork", "os.posix_spawn", "os.system", "subprocess.Popen"})
"""Events of the interpreter that tell of programs and processes that are started."""


def _marked(error: UnicodeError) -> tuple[bytes, int]:
    assert isinstance(error, UnicodeEncodeError)
    return b"\xef\xbf\xbd" * (error.end - error.start), error.end


codecs.register_error(MARKED, _marked)


class Sink(io.RawIOBase):
    """The bytes of standard output and error of a call."""

    name = "<output>"

    def __init__(self) -> None:
        self.room = OUTPUT_BYTES_MAX

    def write(self, data: Any) -> int:
        view = memoryview(data).cast("B")
        if self.room > 0:
            with contextlib.suppress(OSError):
                self.room -= os.write(1, view[: self.room])
        return view.nbytes

    def fileno(self) -> int:
        return 1

    def writable(self) -> bool:
        return True


def _stream(sink: Sink) -> io.TextIOWrapper:
    return io.TextIOWrapper(
        sink,  # as the interpreter's own where it does not buffer
        encoding="utf-8",
        errors=MARKED,
        newline="\n",
        write_through=True,
    )


class Streams:
    """Standard input, output and error of calls that follow each other."""

    def __init__(self) -> None:
        self._sink = Sink()
        self._output = _stream(self._sink)
        self._input = io.TextIOWrapper(io.BytesIO())

    def give(self) -> None:
        """Let the next call have them as if they were new."""
        self._sink.room = OUTPUT_BYTES_MAX
        sys.stdout = sys.stderr = self._output
        sys.stdin = self._input


class Programs:
    """Reads what programs print, so that none of them is stopped by the limit.

    The file that keeps the output cannot grow, and a program takes that for an error. So
    programs get a pipe, and so does the code itself, that all stays in order. It is there from the first one on, as few calls start any.
    """

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._pid = 0
        self._thread: Any = None
        self._stopping = -1
        sys.addaudithook(self._heard)

    def _heard(self, event: str, _: Any) -> None:
        # A process that is forked writes into the pipe of the one that it comes from.
        if event in STARTS and not self._pid:
            self._pid = os.getpid()
            self._start()

    def _start(self) -> None:
        import threading  # only for code that starts programs

        reading, writing = os.pipe()
        stopped, self._stopping = os.pipe()
        for number in (1, 2):
            os.dup2(writing, number)
        os.close(writing)
        self._thread = threading.Thread(target=self._read, args=(reading, stopped), daemon=True)
        self._thread.start()

    def _read(self, reading: int, stopped: int) -> None:
        while True:
            ready, _, _ = select.select([reading, stopped], [], [])
            if stopped in ready:
                break
            self._keep(os.read(reading, 1 << 16))
        os.set_blocking(reading, False)
        remaining = DRAINED_BYTES_MAX
        with contextlib.suppress(BlockingIOError):
            while remaining > 0 and (data := os.read(reading, 1 << 16)):
                self._keep(data)
                remaining -= len(data)

    def _keep(self, data: bytes) -> None:
        room = OUTPUT_BYTES_MAX - os.lseek(self._fd, 0, os.SEEK_CUR)
        with contextlib.suppress(OSError):
            os.write(self._fd, data[: max(room, 0)])

    def finish(self) -> None:
        """Take what programs have printed until now."""
        if self._thread is not None and self._pid == os.getpid():
            for number in (1, 2):
                os.dup2(self._fd, number)
            os.write(self._stopping, b"x")
            self._thread.join()
            self._thread = None
