"""``arcbook schema``."""

from __future__ import annotations

import click


@click.command(
    help="""Print the JSON Schema (2020-12) of playbooks.

Configure the YAML extension of an editor with it, for completion and checks while typing.

\b
Examples:
  arcbook schema > noetl-playbook.schema.json
  # in VS Code, settings.json:
  # "yaml.schemas": {"./noetl-playbook.schema.json": "playbooks/**/*.yaml"}
"""
)
def schema() -> None:
    """Print the schema."""
    import orjson  # only for this verb

    from arcbook.dsl.schema import json_schema
    from arcbook.tools.registry import ABSENT, NAMES, Registry

    text = orjson.dumps(
        json_schema(Registry(), ABSENT.keys() | NAMES.keys()), option=orjson.OPT_INDENT_2
    )
    click.echo(text.decode())
