"""The maps of the code, ARCHITECTURE.md and the glossary, name what exists."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src/arcbook"
MAP = (ROOT / "ARCHITECTURE.md").read_text("utf-8")
GLOSSARY = (ROOT / "docs/glossary.md").read_text("utf-8")
PATHS = sorted(set(re.findall(r"`([a-z_]+(?:/[a-z_]+)+)`", MAP)))
ROWS = re.findall(r"^\| (`[A-Z].*?`) \| (`.*?`) \|", GLOSSARY, re.MULTILINE)
CLASSES = [(name, packages) for names, packages in ROWS for name in re.findall(r"`(\w+)`", names)]


@pytest.mark.parametrize("path", PATHS)
def test_a_path_in_the_architecture_exists(path: str):
    root = ROOT if path.startswith(("src/", "tests/")) else SOURCE
    assert any((root / f"{path}{end}").exists() for end in ("", ".py"))


def test_every_package_is_in_the_table_of_packages():
    table = MAP[MAP.index("## Packages") : MAP.index("## The life")]
    packages = {path.parent.name for path in SOURCE.glob("*/__init__.py")}
    assert packages - set(re.findall(r"`(\w+)`", table)) == {"playbooks"}


@pytest.mark.parametrize(("name", "packages"), CLASSES, ids=[name for name, _ in CLASSES])
def test_a_class_in_the_glossary_is_in_its_package(name: str, packages: str):
    files = [
        file
        for package in re.findall(r"`(\w+)`", packages)
        for file in (SOURCE / f"{package}.py", *(SOURCE / package).rglob("*.py"))
        if file.exists()
    ]
    declared = re.compile(rf"^(class {name}\b|{name} = )", re.MULTILINE)
    assert any(declared.search(file.read_text("utf-8")) for file in files)


def test_every_suite_is_in_one_lane():
    text = (ROOT / "Makefile").read_text("utf-8")
    lanes = " ".join(re.findall(r"^LANE_\w+ := (.*)$", text, re.MULTILINE)).split()
    assert sorted(lanes) == sorted({path.parent.name for path in ROOT.glob("tests/*/test_*.py")})


BEHAVIOURS = {
    "A misspelt key is reported with a suggestion.": ("a diagnostic", "dsl"),
    "An older spelling still runs.": ("a spelling of the language", "dsl"),
    "A filter is missing or wrong.": ("a filter, a method", "template"),
    "A template may not run for ever.": ("what a template may cost", "template"),
    "A join starts too early.": ("admission and joins", "engine"),
    "A retry waits too long.": ("retry, jump, break, set", "engine"),
    "A loop keeps the wrong results.": ("loops", "engine"),
    "A kind of wait is added.": ("a wait kind", "events"),
    "One commit holds the wrong rows.": ("what one commit writes", "owner"),
    "A lost command is not delivered again.": ("claims, leases, redelivery", "owner"),
    "A command goes to the wrong pool.": ("which pool", "owner"),
    "A faulty execution stops the others.": ("how a fault is contained", "owner"),
    "A tool is called without its credential.": ("how a tool is called", "performer"),
    "A tool connects to a forbidden host.": ("where tools may connect", "egress"),
    "A table needs a column.": ("the PostgreSQL schema", "store"),
    "A worker sends an unknown message.": ("messages between workers", "wire"),
    "A schedule fires twice.": ("schedules", "schedules"),
    "A shard has no owner.": ("shards and take-over", "shards"),
    "A route answers with the wrong status.": ("an API route", "wire"),
    "A verb of the command line lacks an option.": ("a command of the terminal", "cli"),
    "A secret appears in an event.": ("what counts as a secret", "secrets"),
    "A loop ends and nobody notices.": ("a loop that must keep running", "supervision"),
}
"""Faults and wishes of newcomers: the row where they would look, and where it leads."""


@pytest.mark.parametrize("behaviour", BEHAVIOURS)
def test_the_architecture_says_where_a_behaviour_lives(behaviour: str):
    words, room = BEHAVIOURS[behaviour]
    rows = re.findall(r"^\| (?!\*\*)(.+?) \| (.+?) \|$", MAP, re.MULTILINE)
    (places,) = [places for about, places in rows if about.startswith(words)]
    first = re.findall(r"`([a-z_/]+)`", places)[0]
    assert first.partition("/")[0] == room
    assert any((SOURCE / f"{first}{end}").exists() for end in ("", ".py"))
