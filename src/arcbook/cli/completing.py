"""Shell completion of arguments: files, catalog paths, ids, steps, aliases."""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Final

import click
from click.shell_completion import CompletionItem

IDS_MAX: Final = 50
"""Executions offered, newest first."""

FILES: Final = [CompletionItem("", type="file")]
"""Lets the shell itself complete file names."""

Item = tuple[str, str]
"""A completion, and its description."""


def with_completion(command: click.Command) -> click.Command:
    """Attach completion to the arguments of a command and its subcommands."""
    for parameter in command.params:
        complete = _COMPLETIONS.get(parameter.name or "")
        if complete is not None:
            parameter.type = _Completed(complete)
    for below in getattr(command, "commands", {}).values():
        with_completion(below)
    return command


class _Completed(click.ParamType[str]):
    """A text with completion."""

    name = "text"

    def __init__(self, complete: Callable[[click.Context, str], list[CompletionItem]]) -> None:
        self._complete = complete

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        return self._complete(ctx, incomplete)


def _files(_: click.Context, __: str) -> list[CompletionItem]:
    return FILES


def _playbooks(context: click.Context, begun: str) -> list[CompletionItem]:
    """Complete catalog paths and files; only files if no path matches."""
    paths = _paths(context, begun)
    if not paths:
        return FILES
    files = sorted(Path(begun).parent.glob("*.y*ml")) if not begun.endswith("/") else []
    return paths + [CompletionItem(str(f)) for f in files if str(f).startswith(begun)]


def _paths(context: click.Context, begun: str) -> list[CompletionItem]:
    async def look(embedded: Any) -> list[Item]:
        return [(row.path, row.kind) for row in await embedded.store.entries()]

    return _offered(context, begun, look, lambda ask: ("paths", ask.paths))


def _executions(context: click.Context, begun: str) -> list[CompletionItem]:
    async def look(embedded: Any) -> list[Item]:
        from arcbook.store.api import ExecutionFilter  # only where a home is looked at

        rows = await embedded.store.executions(ExecutionFilter(limit=IDS_MAX))
        return [(str(row.execution_id), f"{row.status} {row.path}") for row in rows]

    return _offered(context, begun, look, lambda ask: ("executions", ask.executions(IDS_MAX)))


def _steps(context: click.Context, begun: str) -> list[CompletionItem]:
    """Complete the steps that an execution entered."""
    identity = str(context.params.get("execution") or "")
    if not identity.isdigit():
        return []

    async def look(embedded: Any) -> list[Item]:
        state = await embedded.reader.state(int(identity))
        return [(step, "") for step in state.visits]

    return _offered(
        context, begun, look, lambda ask: (f"entered {identity}", ask.entered(identity))
    )


def _targets(context: click.Context, begun: str) -> list[CompletionItem]:
    """Complete the steps of a playbook, in a file or in the catalog."""
    from arcbook.dsl.load import load_playbook  # only where a document is looked at
    from arcbook.tools.registry import Registry

    # Behind an option without its value, arguments are left over as they are.
    name = str(context.params.get("playbook") or next(iter(context.args), ""))

    def names(content: str | bytes) -> list[Item]:
        playbook = load_playbook(content, Registry()).playbook
        return [] if playbook is None else [(step.name, "") for step in playbook.steps]

    with contextlib.suppress(OSError):
        return _begun(names(Path(name).read_bytes()), begun)

    async def look(embedded: Any) -> list[Item]:
        entry = await embedded.store.entry(name)
        return [] if entry is None else names(entry.content)

    return _offered(context, begun, look, lambda ask: (f"steps {name}", ask.steps(name)))


def _names(context: click.Context, begun: str) -> list[CompletionItem]:
    """Complete the names that a verb's group manages: aliases, or schedules."""
    group = "" if context.parent is None else context.parent.info_name
    if group == "credential":
        return _offered(context, begun, _aliases_of_home, lambda ask: ("aliases", ask.aliases))
    if group == "schedule":
        return _offered(context, begun, None, lambda ask: ("schedules", ask.schedules))
    return []


async def _aliases_of_home(embedded: Any) -> list[Item]:
    return [(row.name, row.type) for row in await embedded.store.credentials()]


def _tokens(context: click.Context, begun: str) -> list[CompletionItem]:
    return _offered(context, begun, None, lambda ask: ("tokens", ask.tokens))


_COMPLETIONS: Final[dict[str, Callable[[click.Context, str], list[CompletionItem]]]] = {
    "execution": _executions,
    "file": _files,
    "name": _names,
    "path": _paths,
    "paths": _files,
    "playbook": _playbooks,
    "step": _steps,
    "target": _targets,
    "token_id": _tokens,
}
"""By the names of parameters."""


Look = Callable[[Any], Awaitable[list[Item]]]


def _offered(
    context: click.Context, begun: str, look: Look | None, question: Callable[[Any], Any]
) -> list[CompletionItem]:
    """Return completions from the home, or from the chosen server within a short time limit.

    Args:
        context: the command line so far.
        begun: the typed part of the word.
        look: queries the home; None for verbs that always use a server.
        question: returns the topic and the query for a server.
    """
    from arcbook.cli.errors import UserError
    from arcbook.cli.remote.link import server_of
    from arcbook.setting_kinds import SettingsError

    group = (context.parent.info_name or "") if context.parent is not None else ""
    with contextlib.suppress(UserError, SettingsError):
        if look is not None and group not in _AT_SERVERS and not server_of(context):
            return _begun(_of_home(context, look), begun)
        from arcbook.cli.remote import completing as ask  # heavy: an HTTP client

        return _begun(ask.of_server(context, ask.Question(*question(ask))), begun)
    return []


_AT_SERVERS: Final = frozenset({"schedule", "token"})
"""Verbs that always use a server."""


def _begun(items: list[Item], begun: str) -> list[CompletionItem]:
    return [
        CompletionItem(name, help=description)
        for name, description in items
        if name.startswith(begun)
    ]


def _of_home(context: click.Context, look: Look) -> list[Item]:
    """Return completions from the home, if it exists."""
    from arcbook.cli.context import settings_of, with_embedded  # only where a home is looked at
    from arcbook.compose.embedded import STORE_FILE
    from arcbook.owner.drive import ExecutionMissingError
    from arcbook.store.api import StoreError

    if not (settings_of(context).home / STORE_FILE).exists():
        return []
    with contextlib.suppress(StoreError, ExecutionMissingError):
        return with_embedded(context, look)
    return []
