"""``keychain`` as templates see it: secrets, fetched on first use.

Only workers hold secrets. As with data stored by reference, reading one that has not been
fetched requests it by name, and the template is rendered again once it has arrived.
"""

from __future__ import annotations

from typing import Any

from arcbook.template.access import MISSING, View, attribute
from arcbook.template.errors import TemplateError


class SecretNeededError(Exception):
    """A template reads a secret that has not been fetched; the caller fetches it."""

    def __init__(self, name: str) -> None:
        self.name = name
        super().__init__(name)


class SecretUnavailableError(TemplateError):
    """A secret is unavailable.

    Attributes:
        retryable: whether it may become available later.
    """

    code = "secret_unavailable"

    def __init__(self, reason: str, *, retryable: bool = False) -> None:
        self.retryable = retryable
        super().__init__(reason)


Opened = dict[str, dict[str, Any] | SecretUnavailableError]
"""Fetched secrets by name, or the reason why one is unavailable."""


class KeychainView(View):
    """``keychain``: secrets by name."""

    __slots__ = ("opened",)

    def __init__(self, opened: Opened) -> None:
        self.opened = opened

    def name(self, key: str) -> Any:
        secret = self.opened.get(key)
        if secret is None:
            raise SecretNeededError(key)
        if isinstance(secret, SecretUnavailableError):
            raise secret
        return SecretView(key, secret)

    def plain(self) -> Any:
        raise TemplateError("'keychain' has no value of its own: name an entry and its field")


class SecretView(View):
    """One secret. Reading a field that it lacks is an error, never an empty string."""

    __slots__ = ("entry", "fields")

    def __init__(self, entry: str, fields: dict[str, Any]) -> None:
        self.entry = entry
        self.fields = fields

    def name(self, key: str) -> Any:
        value = attribute(self.fields, key)
        if value is MISSING:
            field_names = ", ".join(sorted(self.fields)) or "none"
            raise SecretUnavailableError(
                f"keychain entry {self.entry!r} has no field {key!r}; its fields are {field_names}"
            )
        return value

    def plain(self) -> Any:
        return self.fields
