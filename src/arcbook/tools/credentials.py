"""What ``auth`` means, wherever a task writes it."""

from __future__ import annotations

from typing import Any

from arcbook.tools.api import Credential, ToolContext


async def resolved(auth: Any, context: ToolContext) -> Any:
    """Return the credential that ``auth`` names, or else what it is.

    An alias is a credential; so is a mapping with one, ``{credential: alias, ...}``, whose
    other fields win over those that are stored.

    Raises:
        CredentialError: it cannot be had.
    """
    if isinstance(auth, str) and auth:
        return await context.credential(auth)
    if not isinstance(auth, dict) or not isinstance(auth.get("credential"), str):
        return auth
    stored = await context.credential(auth["credential"])
    merged = {**stored.data, **{k: v for k, v in auth.items() if k != "credential"}}
    return Credential(name=stored.name, type=str(auth.get("type") or stored.type), data=merged)
