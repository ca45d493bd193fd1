"""Starting a zygote: apart from the pool, so that a command line can do it first of all.

An interpreter takes a while to start; started before the rest of the runtime is even
imported, it is ready by the time that the first step needs it.
"""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Final, NamedTuple

from arcbook.tools.environment import environment

CHILD_SCRIPT: Final = Path(__file__).with_name("python_child") / "__main__.py"


class Spawned(NamedTuple):
    """A zygote that was started: its process and our end of its control socket."""

    process: subprocess.Popen[bytes]
    control: socket.socket


def spawn(modules: Iterable[str] = (), memory_bytes: int = 0) -> Spawned:
    """Start a zygote that has some modules imported."""
    mine, theirs = socket.socketpair()
    command = [sys.executable, "-I", "-X", "utf8", str(CHILD_SCRIPT)]
    command += [str(theirs.fileno()), str(memory_bytes), *sorted(modules)]
    process = subprocess.Popen(  # noqa: S603  # our own script
        command,
        pass_fds=[theirs.fileno()],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        env=environment(),
        start_new_session=True,
    )
    theirs.close()
    mine.setblocking(False)  # noqa: FBT003  # the socket API
    return Spawned(process, mine)
