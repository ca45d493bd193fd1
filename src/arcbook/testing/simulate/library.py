"""Load the playbooks of a folder for simulation."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from arcbook.dsl.load import load_playbook
from arcbook.outcome import ok
from arcbook.testing.simulate.documents import add_scripted
from arcbook.testing.simulate.tools import SimRegistry

_PATH: Final = re.compile(r"path:\s*['\"]?([\w./-]+)")


class Library:
    """The playbooks of a folder, by their paths in the catalog."""

    def __init__(self, folder: Path) -> None:
        registry = SimRegistry()
        add_scripted(registry, lambda _: ok())
        self.texts: dict[str, str] = {}
        for file in sorted(folder.rglob("*.y*ml")):
            text = file.read_text("utf-8")
            loaded = load_playbook(text, registry)
            if loaded.playbook is not None:
                self.texts[loaded.path] = text

    def family(self, path: str) -> dict[str, str]:
        """Return a playbook and those that it calls, itself first."""
        texts: dict[str, str] = {}
        pending = [path]
        while pending:
            called = pending.pop(0)
            if called in self.texts and called not in texts:
                texts[called] = self.texts[called]
                pending += _PATH.findall(texts[called])
        return texts
