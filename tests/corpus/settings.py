"""What running a corpus takes and its documents do not say: ``settings.yaml``."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Final

import msgspec
import yaml

from corpus.documents import Check, Document
from standin.world import Pace

FILE: Final = Path(__file__).with_name("settings.yaml")
PLATFORM: Final = "noetl."
"""Schema of the platform's own tables."""

_PLACE: Final = re.compile(r"\{(\w+)\}")
_HOST: Final = re.compile(r"[\w-]+(\.[\w-]+)+(:\d+)?")


class HostRule(msgspec.Struct, frozen=True):
    """Text that leads to the stand-in."""

    match: str
    to: str


class CredentialRule(msgspec.Struct, frozen=True):
    """What credentials with such aliases are."""

    alias: str
    type: str
    data: dict[str, Any]


class KeyRule(msgspec.Struct, frozen=True):
    """What workload keys of such names are set to."""

    key: str
    value: Any


class DocumentRule(msgspec.Struct, frozen=True, kw_only=True):
    """What single documents need."""

    match: str
    payload: dict[str, Any] = {}
    reduced: dict[str, Any] = {}
    checks: list[Check] = []
    reduced_checks: list[Check] = []
    full_checks: list[Check] = []
    #: SQL that makes what they find in their database.
    before: str = ""
    after: list[str] = []
    ignore: list[str] = []
    #: Why its results differ from run to run.
    varies: str = ""
    tries: int = 1
    timeout_seconds: float | None = None


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The whole of it."""

    needs: dict[str, bool | str]
    tables: list[str] = []
    hosts: list[HostRule] = []
    pace: Pace = Pace()
    files: dict[str, str] = {}
    credentials: list[CredentialRule] = []
    workload: list[KeyRule] = []
    reduced: list[KeyRule] = []
    fast: list[KeyRule] = []
    documents: list[DocumentRule] = []

    def rules(self, document: Document) -> list[DocumentRule]:
        """Return what is said of a document."""
        path = document.expected.catalog_path
        return [rule for rule in self.documents if re.search(rule.match, path)]

    # -- text -------------------------------------------------------------------------

    def rewritten(self, text: str, address: str) -> str:
        """Return a document's text with the hosts that the stand-in plays."""
        for rule in self.hosts:
            text = re.sub(rule.match, f"{address}{rule.to}", text)
        return text

    # -- what cannot be run -----------------------------------------------------------

    def obstacle(self, document: Document) -> str:
        """Return why a document cannot run here, or nothing."""
        ignored = {need for rule in self.rules(document) for need in rule.ignore}
        for need in document.expected.external_needs:
            if need.endswith("(optional)") or need in ignored:
                continue
            met = self.needs.get(need, f"the need {need!r} is not known here")
            if met is not True:
                return f"{need}: {met}" if need not in str(met) else str(met)
        for table in document.expected.needs_existing_tables:
            if table.startswith(PLATFORM) and table not in self.tables:
                return f"reads {table}: on a cluster only"
        return self._unplayed_host(document)

    def _unplayed_host(self, document: Document) -> str:
        rewritten = self.rewritten(document.text, "")
        for host in document.expected.standins:
            if _HOST.fullmatch(host) and f"://{host}" in rewritten:
                return f"nothing stands in for {host}"
        return ""

    # -- the workload and the credentials ---------------------------------------------

    def payload(
        self, document: Document, facts: dict[str, Any], *, full: bool, real_time: bool
    ) -> dict[str, Any]:
        """Return the request with which a document is run."""
        keys = document.workload
        found: dict[str, Any] = {}
        groups = [self.workload] if "postgres" in facts_of(document) else []
        if not full and document.expected.hardness >= 4:
            groups.append(self.reduced)
        if not real_time:
            groups.append(self.fast)
        for rule in (rule for group in groups for rule in group):
            found |= {
                key: rule.value
                for key, written in keys.items()
                if re.search(rule.key, key) and not _is_less(written, rule.value)
            }
        for document_rule in self.rules(document):
            found |= document_rule.payload
            found |= {} if full else document_rule.reduced
        return filled(found, facts)

    def credential(self, alias: str, facts: dict[str, Any]) -> tuple[str, dict[str, Any]] | None:
        """Return the type and the data of a credential."""
        for rule in self.credentials:
            if re.search(rule.alias, alias):
                return rule.type, filled(rule.data, facts)
        return None

    def prepared_by(self, document: Document) -> str:
        """Return the SQL that makes what a document finds in its database."""
        return "\n".join(rule.before for rule in self.rules(document) if rule.before)

    def varies(self, document: Document) -> bool:
        """Return whether a document's results differ from run to run."""
        return any(rule.varies for rule in self.rules(document))

    def checks(self, document: Document, *, full: bool) -> list[Check]:
        """Return everything that is checked of a document's results."""
        found = list(document.expected.checks)
        for rule in self.rules(document):
            found += rule.checks + (rule.full_checks if full else rule.reduced_checks)
        return found


def _is_less(written: Any, value: Any) -> bool:
    """Return whether a number is already smaller than what it would be reduced to."""
    return isinstance(value, int) and isinstance(written, (int, float)) and written < value


def facts_of(document: Document) -> set[str]:
    """Return the servers that a document needs."""
    needs = " ".join([*document.expected.external_needs, *document.expected.tool_kinds])
    return {name for name in ("postgres", "nats") if name in needs}


def filled(value: Any, facts: dict[str, Any]) -> Any:
    """Return a value with its places filled in; a place that stands alone keeps its type."""
    if isinstance(value, dict):
        return {key: filled(inner, facts) for key, inner in value.items()}
    if isinstance(value, list):
        return [filled(inner, facts) for inner in value]
    if not isinstance(value, str):
        return value
    alone = _PLACE.fullmatch(value)
    if alone:
        return facts.get(alone[1], "")
    return _PLACE.sub(lambda match: str(facts.get(match[1], "")), value)


def load_settings(path: Path = FILE) -> Settings:
    """Return the settings."""
    return msgspec.convert(yaml.safe_load(path.read_text("utf-8")), Settings)
