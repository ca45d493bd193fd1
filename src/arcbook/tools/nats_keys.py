"""Keys of a bucket of NATS: how any text becomes one, and which are there."""

from __future__ import annotations

import re
from typing import Any, Final

ENCODED: Final = "=q="
"""Beginning of a key that had to be written in another form."""

PAGE_KEYS: Final = 500
"""Keys that are asked for at once."""

IDLE_SECONDS: Final = 30.0
"""How long the server waits for the next page before it forgets who asked."""

_PLAIN_KEY: Final = re.compile(r"[-/_=a-zA-Z0-9]+(\.[-/_=a-zA-Z0-9]+)*")
_SAFE: Final = frozenset(b"-/_0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz")
_REMOVED: Final = frozenset({"KV-Operation", "Nats-Marker-Reason"})
"""Headers of an entry that says that its key is gone: who removed it, or that it grew old."""


def encode_key(key: str) -> str:
    """Return a key as NATS takes it; one that NATS would refuse is written in another form."""
    if _PLAIN_KEY.fullmatch(key) and not key.startswith(ENCODED):
        return key
    return ENCODED + "".join(chr(b) if b in _SAFE else f"={b:02X}" for b in key.encode())


def decode_key(key: str) -> str:
    """Return the key that :func:`encode_key` was given."""
    if not key.startswith(ENCODED):
        return key
    text = key.removeprefix(ENCODED)
    raw = re.sub(r"=([0-9A-F]{2})", lambda m: chr(int(m[1], 16)), text)
    return raw.encode("latin-1").decode("utf-8", "replace")


async def list_keys(js: Any, bucket: str) -> list[str]:
    """Return the keys that a bucket holds, in no order.

    The client library's own list watches the bucket, and takes it for empty when the
    server has sent everything before the client has read anything. Pages that are asked
    for tell with each entry how many are left.

    Raises:
        nats.js.errors.NotFoundError: there is no such bucket.
    """
    from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy

    prefix, stream = f"$KV.{bucket}.", f"KV_{bucket}"
    config = ConsumerConfig(
        deliver_policy=DeliverPolicy.LAST_PER_SUBJECT,
        ack_policy=AckPolicy.NONE,
        headers_only=True,
        inactive_threshold=IDLE_SECONDS,
        mem_storage=True,
    )
    entries = await js.pull_subscribe(f"{prefix}>", stream=stream, config=config)
    try:
        there: dict[str, bool] = {}
        info = await entries.consumer_info()
        remaining = info.num_pending
        while remaining:
            for entry in await entries.fetch(min(remaining, PAGE_KEYS)):
                key = decode_key(entry.subject.removeprefix(prefix))
                there[key] = _REMOVED.isdisjoint(entry.headers or {})
                remaining = entry.metadata.num_pending
        await js.delete_consumer(stream, info.name)
    finally:
        await entries.unsubscribe()
    return [key for key, is_there in there.items() if is_there]
