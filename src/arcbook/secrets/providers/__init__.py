"""Secret managers: each by its own client library, imported where it is used.

The libraries block, so each call has a thread of its own. What goes wrong is told by the
name of its class: messages of the libraries may quote what was asked.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from importlib import import_module
from typing import Any, Final

import msgspec

from arcbook.secrets.api import Credential, KeychainError

FETCH_SECONDS: Final = 30.0
"""Time that a secret manager has to answer."""

PROVIDERS: Final = {
    "aws": ("aws", "aws"),
    "azure": ("azure", "azure"),
    "gcp": ("gcp", "gcp"),
    "google": ("gcp", "gcp"),
    "k8s": ("kubernetes", "kubernetes"),
    "kubernetes": ("kubernetes", "kubernetes"),
    "vault": ("vault", "vault"),
}
"""Modules of the providers, and the extras that bring their libraries."""

PASSING: Final = (
    "timeout",
    "unavailable",
    "throttl",
    "toomanyrequests",
    "connection",
    "deadlineexceeded",
    "maxretry",
    "servicerequest",
    "serviceresponse",
    "vaultdown",
    "internalservererror",
)
"""Parts of the names of errors that may pass."""

NOT_FOUND: Final = 404

SERVERS_FAULT: Final = 500

Read = Callable[[str, dict[str, Any], dict[str, Any]], str]


async def fetched(name: str, path: str, config: dict[str, Any], auth: Credential | None) -> str:
    """Return the text that a secret manager keeps under a path.

    Args:
        name: the entry that asks.
        path: the path, as its provider writes it; ``#key`` takes a field of JSON.
        config: the entry: ``provider``, ``region``, and what else its provider takes.
        auth: the credential by which it asks; else what the worker's surroundings give.

    Raises:
        KeychainError: it cannot be had.
    """
    provider = str(config.get("provider") or "gcp").lower()
    found = PROVIDERS.get(provider)
    if found is None:
        known = ", ".join(sorted(PROVIDERS))
        raise KeychainError(name, f"has provider {provider!r}; known are {known}")
    module, extra = found
    _check_residency(name, config)
    fields = auth.data if auth is not None else {}
    read: Read = import_module(f"arcbook.secrets.providers.{module}").read
    call = asyncio.wait_for(asyncio.to_thread(read, path, config, fields), FETCH_SECONDS)
    # Whatever a library raises comes back as a value, and leaves here by its name only.
    (text,) = await asyncio.gather(call, return_exceptions=True)
    if isinstance(text, ImportError):
        advice = f"pip install 'arcbook[{extra}]'"
        raise KeychainError(name, f"needs {text.name}: {advice}")
    if isinstance(text, BaseException):
        raise _refused(name, provider, text)
    if not text:
        raise KeychainError(name, f"is empty at {provider}")
    return text


def _refused(name: str, provider: str, error: BaseException) -> KeychainError:
    status = _status(error)
    if isinstance(error, LookupError) or status == NOT_FOUND:
        return KeychainError(name, f"is not at {provider}, or has no such key")
    kind = type(error).__name__
    code = getattr(error, "response", None)
    if isinstance(code, dict):
        kind = str(code.get("Error", {}).get("Code") or kind)
    may_pass = status in (408, 429) or status >= SERVERS_FAULT
    may_pass = may_pass or any(part in kind.lower() for part in PASSING)
    return KeychainError(name, f"cannot be had from {provider}: {kind}", retryable=may_pass)


def _status(error: BaseException) -> int:
    """Return the status of HTTP that an error of a library tells, wherever it does; else 0."""
    found = (getattr(error, name, None) for name in ("status", "status_code", "code"))
    return next((int(value) for value in found if isinstance(value, int)), 0)


def _check_residency(name: str, config: dict[str, Any]) -> None:
    """Refuse a region that the entry does not allow, before anything is asked."""
    allowed, region = config.get("allowed_regions"), config.get("region")
    if isinstance(allowed, list) and region and region not in allowed:
        raise KeychainError(name, f"may not come from region {region!r}")


def picked(text: str, key: str) -> str:
    """Return a field of JSON, or the text itself where no field is asked for.

    Raises:
        LookupError: there is no such field.
    """
    if not key:
        return text
    try:
        found: Any = msgspec.json.decode(text)
    except msgspec.DecodeError:
        raise LookupError(key) from None
    for part in key.split("."):
        found = found.get(part) if isinstance(found, dict) else None
        if found is None:
            raise LookupError(key)
    return found if isinstance(found, str) else msgspec.json.encode(found).decode()


def first(fields: dict[str, Any], *names: str) -> str | None:
    """Return what is written under one of some names."""
    found = (fields.get(name) for name in names)
    return next((str(value) for value in found if value not in (None, "")), None)
