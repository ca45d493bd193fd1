"""``python -m noetl_client``: NoETL's command line against a real server and worker."""

from __future__ import annotations

import asyncio
import base64
import secrets
import sys
import tempfile
from pathlib import Path

from arcbook.store.postgres import upgrade
from arcbook.testing.cluster_processes import ClusterProcesses
from arcbook.testing.services import NatsServer, PostgresServer
from noetl_client.expected import NOT_WORKING
from noetl_client.program import NotInstallableError, Program, installed
from noetl_client.session import Record, Session

SHOWN_CHARACTERS = 300


def say(text: str) -> None:
    """Write a line."""
    sys.stdout.write(text + "\n")


def records() -> list[Record]:
    """Start what is needed, and run every command."""
    program = installed()
    with tempfile.TemporaryDirectory() as name, PostgresServer() as postgres, NatsServer() as nats:
        folder = Path(name)
        dsn = postgres.create_database("noetl_client")
        asyncio.run(upgrade(dsn))
        environment = {
            "ARCBOOK_ENCRYPTION_KEY": base64.b64encode(secrets.token_bytes(32)).decode(),
            "ARCBOOK_DSN": dsn,
            "ARCBOOK_NATS_URL": nats.url,
            "ARCBOOK_HOME": str(folder / "arcbook"),
        }
        with ClusterProcesses(environment, folder) as processes:
            url = processes.start_server()
            processes.start_worker()
            return Session(Program(program, url, folder), url, folder).run()


def report(found: list[Record]) -> int:
    """Print what each command did; return how many did something else than expected."""
    for record in found:
        verdict = f"WRONG: {record.wrong}" if record.wrong else "as expected"
        say(f"$ noetl {record.command}\n  exit {record.code}, {verdict}")
        said = record.output if record.wrong else record.output[:SHOWN_CHARACTERS]
        say("".join(f"  | {line}\n" for line in said.strip().splitlines()))
    for name, reason in NOT_WORKING.items():
        say(f"noetl {name}: not with this server: {reason}")
    wrong = sum(bool(record.wrong) for record in found)
    say(f"noetl client: {len(found) - wrong} as expected of {len(found)}")
    return wrong


def main() -> int:
    """Run, report, and tell by the exit status."""
    try:
        return 1 if report(records()) else 0
    except NotInstallableError as error:
        say(f"noetl client: it cannot be installed: {error}")
        return 2


if __name__ == "__main__":
    sys.exit(main())
