"""What a token is good for, on the wire."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

TOKEN_CHARACTERS_MAX = 16 * 1024
"""Length of a token."""


class SessionRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A token of which is asked what it is good for."""

    session_token: Annotated[
        str, Meta(max_length=TOKEN_CHARACTERS_MAX, description="An API token, or a JWT.")
    ] = ""


class SessionUser(msgspec.Struct, frozen=True, kw_only=True):
    """Whose a token is."""

    email: str
    display_name: str
    #: The scopes that it has.
    roles: list[str]


class Session(msgspec.Struct, frozen=True, kw_only=True):
    """What a token is good for."""

    valid: bool
    user: SessionUser | None = None
