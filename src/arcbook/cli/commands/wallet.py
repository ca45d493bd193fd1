"""``arcbook wallet``."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import click
import msgspec

from arcbook.cli.context import settings_of
from arcbook.cli.errors import Exit, UserError
from arcbook.cli.everywhere import say, tell_json, wants_json
from arcbook.cli.text import count
from arcbook.secrets.envelope import KeyProvider
from arcbook.secrets.keys import KEY_FILE, FileKeys, keys_of, make_key_file
from arcbook.secrets.wallet import Wallet
from arcbook.settings import Settings

Answer = TypeVar("Answer")


@click.group(
    help="""Show and rotate the keys that seal credentials.

The credentials are those of the home, or with --dsn those of a cluster.

\b
Examples:
  arcbook wallet status
  arcbook wallet rotate                          a new key in the home's file
  ARCBOOK_ENCRYPTION_KEY=new ARCBOOK_ENCRYPTION_KEYS_OLD=old \\
    arcbook wallet rotate --dsn postgresql://me:secret@db.internal/arcbook
"""
)
def wallet() -> None:
    """Group the subcommands."""


_DSN = click.option("--dsn", metavar="DSN", help="A cluster's database.  [default: ARCBOOK_DSN]")


@wallet.command(help="Create a key file in the home, unless one exists.")
@click.pass_context
def init(context: click.Context) -> None:
    """Create a key file."""
    path = settings_of(context).home / KEY_FILE
    is_new = not path.exists()
    make_key_file(path)
    say(f"created {path}: keep a copy of it" if is_new else f"{path} exists already")


@wallet.command(help="Show the current key, and how many records each key seals.")
@_DSN
@click.pass_context
def status(context: click.Context, dsn: str | None) -> int:
    """Show the state of the wallet."""
    report = _with_wallet(settings_of(context, dsn=dsn), lambda wallet, _: wallet.status())
    code = Exit.FAILED if report.unreadable else Exit.OK
    if wants_json(context):
        tell_json(msgspec.to_builtins(report))
        return code
    click.echo(f"provider  {report.provider}\nkey       {report.key_id}")
    for key_id, number in report.records.items():
        note = "" if key_id == report.key_id else "  (older: arcbook wallet rotate)"
        click.echo(f"sealed    {number} by {key_id}{note}")
    for name, reason in report.unreadable.items():
        click.echo(f"credential {name!r} cannot be opened: {reason}", err=True)
    return code


@wallet.command(
    help="""Reseal the data key of every record with the current key.

With a key file, a new key is created first and becomes the current one. --forget removes
older keys that seal no record any more. The key that was current until now is only removed
by the next --forget, because a server may still be storing a record that it sealed.
"""
)
@_DSN
@click.option("--no-new-key", is_flag=True, help="Do not add a key to the file.")
@click.option("--forget", is_flag=True, help="Remove unused older keys from the file.")
@click.pass_context
def rotate(context: click.Context, dsn: str | None, *, no_new_key: bool, forget: bool) -> int:
    """Rotate the key."""

    async def work(wallet: Wallet, keys: KeyProvider) -> tuple[Any, int, bool]:
        before: set[str] = set()
        if isinstance(keys, FileKeys) and not no_new_key:
            before.add(keys.turn())
        rotation = await wallet.rotate()
        in_use = before.union((await wallet.status()).records)
        removed = keys.keep(in_use) if isinstance(keys, FileKeys) and forget else 0
        return rotation, removed, bool(before)

    rotation, removed, stays = _with_wallet(settings_of(context, dsn=dsn), work)
    say(
        f"key {rotation.key_id}: {rotation.rewrapped} rewrapped, {rotation.skipped} already sealed by it, "
        f"{rotation.changed} changed meanwhile, {len(rotation.failed)} failed"
    )
    if removed:
        say(f"{count(removed, 'older key')} removed")
    if forget and stays:
        say(
            "the previous key is kept; to remove it later: arcbook wallet rotate --no-new-key --forget"
        )
    for name, reason in rotation.failed.items():
        say(f"credential {name!r} was not resealed: {reason}", err=True)
    return Exit.FAILED if rotation.failed else Exit.OK


def _with_wallet(
    settings: Settings, work: Callable[[Wallet, KeyProvider], Awaitable[Answer]]
) -> Answer:
    """Call a function with the wallet of the store that the settings name."""

    async def inner() -> Answer:
        keys = keys_of(settings, make=not settings.dsn)
        async with _store(settings) as store:
            return await work(Wallet(store, keys), keys)

    return asyncio.run(inner())


def _store(settings: Settings) -> Any:
    if not settings.dsn:
        from arcbook.compose.embedded import STORE_FILE  # only for a home
        from arcbook.store.sqlite import SqliteStore

        return SqliteStore(settings.home / STORE_FILE)
    try:
        from arcbook.store.postgres import PostgresStore  # its driver is an extra
    except ImportError as error:
        advice = "run: pip install 'arcbook[cluster]'"
        raise UserError(f"PostgreSQL needs {error.name}; {advice}") from None
    return PostgresStore(settings.dsn, pool_size=1)
