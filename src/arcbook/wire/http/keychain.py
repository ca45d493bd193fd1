"""Requests and answers about the keychains of playbooks: the declarations, never the secrets."""

from __future__ import annotations

import msgspec


class KeychainItem(msgspec.Struct, frozen=True, kw_only=True):
    """A declared entry of a playbook's keychain."""

    keychain_name: str
    kind: str
    #: ``global``, or ``execution`` if each execution gets its own secret.
    scope_type: str
    ttl_seconds: float | None
    #: The secret manager, for entries that name one.
    provider: str | None
    #: The stored credential that it refers to, or its template.
    credential: str | None


class KeychainView(msgspec.Struct, frozen=True, kw_only=True):
    """The keychain of one version of a playbook."""

    catalog_id: str
    path: str
    version: int
    entries: list[KeychainItem]
    count: int


class KeychainFound(msgspec.Struct, frozen=True, kw_only=True):
    """Whether a playbook's keychain has an entry."""

    #: ``found`` or ``not_found``.
    status: str
    catalog_id: str
    keychain_name: str
    entry: KeychainItem | None
    #: Always absent: secrets are only fetched by the workers that need them.
    data: None = None
