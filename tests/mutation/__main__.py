"""``python -m mutation [--sample N] [--seed S] [PART ...]``: the last line sums up.

A mutant is killed when a test fails that passes without it, or takes far too long. The quick
tests of its part are asked first, and then the whole unit suite.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

from mutation.mutants import Mutant, mutants

ROOT: Final = Path(__file__).parents[2]
PACKAGE: Final = ROOT / "src" / "arcbook"

PARTS: Final = ("engine", "template", "dsl", "events", "runtime")

QUICK: Final = {
    "engine": ["tests/unit/test_conformance.py", "tests/oracle", "tests/unit/test_engine_properties.py"],
    "template": ["tests/unit/test_template_oracle.py", "tests/security/test_templates.py"],
    "dsl": ["tests/unit/test_lint_codes.py", "tests/unit/test_upgrade.py"],
    "events": ["tests/unit/test_conformance.py"],
    "runtime": ["tests/unit/test_conformance.py", "tests/unit/test_boundary.py"],
}  # fmt: skip

SECONDS_MAX: Final = 600
"""How long a suite may take; one that takes longer has met a mutant."""


def main() -> int:
    """Try mutants, tell the survivors, and say how many were killed."""
    parser = argparse.ArgumentParser(prog="mutation")
    parser.add_argument("--sample", type=int, default=40, help="how many; 0 means all")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("parts", nargs="*", help=", ".join(PARTS))
    given = parser.parse_args()
    found = [
        mutant
        for part in given.parts or PARTS
        for file in sorted((PACKAGE / part).rglob("*.py"))
        for mutant in mutants(file)
    ]
    chosen = found
    if given.sample:
        chosen = random.Random(given.seed).sample(found, min(given.sample, len(found)))
    killed = 0
    for number, mutant in enumerate(chosen, 1):
        by = killer(mutant)
        killed += bool(by)
        place = f"{mutant.file.relative_to(ROOT)}:{mutant.line}"
        print(f"{number}/{len(chosen)} {by or 'SURVIVED':9} {place}: {mutant.what}", flush=True)
    print(f"mutation: {killed} of {len(chosen)} killed")
    return 0


def killer(mutant: Mutant) -> str:
    """Return what killed a mutant; empty if nothing did."""
    part = mutant.file.relative_to(PACKAGE).parts[0]
    with tempfile.TemporaryDirectory(prefix="arcbook-mutant-") as folder:
        copy = Path(folder) / "arcbook"
        shutil.copytree(PACKAGE, copy, ignore=shutil.ignore_patterns("__pycache__"))
        (copy / mutant.file.relative_to(PACKAGE)).write_text(mutant.text, "utf-8")
        quick = [path for path in QUICK[part] if (ROOT / path).exists()]
        for name, paths in (("quick", quick), ("unit", ["tests/unit"])):
            if _fails(folder, paths):
                return name
    return ""


def _fails(folder: str, paths: list[str]) -> bool:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([folder, str(ROOT / "tests")])}
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", *paths]
    try:
        done = subprocess.run(
            command,
            cwd=ROOT,
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=SECONDS_MAX,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return True
    return done.returncode != 0


if __name__ == "__main__":
    sys.exit(main())
