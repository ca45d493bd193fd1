"""Make the tables of keys in docs/language.md anew from the grammar."""

from __future__ import annotations

from pathlib import Path

from arcbook.dsl.reference import filled

PAGE = Path(__file__).parents[1] / "docs/language.md"

if __name__ == "__main__":
    PAGE.write_text(filled(PAGE.read_text("utf-8")), "utf-8")
