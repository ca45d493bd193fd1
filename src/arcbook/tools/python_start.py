"""Starting a zygote: apart from the pool, so that a command line can do it first of all.

An interpreter takes a while to start; started before the rest of the runtime is even
imported, it is ready by the time that the first step needs it.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from arcbook.tools.environment import environment as variables

if TYPE_CHECKING:
    from arcbook.tools.python_env.api import PythonEnvironment

CHILD_SCRIPT: Final = Path(__file__).with_name("python_child") / "__main__.py"


class Spawned(NamedTuple):
    """A zygote that was started: its process and our end of its control socket."""

    process: subprocess.Popen[bytes]
    control: socket.socket


def spawn(
    modules: Iterable[str] = (),
    memory_bytes: int = 0,
    *,
    before: Sequence[str] = (),
    workspaces: str = "",
    folders: Sequence[str] = (),
    is_confined: bool = False,
    environment: PythonEnvironment | None = None,
    enters: bool = False,
) -> Spawned:
    """Start a zygote that has some modules imported.

    Args:
        modules: what it imports ahead.
        memory_bytes: memory that a child may use.
        before: what stands before its command, to run it apart.
        workspaces: in a sandbox, the folder of all workspaces; a child sees its own alone.
        folders: other folders that a child in a sandbox sees.
        is_confined: whether its children run code of others, and gain no privileges.
        environment: whose interpreter and packages it has; our own by default.
        enters: whether it has these packages itself, or only its children.
    """
    mine, theirs = socket.socketpair()
    facts = {
        "control": theirs.fileno(),
        "memory_bytes": memory_bytes,
        "modules": sorted(modules),
        "workspaces": workspaces,
        "folders": list(folders),
        "is_confined": is_confined,
        "packages": environment and [environment.prefix, environment.packages],
        "enters": enters,
    }
    # Not the environment's own interpreter: what starts it stands in files of the packages.
    python = [environment.interpreter, "-S"] if environment else [sys.executable]
    command = [*before, *python, "-I", "-X", "utf8", str(CHILD_SCRIPT), json.dumps(facts)]
    process = subprocess.Popen(  # noqa: S603  # our own script
        command,
        pass_fds=[theirs.fileno()],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        env=_variables(environment),
        start_new_session=True,
    )
    theirs.close()
    mine.setblocking(False)  # noqa: FBT003  # the socket API
    return Spawned(process, mine)


def _variables(environment: PythonEnvironment | None) -> dict[str, str]:
    """Return the environment of a zygote; programs of its packages come first on the path."""
    known = variables()
    if environment is not None:
        programs = str(Path(environment.prefix) / "bin")
        known["VIRTUAL_ENV"] = environment.prefix
        known["PATH"] = os.pathsep.join([programs, known.get("PATH", os.defpath)])
    return known
