"""Which documents run together in one database, and in which order."""

from __future__ import annotations

import re
from collections.abc import Iterable

from corpus.documents import Document
from corpus.settings import Settings, facts_of


def groups(documents: list[Document], settings: Settings) -> list[list[Document]]:
    """Return the documents in groups, each in the order in which it runs.

    A document that wants tables which another one makes runs after that one, in the same
    database, and so does one of which the settings say so. All that use no database are one
    group. Everything else has a database to itself.
    """
    before = {id(d): _before(d, documents, settings) for d in documents}
    roots = _joined(documents, before)
    found: dict[int, list[Document]] = {}
    for document in documents:
        found.setdefault(roots[id(document)], []).append(document)
    return [_sorted(members, before) for members in found.values()]


def _before(document: Document, others: list[Document], settings: Settings) -> list[Document]:
    """Return the documents that must have run."""
    patterns = [pattern for rule in settings.rules(document) for pattern in rule.after]
    named = [d for d in others if any(re.search(p, d.expected.catalog_path) for p in patterns)]
    makers = [] if named else _makers(document, others)
    return [d for d in (*named, *makers) if d is not document]


def _makers(document: Document, others: list[Document]) -> list[Document]:
    """Return one maker of each table that a document wants and does not make itself."""
    found: dict[int, Document] = {}
    for table in sorted(document.wants() - document.creates()):
        makers = [d for d in others if table in d.creates()]
        if makers:
            easiest = min(makers, key=lambda d: (len(d.wants()), d.expected.hardness))
            found[id(easiest)] = easiest
    return list(found.values())


def _joined(documents: list[Document], before: dict[int, list[Document]]) -> dict[int, int]:
    """Return a number for each document, the same for those that belong together."""
    plain = [d for d in documents if not facts_of(d)]
    root = {id(d): id(d) for d in documents} | {id(d): id(plain[0]) for d in plain}

    def find(number: int) -> int:
        while root[number] != number:
            number = root[number]
        return number

    for document in documents:
        for earlier in before[id(document)]:
            root[find(id(document))] = find(id(earlier))
    return {id(d): find(id(d)) for d in documents}


def _sorted(members: list[Document], before: dict[int, list[Document]]) -> list[Document]:
    """Return the members of a group such that each comes after those it needs."""
    done: list[Document] = []

    def visit(document: Document, path: tuple[int, ...]) -> None:
        if document in done or id(document) in path:
            return
        for earlier in before[id(document)]:
            visit(earlier, (*path, id(document)))
        done.append(document)

    for document in members:
        visit(document, ())
    return done


def names(documents: Iterable[Document]) -> list[str]:
    """Return the documents' names."""
    return [document.name for document in documents]
