"""``arcbook version``."""

from __future__ import annotations

import platform

import click


@click.command(help="Print the version of Arcbook and of Python.")
def version() -> None:
    """Print the version."""
    from importlib import metadata  # only for this verb

    click.echo(f"arcbook {metadata.version('arcbook')} (Python {platform.python_version()})")
