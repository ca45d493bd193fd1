"""``arcbook tool``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from arcbook.cli.errors import UserError
from arcbook.cli.everywhere import tell_json, wants_json
from arcbook.cli.scaffold import is_kind_name, make_package
from arcbook.cli.text import table
from arcbook.dsl.diagnostics import did_you_mean
from arcbook.dsl.kinds import Kind, Param
from arcbook.dsl.reference import default_of, type_of
from arcbook.tools.registry import Registry


@click.group(help="List the tool kinds and their parameters; create packages for new ones.")
def tool() -> None:
    """Group the subcommands."""


@tool.command(
    "list",
    help="""List the tool kinds of this installation.

EFFECTS says what repeating a call may do: see 'Effects of a call' in docs/language.md.
""",
)
@click.pass_context
def list_(context: click.Context) -> None:
    """List the kinds."""
    registry = Registry()
    kinds = [_known(registry, name) for name in registry.names()]
    if wants_json(context):
        tell_json([_plain(kind) for kind in kinds])
        return
    rows = [(k.name, ", ".join(k.effects), _description(k)) for k in kinds]
    click.echo(table(("KIND", "EFFECTS", "DESCRIPTION"), rows))


@tool.command(
    help="""Show the parameters and effects of a tool kind, and an example.

\b
Examples:
  arcbook tool show http
  arcbook tool show postgres --json
"""
)
@click.argument("kind")
@click.pass_context
def show(context: click.Context, kind: str) -> None:
    """Show a kind."""
    registry = Registry()
    declaration = _known(registry, kind)
    if wants_json(context):
        tell_json(_plain(declaration))
        return
    click.echo(f"{declaration.name}: {_description(declaration)}\n")
    rows = [
        (p.name, _bare(type_of(p)), _bare(default_of(p)), _described(p)) for p in declaration.params
    ]
    if rows:
        click.echo(table(("PARAMETER", "TYPE", "DEFAULT", "WHAT IT IS"), rows) + "\n")
    click.echo(f"effects of a call: {' or '.join(declaration.effects)}")
    click.echo(f"takes 'auth': {'yes' if declaration.takes_auth else 'no'}")
    if declaration.example:
        click.echo(f"\nexample:\n\n{declaration.example}")


@tool.command(
    help="""Create a package that adds a tool kind.

The package has a working tool, its documentation, the contract suite of all tools, and a
playbook. docs/tools/write-your-own.md explains each part.

\b
Examples:
  arcbook tool new word_count
  arcbook tool new word_count --folder packages
"""
)
@click.argument("kind")
@click.option(
    "--folder",
    type=click.Path(file_okay=False, path_type=Path),
    default=".",
    help="Folder in which the package's folder is created.",
)
@click.pass_context
def new(context: click.Context, kind: str, folder: Path) -> None:
    """Create a package."""
    if not is_kind_name(kind):
        raise UserError(
            f"{kind!r} is not a valid name of a tool kind: use lower-case letters, digits and "
            "underscores, such as 'word_count'"
        )
    if Registry().kind(kind) is not None:
        raise UserError(f"the tool kind {kind!r} exists: choose another name")
    place = make_package(kind, folder)
    if wants_json(context):
        files = [str(path.relative_to(place)) for path in place.rglob("*") if path.is_file()]
        tell_json({"folder": str(place), "files": sorted(files)})
        return
    click.echo(f"created {place}; next:\n")
    click.echo(f"  cd {place} && pip install -e '.[test]' && pytest && arcbook run {kind}.yaml")


def _known(registry: Registry, name: str) -> Kind:
    """Return a kind.

    Raises:
        UserError: the kind does not exist.
    """
    kind = registry.kind(name)
    if kind is None:
        names = registry.names()
        hint = did_you_mean(name, names) or f"the kinds are {', '.join(names)}"
        raise UserError(f"there is no tool kind {name!r}: {hint}")
    return kind


def _description(kind: Kind) -> str:
    if kind.absence is not None:
        return kind.absence.reason
    return kind.description


def _bare(text: str) -> str:
    return text.replace("`", "")


def _described(param: Param) -> str:
    others = f" (also {', '.join(param.aliases)})" if param.aliases else ""
    return param.description + others


def _plain(kind: Kind) -> dict[str, Any]:
    """Return a kind as plain data."""
    params = [
        {
            "name": param.name,
            "aliases": list(param.aliases),
            "description": param.description,
            "required": param.required,
            "default": param.default,
            "schema": param.schema,
            "treatment": param.treatment.value,
        }
        for param in kind.params
    ]
    return {
        "kind": kind.name,
        "names": list(kind.names),
        "description": _description(kind),
        "installed": kind.absence is None,
        "effects": [effect.value for effect in kind.effects],
        "takes_auth": kind.takes_auth,
        "waits": kind.waits,
        "params": params,
        "example": kind.example,
    }
