"""The rights of a token, for NoETL's GUI."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

TOKEN_CHARACTERS_MAX = 16 * 1024
"""Maximum length of a token."""


class SessionRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A token to check."""

    session_token: Annotated[
        str, Meta(max_length=TOKEN_CHARACTERS_MAX, description="An API token, or a JWT.")
    ] = ""


class SessionUser(msgspec.Struct, frozen=True, kw_only=True):
    """The owner of a token."""

    email: str
    display_name: str
    #: The scopes of the token.
    roles: list[str]


class Session(msgspec.Struct, frozen=True, kw_only=True):
    """The rights of a token."""

    valid: bool
    user: SessionUser | None = None
