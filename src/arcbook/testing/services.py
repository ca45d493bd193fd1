"""Real servers for tests, each a process of the test's own in a private folder."""

from __future__ import annotations

import contextlib
import os
import pwd
import secrets
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final

from arcbook.testing.processes import (
    Process,
    Server,
    ServiceFailedError,
    ServiceMissingError,
)

START_ATTEMPTS: Final = 5
"""Tries of a start whose port somebody else took first."""


_EMPTY: Final = """
DO $$
DECLARE each name;
BEGIN
  FOR each IN SELECT nspname FROM pg_namespace
    WHERE nspname NOT LIKE 'pg\\_%' AND nspname <> 'information_schema'
  LOOP
    EXECUTE format('DROP SCHEMA %I CASCADE', each);
  END LOOP;
  CREATE SCHEMA public;
  GRANT USAGE ON SCHEMA public TO PUBLIC;
END $$
"""


class PostgresServer(Server):
    """PostgreSQL on a free port of this machine.

    Args:
        fsync: whether it writes through to the disk; without, it is much faster.
        settings: further settings of the server.
    """

    user: Final = "arcbook"

    def __init__(self, *, fsync: bool = False, settings: dict[str, str] | None = None) -> None:
        super().__init__()
        self.password = secrets.token_hex(8)
        self.port = 0
        durable = "on" if fsync else "off"
        self._settings = {
            "fsync": durable,
            "synchronous_commit": durable,
            "full_page_writes": durable,
            "listen_addresses": "127.0.0.1",
            "max_connections": "100",
            "shared_buffers": "32MB",
            "timezone": "UTC",
            **(settings or {}),
        }

    def start(self) -> None:
        bin_folder = _postgres_folder()
        account = _unprivileged_account()
        self.folder = Path(tempfile.mkdtemp(prefix="arcbook-pg-"))
        options: dict[str, Any] = {"cwd": self.folder, "env": bare_environment()}
        if account is not None:
            os.chown(self.folder, account.pw_uid, account.pw_gid)
            options |= {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}
        self._init(bin_folder, options)
        self._start(bin_folder, options)

    def _init(self, bin_folder: Path, options: dict[str, Any]) -> None:
        secret = self.folder / "secret"
        secret.write_text(self.password)
        secret.chmod(0o644)  # the folder is for the server's account alone
        command = [
            *(str(bin_folder / "initdb"), "-D", "data", "-U", self.user, "--pwfile", "secret"),
            *("--auth-local=trust", "--auth-host=scram-sha-256", "--no-locale", "-E", "UTF8"),
            "--no-sync",
        ]
        done = subprocess.run(command, capture_output=True, text=True, check=False, **options)
        if done.returncode:
            self.stop()
            raise ServiceFailedError(f"initdb failed:\n{done.stdout}{done.stderr}")

    def _start(self, bin_folder: Path, options: dict[str, Any]) -> None:
        self._launching = (bin_folder, options)
        for attempt in range(1, START_ATTEMPTS + 1):
            self.port = free_port()
            self._launch()
            assert self._process is not None
            try:
                self._process.wait_ready()
            except ServiceFailedError:
                if attempt == START_ATTEMPTS or "in use" not in self._process.log:
                    self.stop()
                    raise
            else:
                return

    def _launch(self) -> None:
        bin_folder, options = self._launching
        settings = [f"--{name}={value}" for name, value in self._settings.items()]
        place = ["-D", "data", "-p", str(self.port), "-k", str(self.folder)]
        command = [str(bin_folder / "postgres"), *place, *settings]
        self._process = Process(command, "ready to accept connections", **options)

    def crash(self) -> None:
        """Kill the server with all of its processes, as the loss of its machine would."""
        assert self._process is not None
        self._process.kill_tree()

    def start_again(self) -> None:
        """Start the server on the same port, with what it stored."""
        self._launch()
        assert self._process is not None
        self._process.wait_ready()

    def stop(self) -> None:
        if self._process is not None:
            import signal  # the fast way down: PostgreSQL waits for its clients on SIGTERM

            self._process.stop(signal.SIGINT)
        super().stop()

    def dsn(self, database: str = "postgres") -> str:
        """Return the connection URL of a database."""
        return f"postgresql://{self.user}:{self.password}@127.0.0.1:{self.port}/{database}"

    def fields(self, database: str = "postgres") -> dict[str, Any]:
        """Return what a credential says of a database."""
        return {
            "host": "127.0.0.1",
            "port": self.port,
            "user": self.user,
            "password": self.password,
            "database": database,
        }

    def execute(self, query: str, database: str = "postgres") -> list[tuple[Any, ...]]:
        """Run one statement by itself and return its rows."""
        import psycopg  # only for tests with the server

        # By the socket in the server's own folder, which asks for no password.
        place = f"host={self.folder} port={self.port} user={self.user} dbname={database}"
        with psycopg.connect(place, autocommit=True) as connection:
            cursor = connection.execute(query.encode())
            return cursor.fetchall() if cursor.description else []

    def create_database(self, name: str) -> str:
        """Make an empty database and return its connection URL."""
        self.execute(f'CREATE DATABASE "{name}" TEMPLATE template0')
        return self.dsn(name)

    def empty_database(self, name: str) -> str:
        """Make a database empty again, which is faster than making another; return its URL."""
        self.execute(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid()",
            name,
        )
        self.execute(_EMPTY, name)
        return self.dsn(name)

    def drop_database(self, name: str) -> None:
        """Remove a database, whoever is connected to it."""
        self.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')


