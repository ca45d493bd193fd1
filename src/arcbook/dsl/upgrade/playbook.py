"""Upgrade a whole playbook."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from arcbook.dsl.diagnostics import Report
from arcbook.dsl.kinds import Kinds
from arcbook.dsl.source import ListNode, MapNode, Node
from arcbook.dsl.upgrade.context import UpgradeContext
from arcbook.dsl.upgrade.renames import Renaming, uses_older_names
from arcbook.dsl.upgrade.routers import add_implicit_end, add_undeclared_end
from arcbook.dsl.upgrade.steps import upgrade_step
from arcbook.dsl.upgrade.workbook import Workbook

FIRST_VERSION: Final = "noetl.io/v1"
"""The version of the language whose documents are upgraded completely or not at all."""

_PRESENT_VERSION: Final = "noetl.io/v2"
_LOWER_KINDS: Final = ("playbook", "agent")
_METADATA: Final = ("name", "path", "version", "description")
_KEYCHAIN_SUFFIX: Final = "_credential"


def is_first_version(root: MapNode) -> bool:
    """Return whether a document declares the first version of the language."""
    version = root.get("apiVersion")
    return version is not None and version.value == FIRST_VERSION


def upgrade(root: MapNode, text: str, report: Report, kinds: Kinds) -> MapNode:
    """Return the playbook in normal form, as far as its shape allows.

    Args:
        root: the document.
        text: its text, to skip upgrades that do not apply.
        report: receives warnings and errors.
        kinds: the tool kinds.
    """
    context = UpgradeContext(report, kinds)
    context.mentions_status = "result.status" in text
    root = _header(context, root)
    root = _root_vars(context, root)
    root = _keychain(context, root)
    if uses_older_names(text):
        renaming = Renaming(context, root)
        for key in ("workbook", "output"):
            node = root.get(key)
            root = root if node is None else root.having(key, renaming.applied(node))
        root = _each_step(root, renaming.applied)
    workbook = Workbook(context, root.get("workbook"))
    context.from_workbook = workbook.task
    context.kind_of_entry = workbook.kind
    if workbook.node is not None:
        root = root.having("workbook", workbook.node)
    steps = root.get("workflow")
    if not isinstance(steps, ListNode):
        return root
    upgraded: list[Node] = [
        upgrade_step(context, s) if isinstance(s, MapNode) else s for s in steps.value
    ]
    add_implicit_end(upgraded)
    add_undeclared_end(context, upgraded)
    return root.having("workflow", ListNode(upgraded, steps.mark))


def _header(context: UpgradeContext, root: MapNode) -> MapNode:
    version = root.get("apiVersion")
    if version is not None and is_first_version(root):
        message = f"{FIRST_VERSION} is an older version of the language; it is read as the present"
        context.old(message, version.position, f"write 'apiVersion: {_PRESENT_VERSION}'")
        root = root.having("apiVersion", Node(_PRESENT_VERSION, version.mark))
    root = _metadata(context, root)
    kind = root.get("kind")
    if kind is not None and kind.value in _LOWER_KINDS:
        right = str(kind.value).capitalize()
        context.old(f"the kind is written {right!r}", kind.position, f"write 'kind: {right}'")
        root = root.having("kind", Node(right, kind.mark))
    executor = root.get("executor")
    if isinstance(executor, MapNode) and executor.get("kind") and not executor.get("profile"):
        place = executor.key_position("kind")
        context.old("'executor.kind' is now 'executor.profile'", place, "write 'profile'")
        root = root.having("executor", executor.renamed("kind", "profile"))
    return root


def _metadata(context: UpgradeContext, root: MapNode) -> MapNode:
    """Move a playbook's name and path below ``metadata``."""
    written = [key for key in _METADATA if root.get(key) is not None]
    if not written or root.get("metadata") is not None:
        return root
    place = root.key_position(written[0])
    names = ", ".join(f"{key}: ..." for key in written)
    context.old(
        "the name of a playbook is in its metadata", place, f"write 'metadata: {{{names}}}'"
    )
    entries = {key: root.value[key] for key in written}
    metadata = MapNode(entries, place, root.key_marks)
    return root.without(*written).having("metadata", metadata, place)


def _root_vars(context: UpgradeContext, root: MapNode) -> MapNode:
    """Move the playbook's ``vars``, which templates read as ``ctx``, into the workload."""
    root_vars = root.get("vars")
    if root_vars is None or root_vars.value is None:
        return root.without("vars")
    place = root.key_position("vars")
    workload = root.get("workload")
    own = workload if isinstance(workload, MapNode) else MapNode({}, root_vars.mark, {})
    if not isinstance(root_vars, MapNode) or root_vars.value.keys() & own.value.keys():
        context.removed("vars", root, "write the values under 'workload', each once")
        return root.without("vars")
    context.old("'vars' of the playbook are now 'workload'", place, "write 'workload'")
    for key, node in root_vars.items():
        own = own.having(key, node, root_vars.key_marks.get(key))
    return root.without("vars").having("workload", own)


def _keychain(context: UpgradeContext, root: MapNode) -> MapNode:
    """Upgrade entries such as ``kind: postgres_credential`` to stored credentials."""
    entries = root.get("keychain")
    if not isinstance(entries, ListNode):
        return root
    entries_in_form: list[Node] = []
    for entry in entries.value:
        kind = entry.get("kind") if isinstance(entry, MapNode) else None
        if not isinstance(entry, MapNode) or kind is None or not _names_a_type(kind.value):
            entries_in_form.append(entry)
            continue
        message = f"the keychain has no kind {kind.value!r}; a stored credential has its type"
        context.old(message, kind.position, "write 'kind: credential'")
        entries_in_form.append(entry.having("kind", Node("credential", kind.mark)))
    return root.having("keychain", ListNode(entries_in_form, entries.mark))


def _names_a_type(kind: object) -> bool:
    return isinstance(kind, str) and kind.endswith(_KEYCHAIN_SUFFIX)


def _each_step(root: MapNode, change: Callable[[Node], Node]) -> MapNode:
    steps = root.get("workflow")
    if not isinstance(steps, ListNode):
        return root
    return root.having("workflow", ListNode([change(s) for s in steps.value], steps.mark))
