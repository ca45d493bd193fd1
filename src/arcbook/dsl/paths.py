"""The normal form of a document's path in the catalog."""

from __future__ import annotations


def catalog_path(text: str) -> str:
    """Normalise a path: ``/reports//daily/`` becomes ``reports/daily``.

    Used wherever a path comes in: documents, lookups, ``playbook`` tasks, the API and the
    terminal. Surrounding white space, a leading ``./`` and empty parts are dropped.
    """
    if "/" not in text:
        return text.strip()
    return "/".join(part for part in text.strip().split("/") if part not in ("", "."))
