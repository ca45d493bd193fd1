"""``arcbook version``."""

from __future__ import annotations

import platform

import click

from arcbook.cli.everywhere import say


@click.command(help="Print the version of Arcbook and of Python.")
def version() -> None:
    """Print the version."""
    from importlib import metadata  # only for this verb

    ours, python = metadata.version("arcbook"), platform.python_version()
    say(f"arcbook {ours} (Python {python})", version=ours, python=python)
