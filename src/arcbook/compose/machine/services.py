"""PostgreSQL and NATS of a local cluster, with data in its folder and on free ports."""

from __future__ import annotations

import secrets
import signal
from pathlib import Path
from typing import Final

from arcbook.compose.machine.children import Child
from arcbook.compose.machine.programs import (
    ServiceFailedError,
    as_account,
    bare_environment,
    free_port,
    init_postgres,
    nats_program,
    postgres_command,
    postgres_folder,
    unprivileged_account,
)

USER: Final = "arcbook"

ENTER_BITS: Final = 0o001
"""Permission bit that lets others enter a folder."""


class LocalPostgres:
    """PostgreSQL with its data in a folder, which is created if necessary."""

    def __init__(self, folder: Path, log: Path) -> None:
        programs = postgres_folder()
        account = unprivileged_account()
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        if account is not None:
            _check_way(folder, account.pw_name)
        options = as_account(folder, account)
        if not (folder / "data" / "PG_VERSION").exists():
            init_postgres(programs, USER, secrets.token_hex(16), options)
        self.port = free_port()
        self.secret = folder / "password"
        command = postgres_command(programs, self.port, "", {})
        self.child = Child("PostgreSQL", command, log, stop_signal=signal.SIGINT, **options)

    @property
    def dsn(self) -> str:
        """The DSN for servers, with the password."""
        password = self.secret.read_text("ascii").strip()
        return f"postgresql://{USER}:{password}@127.0.0.1:{self.port}/postgres"


class LocalNats:
    """NATS with JetStream, with its data in a folder."""

    def __init__(self, folder: Path, log: Path) -> None:
        program = nats_program()
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.port = free_port()
        self.token = secrets.token_hex(16)
        settings = folder / "nats.conf"
        settings.touch(mode=0o600)
        settings.write_text(
            f'listen: "127.0.0.1:{self.port}"\n'
            f'jetstream {{ store_dir: "{folder / "jetstream"}" }}\n'
            f'authorization {{ token: "{self.token}" }}\n'
        )
        self.child = Child("NATS", [program, "-c", str(settings)], log, env=bare_environment())

    @property
    def url(self) -> str:
        """The URL for clients; they also need the token."""
        return f"nats://127.0.0.1:{self.port}"


def _check_way(folder: Path, account: str) -> None:
    """Check that an account can enter all parents of its folder.

    Raises:
        ServiceFailedError: it cannot enter one of them.
    """
    for parent in folder.resolve().parents:
        if not parent.stat().st_mode & ENTER_BITS:
            raise ServiceFailedError(
                f"PostgreSQL refuses root, and the account {account!r} cannot enter {parent}: "
                "run this as an ordinary user, or choose a folder that others can enter, such "
                "as --home /var/lib/arcbook"
            )
