"""From a document's text to a playbook and everything there is to say about it."""

from __future__ import annotations

import msgspec

from arcbook.dsl.check import check
from arcbook.dsl.diagnostics import Diagnostic, Report, Severity
from arcbook.dsl.kinds import Kinds
from arcbook.dsl.model import Playbook
from arcbook.dsl.parse import Parser
from arcbook.dsl.source import MapNode, Node, SourceError, load, read_source
from arcbook.dsl.upgrade import Upgrade


class Loaded(msgspec.Struct, frozen=True, kw_only=True):
    """A document after loading."""

    #: The playbook; ``None`` where errors leave none.
    playbook: Playbook | None
    diagnostics: tuple[Diagnostic, ...]
    #: Lines of the text, for excerpts.
    lines: tuple[str, ...] = ()
    #: What the document says it is: ``Playbook``, ``Subscription``, ...
    kind: str = ""

    @property
    def errors(self) -> tuple[Diagnostic, ...]:
        """The diagnostics that refuse the document."""
        return tuple(d for d in self.diagnostics if d.severity is Severity.ERROR)


def load_playbook(content: str | bytes, kinds: Kinds) -> Loaded:
    """Load one document and check all of it.

    Nothing is raised for a bad document: its diagnostics say what is wrong with it.
    """
    report = Report()
    text = ""
    try:
        text = read_source(content)
        root = load(text)
    except SourceError as error:
        report.error(error.code, error.reason, error.position)
        return _loaded(None, report, text, "")
    if not isinstance(root, MapNode):
        report.error("ARC100", f"a playbook is a mapping, not {root.kind}", root.position)
        return _loaded(None, report, text, "")
    kind = _text(root.get("kind"))
    upgraded = Upgrade(report, kinds).playbook(root)
    playbook = Parser(report, kinds).playbook(upgraded)
    if playbook is not None:
        check(playbook, report, kinds)
    return _loaded(None if report.has_errors else playbook, report, text, kind)


def _loaded(playbook: Playbook | None, report: Report, text: str, kind: str) -> Loaded:
    return Loaded(
        playbook=playbook,
        diagnostics=report.sorted(),
        lines=tuple(text.splitlines()),
        kind=kind,
    )


def _text(node: Node | None) -> str:
    return str(node.value) if node is not None and not isinstance(node.value, (dict, list)) else ""
