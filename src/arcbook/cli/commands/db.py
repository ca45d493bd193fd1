"""``arcbook db``."""

from __future__ import annotations

import asyncio
from typing import Any

import click

from arcbook.cli.errors import Exit, UserError
from arcbook.cli.everywhere import say
from arcbook.settings import load_settings


@click.group(
    help="""The database that the servers of a cluster share: PostgreSQL, version 15 or newer.

\b
Examples:
  arcbook db upgrade --dsn postgresql://me:secret@db.internal/arcbook
  ARCBOOK_DSN=postgresql://me:secret@db.internal/arcbook arcbook db check
"""
)
def db() -> None:
    """Group of the verbs."""


_DSN = click.option("--dsn", metavar="DSN", help="Where it is.  [default: ARCBOOK_DSN]")


@db.command(help="Make the tables, or bring them up to this version.")
@_DSN
def upgrade(dsn: str | None) -> None:
    """Make or upgrade the tables."""
    before = asyncio.run(_postgres().upgrade(_given(dsn)))
    if before.found == before.needed:
        say(f"the database is up to date (schema {before.needed})")
    elif before.found:
        say(f"the database is upgraded from schema {before.found} to {before.needed}")
    else:
        say(f"the tables are made (schema {before.needed})")


@db.command(help="Tell whether servers of this version can use the database.")
@_DSN
def check(dsn: str | None) -> int:
    """Compare the versions."""
    state = asyncio.run(_postgres().check(_given(dsn)))
    if state.found == state.needed:
        say(f"the database is up to date (schema {state.needed})")
        return Exit.OK
    if state.found > state.needed:
        advice = f"it is of a newer Arcbook (schema {state.found}): use that version"
    elif state.found:
        advice = f"it has schema {state.found}; run: arcbook db upgrade"
    else:
        advice = "it has no tables yet; run: arcbook db upgrade"
    say(f"this version needs schema {state.needed}: {advice}", err=True)
    return Exit.FAILED


def _given(dsn: str | None) -> str:
    found = load_settings(dsn=dsn).dsn
    if not found:
        raise UserError("name the database: --dsn DSN, or the variable ARCBOOK_DSN")
    return found


def _postgres() -> Any:
    try:
        from arcbook.store import postgres  # its driver is an extra
    except ImportError as error:
        advice = "run: pip install 'arcbook[cluster]'"
        raise UserError(f"PostgreSQL needs {error.name}; {advice}") from None
    return postgres
