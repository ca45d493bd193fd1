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

Found = TypeVar("Found")


@click.group(
    help="""The keys that seal credentials, and what they have sealed.

Credentials of the home are meant, or with --dsn those of a cluster's database.

\b
Examples:
  arcbook wallet status
  arcbook wallet rotate                          a new key in the home's file
  ARCBOOK_ENCRYPTION_KEY=new ARCBOOK_ENCRYPTION_KEYS_OLD=old \\
    arcbook wallet rotate --dsn postgresql://me:secret@db.internal/arcbook
"""
)
def wallet() -> None:
    """Group of the verbs."""


_DSN = click.option("--dsn", metavar="DSN", help="A cluster's database.  [default: ARCBOOK_DSN]")


@wallet.command(help="Make a key file in the home; one that is there stays as it is.")
@click.pass_context
def init(context: click.Context) -> None:
    """Make a key file."""
    path = settings_of(context).home / KEY_FILE
    made = not path.exists()
    make_key_file(path)
    say(f"{path} {'is made: keep a copy of it' if made else 'is there already'}")


@wallet.command(help="Tell which key seals, and which keys have sealed what there is.")
@_DSN
@click.pass_context
def status(context: click.Context, dsn: str | None) -> int:
    """Tell what the wallet holds."""
    found = _with_wallet(settings_of(context, dsn=dsn), lambda wallet, _: wallet.status())
    code = Exit.FAILED if found.unreadable else Exit.OK
    if wants_json(context):
        tell_json(msgspec.to_builtins(found))
        return code
    click.echo(f"provider  {found.provider}\nkey       {found.key_id}")
    for key_id, number in found.records.items():
        note = "" if key_id == found.key_id else "  (older: arcbook wallet rotate)"
        click.echo(f"sealed    {number} by {key_id}{note}")
    for name, reason in found.unreadable.items():
        click.echo(f"credential {name!r} does not open: {reason}", err=True)
    return code


@wallet.command(
    help="""Seal every record's data key by the present key.

With a key file, a new key is made first. It stands before the older ones, which go when
nothing is sealed by them any more and --forget is given. The key that was the present one
until now goes at the next --forget: a server may just be storing what it sealed by it.
"""
)
@_DSN
@click.option("--no-new-key", is_flag=True, help="Leave the key file as it is.")
@click.option("--forget", is_flag=True, help="Remove older keys from the file.")
@click.pass_context
def rotate(context: click.Context, dsn: str | None, *, no_new_key: bool, forget: bool) -> int:
    """Rotate the key."""

    async def work(wallet: Wallet, keys: KeyProvider) -> tuple[Any, int, bool]:
        before: set[str] = set()
        if isinstance(keys, FileKeys) and not no_new_key:
            before.add(keys.turn())
        found = await wallet.rotate()
        in_use = before.union((await wallet.status()).records)
        gone = keys.keep(in_use) if isinstance(keys, FileKeys) and forget else 0
        return found, gone, bool(before)

    found, gone, stays = _with_wallet(settings_of(context, dsn=dsn), work)
    say(
        f"key {found.key_id}: {found.rewrapped} rewrapped, {found.skipped} already sealed by it, "
        f"{found.changed} changed meanwhile, {len(found.failed)} failed"
    )
    if gone:
        say(f"{count(gone, 'older key')} removed")
    if forget and stays:
        say("the key of until now stays: later, arcbook wallet rotate --no-new-key --forget")
    for name, reason in found.failed.items():
        say(f"credential {name!r} stays as it is: {reason}", err=True)
    return Exit.FAILED if found.failed else Exit.OK


def _with_wallet(
    settings: Settings, work: Callable[[Wallet, KeyProvider], Awaitable[Found]]
) -> Found:
    """Open the store that the settings name, and do some work with its wallet."""

    async def inner() -> Found:
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
