"""Keychains: the secrets that a playbook declares; only workers know their values."""

from __future__ import annotations

from typing import Any, Final

from arcbook.dsl.model import KeychainEntry
from arcbook.owner.plans import Planned
from arcbook.secrets.keychain import PER_EXECUTION
from arcbook.server.http.route import Call, Route, an_id
from arcbook.wire.http.keychain import KeychainFound, KeychainItem, KeychainView

SHOWN_CHARACTERS_MAX: Final = 200


async def keychain(call: Call) -> KeychainView:
    """Return the keychain of one version of a playbook."""
    planned = await _planned(call)
    entries = [_item(entry) for entry in planned.plan.playbook.keychain]
    return KeychainView(
        catalog_id=str(planned.entry.catalog_id),
        path=planned.entry.path,
        version=planned.entry.version,
        entries=entries,
        count=len(entries),
    )


async def keychain_entry(call: Call) -> KeychainFound:
    """Return whether the keychain has an entry, and its declaration."""
    planned = await _planned(call)
    name = call.param("name")
    entry = next((e for e in planned.plan.playbook.keychain if e.name == name), None)
    return KeychainFound(
        status="not_found" if entry is None else "found",
        catalog_id=str(planned.entry.catalog_id),
        keychain_name=name,
        entry=None if entry is None else _item(entry),
    )


async def _planned(call: Call) -> Planned:
    catalog_id = an_id(call.param("catalog_id"), "catalog_id")
    return await call.context.server.plans.find(catalog_id=catalog_id)


def _item(entry: KeychainEntry) -> KeychainItem:
    config = entry.config
    return KeychainItem(
        keychain_name=entry.name,
        kind=entry.kind,
        scope_type="execution" if config.get("scope") in PER_EXECUTION else "global",
        ttl_seconds=_number(config.get("ttl_seconds") or config.get("ttl")),
        provider=_text(config.get("provider")),
        credential=_text(config.get("credential") or config.get("ref")),
    )


def _number(value: Any) -> float | None:
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return float(value) if is_number else None


def _text(value: Any) -> str | None:
    return value[:SHOWN_CHARACTERS_MAX] if isinstance(value, str) else None


ITEM: Final[dict[str, Any]] = {
    "keychain_name": "api",
    "kind": "secrets",
    "scope_type": "global",
    "ttl_seconds": 600.0,
    "provider": "vault",
    "credential": None,
}

ROUTES: Final = [
    Route(
        method="GET",
        path="/api/keychain/catalog/{catalog_id}",
        handler=keychain,
        tag="keychain",
        summary="The secrets that a playbook declares",
        description="For one version of a playbook, by its catalog id: kinds and names, but no "
        "secret values.",
        answer=KeychainView,
        answer_example={
            "catalog_id": "383401759197892600",
            "path": "examples/hello",
            "version": 1,
            "entries": [ITEM],
            "count": 1,
        },
        refusals=(400, 404, 422),
    ),
    Route(
        method="GET",
        path="/api/keychain/{catalog_id}/{name}",
        handler=keychain_entry,
        tag="keychain",
        summary="Whether a playbook declares a secret",
        description="`data` is always null: the worker that needs a secret fetches it and keeps it "
        "in memory only; the API neither reads nor writes it.",
        answer=KeychainFound,
        answer_example={
            "status": "found",
            "catalog_id": "383401759197892600",
            "keychain_name": "api",
            "entry": ITEM,
            "data": None,
        },
        refusals=(400, 404, 422),
    ),
]
