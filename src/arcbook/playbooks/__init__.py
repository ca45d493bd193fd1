"""Playbooks that come with Arcbook."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.resources import files


def shipped() -> Iterator[str]:
    """Yield the text of each playbook that a server keeps in its catalog."""
    folder = files(__name__) / "system"
    for file in sorted(folder.iterdir(), key=lambda f: f.name):
        if file.name.endswith(".yaml"):
            yield file.read_text("utf-8")
