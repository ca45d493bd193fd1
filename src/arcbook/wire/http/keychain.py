"""Keychains of playbooks on the wire: what is declared, never what it stands for."""

from __future__ import annotations

import msgspec


class KeychainItem(msgspec.Struct, frozen=True, kw_only=True):
    """An entry of a playbook's keychain, as declared."""

    keychain_name: str
    kind: str
    #: ``global``, or ``execution`` where each execution has a secret of its own.
    scope_type: str
    ttl_seconds: float | None
    #: The secret manager that is asked, for entries of one.
    provider: str | None
    #: The stored credential that it stands for, or its template.
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
    #: Nothing, always: a secret is fetched by the worker that needs it, and stays there.
    data: None = None
