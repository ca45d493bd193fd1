"""What a database may reach, where a worker works for others: two walls, one behind the other.

DuckDB itself opens nothing outside of some folders, loads no extensions and lets nobody
change that. Behind it the kernel, where it has Landlock, keeps the threads that work in the
database to the same folders, so that a link which is swapped at the right moment leads
nowhere.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final, NamedTuple

import duckdb

from arcbook.tools import landlock, sandbox
from arcbook.tools.confinement import Confinement

EXTENSION: Final = "httpfs"
"""What reads object stores and web services."""

REMOTE: Final = ("https://", "http://", "s3://", "gs://", "gcs://", "r2://")
"""What a call that is to reach object stores may read beside files."""

_MACHINE: Final = (
    "/proc/self/cgroup", "/proc/meminfo", "/proc/sys/vm/overcommit_memory", "/sys/fs/cgroup",
    "/sys/devices/system",
)  # fmt: skip
"""Where DuckDB finds how much memory and how many processors there are."""


class Limits(NamedTuple):
    """What a call may reach."""

    workspace: str
    folders: tuple[str, ...]
    #: Whether object stores and web services are to be read.
    has_remote: bool = False

    @classmethod
    def of(
        cls, confinement: Confinement, workspace: str, *, wants_remote: bool = False
    ) -> Limits | None:
        """Return those of a call; nothing where it may reach everything."""
        if confinement.folders is None:
            return None
        return cls(workspace, confinement.folders, wants_remote and confinement.has_network)

    @property
    def config(self) -> dict[str, Any]:
        """Options with which a database is opened."""
        return {
            "allow_persistent_secrets": False,
            "allow_community_extensions": False,
            "python_enable_replacements": False,
            "temp_directory": self._temporary,
        }

    @property
    def _temporary(self) -> str:
        return str(Path(self.workspace, ".duckdb-temporary"))

    def threads(self) -> ThreadPoolExecutor:
        """Return a thread that reaches no more than this, with what it starts."""
        if not landlock.version():
            return ThreadPoolExecutor(1, thread_name_prefix="duckdb-confined")
        read = (*sandbox.readable(), *_MACHINE, str(_extensions()))
        return ThreadPoolExecutor(
            1,
            thread_name_prefix="duckdb-confined",
            initializer=landlock.restrict,
            initargs=(read, (self.workspace, *self.folders, "/dev/null")),
        )

    def apply(self, connection: Any) -> None:
        """Keep a database to this, for as long as it is open.

        Raises:
            duckdb.IOException: it is open already, for a call that may reach something else.
        """
        folders = [self.workspace, *self.folders, *(REMOTE if self.has_remote else ())]
        if _setting(connection, "lock_configuration"):
            allowed = {
                str(path).rstrip("/") for path in _setting(connection, "allowed_directories")
            }
            if allowed - {self._temporary} != {path.rstrip("/") for path in folders}:
                raise duckdb.IOException("Could not set lock on file: it is open for another call")
            return
        if self.has_remote and _is_installed(connection):
            connection.execute(f"LOAD {EXTENSION}")
        listed = ", ".join("'" + path.replace("'", "''") + "'" for path in folders)
        connection.execute(f"SET allowed_directories = [{listed}]")
        connection.execute("SET enable_external_access = false")
        connection.execute("SET lock_configuration = true")


def _setting(connection: Any, name: str) -> Any:
    return connection.execute(f"SELECT current_setting('{name}')").fetchone()[0]


def _is_installed(connection: Any) -> bool:
    query = "SELECT installed FROM duckdb_extensions() WHERE extension_name = ?"
    row = connection.execute(query, [EXTENSION]).fetchone()
    return bool(row and row[0])


def _extensions() -> Path:
    return Path.home() / ".duckdb" / "extensions"
