"""``arcbook doctor``."""

from __future__ import annotations

import asyncio

import click

from arcbook.cli.context import settings_of
from arcbook.cli.everywhere import tell_json, wants_json
from arcbook.settings import Settings


@click.command(
    help="""Report which isolation of user code works on this machine.

Each isolation is tried, the strongest first. A worker uses the first one that works, or the
one that ARCBOOK_ISOLATION names.

\b
Examples:
  arcbook doctor
"""
)
@click.pass_context
def doctor(context: click.Context) -> None:
    """Report the isolation of this machine."""
    asyncio.run(_run(settings_of(context)))


async def _run(settings: Settings) -> None:
    from arcbook.compose.working import confinement_of
    from arcbook.tools.isolation import look  # only where it is tried

    checks = await look(lambda isolation: confinement_of(settings, isolation))
    works = next((str(c.isolation) for c, why_not in checks if not why_not), "none")
    chosen = works if settings.isolation == "auto" else settings.isolation
    if wants_json(click.get_current_context()):
        ways = {str(confinement.isolation): why_not or "works" for confinement, why_not in checks}
        tell_json({"isolation": ways, "used": chosen})
        return
    for confinement, why_not in checks:
        click.echo(f"isolation {confinement.isolation:<8} {why_not or 'works'}")
    click.echo(f"a worker uses      {chosen}")
