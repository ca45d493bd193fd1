"""The one form of a document's path in the catalog."""

from __future__ import annotations


def catalog_path(text: str) -> str:
    """Return a path as the catalog has it: ``/reports//daily/`` is ``reports/daily``.

    Every place where a path comes in uses this: documents, lookups, ``playbook`` tasks, the
    API, the terminal. White space around it, ``./`` before it and empty parts say nothing.
    """
    if "/" not in text:
        return text.strip()
    return "/".join(part for part in text.strip().split("/") if part not in ("", "."))
