"""The options allowed before and after every verb: ``--home``, ``--server`` and ``--json``."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from shlex import quote
from typing import Any, Final

import click

AT_SERVER: Final = frozenset(
    {
        "cancel",
        "catalog",
        "credential",
        "events",
        "executions",
        "result",
        "retry-from",
        "run",
        "schedule",
        "token",
        "watch-jobs",
        "worker",
    }
)
"""The verbs that also work on a server."""


def _keep(context: click.Context, parameter: click.Parameter, value: Any) -> None:
    """Let an option after the verb override the same option before it."""
    if value is not None and value is not False:
        context.ensure_object(dict)[parameter.name] = value


def keep_server(context: click.Context, parameter: click.Parameter, value: str | None) -> None:
    """Store the server option; refuse it for verbs that only work locally.

    Raises:
        UsageError: the verb only works locally.
    """
    if value is not None:
        refuse_server(_verb_of(context), value)
    _keep(context, parameter, value)


def refuse_server(verb: str, url: str) -> None:
    """Refuse a server for a verb that only works locally.

    Raises:
        UsageError: the verb only works locally.
    """
    if url and verb and verb not in AT_SERVER:
        reason = "; servers resume their executions themselves" if verb == "resume" else ""
        raise click.UsageError(f"leave out --server: 'arcbook {verb}' only works locally{reason}")


def _verb_of(context: click.Context) -> str:
    """Return the top-level verb; empty before any verb."""
    names: list[str] = []
    while context.parent is not None:
        names.append(context.info_name or "")
        context = context.parent
    return names[-1] if names else ""


_ABOUT: Final[tuple[tuple[str, Callable[..., Any], dict[str, Any]], ...]] = (
    (
        "--home",
        _keep,
        {"metavar": "FOLDER", "help": "Folder of the state.  [default: the user's data directory]"},
    ),
    (
        "--server",
        keep_server,
        {"metavar": "URL", "help": "Use this server.  [default: ARCBOOK_SERVER_URL]"},
    ),
    ("--json", _keep, {"is_flag": True, "default": None, "help": "Print JSON."}),
)


def with_options(command: click.Command) -> click.Command:
    """Add the common options to a command and its subcommands, unless they exist."""
    own = {name for parameter in command.params for name in parameter.opts}
    command.params += [
        click.Option([name], callback=callback, expose_value=False, **attributes)
        for name, callback, attributes in _ABOUT
        if name not in own
    ]
    for below in getattr(command, "commands", {}).values():
        with_options(below)
    return command


def option_value(context: click.Context, name: str) -> Any:
    """Return the value of an option, before or after the verb; None if it is absent."""
    return (context.obj or {}).get(name)


def same_place() -> str:
    """Return the options that make another command use the same server or home."""
    context = click.get_current_context()
    server, home = option_value(context, "server"), option_value(context, "home")
    if server:
        return f" --server {quote(server)}"
    return f" --home {quote(home)}" if home else ""


def wants_json(context: click.Context) -> bool:
    """Return whether the output is JSON."""
    return bool(option_value(context, "json"))


def tell_json(value: Any) -> None:
    """Print a value as JSON, secrets as ``***``."""
    from arcbook.cli.text import value as as_text  # only for this output

    click.echo(as_text(value))


def print_if_read(text: str, *, err: bool = False, nl: bool = True) -> None:
    """Print what a command ends with; its exit code counts even if nobody reads the text."""
    with contextlib.suppress(BrokenPipeError):
        click.echo(text, err=err, nl=nl)


def say(text: str, *, err: bool = False, **facts: Any) -> None:
    """Print a sentence; with ``--json``, print it with the facts as an object on one line."""
    if not wants_json(click.get_current_context()):
        click.echo(text, err=err)
        return
    import orjson  # only for this output

    click.echo(orjson.dumps({"message": click.unstyle(text), **facts}, default=str).decode())
