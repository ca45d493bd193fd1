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
"""Documents of one call."""


@click.command(
    help="""Check playbooks: syntax, names, the graph, templates and the tools' parameters.

All problems are reported at once, each with its code, place and a suggestion. In a
folder every .yaml and .yml file that says what kind of NoETL document it is is checked.

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
    help="How problems are written.",
)
@click.option("--strict", is_flag=True, help="Warnings fail, too.")
@allow_option
@click.pass_context
def lint(context: click.Context, paths: tuple[str, ...], form: str, *, strict: bool) -> int:
    """Check playbooks."""
    registry, allow = Registry(), allowed_of(context)
    checked = [
        (name, load_document(content, registry, allow=allow)) for name, content in _documents(paths)
    ]
    print_if_read(FORMATS["json" if wants_json(context) else form](checked), nl=False)
    found = [d.severity for _, loaded in checked for d in loaded.diagnostics]
    bad = Severity.ERROR in found or (strict and found)
    return Exit.FAILED if bad else Exit.OK


def _documents(paths: tuple[str, ...]) -> list[tuple[str, bytes]]:
    found: list[tuple[str, bytes]] = []
    for name in paths:
        if Path(name).is_dir():
            found += _below(Path(name))
        else:
            found.append((name, read_document(name)))
    if not found:
        raise UserError(f"there are no playbooks below {', '.join(paths)}")
    return found[:FILES_MAX]


def _below(folder: Path) -> list[tuple[str, bytes]]:
    """Return the documents below a folder that are NoETL's."""
    files = sorted(p for p in folder.rglob("*") if p.suffix in (".yaml", ".yml") and p.is_file())
    documents = [(str(path), path.read_bytes()) for path in files]
    return [(name, content) for name, content in documents if b"noetl.io/" in content]
