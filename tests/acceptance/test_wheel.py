"""What a user gets who installs the package."""

from __future__ import annotations

import json
import os
import re
import site
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
HEAVY = (
    "aiohttp", "asyncio", "cryptography", "duckdb", "jinja2", "msgspec", "nats", "orjson",
    "psycopg", "pydantic", "rich", "sqlite3", "yaml",
)  # fmt: skip

HELLO = """
apiVersion: noetl.io/v2
kind: Playbook
metadata: {name: hello}
workflow:
  - step: start
    tool: {kind: python, code: "result = {'hello': 'world'}"}
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dist")
    built = subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)],
        capture_output=True, text=True, check=False, cwd=ROOT,
    )  # fmt: skip

    assert built.returncode == 0, built.stderr

    return next(folder.glob("arcbook-*.whl"))


@pytest.fixture(scope="module")
def path(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Return where the installed package is, and what it depends on, but not our source."""
    target = tmp_path_factory.mktemp("installed")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(target)
    packages = next(p for p in site.getsitepackages() if Path(p, "click").is_dir())
    return str(target) + os.pathsep + packages


EXAMPLE = ROOT / "examples" / "arcbook-sign"


@pytest.fixture(scope="module")
def with_example(path: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Return where the installed package is, and the example of a package that adds to it."""
    folder = tmp_path_factory.mktemp("example")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)],
        capture_output=True, text=True, check=True, cwd=EXAMPLE,
    )  # fmt: skip
    with zipfile.ZipFile(next(folder.glob("arcbook_sign-*.whl"))) as archive:
        archive.extractall(folder / "installed")
    return str(folder / "installed") + os.pathsep + path


def arcbook(
    path: str, *arguments: str, flags: tuple[str, ...] = ()
) -> subprocess.CompletedProcess[str]:
    """Run the installed package. Without site, nothing leads back to the source."""
    return subprocess.run(
        [sys.executable, "-S", "-s", *flags, "-c", "from arcbook.cli.main import main; main()", *arguments],
        capture_output=True, text=True, check=False,
        env={"PYTHONPATH": path, "PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/")},
    )  # fmt: skip


def test_the_wheel_holds_the_package_its_data_and_its_entry_point(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        entry = next(archive.read(n).decode() for n in names if n.endswith("entry_points.txt"))
    source = ROOT / "src"
    data = {
        file.relative_to(source).as_posix()
        for file in source.rglob("*")
        if file.is_file() and file.suffix in {".sql", ".typed", ".json"}
    }

    assert "arcbook = arcbook.cli.main:main" in entry
    assert "arcbook/py.typed" in names
    assert data <= names
    assert any(name.endswith("licenses/LICENSE") for name in names)
    assert not [name for name in names if name.startswith(("tests", "benchmarks"))]


def test_help_of_the_installed_package_imports_nothing_heavy(path: str) -> None:
    ran = arcbook(path, "--help", flags=("-X", "importtime"))
    imported = {line.rpartition("|")[2].strip() for line in ran.stderr.splitlines()}
    roots = {name.partition(".")[0] for name in imported}

    assert ran.returncode == 0, ran.stderr
    assert "arcbook run playbook.yaml" in ran.stdout
    assert roots.isdisjoint(HEAVY)
    assert not [name for name in imported if re.match(r"arcbook\.(?!cli\b)", name)]


def test_the_installed_package_runs_a_playbook(path: str, tmp_path: Path) -> None:
    file = tmp_path / "hello.yaml"
    file.write_text(HELLO)
    ran = arcbook(path, "--home", str(tmp_path / "home"), "run", str(file), "--json")

    assert ran.returncode == 0, ran.stderr
    assert json.loads(ran.stdout)["result"] == {"hello": "world"}


def test_the_module_that_runs_is_the_installed_one(path: str) -> None:
    code = "import arcbook; print(arcbook.__file__)"
    ran = subprocess.run(
        [sys.executable, "-S", "-s", "-c", code],
        capture_output=True, text=True, check=True, env={"PYTHONPATH": path},
    )  # fmt: skip

    assert ran.stdout.startswith(path.partition(os.pathsep)[0])
    assert sysconfig.get_paths()["stdlib"] not in ran.stdout


def test_a_package_that_adds_a_kind_and_a_type_of_credential_is_installed_and_used(
    with_example: str, tmp_path: Path
) -> None:
    home = ("--home", str(tmp_path / "home"))
    add = ("credential", "add", "webhooks", "--type", "signing-key", "--set", "key=k-of-nobody")
    added = arcbook(with_example, *home, *add)
    linted = arcbook(with_example, "lint", str(EXAMPLE / "sign.yaml"))
    ran = arcbook(with_example, *home, "run", str(EXAMPLE / "sign.yaml"), "--json")
    signed = subprocess.run(
        ["openssl", "dgst", "-sha256", "-hmac", "k-of-nobody"],
        input=b'{"order":7}', capture_output=True, check=True,
    )  # fmt: skip

    assert added.returncode == 0, added.stderr
    assert linted.returncode == 0, linted.stdout
    assert ran.returncode == 0, ran.stderr
    assert json.loads(ran.stdout)["result"] == {
        "signature": signed.stdout.decode().split()[-1],
        "algorithm": "sha256",
        "bytes": 11,
    }


def test_without_the_package_its_kind_is_unknown(path: str) -> None:
    linted = arcbook(path, "lint", str(EXAMPLE / "sign.yaml"))

    assert linted.returncode != 0
    assert "there is no tool kind 'sign'" in linted.stdout


def test_the_suite_of_the_package_passes_against_the_installed_one(with_example: str) -> None:
    ran = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider",
         "-c", os.devnull, "-o", "asyncio_mode=auto", str(EXAMPLE / "tests")],
        capture_output=True, text=True, check=False, cwd=EXAMPLE,
        env={"PYTHONPATH": with_example, "PATH": os.environ["PATH"]},
    )  # fmt: skip

    assert ran.returncode == 0, ran.stdout
    assert " passed" in ran.stdout