class NatsServer(Server):
    """NATS with JetStream on a free port of this machine."""

    def __init__(self, *, user: str = "", password: str = "") -> None:
        super().__init__()
        self.user = user
        self.password = password
        self.port = 0

    @property
    def url(self) -> str:
        """Where clients connect, without user and password."""
        return f"nats://127.0.0.1:{self.port}"

    def start(self) -> None:
        program = shutil.which("nats-server", path=_search_path())
        if program is None:
            raise ServiceMissingError("nats-server is not installed")
        if self.folder == Path():
            self.folder = Path(tempfile.mkdtemp(prefix="arcbook-nats-"))
        command = [program, "-js", "-sd", str(self.folder), "-a", "127.0.0.1"]
        command += ["-p", str(self.port or -1)]
        if self.user:
            command += ["--user", self.user, "--pass", self.password]
        self._process = Process(command, "Server is ready", env=bare_environment())
        self._process.wait_ready()
        listening = r"Listening for client connections on 127\.0\.0\.1:(\d+)"
        self.port = int(self._process.find(listening))

    def crash(self) -> None:
        """Kill the server."""
        assert self._process is not None
        self._process.kill_tree()

    def start_again(self) -> None:
        """Start the server on the same port, with what it stored."""
        self.start()

    def restart(self) -> None:
        """Stop the server and start it again on the same port, with what it stored."""
        assert self._process is not None
        self._process.stop()
        self.start()


def free_port() -> int:
    """Return a port that nobody listens on at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _postgres_folder() -> Path:
    """Return where PostgreSQL's programs are."""
    found: list[Path] = []
    config = shutil.which("pg_config", path=_search_path())
    if config is not None:
        done = subprocess.run([config, "--bindir"], capture_output=True, text=True, check=False)
        found.append(Path(done.stdout.strip()))
    found += sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=_version, reverse=True)
    for folder in _existing(found):
        return folder
    raise ServiceMissingError("PostgreSQL's server is not installed")


def _existing(folders: Iterable[Path]) -> Iterator[Path]:
    for folder in folders:
        if (folder / "initdb").exists() and (folder / "postgres").exists():
            yield folder


def _version(folder: Path) -> int:
    name = folder.parent.name
    return int(name) if name.isdigit() else 0


def _unprivileged_account() -> pwd.struct_passwd | None:
    """Return an account for a server that refuses root; ``None`` if we are not root."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            return pwd.getpwnam(name)
    raise ServiceMissingError("PostgreSQL refuses root, and there is no other account for it")


def bare_environment() -> dict[str, str]:
    """Return an environment without anything of the developer's."""
    return {"PATH": _search_path(), "LC_ALL": "C"}


def _search_path() -> str:
    return "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
