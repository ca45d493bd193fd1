"""A corpus: documents in a folder, and what is expected of each.

What is expected stands in the folder itself, or else here, in a folder of the same name.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Final

import msgspec
import yaml

EXPECTATIONS: Final = "expectations.json"
HERE: Final = Path(__file__).parent

_PATTERN: Final = re.compile(r"must match \((.+)\)")
_CREATED: Final = re.compile(r"create\s+table\s+(?:if\s+not\s+exists\s+)?([\w.]+)", re.IGNORECASE)


class Check(msgspec.Struct, frozen=True):
    """A field of a step's result that must have a value."""

    step: str
    field: str
    equals: Any


class Expectation(msgspec.Struct, frozen=True, kw_only=True):
    """What is expected of one document, and what it needs."""

    file: str
    catalog_path: str
    kind: str = "Playbook"
    expected_outcome: str = "COMPLETED"
    #: Why, for people; ``must match (...)`` in it is a pattern for the error.
    expected_outcome_why: str = ""
    checks: list[Check] = []
    external_needs: list[str] = []
    credential_aliases: list[str] = []
    #: Hosts that the document talks to, and how a stand-in takes their place.
    standins: dict[str, str] = {}
    hardness: int = 1
    needs_existing_tables: list[str] = []
    tool_kinds: list[str] = []

    @property
    def error_pattern(self) -> str:
        """Return what the error of a document that must fail has to match."""
        found = _PATTERN.search(self.expected_outcome_why)
        return found[1] if found else ""


class Document:
    """One document with its expectation."""

    def __init__(self, root: Path, expected: Expectation) -> None:
        self.expected = expected
        self.path = root / expected.file
        #: Why there is no text, or nothing.
        self.unreadable = ""
        try:
            self.text = self.path.read_text("utf-8")
        except (OSError, UnicodeDecodeError) as error:
            self.text = ""
            self.unreadable = f"{type(error).__name__}: {error}"

    @property
    def name(self) -> str:
        """The document's name: its file below the corpus."""
        return self.expected.file

    @property
    def is_playbook(self) -> bool:
        """Whether it can be executed at all."""
        return self.expected.kind == "Playbook"

    @property
    def workload(self) -> dict[str, Any]:
        """The workload as it is written."""
        try:
            root = yaml.safe_load(self.text)
        except yaml.YAMLError:
            return {}
        found = root.get("workload") if isinstance(root, dict) else None
        return found if isinstance(found, dict) else {}

    def creates(self) -> set[str]:
        """Return the tables that the document's SQL makes, without the schema ``public``."""
        return {bare(name) for name in _CREATED.findall(self.text)}

    def wants(self) -> set[str]:
        """Return the tables that must be there before the document runs."""
        return {bare(name) for name in self.expected.needs_existing_tables}


def bare(table: str) -> str:
    """Return a table's name without the schema ``public``."""
    return table.lower().removeprefix("public.")


def load_corpus(root: Path) -> list[Document]:
    """Return the documents of a corpus, in the order of its expectations.

    Raises:
        FileNotFoundError: there are no expectations for the folder.
    """
    data = expectations_of(root).read_bytes()
    return [Document(root, e) for e in msgspec.json.decode(data, type=list[Expectation])]


def expectations_of(root: Path) -> Path:
    """Return the file that says what is expected of a folder's documents."""
    own = root / EXPECTATIONS
    return own if own.is_file() else HERE / root.resolve().name / EXPECTATIONS


def is_corpus(root: Path) -> bool:
    """Return whether there are documents, and something is expected of them."""
    return root.is_dir() and expectations_of(root).is_file()


def others(root: Path, documents: list[Document]) -> list[Path]:
    """Return the documents below a folder of which nothing is expected."""
    known = {document.path.resolve() for document in documents}
    files = sorted(f for f in root.rglob("*") if f.suffix in (".yaml", ".yml") and f.is_file())
    return [file for file in files if file.resolve() not in known]
