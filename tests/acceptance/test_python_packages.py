"""A playbook whose code needs packages runs as installed, by the settings alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from acceptance.terminal import Terminal
from wheels import make_wheel

PLAYBOOK = """
apiVersion: noetl.io/v2
kind: Playbook
metadata: {name: packages, path: packages}
workload: {package: tinypkg}
workflow:
  - step: start
    tool:
      kind: python
      dependencies: ["{{ workload.package }}>=1"]
      code: |
        import tinypkg
        result = tinypkg.VERSION
"""


@pytest.fixture
def links(tmp_path: Path) -> Path:
    folder = tmp_path / "links"
    folder.mkdir()
    make_wheel(folder, "tinypkg", "1.5")
    return folder


def test_the_settings_say_where_packages_come_from(arcbook: Terminal, links: Path) -> None:
    arcbook.environment |= {
        "ARCBOOK_PYTHON_FIND_LINKS": str(links),
        "ARCBOOK_PYTHON_OFFLINE": "true",
    }
    file = arcbook.write("packages.yaml", PLAYBOOK)
    ran = arcbook("run", file, "--json")
    again = arcbook("run", file, "--json")

    assert arcbook("lint", file).code == 0
    assert ran.json["result"] == again.json["result"] == "1.5"
    assert len(list((arcbook.home / "environments").glob("*/environment.json"))) == 1


def test_a_package_that_cannot_be_had_fails_the_run_and_is_named(arcbook: Terminal) -> None:
    arcbook.environment["ARCBOOK_PYTHON_OFFLINE"] = "true"
    ran = arcbook("run", arcbook.write("packages.yaml", PLAYBOOK), "--json")

    assert ran.code != 0
    assert ran.json["error"]["kind"] == "config"
    assert "tinypkg" in ran.json["error"]["message"]


def test_a_dry_run_names_the_packages_and_installs_none(arcbook: Terminal, links: Path) -> None:
    arcbook.environment |= {
        "ARCBOOK_PYTHON_FIND_LINKS": str(links),
        "ARCBOOK_PYTHON_OFFLINE": "true",
    }
    ran = arcbook("run", arcbook.write("packages.yaml", PLAYBOOK), "--dry-run")

    assert "tinypkg>=1" in ran.out
    assert not list((arcbook.home / "environments").glob("*/environment.json"))
