"""PostgreSQL and NATS for tests: private folders, free ports, ended by their process id."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any, Final, Self

START_SECONDS: Final = 30.0
"""How long a server may take to answer."""

STOP_SECONDS: Final = 20.0


def free_port() -> int:
    """Return a port that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class _Server:
    """A server process with a folder of its own."""

    #: Whom to run as, where we are root and the server refuses that.
    run_as: str | None = None

    def __init__(self) -> None:
        self.host = "127.0.0.1"
        self.port = free_port()
        self._folder = Path(tempfile.mkdtemp(prefix="arcbook-"))
        self._process: subprocess.Popen[bytes] | None = None

    def _command(self) -> list[str]:
        raise NotImplementedError

    def _prepare(self) -> None:
        """Make what the server needs before it starts."""

    def _options(self) -> dict[str, Any]:
        as_other = os.geteuid() == 0 and self.run_as is not None
        return {"user": self.run_as, "group": self.run_as} if as_other else {}

    def __enter__(self) -> Self:
        if self._options():
            shutil.chown(self._folder, self.run_as, self.run_as)
        self._prepare()
        log = (self._folder / "log").open("wb")
        self._process = subprocess.Popen(
            self._command(), stdout=log, stderr=log, stdin=subprocess.DEVNULL, **self._options()
        )
        log.close()
        self._wait()
        return self

    def _wait(self) -> None:
        assert self._process is not None
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline and self._process.poll() is None:
            with contextlib.suppress(OSError), socket.create_connection((self.host, self.port), 1):
                return
            time.sleep(0.02)
        text = (self._folder / "log").read_text("utf-8", "replace")
        self.__exit__()
        raise RuntimeError(f"{type(self).__name__} did not start: {text[-2000:]}")

    def __exit__(self, *exc: object) -> None:
        process, self._process = self._process, None
        if process is not None and process.poll() is None:
            process.send_signal(signal.SIGINT)
            try:
                process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        shutil.rmtree(self._folder, ignore_errors=True)


class PostgresServer(_Server):
    """A PostgreSQL server with fast and forgetful settings."""

    run_as = "postgres"

    def __init__(self) -> None:
        super().__init__()
        self.user = "postgres"
        self.password = "postgres"

    def _prepare(self) -> None:
        subprocess.run(
            ["initdb", "-D", str(self._data), "-U", self.user, "-A", "trust", "-N", "-E", "UTF8"],
            check=True,
            capture_output=True,
            **self._options(),
        )

    @property
    def _data(self) -> Path:
        return self._folder / "data"

    def _command(self) -> list[str]:
        settings = {
            "listen_addresses": self.host,
            "port": str(self.port),
            "unix_socket_directories": str(self._folder),
            "fsync": "off",
            "synchronous_commit": "off",
            "full_page_writes": "off",
            "max_connections": "200",
        }
        pairs = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        return ["postgres", "-D", str(self._data), *pairs]

    def _wait(self) -> None:
        super()._wait()
        import psycopg

        deadline = time.monotonic() + START_SECONDS
        while True:
            try:
                psycopg.connect(self.dsn("postgres")).close()
            except psycopg.OperationalError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.05)
            else:
                return

    def dsn(self, database: str) -> str:
        """Return the address of a database."""
        return f"postgresql://{self.user}:{self.password}@{self.host}:{self.port}/{database}"

    def create_database(self, name: str) -> str:
        """Make an empty database and return its address."""
        import psycopg
        from psycopg import sql

        with psycopg.connect(self.dsn("postgres"), autocommit=True) as connection:
            connection.execute(sql.SQL("create database {}").format(sql.Identifier(name)))
        return self.dsn(name)


class NatsServer(_Server):
    """A NATS server with JetStream."""

    def __init__(
        self, *, user: str = "", password: str = "", options: tuple[str, ...] = ()
    ) -> None:
        super().__init__()
        self.user = user
        self.password = password
        self.url = f"nats://{self.host}:{self.port}"
        self._extra = options

    def _command(self) -> list[str]:
        command = ["nats-server", "-js", "-sd", str(self._folder / "store")]
        command += ["-a", self.host, "-p", str(self.port), *self._extra]
        if self.user:
            command += ["--user", self.user, "--pass", self.password]
        return command
