"""Load a document: parse and check it, and collect its diagnostics."""

from __future__ import annotations

import re
from typing import Final

import msgspec

from arcbook.dsl.check import check
from arcbook.dsl.composer import compose
from arcbook.dsl.diagnostics import Diagnostic, Report, Severity
from arcbook.dsl.fragments import is_fragment
from arcbook.dsl.kinds import Kinds
from arcbook.dsl.missing import check_names
from arcbook.dsl.model import Playbook
from arcbook.dsl.names import KnownNames, names_everywhere
from arcbook.dsl.parse.document import parse_playbook
from arcbook.dsl.parse.reader import Reader
from arcbook.dsl.paths import catalog_path
from arcbook.dsl.source import MapNode, Node, SourceError, lines_of, read_source, readable
from arcbook.dsl.subscription import check_subscription
from arcbook.dsl.upgrade.playbook import is_first_version, upgrade
from arcbook.errors import InvalidError

ERRORS_SHOWN_MAX: Final = 10
"""Maximum errors of a document quoted in a message."""

OPAQUE_KINDS: Final = frozenset({"Credential", "Mcp", "Memory"})
"""Kinds of documents that the catalog stores without checks."""


class Loaded(msgspec.Struct, frozen=True, kw_only=True):
    """A loaded document."""

    #: The playbook; ``None`` if there are errors or the document is of another kind.
    playbook: Playbook | None
    diagnostics: tuple[Diagnostic, ...]
    #: Number of diagnostics over the limit.
    left_out: int = 0
    #: Lines of the text, for excerpts.
    lines: tuple[str, ...] = ()
    #: The document's ``kind``: ``Playbook``, ``Subscription``, ...
    kind: str = ""
    #: Its path in the catalog.
    path: str = ""

    @property
    def errors(self) -> tuple[Diagnostic, ...]:
        """The diagnostics that reject the document."""
        return tuple(d for d in self.diagnostics if d.severity is Severity.ERROR)


class InvalidPlaybookError(InvalidError):
    """A document is not a valid playbook.

    Attributes:
        name: the document's file, or its path in the catalog.
        loaded: the document with its diagnostics.
    """

    code = "invalid_playbook"

    def __init__(self, name: str, loaded: Loaded) -> None:
        self.name = name
        self.loaded = loaded
        problems = [f"line {e.line}, column {e.column}: {e.message}" for e in loaded.errors]
        more = len(problems) - ERRORS_SHOWN_MAX
        shown = problems[:ERRORS_SHOWN_MAX] + ([f"and {more} more"] if more > 0 else [])
        reason = "\n  ".join(shown) or "it is no playbook"
        super().__init__(f"playbook {name!r} cannot run: {reason}")


def load_document(
    content: str | bytes, kinds: Kinds, *, allow: frozenset[str] = frozenset()
) -> Loaded:
    """Load and check a document of any kind.

    Does not raise for an invalid document; its diagnostics describe the problems.

    Args:
        content: the document.
        kinds: the available tool kinds.
        allow: unknown keys to accept.
    """
    text = readable(content)
    return _load(content, text, kinds, Report(allow | allowed_keys(text)), playbook_only=False)


def load_playbook(
    content: str | bytes,
    kinds: Kinds,
    *,
    allow: frozenset[str] = frozenset(),
    is_stored: bool = False,
) -> Loaded:
    """Load and check a document that must be a playbook.

    Does not raise for an invalid document; its diagnostics describe the problems.

    Args:
        content: the document.
        kinds: the available tool kinds.
        allow: unknown keys to accept.
        is_stored: whether it was accepted before, possibly by an earlier version.
    """
    text = readable(content)
    report = Report(allow | allowed_keys(text), is_stored=is_stored)
    return _load(content, text, kinds, report, playbook_only=True)


_ALLOWS: Final = re.compile(r"#\s*arcbook:\s*allow\s+([\w ,-]+)")


def allowed_keys(text: str) -> frozenset[str]:
    """Return the keys allowed by comments in a document: ``# arcbook: allow owner``."""
    if "arcbook:" not in text:
        return frozenset()
    return frozenset(key for match in _ALLOWS.findall(text) for key in re.split(r"[ ,]+", match))


def _load(
    content: str | bytes, text: str, kinds: Kinds, report: Report, *, playbook_only: bool
) -> Loaded:
    try:
        text = read_source(content)
        root, faults = compose(text)
    except SourceError as error:
        report.error(error.code, error.reason, error.position, error.hint)
        return _loaded(report, text)
    for fault in faults:
        report.error(fault.code, fault.reason, fault.position, fault.hint)
    if is_fragment(root, report):
        return _loaded(report, text)
    if not isinstance(root, MapNode):
        message = f"a playbook is a mapping, not {root.kind}"
        hint = "begin with 'apiVersion: noetl.io/v2' and 'kind: Playbook'"
        report.error("ARC100", message, root.position, hint)
        return _loaded(report, text)
    kind, path = _text(root.get("kind")), _path(root)
    if not playbook_only and kind == "Subscription":
        check_subscription(root, report)
        return _loaded(report, text, kind=kind, path=path)
    if not playbook_only and kind in OPAQUE_KINDS:
        return _loaded(report, text, kind=kind, path=path)
    reader, before = Reader(report, kinds, lines_of(text)), report.errors
    playbook = parse_playbook(reader, upgrade(root, text, report, kinds))
    if report.errors > before and is_first_version(root):
        report.as_one("ARC116", root.value["apiVersion"].position, before)
        return _loaded(report, text, kind=kind, path=path)
    if playbook is not None:
        _check_scripts(reader, playbook)
        if not report.is_stored:
            check_names(playbook, reader.readings, lines_of(text), report, kinds)
        check(playbook, report, kinds)
    return _loaded(report, text, playbook, kind=kind, path=path)


def _check_scripts(reader: Reader, playbook: Playbook) -> None:
    """Check scripts, once all names are known."""
    if not reader.scripts:
        return
    everywhere = names_everywhere(playbook)
    steps = {step.name: step for step in playbook.steps}
    known_names: dict[str, KnownNames] = {}
    for name, node in reader.scripts:
        if name not in known_names:
            known_names[name] = KnownNames(everywhere, steps.get(name))
        reader.step_name = name
        reader.check_script(node, known_names[name])


def _loaded(
    report: Report, text: str, playbook: Playbook | None = None, *, kind: str = "", path: str = ""
) -> Loaded:
    return Loaded(
        playbook=None if report.has_errors else playbook,
        diagnostics=report.sorted(),
        left_out=report.left_out,
        lines=lines_of(text),
        kind=kind,
        path=path,
    )


def _path(root: MapNode) -> str:
    metadata = root.get("metadata")
    if metadata is None:
        metadata = root  # the first version has its name and path at the root
    if not isinstance(metadata, MapNode):
        return ""
    return catalog_path(_text(metadata.get("path")) or _text(metadata.get("name")))


def _text(node: Node | None) -> str:
    return str(node.value) if node is not None and not isinstance(node.value, (dict, list)) else ""
