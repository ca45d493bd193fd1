"""Checks of ``kind: Subscription`` documents, which name a source of messages."""

from __future__ import annotations

from typing import Final

from arcbook.dsl.diagnostics import Report, did_you_mean
from arcbook.dsl.parse.reader import shown
from arcbook.dsl.source import ListNode, MapNode, Node

SOURCES: Final = ("kafka", "nats", "pubsub", "webhook")
MODES: Final = ("pull", "push")
VERIFY_TYPES: Final = {
    "bearer": ("secret",),
    "hmac_sha256": ("header", "secret"),
    "pubsub_oidc": ("audience", "service_account"),
}
SPOOL_MODES: Final = ("buffer_and_ack", "hybrid", "off")
SPOOL_BACKENDS: Final = {
    "gcs": "bucket",
    "local_disk": "path",
    "nats_object": "bucket",
    "s3": "bucket",
}
ORDERINGS: Final = ("global", "none", "per_key")
BATCH_MAX: Final = 1000


def check_subscription(root: MapNode, report: Report) -> None:
    """Note everything that is wrong with a subscription."""
    _Checker(report).run(root)


class _Checker:
    def __init__(self, report: Report) -> None:
        self.report = report

    def run(self, root: MapNode) -> None:
        metadata = root.get("metadata")
        if not isinstance(metadata, MapNode) or not (metadata.get("path") or metadata.get("name")):
            self._error("ARC104", "metadata needs a 'name' or a 'path'", root, "write 'name'")
        spec = root.get("spec")
        if not isinstance(spec, MapNode):
            self._error("ARC110", "a subscription needs 'spec'", root, "write 'spec'")
            return
        self._one_of(spec, "source", SOURCES, "ARC601", required=True)
        mode = self._one_of(spec, "mode", MODES, "ARC601", required=True)
        if mode == "pull":
            self._one_of(spec, "activation", ("continuous", "scheduled"), "ARC112")
        elif mode == "push":
            self._ingress(spec)
        self._dispatch(spec)
        self._numbers(spec)
        self._directives(spec)
        self._spool(spec)

    def _dispatch(self, spec: MapNode) -> None:
        dispatch = spec.get("dispatch")
        playbook = dispatch.get("playbook") if isinstance(dispatch, MapNode) else None
        if playbook is None or not isinstance(playbook.value, str) or not playbook.value.strip():
            place = dispatch or spec
            self._error(
                "ARC602",
                "'dispatch.playbook' must name the playbook to start",
                place,
                "write its path",
            )
        if not isinstance(dispatch, MapNode):
            return
        batch = dispatch.get("batch_dispatch")
        if batch is not None and not isinstance(batch.value, bool):
            self._error(
                "ARC103", "'batch_dispatch' must be true or false", batch, "write 'true' or 'false'"
            )
        most = dispatch.get("batch_max")
        if most is not None and not (_is_number(most) and 1 <= most.value <= BATCH_MAX):
            self._error(
                "ARC605",
                f"'batch_max' must be 1 to {BATCH_MAX}",
                most,
                f"write at most {BATCH_MAX}",
            )

    def _ingress(self, spec: MapNode) -> None:
        ingress = spec.get("ingress")
        if not isinstance(ingress, MapNode):
            self._error("ARC603", "a pushed subscription needs 'ingress'", spec, "write 'ingress'")
            return
        path = ingress.get("gateway_path")
        if path is None or not str(path.value).startswith("/"):
            self._error(
                "ARC603",
                "'ingress.gateway_path' must begin with '/'",
                path or ingress,
                "write '/name'",
            )
        verify = ingress.get("verify")
        kind = verify.get("type") if isinstance(verify, MapNode) else None
        if not isinstance(verify, MapNode) or kind is None or str(kind.value) not in VERIFY_TYPES:
            names = ", ".join(VERIFY_TYPES)
            self._error(
                "ARC603",
                f"'ingress.verify.type' must be one of {names}",
                verify or ingress,
                f"write one of {names}",
            )
            return
        for key in VERIFY_TYPES[str(kind.value)]:
            if verify.get(key) is None:
                self._error(
                    "ARC603",
                    f"verification by {kind.value} needs {key!r}",
                    verify,
                    f"write {key!r}",
                )

    def _numbers(self, spec: MapNode) -> None:
        for group, keys in (
            ("limits", ("max_in_flight", "max_dispatch_per_sec")),
            ("dedup", ("window_secs",)),
        ):
            node = spec.get(group)
            for key in keys if isinstance(node, MapNode) else ():
                value = node.get(key) if isinstance(node, MapNode) else None
                if value is not None and not (_is_number(value) and value.value > 0):
                    self._error(
                        "ARC605",
                        f"'{group}.{key}' must be a positive number",
                        value,
                        "write a number above 0",
                    )

    def _directives(self, spec: MapNode) -> None:
        headers = spec.get("headers")
        directives = headers.get("directives") if isinstance(headers, MapNode) else None
        for directive in directives.value if isinstance(directives, ListNode) else ():
            for key in ("header", "controls"):
                if not isinstance(directive, MapNode) or directive.get(key) is None:
                    self._error(
                        "ARC606", f"a header directive needs {key!r}", directive, f"write {key!r}"
                    )

    def _spool(self, spec: MapNode) -> None:
        spool = spec.get("spool")
        if not isinstance(spool, MapNode):
            return
        mode = self._one_of(spool, "mode", SPOOL_MODES, "ARC604")
        if mode in (None, "off"):
            return
        backend = self._one_of(spool, "backend", tuple(SPOOL_BACKENDS), "ARC604") or "nats_object"
        required_key = SPOOL_BACKENDS.get(backend)
        if required_key and spool.get(required_key) is None:
            self._error(
                "ARC604",
                f"a spool on {backend} needs {required_key!r}",
                spool,
                f"write {required_key!r}",
            )
        ordering = self._one_of(spool, "ordering", ORDERINGS, "ARC604")
        drain = spool.get("drain")
        recovery = drain.get("on_recovery") if isinstance(drain, MapNode) else None
        if ordering == "global" and recovery is not None and recovery.value == "interleave":
            self._error(
                "ARC604",
                "global ordering and interleaving exclude each other",
                recovery,
                "choose one",
            )

    def _one_of(
        self,
        node: MapNode,
        key: str,
        choices: tuple[str, ...],
        code: str,
        *,
        required: bool = False,
    ) -> str | None:
        entry = node.get(key)
        if entry is None:
            if required:
                names = ", ".join(choices)
                message = f"{key!r} is required: one of {names}"
                self._error(code, message, node, f"write one of {names}")
            return None
        if entry.value in choices:
            return str(entry.value)
        names = ", ".join(choices)
        hint = did_you_mean(str(entry.value), choices) or f"write one of {names}"
        message = f"{key!r} must be one of {names}, not {shown(entry)}"
        self.report.error(code, message, entry.position, hint)
        return None

    def _error(self, code: str, message: str, node: Node, hint: str) -> None:
        self.report.error(code, message, node.position, hint)


def _is_number(node: Node) -> bool:
    return isinstance(node.value, (int, float)) and not isinstance(node.value, bool)
