"""Parse a whole document: header, workload, keychain, executor and workflow."""

from __future__ import annotations

from typing import Any

import msgspec

from arcbook.dsl import grammar
from arcbook.dsl.diagnostics import did_you_mean
from arcbook.dsl.kinds import Kinds
from arcbook.dsl.mistaken import repair_of
from arcbook.dsl.model import KeychainEntry, Playbook, Step
from arcbook.dsl.parse.reader import Reader, unknown_key
from arcbook.dsl.parse.shapes import check_shapes
from arcbook.dsl.parse.steps import parse_steps
from arcbook.dsl.paths import catalog_path
from arcbook.dsl.source import ListNode, MapNode, Node, Position


def parse_playbook(read: Reader, root: MapNode) -> Playbook | None:
    """Return the playbook, or ``None`` if it has no usable shape."""
    _header(read, root)
    metadata = read.map(root, "metadata", required=True)
    read.spelled(metadata, grammar.METADATA)
    name = read.text(metadata, "name") if metadata else None
    path = read.text(metadata, "path") if metadata else None
    if metadata is not None and not (name or path):
        read.error(
            "ARC104", "metadata needs a 'name' or a 'path'", metadata.position, "write 'name'"
        )
    workbook = root.get("workbook")
    if isinstance(workbook, ListNode):
        for shared in read.maps(workbook, "a workbook entry"):
            read.known_keys(shared, "workbook")
    steps = parse_steps(read, root)
    executor = _executor(read, root)
    if executor.get("call_timeout") is not None:
        limit = executor["call_timeout"]
        steps = tuple(_with_timeout(step, limit, read.kinds) for step in steps)
    known = {s.name for s in steps}
    entry = executor.get("entry_step") or ("start" if "start" in known else None)
    labels = metadata.get("labels") if metadata else None
    keychain = _keychain(read, root)
    output = read.templated(root.get("output"))
    _workload_templates(read, root.get("workload"))
    check_shapes(read, root)
    if not steps:
        return None
    return Playbook(
        position=root.position,
        name=name or path or "playbook",
        path=catalog_path(path or name or "") or "playbook",
        version=str(read.scalar(metadata, "version") or ""),
        description=read.text(metadata, "description") or "" if metadata else "",
        labels=labels.plain() if isinstance(labels, MapNode) else {},
        workload=read.plain_map(root, "workload"),
        data=_root_data(root),
        keychain=keychain,
        steps=steps,
        entry=entry or steps[0].name,
        final=executor.get("final_step"),
        no_next_is_error=bool(executor.get("no_next_is_error")),
        output=output,
        timeout=executor.get("timeout"),
        places=executor.get("places", {}) | _workload_places(root.get("workload")),
    )


def _header(read: Reader, root: MapNode) -> None:
    version = root.get("apiVersion")
    if version is None:
        read.error(
            "ARC101",
            "the document has no 'apiVersion'",
            root.position,
            "write 'apiVersion: noetl.io/v2'",
        )
    elif version.value not in grammar.API_VERSIONS:
        message = f"apiVersion {version.value!r} is not known"
        read.error("ARC101", message, version.position, "write 'noetl.io/v2'")
    kind = root.get("kind")
    if kind is None:
        read.error("ARC102", "the document has no 'kind'", root.position, "write 'kind: Playbook'")
    elif kind.value not in ("Playbook", "Agent"):
        message = f"kind {kind.value!r} is not a playbook"
        read.error("ARC102", message, kind.position, "write 'Playbook'")
    for key, node in root.items():
        if key in grammar.PLAYBOOK or (isinstance(node, MapNode) and _is_data(read, key)):
            continue
        unknown_key(read.report, key, root, "playbook", grammar.PLAYBOOK)


def _is_data(read: Reader, key: str) -> bool:
    """Return whether a mapping at the root is data for templates, not a misspelt key."""
    if not repair_of(key, "playbook", grammar.PLAYBOOK):
        return True
    return any(f"{key}." in line or f"{key}[" in line for line in read.lines)


