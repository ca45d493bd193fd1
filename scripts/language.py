"""Make the tables of the docs anew: keys from the grammar, results as tools declare them."""

from __future__ import annotations

from pathlib import Path

from arcbook.dsl.reference import filled, filled_tool
from arcbook.tools.registry import Registry

DOCS = Path(__file__).parents[1] / "docs"

if __name__ == "__main__":
    language = DOCS / "language.md"
    language.write_text(filled(language.read_text("utf-8")), "utf-8")
    for page in (DOCS / "tools").glob("*.md"):
        page.write_text(filled_tool(page.read_text("utf-8"), Registry()), "utf-8")
