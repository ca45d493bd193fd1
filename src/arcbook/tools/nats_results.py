"""What the operations of ``nats`` yield, field by field."""

from __future__ import annotations

from typing import Final

_COMMON: Final = {
    "status": "`success`, or `not_found` where there is no such thing.",
    "operation": "The operation.",
}
_KEY: Final = {**_COMMON, "bucket": "The bucket.", "key": "The key."}
_NAME: Final = {**_COMMON, "bucket": "The bucket.", "name": "The object's name."}
_VALUE: Final = {"encoding": "`base64`, where bytes are no text."}
_DELETED: Final = {"deleted": "Whether there was something to delete."}
_LISTED: Final = {
    "count": "How many there are.",
    "truncated": "`true` where there are more than are listed.",
}
_OBJECT: Final = {
    **_NAME,
    "size": "Bytes.",
    "chunks": "Chunks that it is stored in.",
    "digest": "Digest of its bytes.",
    "description": "Its description.",
}

RESULTS: Final[dict[str, dict[str, str]]] = {
    "kv_get": {**_KEY, "value": "The value.", **_VALUE, "revision": "Its revision."},
    "kv_put": {**_KEY, "revision": "The new revision.", "bytes": "Size of the value."},
    "kv_delete": {**_KEY, **_DELETED},
    "kv_purge": {**_KEY, **_DELETED},
    "kv_keys": {**_COMMON, "bucket": "The bucket.", "keys": "The keys.", **_LISTED},
    "object_get": {**_OBJECT, "data": "The content.", **_VALUE},
    "object_put": _OBJECT,
    "object_delete": {**_NAME, **_DELETED},
    "object_list": {**_COMMON, "bucket": "The bucket.", "objects": "The objects.", **_LISTED},
    "object_info": _OBJECT,
    "js_publish": {
        **_COMMON,
        "stream": "The stream that took it.",
        "subject": "The subject.",
        "seq": "Its number in the stream.",
        "duplicate": "Whether the stream had it already.",
    },
    "js_consume": {
        **_COMMON,
        "stream": "The stream.",
        "consumer": "The durable consumer.",
        "messages": "The messages: `data`, `subject`, `headers`, `seq`, `delivered`, `timestamp`.",
        "count": "How many there are.",
        "acked": "How many are acknowledged.",
    },
    "js_get_msg": {
        **_COMMON,
        "stream": "The stream.",
        "seq": "Its number.",
        "subject": "Its subject.",
        "data": "Its content.",
        **_VALUE,
        "headers": "Its headers.",
    },
    "js_create": {
        **_COMMON,
        "stream": "The stream.",
        "subjects": "Its subjects.",
        "created": "Whether there was none.",
    },
    "js_purge": {
        **_COMMON,
        "stream": "The stream.",
        "purged": "How many messages went.",
        "messages": "How many are left.",
    },
    "publish": {**_COMMON, "subject": "The subject.", "bytes": "Size of the message."},
    "request": {
        **_COMMON,
        "subject": "The subject.",
        "data": "The answer.",
        **_VALUE,
        "headers": "Its headers.",
    },
    "server_info": {
        **_COMMON,
        "server_name": "Its name.",
        "version": "Its version.",
        "cluster": "Its cluster.",
        "jetstream": "Whether JetStream is on.",
        "max_payload": "Size of the largest message.",
        "auth_required": "Whether it asks who connects.",
    },
    "js_stream_info": {
        **_COMMON,
        "stream": "The stream.",
        "subjects": "Its subjects.",
        "messages": "How many messages it has.",
        "bytes": "How many bytes.",
        "first_seq": "Number of the first.",
        "last_seq": "Number of the last.",
        "consumer_count": "How many consumers it has.",
        "state": "`messages` and `bytes` once more.",
    },
}
"""By operation."""
