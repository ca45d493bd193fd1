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
