"""A PostgreSQL server whose disk is small, and can be filled."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Final

from arcbook.testing.services import PostgresServer

DISK_BYTES: Final = 320 * 1024 * 1024
"""Size of the disk: enough for a run, and filled in a moment."""

BALLAST: Final = "ballast"
CHUNK: Final = bytes(1024 * 1024)


class SmallPostgres(PostgresServer):
    """Keeps its data on a tmpfs of its own, where this process may mount one (as root).

    Attributes:
        is_small: whether it could be mounted. If not, the data is on the machine's disk.
    """

    is_small = False

    def prepare_folder(self) -> None:
        """Mount the small disk."""
        mounted = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "arcbook-chaos", self.folder],
            capture_output=True,
            check=False,
        )
        self.is_small = mounted.returncode == 0

    def fill(self) -> None:
        """Leave no byte free."""
        with (self.folder / BALLAST).open("wb", buffering=0) as file:
            try:
                while True:
                    file.write(CHUNK)
            except OSError:
                return

    def drain(self) -> None:
        """Free the disk; start the server again if it ended meanwhile."""
        (self.folder / BALLAST).unlink()
        if not self.is_alive:
            self.start_again()

    def stop(self) -> None:
        folder = self.folder
        super().stop()
        if self.is_small:
            self.is_small = False
            subprocess.run(["umount", folder], check=True)
            Path(folder).rmdir()
