"""What repeating an operation of ``nats`` does."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from arcbook.tools.api import Effects

NATS_EFFECTS: Final = (Effects.NONE, Effects.IDEMPOTENT, Effects.KEYED, Effects.ONCE)

_READING: Final = frozenset(
    [
        "kv_get",
        "kv_keys",
        "object_get",
        "object_list",
        "object_info",
        "js_get_msg",
        "js_stream_info",
        "server_info",
    ]
)


_CHANGING: Final = {
    "js_create": Effects.IDEMPOTENT,
    "js_publish": Effects.KEYED,
    "js_purge": Effects.IDEMPOTENT,
    "kv_delete": Effects.IDEMPOTENT,
    "kv_purge": Effects.IDEMPOTENT,
    "kv_put": Effects.IDEMPOTENT,
    "object_delete": Effects.IDEMPOTENT,
    "object_put": Effects.IDEMPOTENT,
}
"""What is in neither table, such as ``request``, does what whoever answers does."""


def effects_of(config: Mapping[str, Any]) -> Effects:
    """Return what repeating an operation does."""
    operation = str(config.get("operation") or "")
    if operation in _READING:
        return Effects.NONE
    if operation == "js_consume":
        # What is acknowledged does not come a second time.
        return Effects.IDEMPOTENT if config.get("ack") is False else Effects.ONCE
    return _CHANGING.get(operation, Effects.ONCE)


def summary(config: Mapping[str, Any]) -> str:
    """Say which operation a call performs, and on what."""
    names = ("bucket", "key", "name", "object", "stream", "subject")
    subjects = [str(config[name]) for name in names if config.get(name) is not None]
    return " ".join([str(config.get("operation")), *subjects])
