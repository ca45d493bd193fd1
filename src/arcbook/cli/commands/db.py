"""``arcbook db``."""

from __future__ import annotations

import asyncio
from typing import Any

import click

from arcbook.cli.errors import Exit, UserError
from arcbook.cli.everywhere import say
from arcbook.settings import load_settings


@click.group(
    help="""Manage the database that the servers of a cluster share: PostgreSQL 15 or newer.

\b
Examples:
  arcbook db upgrade --dsn postgresql://me:secret@db.internal/arcbook
  ARCBOOK_DSN=postgresql://me:secret@db.internal/arcbook arcbook db check
"""
)
def db() -> None:
    """Group the subcommands."""


_DSN = click.option("--dsn", metavar="DSN", help="The database.  [default: ARCBOOK_DSN]")


@db.command(help="Create the tables, or upgrade them to this version.")
@_DSN
def upgrade(dsn: str | None) -> None:
    """Create or upgrade the tables."""
    before = asyncio.run(_postgres().upgrade(_dsn_of(dsn)))
    if before.current == before.needed:
        say(f"the database is up to date (schema {before.needed})")
    elif before.current:
        say(f"upgraded the database from schema {before.current} to {before.needed}")
    else:
        say(f"created the tables (schema {before.needed})")


@db.command(help="Check whether servers of this version can use the database.")
@_DSN
def check(dsn: str | None) -> int:
    """Compare the versions."""
    state = asyncio.run(_postgres().check(_dsn_of(dsn)))
    if state.current == state.needed:
        say(f"the database is up to date (schema {state.needed})")
        return Exit.OK
    if state.current > state.needed:
        advice = f"a newer Arcbook made the database (schema {state.current}): use that version"
    elif state.current:
        advice = f"the database has schema {state.current}; run: arcbook db upgrade"
    else:
        advice = "the database has no tables yet; run: arcbook db upgrade"
    say(f"this version needs schema {state.needed}: {advice}", err=True)
    return Exit.FAILED


def _dsn_of(dsn: str | None) -> str:
    configured = load_settings(dsn=dsn).dsn
    if not configured:
        raise UserError("name the database: --dsn DSN, or the variable ARCBOOK_DSN")
    return configured


def _postgres() -> Any:
    try:
        from arcbook.store import postgres  # its driver is an extra
    except ImportError as error:
        advice = "run: pip install 'arcbook[cluster]'"
        raise UserError(f"PostgreSQL needs {error.name}; {advice}") from None
    return postgres
