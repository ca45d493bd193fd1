"""The server that a verb uses, and a client for it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Final, TypeVar
from urllib.parse import urlsplit

import click

from arcbook.cli.context import settings_of
from arcbook.cli.errors import UserError
from arcbook.cli.everywhere import option_value
from arcbook.settings import load_settings, named_server

if TYPE_CHECKING:
    from arcbook.client import Client

T = TypeVar("T")

DEFAULT_URL: Final = "http://127.0.0.1:8082"


def server_of(context: click.Context) -> str:
    """Return the URL of the chosen server; empty for the home.

    An option on the command line takes precedence over the environment.
    """
    named = option_value(context, "server")
    if named is None and option_value(context, "home") is None:
        named = named_server()
    return _checked(named) if named else ""


def client_of(context: click.Context) -> Client:
    """Return a client for the chosen server, or for the one in the settings."""
    from arcbook.client import Client  # heavy: an HTTP client

    settings = load_settings()
    url = server_of(context) or _checked(settings.server_url or DEFAULT_URL)
    return Client(url, settings.server_token)


def _checked(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.netloc:
        raise UserError(f"{url!r} is not the URL of a server: use one such as {DEFAULT_URL}")
    return url


def with_client(context: click.Context, work: Callable[[Client], Awaitable[T]]) -> T:
    """Run a function with an open client."""

    async def inner() -> T:
        async with client_of(context) as client:
            return await work(client)

    return asyncio.run(inner())


def place_of(context: click.Context) -> str:
    """Return the words that name the server or the home in a message."""
    url = server_of(context)
    return f"at the server {url}" if url else f"in the home {settings_of(context).home}"
