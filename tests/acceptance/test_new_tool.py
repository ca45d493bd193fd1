"""A package that ``arcbook tool new`` has created is installed, passes its tests, and runs."""

from __future__ import annotations

import json
import os
import site
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from arcbook.cli.main import cli

CLI = "from arcbook.cli.main import main; main()"


def run(*command: str | Path, folder: Path) -> str:
    """Run a program in a folder, without anything that this environment says of Python."""
    environment = {"PATH": os.environ["PATH"], "HOME": str(folder)}
    ran = subprocess.run(
        [str(word) for word in command],
        capture_output=True, text=True, check=False, cwd=folder, env=environment,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("new")
    command = ["tool", "new", "word_count", "--folder", str(folder), "--json"]
    answer = json.loads(CliRunner().invoke(cli, command).output)

    assert answer["folder"] == str(folder / "arcbook-word-count")
    return folder / "arcbook-word-count"


@pytest.fixture(scope="module")
def python(package: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the interpreter of an environment with Arcbook, in which the package is installed."""
    folder = tmp_path_factory.mktemp("venv")
    uv = Path(sys.executable).with_name("uv")
    run(uv, "venv", "--offline", "--python", sys.executable, folder / "venv", folder=folder)
    run(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", folder, folder=package)
    packages = next((folder / "venv" / "lib").glob("python*/site-packages"))
    ours = next(p for p in site.getsitepackages() if Path(p, "click").is_dir())
    (packages / "arcbook_here.pth").write_text(f"import site; site.addsitedir({ours!r})\n")
    interpreter = folder / "venv" / "bin" / "python"
    wheel = next(folder.glob("*.whl"))
    options = ("--offline", "--no-index", "--no-deps", "--python", interpreter)
    run(uv, "pip", "install", *options, wheel, folder=folder)
    return interpreter


def test_its_own_tests_pass(package: Path, python: Path) -> None:
    output = run(python, "-m", "pytest", "-q", "-p", "no:cacheprovider", folder=package)

    assert " passed" in output
    assert "skipped" not in output


def test_its_playbook_runs_with_it(package: Path, python: Path) -> None:
    linted = run(python, "-c", CLI, "lint", "word_count.yaml", folder=package)
    output = run(python, "-c", CLI, "run", "word_count.yaml", "--json", folder=package)

    assert "0 errors, 0 warnings" in linted
    assert json.loads(output)["result"] == {"words": 6, "longest": "not"}


def test_the_installed_kind_is_shown(package: Path, python: Path) -> None:
    shown = run(python, "-c", CLI, "tool", "show", "word_count", folder=package)

    assert "Counts the words of a text." in shown


def test_its_source_passes_the_checks_of_this_project(package: Path) -> None:
    names = "src/arcbook_word_count/__init__.py"
    run(Path(sys.executable).with_name("mypy"), "--strict", names, folder=package)
    ruff = (Path(sys.executable).with_name("ruff"), "check", "--isolated")
    run(*ruff, "--select", "E4,E7,E9,F,I,D,ANN", "--ignore", "D103,D203,D213", ".", folder=package)
    run(ruff[0], "format", "--isolated", "--line-length", "100", "--check", ".", folder=package)


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("Word", "is not a valid name"),
        ("word-count", "is not a valid name"),
        ("../evil", "is not a valid name"),
        ("no", "is not a valid name"),
        ("x" * 41, "is not a valid name"),
        ("http", "the tool kind 'http' exists"),
        ("snowflake", "the tool kind 'snowflake' exists"),
    ],
)
def test_refused_a_name_that_no_new_kind_can_have(kind: str, reason: str, tmp_path: Path) -> None:
    command = ["tool", "new", kind, "--folder", str(tmp_path)]
    refused = CliRunner().invoke(cli, command, standalone_mode=False)

    assert reason in str(refused.exception)
    assert list(tmp_path.iterdir()) == []


def test_refused_a_folder_that_exists(tmp_path: Path) -> None:
    file = tmp_path / "arcbook-mine" / "mine"
    file.parent.mkdir()
    file.write_text("mine")
    command = ["tool", "new", "mine", "--folder", str(tmp_path)]
    refused = CliRunner().invoke(cli, command, standalone_mode=False)

    assert "exists" in str(refused.exception)
    assert [p.name for p in file.parent.iterdir()] == ["mine"]
