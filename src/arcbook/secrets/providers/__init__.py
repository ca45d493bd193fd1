"""Secret managers, each through its own client library, imported on use.

The libraries block, so each call runs in a thread. Their errors are reported by class name only,
because the messages may quote the request.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from importlib import import_module
from typing import Any, Final

import msgspec

from arcbook.secrets.api import Credential, KeychainError

FETCH_SECONDS: Final = 30.0
"""Time limit for a secret manager's answer."""

PROVIDERS: Final = {
    "aws": ("aws", "aws"),
    "azure": ("azure", "azure"),
    "gcp": ("gcp", "gcp"),
    "google": ("gcp", "gcp"),
    "k8s": ("kubernetes", "kubernetes"),
    "kubernetes": ("kubernetes", "kubernetes"),
    "vault": ("vault", "vault"),
}
"""Modules of the providers, and the extras that install them."""

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
"""Parts of the names of temporary errors."""

NOT_FOUND: Final = 404

SERVERS_FAULT: Final = 500

Read = Callable[[str, dict[str, Any], dict[str, Any]], str]


async def fetched(name: str, path: str, config: dict[str, Any], auth: Credential | None) -> str:
    """Return the text stored under a path in a secret manager.

    Args:
        name: the name of the keychain entry.
        path: the path, in the syntax of its provider; ``#key`` selects a JSON field.
        config: the entry: ``provider``, ``region``, and other fields of its provider.
        auth: the credential for the provider; by default the worker's environment.

    Raises:
        KeychainError: it cannot be obtained.
    """
    provider = str(config.get("provider") or "gcp").lower()
    provider_module = PROVIDERS.get(provider)
    if provider_module is None:
        known = ", ".join(sorted(PROVIDERS))
        raise KeychainError(name, f"has provider {provider!r}; known are {known}")
    module, extra = provider_module
    _check_residency(name, config)
    fields = auth.data if auth is not None else {}
    read: Read = import_module(f"arcbook.secrets.providers.{module}").read
    call = asyncio.wait_for(asyncio.to_thread(read, path, config, fields), FETCH_SECONDS)
    # A library's error comes back as a value, and is reported by its class name only.
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
    return KeychainError(name, f"cannot be fetched from {provider}: {kind}", retryable=may_pass)


def _status(error: BaseException) -> int:
    """Return the HTTP status of a library's error; 0 if it has none."""
    codes = (getattr(error, name, None) for name in ("status", "status_code", "code"))
    return next((int(value) for value in codes if isinstance(value, int)), 0)


def _check_residency(name: str, config: dict[str, Any]) -> None:
    """Refuse a region that the entry does not allow, before any request."""
    allowed, region = config.get("allowed_regions"), config.get("region")
    if isinstance(allowed, list) and region and region not in allowed:
        raise KeychainError(name, f"may not come from region {region!r}")


def picked(text: str, key: str) -> str:
    """Return a JSON field, or the text itself if no field is requested.

    Raises:
        LookupError: the field does not exist.
    """
    if not key:
        return text
    try:
        value: Any = msgspec.json.decode(text)
    except msgspec.DecodeError:
        raise LookupError(key) from None
    for part in key.split("."):
        value = value.get(part) if isinstance(value, dict) else None
        if value is None:
            raise LookupError(key)
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def first(fields: dict[str, Any], *names: str) -> str | None:
    """Return the first non-empty field among some names."""
    values = (fields.get(name) for name in names)
    return next((str(value) for value in values if value not in (None, "")), None)
