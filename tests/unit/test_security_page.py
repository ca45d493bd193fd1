"""What SECURITY.md says is shown by tests is shown by tests that there are."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
NAMED = re.compile(r"`(tests/[\w/]+\.py)(?:::(\w+))?`")


def test_every_row_of_the_threat_model_names_a_test_that_there_is():
    text = (ROOT / "SECURITY.md").read_text("utf-8")
    table = text[text.index("| who |") : text.index("Not protected")]
    rows = [line for line in table.splitlines()[2:] if line.startswith("|")]

    for row in rows:
        named = NAMED.findall(row)
        assert named, row
        for file, test in named:
            assert f"def {test or 'test_'}" in (ROOT / file).read_text("utf-8"), (file, test)


def test_every_suite_of_attacks_stands_in_the_threat_model():
    text = (ROOT / "SECURITY.md").read_text("utf-8")

    for file in (ROOT / "tests/security").glob("test_*.py"):
        assert f"tests/security/{file.name}" in text
