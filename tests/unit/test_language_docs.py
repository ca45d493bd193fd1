"""The description of the language: complete, and its examples are right."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from arcbook.dsl import grammar
from arcbook.dsl.load import load_playbook
from arcbook.dsl.reference import rows
from arcbook.outcome import ErrorKind
from arcbook.template.filters.applying import NAMES as FILTERS
from unit.kinds import every_kind

TEXT = (Path(__file__).parents[2] / "docs/language.md").read_text("utf-8")
EXAMPLES: list[str] = re.findall(r"^```yaml\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)
NAMES = [re.findall(r"name: ([\w-]+)", example)[0] for example in EXAMPLES]


@pytest.mark.parametrize("example", EXAMPLES, ids=NAMES)
def test_an_example_is_a_playbook_without_any_finding(example: str):
    loaded = load_playbook(example, every_kind())

    assert loaded.diagnostics == ()
    assert loaded.playbook is not None


def test_there_are_examples():
    assert len(EXAMPLES) >= 8


@pytest.mark.parametrize("table", [t for t in grammar.TABLES if t != "policy"])
def test_every_key_has_its_type_default_and_values_as_the_grammar_has_them(table: str):
    assert f"<!-- keys: {table} -->\n{rows(table)}<!-- /keys -->" in TEXT


def test_every_filter_and_kind_of_error_is_named():
    assert [name for name in [*FILTERS, *ErrorKind] if f"`{name}`" not in TEXT] == []
