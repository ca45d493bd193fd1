"""``arcbook credential``."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import click
import msgspec

from arcbook.cli.context import read_document, settings_of, with_embedded
from arcbook.cli.errors import Exit, UserError
from arcbook.cli.everywhere import say, tell_json, wants_json
from arcbook.cli.finish import cause_of
from arcbook.cli.remote.link import place_of, server_of, with_client
from arcbook.cli.text import moment, table, value
from arcbook.compose.embedded import Embedded
from arcbook.secrets.types import CredentialInvalidError
from arcbook.store.api import CredentialRow

if TYPE_CHECKING:
    from arcbook.client import Client


@click.group(
    help="""Manage the credentials that tasks name with 'auth'.

They are stored encrypted in the home folder. Tasks use them by alias. Their values
never appear in events, in logs or on the terminal.
"""
)
def credential() -> None:
    """Group the subcommands."""


@credential.command(
    help="""Add a credential, or replace the one with the same name.

For a value of -, you are prompted; the input is hidden. A JSON file holds either the
fields, or a complete NoETL credential: {"name", "type", "data"}.

\b
Examples:
  arcbook credential add warehouse --type postgres --set host=localhost --set port=5432 \\
      --set user=me --set password=- --set database=sales
  arcbook credential add github --type bearer --set token=-
  arcbook credential add warehouse --file warehouse.json
"""
)
@click.argument("name")
@click.option("--type", "kind", help="postgres, bearer, api_key, basic, nats, ...")
@click.option("--set", "fields", multiple=True, metavar="FIELD=VALUE", help="One field.")
@click.option("--file", "file", metavar="FILE", help="A JSON file with the fields.")
@click.option("--description", default="", help="What it is for.")
@click.pass_context
def add(  # the options of the verb
    context: click.Context,
    name: str,
    kind: str | None,
    fields: tuple[str, ...],
    file: str | None,
    description: str,
) -> None:
    """Add a credential."""
    data, kind = _from_file(file, kind) if file else ({}, kind)
    for field in fields:
        key, equals, value = field.partition("=")
        if not equals:
            raise UserError(f"--set takes field=value, not {key!r}")
        data[key] = click.prompt(key, hide_input=True) if value == "-" else value
    if not kind:
        raise UserError("name the credential's type: --type postgres, bearer, basic, ...")
    if not data:
        raise UserError("a credential needs fields: --set field=value, or --file FILE")

    async def work(embedded: Embedded) -> None:
        await embedded.credentials.add(name, kind, data, description=description)

    async def remote(client: Client) -> None:
        await client.put_credential(name, kind or "", data, description)

    try:
        if server_of(context):
            with_client(context, remote)
        else:
            with_embedded(context, work)
    except CredentialInvalidError as error:
        details = "\n  ".join(error.problems)
        raise UserError(f"credential {name!r} is invalid:\n  {details}") from None
    details = ", ".join(sorted(data))
    say(f"credential {name!r} ({kind}) is stored: {details}", credential=name, type=kind)


def _from_file(file: str, kind: str | None) -> tuple[dict[str, Any], str | None]:
    import orjson  # only where a file is given

    try:
        content = orjson.loads(read_document(file))
    except orjson.JSONDecodeError as error:
        raise UserError(f"{file} is not JSON: {error}") from None
    if not isinstance(content, dict):
        raise UserError(f"{file} must hold a JSON object")
    if isinstance(content.get("data"), dict):
        return dict(content["data"]), kind or content.get("type")
    return content, kind


@credential.command(
    help="""Connect with a credential of the home, and print what failed.

The test opens a real connection, sends a request that changes nothing, and disconnects.

\b
Examples:
  arcbook credential test warehouse
  arcbook credential test github --url https://api.github.com/user

Exit codes: 0 it works, 1 it does not work, 2 it cannot be tested.
"""
)
@click.argument("name")
@click.option(
    "--url",
    default="",
    help="URL to send a GET to, or bucket to list, for types that name no address.",
)
@click.pass_context
def test(context: click.Context, name: str, url: str) -> int:
    """Test a credential."""
    from arcbook.probes import UntriedError, try_credential  # only for this verb
    from arcbook.secrets.api import CredentialError

    if server_of(context):
        raise UserError("a server cannot test credentials: leave out --server")
    try:
        tried = asyncio.run(try_credential(settings_of(context), name, url))
    except (CredentialError, UntriedError) as error:
        raise UserError(str(error)) from None
    if wants_json(context):
        tell_json(
            {
                "credential": name,
                "type": tried.type,
                "works": tried.error is None,
                "answer": tried.answer if tried.error is None else None,
                "error": None if tried.error is None else msgspec.to_builtins(tried.error),
            }
        )
    elif tried.error is None:
        click.echo(f"credential {name!r} ({tried.type}) works")
        click.echo(value(tried.answer))
    else:
        click.echo(f"credential {name!r} ({tried.type}) does not work", err=True)
        click.echo(cause_of(msgspec.structs.replace(tried.error, where=None)), err=True)
    return int(Exit.OK if tried.error is None else Exit.FAILED)


@credential.command("list", help="List credentials, without their values.")
@click.pass_context
def list_(context: click.Context) -> None:
    """List credentials."""

    async def work(embedded: Embedded) -> list[Any]:
        return await embedded.store.credentials()

    rows = _listed(context) if server_of(context) else with_embedded(context, work)
    if wants_json(context):
        keys = ("name", "type", "description", "tags", "created_at", "updated_at")
        plain = [{key: getattr(row, key) for key in keys} for row in rows]
        tell_json(plain)
        return
    if not rows:
        where = place_of(context)
        click.echo(f"there are no credentials {where}: arcbook credential add NAME --type ...")
        return
    lines = [(r.name, r.type, moment(r.updated_at), r.description) for r in rows]
    click.echo(table(("NAME", "TYPE", "CHANGED", "DESCRIPTION"), lines))


@credential.command(help="Remove a credential.")
@click.argument("name")
@click.pass_context
def rm(context: click.Context, name: str) -> None:
    """Remove a credential."""

    async def work(embedded: Embedded) -> bool:
        return await embedded.store.delete_credential(name)

    if server_of(context):
        with_client(context, lambda client: client.delete_credential(name))
    elif not with_embedded(context, work):
        raise UserError(
            f"there is no credential {name!r} {place_of(context)}: see 'arcbook credential list'"
        )
    say(f"credential {name!r} is removed", credential=name)


def _listed(context: click.Context) -> list[CredentialRow]:
    """Return the credentials of a server, without their values."""
    from arcbook.cli.remote.rows import microseconds  # heavy: an HTTP client

    return [
        CredentialRow(
            name=c.name,
            type=c.type,
            sealed=b"",
            description=c.description or "",
            tags=list(c.tags or []),
            created_at=microseconds(c.created_at),
            updated_at=microseconds(c.updated_at),
        )
        for c in with_client(context, lambda client: client.credentials())
    ]
