"""``arcbook token``."""

from __future__ import annotations

import asyncio
import getpass
import time
from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeVar

import click

from arcbook.cli.context import seconds, settings_of
from arcbook.cli.errors import UserError
from arcbook.cli.everywhere import say, tell_json, wants_json
from arcbook.cli.text import moment, table
from arcbook.secrets.keys import BUS_FILE, token_in
from arcbook.secrets.sessions import Root
from arcbook.secrets.tokens import SCOPES, WORKER_SCOPE, TokenError, new_token, note_id, rotated
from arcbook.settings import load_settings
from arcbook.store.access import ChangeNote, TokenRow

T = TypeVar("T")


DONE: Final = 200
"""What the audit says of a change that was made, as of one through the API."""


@click.group(
    help="""API tokens, in the database that the servers of a cluster share.

The first one makes servers ask for a token. Its text is told once: only a digest is kept.

\b
Examples:
  arcbook token add ops --scope admin --dsn postgresql://me:secret@db.internal/arcbook
  arcbook token add ci --scope editor --expires-in 90d --tenant sales
  arcbook token rotate 9f2c41d07ab3 --grace 1h
"""
)
def token() -> None:
    """Group of the verbs."""


_DSN = click.option("--dsn", metavar="DSN", help="The database.  [default: ARCBOOK_DSN]")


@token.command(help="Make a token, and tell its text.")
@click.argument("name")
@click.option(
    "--scope",
    type=click.Choice((*SCOPES, WORKER_SCOPE)),
    required=True,
    help="What its holder may.",
)
@click.option("--expires-in", metavar="TIME", default="", help="30m, 12h, 90d; never by default.")
@click.option("--tenant", default="", help="Label of its executions.")
@click.option("--organization", default="", help="Label of its executions.")
@_DSN
def add(name: str, scope: str, expires_in: str, dsn: str | None, **labels: str) -> None:
    """Make a token."""
    try:
        workers = _workers_text() if scope == WORKER_SCOPE else None
        text, row = new_token(
            name,
            scope,
            _now(),
            seconds=seconds(expires_in, "--expires-in") if expires_in else 0.0,
            workers=workers,
            **labels,
        )
    except TokenError as error:
        raise UserError(str(error)) from None

    async def work(store: Any) -> None:
        await _noted(store, "token.add", row)
        await store.put_token(row)

    _with_store(dsn, work)
    _told(f"token {row.token_id} ({scope}) is made", row.token_id, text)


@token.command("list", help="List tokens; never their texts.")
@_DSN
@click.pass_context
def list_(context: click.Context, dsn: str | None) -> None:
    """List tokens."""

    async def work(store: Any) -> list[TokenRow]:
        rows: list[TokenRow] = await store.tokens()
        return rows

    rows = _with_store(dsn, work)
    if wants_json(context):
        keys = ("token_id", "name", "scope", "tenant", "organization", "created_at", "expires_at")
        plain = [{key: getattr(row, key) for key in keys} for row in rows]
        tell_json(plain)
        return
    if not rows:
        click.echo("there are no tokens: arcbook token add NAME --scope admin")
        return
    lines = [
        (r.token_id, r.name, r.scope, moment(r.created_at), _expiry(r.expires_at)) for r in rows
    ]
    click.echo(table(("ID", "NAME", "SCOPE", "MADE", "EXPIRES"), lines))


@token.command(help="Remove a token; servers refuse it within seconds.")
@click.argument("token_id")
@_DSN
def rm(token_id: str, dsn: str | None) -> None:
    """Remove a token."""

    async def work(store: Any) -> None:
        await _noted(store, "token.rm", await _known(store, token_id))
        await store.delete_token(token_id)

    _with_store(dsn, work)
    say(f"token {token_id} is removed", token_id=token_id)


@token.command(help="Give a token a new text, and tell it.")
@click.argument("token_id")
@click.option("--grace", metavar="TIME", default="", help="How long the old text is good yet.")
@_DSN
def rotate(token_id: str, grace: str, dsn: str | None) -> None:
    """Rotate a token."""
    left = seconds(grace, "--grace") if grace else 0.0

    async def work(store: Any) -> str:
        known = await _known(store, token_id)
        workers = _workers_text() if known.scope == WORKER_SCOPE else None
        text, row = rotated(known, _now(), left, workers=workers)
        await _noted(store, "token.rotate", row)
        await store.put_token(row)
        return text

    text = _with_store(dsn, work)
    _told(f"token {token_id} has a new text", token_id, text)


def _told(what: str, token_id: str, text: str) -> None:
    """Tell the text of a token, which is on stdout and nowhere else."""
    if wants_json(click.get_current_context()):
        say(what, token_id=token_id, token=text)
        return
    click.echo(f"{what}; it is told this once:", err=True)
    click.echo(text)


def _workers_text() -> Callable[[str], str]:
    """Return what makes workers' tokens: the servers' own token is in each of them."""
    settings = settings_of(click.get_current_context())
    found = settings.internal_token
    if not found and not (settings.home / BUS_FILE).exists():
        raise UserError(
            "a worker's token comes of the servers' own: set ARCBOOK_INTERNAL_TOKEN as they have it"
        )
    return Root(found or token_in(settings.home / BUS_FILE)).worker_token


async def _known(store: Any, token_id: str) -> TokenRow:
    row: TokenRow | None = await store.token(token_id)
    if row is None:
        raise UserError(f"there is no token {token_id!r}: see 'arcbook token list'")
    return row


async def _noted(store: Any, action: str, row: TokenRow) -> None:
    """Write into the audit what this command is about to do."""
    now = _now()
    await store.put_note(
        ChangeNote(
            note_id=note_id(now),
            at=now,
            actor=f"cli:{getpass.getuser()}",
            action=action,
            subject=f"{row.token_id} {row.name}",
            status=DONE,
        )
    )


def _with_store(dsn: str | None, work: Callable[[Any], Awaitable[T]]) -> T:
    found = load_settings(dsn=dsn).dsn
    if not found:
        raise UserError("name the database: --dsn DSN, or the variable ARCBOOK_DSN")

    async def inner() -> T:
        async with _store(found) as store:
            return await work(store)

    return asyncio.run(inner())


def _store(dsn: str) -> Any:
    try:
        from arcbook.store.postgres import PostgresStore  # its driver is an extra
    except ImportError as error:
        advice = "run: pip install 'arcbook[cluster]'"
        raise UserError(f"PostgreSQL needs {error.name}; {advice}") from None
    return PostgresStore(dsn)


def _expiry(at_us: int) -> str:
    return moment(at_us) if at_us else "never"


def _now() -> int:
    return time.time_ns() // 1000
