"""Documents as tired people write them, each run to its end: what it yields is what it says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

import arcbook
from arcbook.dsl.load import load_playbook
from arcbook.tools.registry import Registry

FOLDER = Path(__file__).with_name("as_written")
ENTRIES = [
    pytest.param(entry, id=f"{file.stem}: {entry['name']}")
    for file in sorted(FOLDER.glob("*.yaml"))
    for entry in yaml.safe_load(file.read_text("utf-8"))
]


@pytest.mark.parametrize("entry", ENTRIES)
def test_a_document_yields_what_it_says(entry: dict[str, Any], tmp_path: Path) -> None:
    run = arcbook.run(entry["document"], entry.get("workload"), home=tmp_path)

    assert run.status == entry.get("status", "COMPLETED"), run.error
    if "result" in entry:
        assert run.result == entry["result"]


@pytest.mark.parametrize("entry", ENTRIES)
def test_it_lints_without_errors(entry: dict[str, Any]) -> None:
    assert load_playbook(entry["document"], Registry()).errors == ()
