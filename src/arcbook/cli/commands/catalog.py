"""``arcbook catalog``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from arcbook.cli.context import read_document, with_embedded
from arcbook.cli.errors import Exit
from arcbook.cli.reports import as_text
from arcbook.cli.text import moment, table
from arcbook.dsl.load import load_document
from arcbook.embedded import Embedded


@click.group(help="The playbooks that this home knows, by path and version.")
def catalog() -> None:
    """Group of the verbs."""


@catalog.command(
    help="""Check documents and store them, each as the next version of its path.

A playbook that another one calls must be in the catalog, or below its caller's folder.

\b
Examples:
  arcbook catalog register playbooks/
  arcbook catalog register load.yaml transform.yaml
"""
)
@click.argument("paths", nargs=-1, required=True, metavar="FILE|FOLDER...")
@click.pass_context
def register(context: click.Context, paths: tuple[str, ...]) -> int:
    """Register documents."""

    async def work(embedded: Embedded) -> bool:
        good = True
        for path in _files(paths):
            content = read_document(str(path))
            loaded = load_document(content, embedded.registry)
            if loaded.errors:
                click.echo(as_text([(str(path), loaded)]), nl=False, err=True)
                good = False
                continue
            folder = str(path.parent.resolve())
            entry = await embedded.register_loaded(content, loaded, folder)
            click.echo(f"{entry.path} version {entry.version}  ({path})")
        return good

    return Exit.OK if with_embedded(context, work) else Exit.FAILED


def _files(paths: tuple[str, ...]) -> list[Path]:
    found: list[Path] = []
    for name in paths:
        path = Path(name)
        if path.is_dir():
            inside = sorted(p for p in path.rglob("*") if p.suffix in (".yaml", ".yml"))
            found += [p for p in inside if b"noetl.io/" in p.read_bytes()]
        else:
            found.append(path)
    return found


@catalog.command("list", help="List the latest version of each document.")
@click.pass_context
def list_(context: click.Context) -> None:
    """List documents."""

    async def work(embedded: Embedded) -> list[Any]:
        return await embedded.store.entries()

    rows = with_embedded(context, work)
    if not rows:
        click.echo("the catalog is empty: arcbook catalog register FILE")
        return
    lines = [(r.path, str(r.version), r.kind, moment(r.created_at)) for r in rows]
    click.echo(table(("PATH", "VERSION", "KIND", "REGISTERED"), lines))
