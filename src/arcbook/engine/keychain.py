"""``keychain`` as templates see it: secrets that are fetched when a template asks for them.

Only the worker has them. What a template mentions is asked for by name, as data that is
kept by reference is, and the template is rendered again once it is there.
"""

from __future__ import annotations

from typing import Any

from arcbook.template.access import MISSING, View, attribute
from arcbook.template.errors import TemplateError


class SecretNeededError(Exception):
    """A template reads a secret that was not fetched yet: the caller fetches it."""

    def __init__(self, name: str) -> None:
        self.name = name
        super().__init__(name)


class SecretUnavailableError(TemplateError):
    """A secret cannot be had.

    Attributes:
        retryable: whether it may be had later.
    """

    code = "secret_unavailable"

    def __init__(self, reason: str, *, retryable: bool = False) -> None:
        self.retryable = retryable
        super().__init__(reason)


Opened = dict[str, dict[str, Any] | SecretUnavailableError]
"""Secrets that were fetched, by name; or why one cannot be had."""


class KeychainView(View):
    """``keychain``: secrets by name."""

    __slots__ = ("opened",)

    def __init__(self, opened: Opened) -> None:
        self.opened = opened

    def name(self, key: str) -> Any:
        found = self.opened.get(key)
        if found is None:
            raise SecretNeededError(key)
        if isinstance(found, SecretUnavailableError):
            raise found
        return SecretView(key, found)

    def plain(self) -> Any:
        raise TemplateError("'keychain' as a whole is no value: name an entry and its field")


class SecretView(View):
    """One secret: its fields. One that is not there is an error, never an empty text."""

    __slots__ = ("entry", "fields")

    def __init__(self, entry: str, fields: dict[str, Any]) -> None:
        self.entry = entry
        self.fields = fields

    def name(self, key: str) -> Any:
        found = attribute(self.fields, key)
        if found is MISSING:
            known = ", ".join(sorted(self.fields)) or "none"
            raise SecretUnavailableError(
                f"keychain entry {self.entry!r} has no field {key!r}; its fields are {known}"
            )
        return found

    def plain(self) -> Any:
        return self.fields
