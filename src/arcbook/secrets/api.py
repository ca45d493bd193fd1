"""Credentials as their users see them."""

from __future__ import annotations

from typing import Any

import msgspec

from arcbook.errors import UnavailableError


class Credential(msgspec.Struct, frozen=True, kw_only=True):
    """A resolved credential. Its representation hides the data."""

    name: str
    type: str
    data: dict[str, Any]
    #: The secret it was issued for; empty if it was not issued.
    root: str = ""

    def __repr__(self) -> str:
        return f"Credential(name={self.name!r}, type={self.type!r}, data=***)"

    __str__ = __repr__


class CredentialError(UnavailableError):
    """A credential cannot be obtained. The message names its alias, never its data."""

    code = "credential"

    #: The noun in the message.
    noun = "credential"

    def __init__(self, alias: str, reason: str, *, retryable: bool = False) -> None:
        self.alias = alias
        self.reason = reason
        #: Whether trying again later may succeed.
        self.retryable = retryable
        super().__init__(f"{self.noun} {alias!r} {reason}")


class KeychainError(CredentialError):
    """A keychain entry cannot be obtained."""

    code = "keychain"

    noun = "keychain entry"
