"""``arcbook lint``."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import click

from arcbook.cli.context import allow_option, allowed_of, read_document
from arcbook.cli.errors import Exit, UserError
from arcbook.cli.everywhere import print_if_read, wants_json
from arcbook.cli.reports import FORMATS
from arcbook.dsl.diagnostics import Severity
from arcbook.dsl.load import load_document
from arcbook.tools.registry import Registry

FILES_MAX: Final = 100_000
"""Most documents that one call checks."""


@click.command(
    help="""Check playbooks: syntax, names, the graph, templates and the tools' parameters.

All problems are reported at once, each with its code, location and a hint. In a folder,
every .yaml and .yml file that is a NoETL document is checked.

\b
Examples:
  arcbook lint playbook.yaml
  arcbook lint playbooks/ --strict
  arcbook lint . --format github
"""
)
@click.argument("paths", nargs=-1, required=True, metavar="FILE|FOLDER...")
@click.option(
    "--format",
    "form",
    type=click.Choice(sorted(FORMATS)),
    default="text",
    show_default=True,
    help="Format of the report.",
)
@click.option("--strict", is_flag=True, help="Fail on warnings, too.")
@allow_option
@click.pass_context
def lint(context: click.Context, paths: tuple[str, ...], form: str, *, strict: bool) -> int:
    """Check playbooks."""
    registry, allow = Registry(), allowed_of(context)
    checked = [
        (name, load_document(content, registry, allow=allow)) for name, content in _documents(paths)
    ]
    print_if_read(FORMATS["json" if wants_json(context) else form](checked), nl=False)
    severities = [d.severity for _, loaded in checked for d in loaded.diagnostics]
    bad = Severity.ERROR in severities or (strict and severities)
    return Exit.FAILED if bad else Exit.OK


def _documents(paths: tuple[str, ...]) -> list[tuple[str, bytes]]:
    documents: list[tuple[str, bytes]] = []
    for name in paths:
        if Path(name).is_dir():
            documents += _below(Path(name))
        else:
            documents.append((name, read_document(name)))
    if not documents:
        raise UserError(f"there are no playbooks in {', '.join(paths)}")
    return documents[:FILES_MAX]


def _below(folder: Path) -> list[tuple[str, bytes]]:
    """Return the NoETL documents in a folder and its subfolders."""
    files = sorted(p for p in folder.rglob("*") if p.suffix in (".yaml", ".yml") and p.is_file())
    documents = [(str(path), path.read_bytes()) for path in files]
    return [(name, content) for name, content in documents if b"noetl.io/" in content]
