"""Parse a step's ``loop``: over items, or over rows that a cursor claims."""

from __future__ import annotations

from arcbook.dsl import grammar
from arcbook.dsl.model import Cursor, Frame, Loop, LoopMode, OnError
from arcbook.dsl.parse.reader import Reader
from arcbook.dsl.source import MapNode, Node


def parse_loop(read: Reader, step: MapNode) -> Loop | None:
    """Return a step's loop, if it has one."""
    node = read.map(step, "loop")
    if node is None:
        return None
    read.known_keys(node, "loop")
    spec = read.map(node, "spec")
    if spec is not None:
        read.known_keys(spec, "loop_spec")
    iterator = read.text(node, "iterator") or ""
    if not iterator.isidentifier():
        place = node.key_position("iterator")
        message = "a loop needs 'iterator': the name of one item"
        read.error("ARC140", message, place, "write 'iterator: item'")
        iterator = "item"
    cursor = _cursor(read, node)
    default = LoopMode.CURSOR if cursor else LoopMode.SEQUENTIAL
    mode = read.choice(spec, "mode", LoopMode, default)
    items = node.get("in")
    _loop_source(read, node, mode, items, cursor)
    policy = spec.get("policy") if spec else None
    if isinstance(policy, MapNode):
        read.known_value(policy, "exec", grammar.EXECS)
        read.spelled(policy, grammar.LOOP_POLICY)
    return Loop(
        position=node.position,
        iterator=iterator,
        mode=mode,
        items=read.templated(items),
        cursor=cursor,
        max_in_flight=read.whole(spec, "max_in_flight", least=1) if spec else None,
        on_error=read.choice(spec, "on_error", OnError, OnError.FAIL),
        frame=_frame(read, spec),
    )


def _loop_source(
    read: Reader, node: MapNode, mode: LoopMode, items: Node | None, cursor: Cursor | None
) -> None:
    if mode is LoopMode.CURSOR:
        if cursor is None or not cursor.claim:
            hint = "write 'cursor: {kind: postgres, claim: <statement>}'"
            read.error(
                "ARC141", "a cursor loop needs a 'cursor' with a 'claim'", node.position, hint
            )
    elif items is None or items.value in (None, ""):
        hint = "write 'in: \"{{ name_of_a_list }}\"'"
        read.error("ARC142", f"a {mode} loop needs 'in': the items", node.position, hint)
    if items is not None and cursor is not None:
        message = "a loop has either 'in' or 'cursor', not both"
        read.error("ARC143", message, node.position, "remove one of them")


def _cursor(read: Reader, loop: MapNode) -> Cursor | None:
    node = read.map(loop, "cursor")
    if node is None:
        return None
    read.known_keys(node, "cursor")
    claim = read.text(node, "claim") or read.text(node, "query") or ""
    read.templated(node)
    return Cursor(
        position=node.position,
        kind=read.text(node, "kind") or "postgres",
        auth=read.value(node, "auth"),
        claim=claim,
        options=read.plain_map(node, "options"),
    )


def _frame(read: Reader, spec: MapNode | None) -> Frame:
    node = read.map(spec, "frame") if spec else None
    if node is None:
        return Frame()
    read.known_keys(node, "frame")
    process = read.text(node, "process") or "row"
    if process not in ("row", "frame"):
        place = node.key_position("process")
        read.error(
            "ARC144", f"'process' must be row or frame, not {process!r}", place, "write 'row'"
        )
    return Frame(
        position=node.position,
        rows_max=read.whole(node, "max_rows", least=1) or 1,
        row_concurrency=read.whole(node, "row_concurrency", least=1) or 1,
        process=process,
        lease_seconds=read.seconds(node, "lease_seconds", least=0),
        heartbeat_seconds=read.seconds(node, "heartbeat_seconds", least=0),
        attempts_max=read.whole(node, "max_attempts", least=1),
    )
