"""What a credential is to those who use one."""

from __future__ import annotations

from typing import Any

import msgspec

from arcbook.errors import UnavailableError


class Credential(msgspec.Struct, frozen=True, kw_only=True):
    """A resolved credential. Its text never shows what is in it."""

    name: str
    type: str
    data: dict[str, Any]
    #: The secret for which an issuer gave it; an empty text if it is one by itself.
    root: str = ""

    def __repr__(self) -> str:
        return f"Credential(name={self.name!r}, type={self.type!r}, data=***)"

    __str__ = __repr__


class CredentialError(UnavailableError):
    """A credential cannot be had. The message names its alias, never what is in it."""

    code = "credential"

    #: What a message calls it.
    what = "credential"

    def __init__(self, alias: str, reason: str, *, retryable: bool = False) -> None:
        self.alias = alias
        self.reason = reason
        #: Whether it may be had later.
        self.retryable = retryable
        super().__init__(f"{self.what} {alias!r} {reason}")


class KeychainError(CredentialError):
    """An entry of a playbook's keychain cannot be had."""

    code = "keychain"

    what = "keychain entry"
