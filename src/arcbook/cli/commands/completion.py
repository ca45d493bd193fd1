"""``arcbook completion``."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from arcbook.cli.everywhere import say


@click.command(
    help="""Print the script for shell completion.

\b
Examples:
  arcbook completion bash >> ~/.bashrc
  arcbook completion zsh > "${fpath[1]}/_arcbook"
  arcbook completion fish > ~/.config/fish/completions/arcbook.fish
"""
)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    """Print a completion script."""
    kind = get_completion_class(shell)
    assert kind is not None
    root = context.find_root().command
    script = kind(root, {}, "arcbook", "_ARCBOOK_COMPLETE")
    say(script.source_template % script.source_vars())
