"""Ends the commands of a process that was killed and could not do it itself."""

from __future__ import annotations

import contextlib
import os
from typing import Final

_SCRIPT: Final = """
trap '' HUP INT TERM
cd /
live=' '
while read -r what group; do
  case $what in
    begins) live="$live$group " ;;
    ends) live="${live%% $group *} ${live#* $group }" ;;
  esac
done
for group in $live; do
  kill -s KILL -- "-$group"
done
"""
"""Keeps the groups that live, and kills them when its input ends, which is when its parent does."""

_SHELL: Final = "/bin/sh"


class Keeper:
    """Kills the process groups that are left when this process ends, however it ends.

    Otherwise a command would go on after its worker was killed, beside the same command that
    another worker runs again.
    """

    def __init__(self) -> None:
        self._pid = 0
        self._pipe = -1

    def begins(self, group: int) -> None:
        """Take note of a process group."""
        if not self._pid:
            self._start()
        self._tell(f"begins {group}\n")

    def _start(self) -> None:
        read, self._pipe = os.pipe()
        null = os.open(os.devnull, os.O_RDWR)
        streams = [(os.POSIX_SPAWN_DUP2, file, at) for at, file in enumerate((read, null, null))]
        try:
            self._pid = os.posix_spawn(
                _SHELL, [_SHELL, "-c", _SCRIPT], {}, file_actions=streams, setsid=True
            )
        finally:
            os.close(read)
            os.close(null)

    def ends(self, group: int) -> None:
        """Forget a process group that has ended."""
        self._tell(f"ends {group}\n")

    def _tell(self, line: str) -> None:
        if self._pid:
            with contextlib.suppress(BrokenPipeError):  # it was killed
                os.write(self._pipe, line.encode())

    def close(self) -> None:
        """End the keeper; the groups that are left end with it."""
        if self._pid:
            os.close(self._pipe)
            with contextlib.suppress(ChildProcessError):
                os.waitpid(self._pid, 0)
            self._pid = 0
