"""``arcbook catalog``."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from arcbook.cli.context import (
    allow_option,
    allowed_of,
    read_document,
    refuse_allowed,
    with_embedded,
)
from arcbook.cli.errors import Exit, UserError
from arcbook.cli.everywhere import say, tell_json, wants_json
from arcbook.cli.remote.link import place_of, server_of, with_client
from arcbook.cli.reports import as_text
from arcbook.cli.text import moment, table
from arcbook.cli.warnings import tell_warnings
from arcbook.compose.embedded import Embedded
from arcbook.dsl.load import Loaded, load_document
from arcbook.dsl.paths import catalog_path
from arcbook.store.api import CatalogEntry
from arcbook.tools.registry import Registry

if TYPE_CHECKING:
    from arcbook.client import Client
    from arcbook.wire.http.catalog import Entry, Registered


@click.group(help="Register and show playbooks of this home, or of a server.")
def catalog() -> None:
    """Group the subcommands."""


@catalog.command(
    help="""Check documents and register each as the next version of its path.

A playbook that another one calls must be in the catalog, or in the folder of its caller.

\b
Examples:
  arcbook catalog register playbooks/
  arcbook catalog register load.yaml transform.yaml
"""
)
@click.argument("paths", nargs=-1, required=True, metavar="FILE|FOLDER...")
@allow_option
@click.pass_context
def register(context: click.Context, paths: tuple[str, ...]) -> int:
    """Register documents."""
    allow = allowed_of(context)

    async def work(embedded: Embedded) -> bool:
        async def keep(path: Path, content: bytes, loaded: Loaded) -> CatalogEntry:
            return await embedded.register_loaded(content, loaded, str(path.parent.resolve()))

        return await _each(paths, embedded.registry, keep, allow)

    async def remote(client: Client) -> bool:
        async def keep(_: Path, content: bytes, loaded: Loaded) -> Registered:
            return await client.register(content.decode("utf-8-sig"), loaded.kind)

        return await _each(paths, Registry(), keep, allow)

    if server_of(context):
        refuse_allowed(allow)
    good = with_client(context, remote) if server_of(context) else with_embedded(context, work)
    return Exit.OK if good else Exit.FAILED


async def _each(
    paths: tuple[str, ...],
    registry: Registry,
    keep: Callable[[Path, bytes, Loaded], Awaitable[CatalogEntry | Registered]],
    allow: frozenset[str],
) -> bool:
    """Register the valid documents; return whether all are valid."""
    good = True
    for path in _files(paths):
        content = read_document(str(path))
        loaded = load_document(content, registry, allow=allow)
        if loaded.errors:
            click.echo(as_text([(str(path), loaded)]), nl=False, err=True)
            good = False
            continue
        entry = await keep(path, content, loaded)
        tell_warnings(str(path), loaded.diagnostics)
        text = f"{entry.path} version {entry.version}  ({path})"
        say(text, path=entry.path, version=entry.version, file=str(path))
    return good


def _files(paths: tuple[str, ...]) -> list[Path]:
    files: list[Path] = []
    for name in paths:
        path = Path(name)
        if path.is_dir():
            inside = sorted(p for p in path.rglob("*") if p.suffix in (".yaml", ".yml"))
            files += [p for p in inside if b"noetl.io/" in p.read_bytes()]
        else:
            files.append(path)
    return files


@catalog.command(
    help="""Print a document of the catalog: its latest version, or the one that --version names.

\b
Examples:
  arcbook catalog show reports/daily
  arcbook catalog show reports/daily --version 3
"""
)
@click.argument("path")
@click.option("--version", type=click.IntRange(1), help="The version.  [default: the latest]")
@click.pass_context
def show(context: click.Context, path: str, version: int | None) -> None:
    """Print a document."""

    async def work(embedded: Embedded) -> CatalogEntry:
        entry = await embedded.store.entry(catalog_path(path), version)
        if entry is None:
            which = f" version {version}" if version else ""
            raise UserError(
                f"there is no document {path!r}{which} {place_of(context)}: see 'arcbook catalog list'"
            )
        return entry

    async def remote(client: Client) -> CatalogEntry:
        return _as_row(await client.resource(path, version))

    entry = with_client(context, remote) if server_of(context) else with_embedded(context, work)
    if not wants_json(context):
        click.echo(entry.content, nl=not entry.content.endswith("\n"))
        return
    keys = ("path", "version", "kind", "created_at", "content")
    tell_json({key: getattr(entry, key) for key in keys})


@catalog.command("list", help="List the latest version of each document.")
@click.pass_context
def list_(context: click.Context) -> None:
    """List documents."""

    async def work(embedded: Embedded) -> list[Any]:
        return await embedded.store.entries()

    rows = _listed(context) if server_of(context) else with_embedded(context, work)
    if wants_json(context):
        keys = ("path", "version", "kind", "created_at")
        tell_json([{key: getattr(row, key) for key in keys} for row in rows])
        return
    if not rows:
        click.echo(f"the catalog is empty {place_of(context)}: arcbook catalog register FILE")
        return
    lines = [(r.path, str(r.version), r.kind, moment(r.created_at)) for r in rows]
    click.echo(table(("PATH", "VERSION", "KIND", "REGISTERED"), lines))


def _listed(context: click.Context) -> list[CatalogEntry]:
    """Return the documents of a server."""
    return [_as_row(entry) for entry in with_client(context, lambda client: client.catalog())]


def _as_row(entry: Entry) -> CatalogEntry:
    """Convert a document of a server to a catalog row."""
    from arcbook.cli.remote.rows import microseconds  # heavy: an HTTP client

    return CatalogEntry(
        catalog_id=int(entry.catalog_id),
        path=entry.path,
        version=entry.version,
        kind=entry.kind,
        content=entry.content or "",
        sha256="",
        created_at=microseconds(entry.created_at),
    )
