"""Real servers for tests, each a process with a private folder."""

from __future__ import annotations

import secrets
import tempfile
from pathlib import Path
from typing import Any, Final

from arcbook.compose.machine.programs import (
    ServiceFailedError,
    ServiceMissingError,
    as_account,
    bare_environment,
    free_port,
    init_postgres,
    nats_program,
    postgres_command,
    postgres_folder,
    unprivileged_account,
)
from arcbook.testing.processes import Process, Server

__all__ = [
    "NatsServer",
    "PostgresServer",
    "ServiceFailedError",
    "ServiceMissingError",
    "bare_environment",
    "free_port",
]

START_ATTEMPTS: Final = 5
"""Start attempts if another process takes the port first."""


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
        fsync: whether it syncs writes to the disk; it is much faster without.
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
            "max_connections": "100",
            "shared_buffers": "32MB",
            "timezone": "UTC",
            **(settings or {}),
        }

    def start(self) -> None:
        programs = postgres_folder()
        account = unprivileged_account()
        self.folder = Path(tempfile.mkdtemp(prefix="arcbook-pg-"))
        self.prepare_folder()
        options = as_account(self.folder, account)
        try:
            init_postgres(programs, self.user, self.password, options, sync=False)
        except ServiceFailedError:
            self.stop()
            raise
        self._start(programs, options)

    def prepare_folder(self) -> None:
        """Prepare the empty folder; a subclass may mount a disk there."""

    @property
    def is_alive(self) -> bool:
        """Whether the server runs."""
        return self._process is not None and self._process.is_alive

    def signal(self, number: int) -> None:
        """Send a signal to all processes of the server."""
        assert self._process is not None
        self._process.signal_tree(number)

    def _start(self, programs: Path, options: dict[str, Any]) -> None:
        self._launching = (programs, options)
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
        programs, options = self._launching
        command = postgres_command(programs, self.port, str(self.folder), self._settings)
        self._process = Process(command, "ready to accept connections", **options)

    def crash(self) -> None:
        """Kill the server and its child processes, as if its machine were lost."""
        assert self._process is not None
        self._process.kill_tree()

    def start_again(self) -> None:
        """Start the server on the same port, with its stored data."""
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
        """Return the credential fields for a database."""
        return {
            "host": "127.0.0.1",
            "port": self.port,
            "user": self.user,
            "password": self.password,
            "database": database,
        }

    def execute(self, query: str, database: str = "postgres") -> list[tuple[Any, ...]]:
        """Run one statement outside of a transaction and return its rows."""
        import psycopg  # only for tests with the server

        # Through the socket in the server's folder, which requires no password.
        place = f"host={self.folder} port={self.port} user={self.user} dbname={database}"
        with psycopg.connect(place, autocommit=True) as connection:
            cursor = connection.execute(query.encode())
            return cursor.fetchall() if cursor.description else []

    def create_database(self, name: str) -> str:
        """Create an empty database and return its connection URL."""
        self.execute(f'CREATE DATABASE "{name}" TEMPLATE template0')
        return self.dsn(name)

    def empty_database(self, name: str) -> str:
        """Empty a database, which is faster than creating another; return its URL."""
        self.execute(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid()",
            name,
        )
        self.execute(_EMPTY, name)
        return self.dsn(name)

    def drop_database(self, name: str) -> None:
        """Drop a database, even if clients are connected."""
        self.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')


class NatsServer(Server):
    """NATS with JetStream on a free port of this machine.

    Args:
        user: the user that may connect; anyone if empty.
        password: the password of the user.
        store_bytes: maximum total size of its streams; the server's default if 0.
    """

    def __init__(self, *, user: str = "", password: str = "", store_bytes: int = 0) -> None:
        super().__init__()
        self._store_bytes = store_bytes
        self.user = user
        self.password = password
        self.port = 0

    @property
    def url(self) -> str:
        """The address for clients, without user and password."""
        return f"nats://127.0.0.1:{self.port}"

    def start(self) -> None:
        program = nats_program()
        if self.folder == Path():
            self.folder = Path(tempfile.mkdtemp(prefix="arcbook-nats-"))
        command = [program, "-js", "-sd", str(self.folder), "-a", "127.0.0.1"]
        command += ["-p", str(self.port or -1)]
        if self._store_bytes:
            limits = self.folder / "server.conf"
            limits.write_text(f"jetstream {{ max_file_store: {self._store_bytes} }}\n")
            command += ["-c", str(limits)]
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
        """Start the server on the same port, with its stored data."""
        self.start()

    def restart(self) -> None:
        """Restart the server on the same port, with its stored data."""
        assert self._process is not None
        self._process.stop()
        self.start()
