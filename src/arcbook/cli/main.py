"""``arcbook``: the entry point. Verbs load their modules only when they are used."""

from __future__ import annotations

import os
import sys
from importlib import import_module
from typing import Any, Final

import click

from arcbook.cli import early, streams
from arcbook.cli.everywhere import option_value, refuse_server, with_options

VERBS: Final[dict[str, tuple[str, str]]] = {
    "run": ("run", "Run a playbook."),
    "lint": ("lint", "Check playbooks without running them."),
    "graph": ("graph", "Draw a playbook as Mermaid or DOT."),
    "executions": ("executions", "List executions, or show one."),
    "events": ("events", "Show what happened in an execution."),
    "result": ("result", "Show the result of an execution or of a step."),
    "cancel": ("control", "Cancel an execution."),
    "resume": ("control", "Resume executions whose process ended."),
    "retry-from": ("retrying", "Run an execution again from a step."),
    "catalog": ("catalog", "Register and list playbooks."),
    "schedule": ("schedule", "Start playbooks on a server at scheduled times."),
    "credential": ("credential", "Add, list and remove credentials."),
    "wallet": ("wallet", "Show and rotate the keys that seal credentials."),
    "dev": ("dev", "Run a server and a worker in one process, for development."),
    "up": ("up", "Run a cluster on this machine, with each part as a process."),
    "server": ("server", "Run a server of a cluster."),
    "worker": ("worker", "Run a worker of a cluster."),
    "watch-jobs": ("watch_jobs", "Report the ends of jobs to a server."),
    "doctor": ("doctor", "Report which isolation of user code works on this machine."),
    "token": ("token", "Create, list, rotate and remove API tokens of a cluster."),
    "db": ("db", "Create, upgrade and check the database of a cluster."),
    "tool": ("tool", "List the tool kinds, or show one."),
    "schema": ("schema", "Print the JSON Schema of playbooks, for editors."),
    "completion": ("completion", "Print the script for shell completion."),
    "version": ("version", "Print the version."),
}

EXAMPLES: Final = """
Examples:

\b
  arcbook run playbook.yaml                     run it, with a live view
  arcbook run playbook.yaml --set city=Paris    with a value of its workload
  arcbook lint .                                check every playbook below a folder
  arcbook executions list                       what ran
  arcbook resume                                continue after a crash
"""


class Verbs(click.Group):
    """A group that imports a command's module when the command is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in VERBS:
            return None
        module = import_module(f"arcbook.cli.commands.{VERBS[cmd_name][0]}")
        command: click.Command = getattr(module, cmd_name.replace("-", "_"))
        if ctx.resilient_parsing:
            from arcbook.cli.completing import with_completion  # only while a shell completes

            with_completion(command)
        return with_options(command)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in VERBS.items()])

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
        refuse_server(args[0] if args[0] in VERBS else "", option_value(ctx, "server") or "")
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            import difflib  # only for a mistyped verb

            near = difflib.get_close_matches(args[0], VERBS, n=1)
            hint = (
                f" Did you mean {near[0]!r}?" if near and "Did you mean" not in str(error) else ""
            )
            raise click.UsageError(f"there is no command {args[0]!r}.{hint}", ctx) from None


def _tell_version(context: click.Context, _: click.Parameter, value: Any) -> None:
    if value and not context.resilient_parsing:
        from arcbook.cli.commands.version import version  # only where it is asked for

        context.invoke(version)
        context.exit()


@click.group(
    cls=Verbs,
    help="Run NoETL playbooks durably, on this machine or on a cluster." + "\n" + EXAMPLES,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.option(
    "--version",
    is_flag=True,
    expose_value=False,
    is_eager=True,
    callback=_tell_version,
    help="Print the version.",
)
@click.pass_context
def cli(context: click.Context) -> None:
    """Prepare the context that all commands share."""
    context.ensure_object(dict)
    from arcbook.settings import no_colour  # only where a verb follows

    if no_colour():
        context.color = False


with_options(cli)


def main() -> None:
    """Run the command line; report any error as a message and an exit code."""
    streams.open_missing()
    early.start(sys.argv)
    from arcbook.cli.guard import guarded  # after click, so that --help stays quick

    code = guarded(lambda: cli(standalone_mode=False))
    early.close()
    streams.flush()
    os._exit(code)  # everything is closed; taking the interpreter apart takes longer than --help