def _executor(read: Reader, root: MapNode) -> dict[str, Any]:
    node = read.map(root, "executor")
    if node is None:
        return {}
    read.known_keys(node, "executor")
    read.one_of(node, "profile", grammar.PROFILES)
    _check_requires(read, node)
    spec = read.map(node, "spec")
    if spec is None:
        return {}
    read.known_keys(spec, "executor_spec")
    found: dict[str, Any] = {
        "entry_step": read.text(spec, "entry_step"),
        "final_step": read.text(spec, "final_step"),
        "no_next_is_error": read.flag(spec, "no_next_is_error"),
        "timeout": read.time_limit(spec, "timeout"),
        "call_timeout": _call_timeout(read, spec),
        "places": {key: child.position for key, child in spec.items()},
    }
    return found


def _check_requires(read: Reader, node: MapNode) -> None:
    """Warn about tools that a playbook requires and that do not exist."""
    requires = node.get("requires")
    tools = requires.get("tools") if isinstance(requires, MapNode) else None
    for tool in tools.value if isinstance(tools, ListNode) else ():
        if isinstance(tool.value, str) and read.kinds.kind(tool.value) is None:
            message = f"there is no tool kind {tool.value!r}, which the playbook requires"
            hint = did_you_mean(tool.value, read.kinds.names()) or "remove it, or install its tool"
            read.warning("ARC401", message, tool.position, hint)


def _call_timeout(read: Reader, spec: MapNode) -> Any:
    """Return the default timeout of a call."""
    policy = read.map(spec, "policy")
    defaults = read.map(policy, "defaults") if policy else None
    read.spelled(policy, grammar.EXECUTOR_POLICY)
    read.spelled(defaults, grammar.CALL_DEFAULTS)
    return read.seconds(defaults, "timeout_s", least=0) if defaults else None


def _with_timeout(step: Step, seconds: Any, kinds: Kinds) -> Step:
    """Apply the default timeout to a step's calls, except those that wait outside a worker."""
    tasks = tuple(
        task
        if task.timeout is not None or ((kind := kinds.kind(task.kind)) and kind.waits)
        else msgspec.structs.replace(task, timeout=seconds)
        for task in step.tasks
    )
    return msgspec.structs.replace(step, tasks=tasks)


def _keychain(read: Reader, root: MapNode) -> tuple[KeychainEntry, ...]:
    node = root.get("keychain")
    if node is None or node.value is None:
        return ()
    if not isinstance(node, ListNode):
        read.error(
            "ARC103",
            f"'keychain' must be a list, not {node.kind}",
            node.position,
            "write '- name: ...'",
        )
        return ()
    entries: list[KeychainEntry] = []
    for child in node.value:
        if not isinstance(child, MapNode):
            read.error(
                "ARC103",
                f"a keychain entry must be a mapping, not {child.kind}",
                child.position,
                "write 'name' and 'kind'",
            )
            continue
        name = read.text(child, "name", required=True)
        kind = read.text(child, "kind") or _keychain_kind(child)
        read.templated(child)
        read.known_value(child, "kind", grammar.SECRET_KINDS)
        read.spelled(child, grammar.SECRET_KEYS)
        for key, values in grammar.SECRET_VALUES.items():
            read.known_value(child, key, values)
        if name:
            config = {k: v for k, v in child.plain().items() if k not in ("name", "kind")}
            entries.append(
                KeychainEntry(position=child.position, name=name, kind=kind, config=config)
            )
    return tuple(entries)


def _workload_templates(read: Reader, node: Node | None) -> None:
    if node is None or node.value is None:
        return
    if not isinstance(node, MapNode):
        read.error(
            "ARC103",
            f"'workload' must be a mapping, not {node.kind}",
            node.position,
            "write 'name: value'",
        )
        return
    read.templated(node)


def _workload_places(node: Node | None) -> dict[str, Position]:
    """Return the positions of the workload's keys, each as ``workload.KEY``."""
    keys = node.value if isinstance(node, MapNode) else ()
    return {f"workload.{key}": node.key_position(key) for key in keys if isinstance(node, MapNode)}


def _root_data(root: MapNode) -> dict[str, Any]:
    """Return the unknown mappings at the root, which are data for templates."""
    return {
        key: node.plain()
        for key, node in root.items()
        if key not in grammar.PLAYBOOK and isinstance(node, MapNode)
    }


def _keychain_kind(node: MapNode) -> str:
    if node.get("provider") is not None:
        return "secrets"
    if node.get("credential") is not None or node.get("ref") is not None:
        return "credential"
    kind = node.get("type")
    return str(kind.value) if kind is not None else "credential"
