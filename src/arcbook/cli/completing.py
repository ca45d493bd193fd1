"""What a shell completes an argument to: files, paths of the catalog, ids, steps, aliases."""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Final

import click
from click.shell_completion import CompletionItem

IDS_MAX: Final = 50
"""Executions that are offered, the newest first."""

FILES: Final = [CompletionItem("", type="file")]
"""Has the shell itself complete to files."""

Item = tuple[str, str]
"""What to write, and what there is to say of it."""


def with_completion(command: click.Command) -> click.Command:
    """Give the arguments of a command, and of those below it, what completes them."""
    for parameter in command.params:
        complete = _COMPLETIONS.get(parameter.name or "")
        if complete is not None:
            parameter.type = _Completed(complete)
    for below in getattr(command, "commands", {}).values():
        with_completion(below)
    return command


class _Completed(click.ParamType[str]):
    """A text that something completes."""

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
    """Complete to paths of the catalog and to files; to files alone where no path begins so."""
    paths = _paths(context, begun)
    if not paths:
        return FILES
    found = sorted(Path(begun).parent.glob("*.y*ml")) if not begun.endswith("/") else []
    return paths + [CompletionItem(str(f)) for f in found if str(f).startswith(begun)]


def _paths(context: click.Context, begun: str) -> list[CompletionItem]:
    async def look(embedded: Any) -> list[Item]:
        return [(row.path, row.kind) for row in await embedded.store.entries()]

    return _of_home(context, begun, look)


def _executions(context: click.Context, begun: str) -> list[CompletionItem]:
    async def look(embedded: Any) -> list[Item]:
        from arcbook.store.api import ExecutionFilter  # only where a home is looked at

        rows = await embedded.store.executions(ExecutionFilter(limit=IDS_MAX))
        return [(str(row.execution_id), f"{row.status} {row.path}") for row in rows]

    return _of_home(context, begun, look)


def _steps(context: click.Context, begun: str) -> list[CompletionItem]:
    """Complete to the steps that an execution entered."""
    identity = str(context.params.get("execution") or "")

    async def look(embedded: Any) -> list[Item]:
        state = await embedded.state(int(identity))
        return [(step, "") for step in state.visits]

    return _of_home(context, begun, look) if identity.isdigit() else []


def _targets(context: click.Context, begun: str) -> list[CompletionItem]:
    """Complete to the steps of the playbook in a file."""
    from arcbook.dsl.load import load_playbook  # only where a document is looked at
    from arcbook.tools.registry import Registry

    # Behind an option without its value, arguments are left over as they are.
    name = context.params.get("playbook") or next(iter(context.args), "")
    with contextlib.suppress(OSError):
        content = Path(str(name)).read_bytes()
        playbook = load_playbook(content, Registry()).playbook
        names = [] if playbook is None else [step.name for step in playbook.steps]
        return [CompletionItem(name) for name in names if name.startswith(begun)]
    return []


def _aliases(context: click.Context, begun: str) -> list[CompletionItem]:
    if context.parent is None or context.parent.info_name != "credential":
        return []

    async def look(embedded: Any) -> list[Item]:
        return [(row.name, row.type) for row in await embedded.store.credentials()]

    return _of_home(context, begun, look)


_COMPLETIONS: Final[dict[str, Callable[[click.Context, str], list[CompletionItem]]]] = {
    "execution": _executions,
    "file": _files,
    "name": _aliases,
    "path": _paths,
    "paths": _files,
    "playbook": _playbooks,
    "step": _steps,
    "target": _targets,
}
"""By the names of parameters."""


def _of_home(
    context: click.Context, begun: str, look: Callable[[Any], Awaitable[list[Item]]]
) -> list[CompletionItem]:
    """Look into the home, if there is one; a server is not asked while somebody types."""
    from arcbook.cli.context import settings_of, with_embedded  # only where a home is looked at
    from arcbook.embedded import STORE_FILE
    from arcbook.runtime.drive import ExecutionMissingError
    from arcbook.store.api import StoreError

    if not (settings_of(context).home / STORE_FILE).exists():
        return []
    with contextlib.suppress(StoreError, ExecutionMissingError):
        found = with_embedded(context, look)
        return [CompletionItem(name, help=about) for name, about in found if name.startswith(begun)]
    return []
