"""What ``auth`` means, wherever a task writes it."""

from __future__ import annotations

from typing import Any

from arcbook.tools.api import Credential, ToolContext


async def resolved(auth: Any, context: ToolContext) -> Any:
    """Return the credential that ``auth`` names, or else what it is.

    An alias is a credential; so is a mapping with one, ``{credential: alias, ...}`` or
    ``{source: credential, key: alias}``, whose other fields win over those that are stored.

    Raises:
        CredentialError: it cannot be had.
    """
    if isinstance(auth, str) and auth:
        return await context.credential(auth)
    alias = _alias(auth)
    if not alias:
        return auth
    stored = await context.credential(alias)
    own = {k: v for k, v in auth.items() if k not in ("credential", "source", "key")}
    merged = {**stored.data, **own}
    return Credential(name=stored.name, type=str(auth.get("type") or stored.type), data=merged)


def _alias(auth: Any) -> str:
    """Return the alias that a mapping names, or nothing."""
    if not isinstance(auth, dict):
        return ""
    alias = auth.get("credential")
    if alias is None and auth.get("source") == "credential":
        alias = auth.get("key") or auth.get("name")
    return alias if isinstance(alias, str) else ""
