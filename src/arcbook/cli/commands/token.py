"""``arcbook token``."""

from __future__ import annotations

import asyncio
import getpass
import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click

from arcbook.cli.context import seconds, settings_of
from arcbook.cli.errors import UserError
from arcbook.cli.everywhere import option_value, say, tell_json, wants_json
from arcbook.cli.remote.link import server_of, with_client
from arcbook.cli.text import moment, table
from arcbook.secrets.keys import BUS_FILE, token_in
from arcbook.secrets.sessions import Root
from arcbook.secrets.tokens import SCOPES, WORKER_SCOPE, TokenError, new_token, note_id, rotated
from arcbook.settings import load_settings
from arcbook.store.access import ChangeNote, TokenRow

if TYPE_CHECKING:
    from arcbook.client import Client

T = TypeVar("T")


DONE: Final = 200
"""Status of the audit notes: 200, as for changes made through the API."""


@click.group(
    help="""Manage the API tokens of a cluster, in its database or through --server.

Once the first token exists, servers require one. Its text is shown only once, because only
a digest is stored.

\b
Examples:
  arcbook token add ops --scope admin --dsn postgresql://me:secret@db.internal/arcbook
  arcbook token add ci --scope editor --expires-in 90d --tenant sales
  arcbook token rotate 9f2c41d07ab3 --grace 1h
"""
)
def token() -> None:
    """Group the subcommands."""


_DSN = click.option("--dsn", metavar="DSN", help="The database.  [default: ARCBOOK_DSN]")


@token.command(help="Create a token, and print its text.")
@click.argument("name")
@click.option(
    "--scope",
    type=click.Choice((*SCOPES, WORKER_SCOPE)),
    required=True,
    help="What its holder may do.",
)
@click.option("--expires-in", metavar="TIME", default="", help="30m, 12h, 90d.  [default: never]")
@click.option("--tenant", default="", help="Label of its executions.")
@click.option("--organization", default="", help="Label of its executions.")
@_DSN
@click.pass_context
def add(
    context: click.Context,
    /,
    name: str,
    scope: str,
    expires_in: str,
    dsn: str | None,
    **labels: str,
) -> None:
    """Create a token."""
    lifetime = seconds(expires_in, "--expires-in") if expires_in else 0.0
    if _at_server(context, dsn):
        from arcbook.wire.http.access import NewToken  # only for this verb

        request = NewToken(name=name, scope=scope, expires_in_seconds=lifetime, **labels)
        created = with_client(context, lambda client: client.add_token(request))
        _print_token(f"created token {created.id} ({scope})", created.id, created.token)
        return
    try:
        workers = _workers_text() if scope == WORKER_SCOPE else None
        text, row = new_token(
            name,
            scope,
            _now(),
            seconds=lifetime,
            workers=workers,
            **labels,
        )
    except TokenError as error:
        raise UserError(str(error)) from None

    async def work(store: Any) -> None:
        await _noted(store, "token.add", row)
        await store.put_token(row)

    _with_store(dsn, work)
    _print_token(f"created token {row.token_id} ({scope})", row.token_id, text)


@token.command("list", help="List tokens, without their texts.")
@_DSN
@click.pass_context
def list_(context: click.Context, dsn: str | None) -> None:
    """List tokens."""

    async def work(store: Any) -> list[TokenRow]:
        rows: list[TokenRow] = await store.tokens()
        return rows

    rows = _listed(context) if _at_server(context, dsn) else _with_store(dsn, work)
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


@token.command(help="Remove a token; servers reject it within seconds.")
@click.argument("token_id")
@_DSN
@click.pass_context
def rm(context: click.Context, token_id: str, dsn: str | None) -> None:
    """Remove a token."""

    async def work(store: Any) -> None:
        await _noted(store, "token.rm", await _known(store, token_id))
        await store.delete_token(token_id)

    if _at_server(context, dsn):
        with_client(context, lambda client: client.delete_token(token_id))
    else:
        _with_store(dsn, work)
    say(f"token {token_id} is removed", token_id=token_id)


@token.command(help="Replace the text of a token, and print the new one.")
@click.argument("token_id")
@click.option("--grace", metavar="TIME", default="", help="How long the old text stays valid.")
@_DSN
@click.pass_context
def rotate(context: click.Context, token_id: str, grace: str, dsn: str | None) -> None:
    """Rotate a token."""
    overlap = seconds(grace, "--grace") if grace else 0.0

    async def work(store: Any) -> str:
        known = await _known(store, token_id)
        workers = _workers_text() if known.scope == WORKER_SCOPE else None
        text, row = rotated(known, _now(), overlap, workers=workers)
        await _noted(store, "token.rotate", row)
        await store.put_token(row)
        return text

    async def remote(client: Client) -> str:
        return (await client.rotate_token(token_id, overlap)).token

    at_server = _at_server(context, dsn)
    text = with_client(context, remote) if at_server else _with_store(dsn, work)
    _print_token(f"token {token_id} has a new text", token_id, text)


def _at_server(context: click.Context, dsn: str | None) -> bool:
    """Return whether to use the API of a server; a configured database takes precedence.

    Raises:
        UserError: the command line names both.
    """
    named = option_value(context, "server") is not None
    if named and dsn:
        raise UserError("use either --server or --dsn, not both")
    return bool(server_of(context)) and (named or not load_settings(dsn=dsn).dsn)


def _listed(context: click.Context) -> list[TokenRow]:
    """Return the tokens of a server."""
    from arcbook.cli.remote.rows import microseconds  # heavy: an HTTP client

    return [
        TokenRow(
            token_id=view.id,
            name=view.name,
            scope=view.scope,
            digest="",
            tenant=view.tenant or "",
            organization=view.organization or "",
            created_at=microseconds(view.created_at),
            expires_at=microseconds(view.expires_at),
        )
        for view in with_client(context, lambda client: client.tokens())
    ]


def _print_token(message: str, token_id: str, text: str) -> None:
    """Print the text of a token to stdout, and the message to stderr."""
    if wants_json(click.get_current_context()):
        say(message, token_id=token_id, token=text)
        return
    click.echo(f"{message}; its text is shown only once:", err=True)
    click.echo(text)


def _workers_text() -> Callable[[str], str]:
    """Return the function that derives worker tokens from the servers' internal token."""
    settings = settings_of(click.get_current_context())
    configured = settings.internal_token
    if not configured and not (settings.home / BUS_FILE).exists():
        raise UserError(
            "worker tokens derive from the servers' internal token: "
            "set ARCBOOK_INTERNAL_TOKEN to the same value as on the servers"
        )
    return Root(configured or token_in(settings.home / BUS_FILE)).worker_token


async def _known(store: Any, token_id: str) -> TokenRow:
    row: TokenRow | None = await store.token(token_id)
    if row is None:
        raise UserError(f"there is no token {token_id!r}: see 'arcbook token list'")
    return row


async def _noted(store: Any, action: str, row: TokenRow) -> None:
    """Write an audit note before the change."""
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
    address = load_settings(dsn=dsn).dsn
    if not address:
        raise UserError("name the database: --dsn DSN, or the variable ARCBOOK_DSN")

    async def inner() -> T:
        async with _store(address) as store:
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
