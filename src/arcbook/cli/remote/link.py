"""Which server a verb speaks to, and speaking to it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Final, TypeVar
from urllib.parse import urlsplit

import click

from arcbook.cli.errors import UserError
from arcbook.settings import load_settings

if TYPE_CHECKING:
    from arcbook.client import Client

T = TypeVar("T")
Verb = TypeVar("Verb", bound=Callable[..., Any])

DEFAULT_URL: Final = "http://127.0.0.1:8082"


def server_option(verb: Verb) -> Verb:
    """Give a verb the option ``--server``; it may also stand before the verb."""
    option = click.option(
        "--server",
        metavar="URL",
        expose_value=False,
        callback=keep_server,
        help="Do it at a server, not in the home.",
    )
    return option(verb)


def keep_server(context: click.Context, _: click.Parameter, value: str | None) -> None:
    """Have a verb's own ``--server`` count, over one before the verb."""
    if value is not None:
        context.ensure_object(dict)["server"] = value


def server_of(context: click.Context) -> str:
    """Return the server that the command line names; an empty text means the home."""
    named = (context.obj or {}).get("server")
    return _checked(named) if named is not None else ""


def client_of(context: click.Context) -> Client:
    """Return a client of the server that is named, or else of the one in the settings."""
    from arcbook.client import Client  # heavy: an HTTP client

    settings = load_settings()
    url = server_of(context) or _checked(settings.server_url or DEFAULT_URL)
    return Client(url, settings.server_token)


def _checked(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.netloc:
        raise UserError(f"{url!r} is not a server's address: write one such as {DEFAULT_URL}")
    return url


def with_client(context: click.Context, work: Callable[[Client], Awaitable[T]]) -> T:
    """Open a client, do some work with it, and close it again."""

    async def inner() -> T:
        async with client_of(context) as client:
            return await work(client)

    return asyncio.run(inner())
