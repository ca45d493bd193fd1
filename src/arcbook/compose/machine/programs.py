"""Locate and start the PostgreSQL and NATS programs of this machine."""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import socket
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from arcbook.errors import UnavailableError

SEARCH_PATH: Final = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
"""Where to look for programs, regardless of the caller's PATH."""

POSTGRES_ADVICE: Final = (
    "PostgreSQL's server is not installed; install it with 'apt-get install postgresql', "
    "'dnf install postgresql-server' or 'brew install postgresql@16'"
)
NATS_ADVICE: Final = (
    "nats-server is not installed; take it from https://nats.io/download, 'apt-get install "
    "nats-server' or 'brew install nats-server'"
)


class ServiceMissingError(UnavailableError):
    """The server's program is not installed; the message says how to get it."""

    code = "program_missing"


class ServiceFailedError(UnavailableError):
    """The server did not start; the message has the end of its log."""

    code = "program_failed"


def bare_environment() -> dict[str, str]:
    """Return a minimal environment without the user's variables."""
    return {"PATH": SEARCH_PATH, "LC_ALL": "C"}


def free_port() -> int:
    """Return a port that is free at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def check_free(port: int) -> None:
    """Check that a port is free.

    Raises:
        ServiceFailedError: another process listens on it.
    """
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise ServiceFailedError(
                f"cannot listen on 127.0.0.1:{port}: {error.strerror}; choose another port"
            ) from None


def nats_program() -> str:
    """Return the path of nats-server.

    Raises:
        ServiceMissingError: it is not installed.
    """
    program = _program("nats-server")
    if program is None:
        raise ServiceMissingError(NATS_ADVICE)
    return program


def postgres_folder() -> Path:
    """Return the folder with PostgreSQL's programs.

    Raises:
        ServiceMissingError: it is not installed.
    """
    folders: list[Path] = []
    config = _program("pg_config")
    if config is not None:
        done = subprocess.run([config, "--bindir"], capture_output=True, text=True, check=False)
        folders.append(Path(done.stdout.strip()))
    folders += sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=_version, reverse=True)
    for folder in _existing(folders):
        return folder
    raise ServiceMissingError(POSTGRES_ADVICE)


def _program(name: str) -> str | None:
    return shutil.which(name, path=SEARCH_PATH) or shutil.which(name)


def _existing(folders: Iterable[Path]) -> Iterator[Path]:
    for folder in folders:
        if (folder / "initdb").exists() and (folder / "postgres").exists():
            yield folder


def _version(folder: Path) -> int:
    name = folder.parent.name
    return int(name) if name.isdigit() else 0


def unprivileged_account() -> pwd.struct_passwd | None:
    """Return an account for a server that refuses root; ``None`` if this process is not root.

    Raises:
        ServiceMissingError: there is no such account.
    """
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            return pwd.getpwnam(name)
    raise ServiceMissingError("PostgreSQL refuses root, and there is no other account for it")


def as_account(folder: Path, account: pwd.struct_passwd | None) -> dict[str, Any]:
    """Give a folder to an account; return the options to start a process as that account."""
    options: dict[str, Any] = {"cwd": folder, "env": bare_environment()}
    if account is not None:
        os.chown(folder, account.pw_uid, account.pw_gid)
        options |= {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}
    return options


def init_postgres(
    programs: Path, user: str, password: str, options: Mapping[str, Any], *, sync: bool = True
) -> None:
    """Initialize a PostgreSQL data folder.

    Raises:
        ServiceFailedError: initdb failed.
    """
    folder = Path(options["cwd"])
    secret = folder / "password"
    secret.write_text(password)
    secret.chmod(0o600)
    if "user" in options:
        os.chown(secret, options["user"], options["group"])
    command = [
        *(str(programs / "initdb"), "-D", "data", "-U", user, "--pwfile", secret.name),
        *("--auth-local=trust", "--auth-host=scram-sha-256", "--no-locale", "-E", "UTF8"),
        *([] if sync else ["--no-sync"]),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False, **options)
    if done.returncode:
        raise ServiceFailedError(f"initdb failed:\n{done.stdout}{done.stderr}")


def postgres_command(
    programs: Path, port: int, sockets: str, settings: Mapping[str, str]
) -> list[str]:
    """Return the command that starts PostgreSQL on the folder ``data``.

    Args:
        programs: the folder with its programs.
        port: its port on 127.0.0.1.
        sockets: folder of its socket; empty for none.
        settings: further settings.
    """
    options = [f"--{name}={value}" for name, value in settings.items()]
    listening = "--listen_addresses=127.0.0.1"
    return [
        str(programs / "postgres"),
        "-D",
        "data",
        "-p",
        str(port),
        "-k",
        sockets,
        listening,
        *options,
    ]
