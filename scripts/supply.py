"""What this project is built of: ``python scripts/supply.py [check|lock|audit]``.

``requirements.lock`` has every package that the environment of development and tests
takes, with its digests, for every platform. ``check`` says whether it goes with
``pyproject.toml`` and whether every licence is one that may be used; ``lock`` makes it
anew; ``audit`` asks the index of known vulnerabilities.
"""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
import sys
import tempfile
import tomllib
from importlib import metadata
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).resolve().parents[1]
LOCK: Final = ROOT / "requirements.lock"
PROJECT: Final = ROOT / "pyproject.toml"

HEAD: Final = "# For the requirements {digest}. Made by `make lock`; do not edit.\n"

ALLOWED: Final = re.compile(
    r"\b(MIT|MIT-0|BSD|Apache|Apache-2\.0|ISC|ISCL|PSF|Python Software Foundation|Python-2\.0|"
    r"MPL|Mozilla Public License|Unlicense|0BSD|Zlib|LGPL|Lesser General Public|CC0|HPND)\b",
    re.IGNORECASE,
)
"""Licences under which a package may be used beside this one's Apache-2.0."""

FORBIDDEN: Final = re.compile(r"\b(AGPL|GPL|Affero|SSPL|BUSL|proprietary)\b", re.IGNORECASE)

REASONED: Final[dict[str, str]] = {}
"""Packages whose licence says nothing that is read here, with what it is."""


def digest() -> str:
    """Return the digest of what ``pyproject.toml`` requires."""
    project = tomllib.loads(PROJECT.read_text("utf-8"))
    required = [
        project["project"]["requires-python"],
        project["project"]["dependencies"],
        project["project"]["optional-dependencies"],
        project["dependency-groups"],
    ]
    return hashlib.sha256(json.dumps(required, sort_keys=True).encode()).hexdigest()[:16]


def locked() -> dict[str, str]:
    """Return the versions of the lock, by the names of packages."""
    found: dict[str, str] = {}
    for line in LOCK.read_text("utf-8").splitlines():
        match = re.match(r"([A-Za-z0-9._-]+)==([^ ;\\]+)", line)
        if match:
            found[canonical(match[1])] = match[2]
    return found


def canonical(name: str) -> str:
    """Return a package's name as indexes compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def check() -> int:
    """Say whether the lock is up to date and what is installed has licences that are allowed."""
    problems: list[str] = []
    if HEAD.format(digest=digest()).strip() not in LOCK.read_text("utf-8"):
        problems.append("requirements.lock is not for this pyproject.toml; run: make lock")
    wanted = locked()
    for distribution in metadata.distributions():
        name = canonical(distribution.metadata["Name"])
        if name in wanted:
            problems += licence_problems(name, distribution.metadata)
    for problem in problems:
        sys.stdout.write(f"{problem}\n")
    return 1 if problems else 0


def licence_problems(name: str, facts: Any) -> list[str]:
    """Return what is wrong with the licence of a package."""
    if name in REASONED:
        return []
    written = licence(facts)
    spelled = re.sub(r"\bLGPL|Lesser General Public License", "", written)
    if FORBIDDEN.search(spelled) and not ALLOWED.search(spelled):
        return [f"{name}: the licence {written[:60]!r} may not be used here"]
    if not ALLOWED.search(written):
        return [f"{name}: the licence {written[:60]!r} is not known; add it to scripts/supply.py"]
    return []


def licence(facts: Any) -> str:
    """Return what a package says of its licence."""
    expression = facts.get("License-Expression") or ""
    classifiers = [c for c in facts.get_all("Classifier") or [] if c.startswith("License ::")]
    text = (facts.get("License") or "").strip()
    return " ".join([expression, *classifiers, text[:200]]).strip()


def lock() -> int:
    """Make the lock anew, by uv."""
    with tempfile.TemporaryDirectory() as folder:
        for name in ("pyproject.toml", "README.md", "LICENSE"):
            (Path(folder) / name).write_bytes((ROOT / name).read_bytes())
        package = Path(folder) / "src" / "arcbook"
        package.mkdir(parents=True)
        (package / "__init__.py").touch()
        uv = [sys.executable, "-m", "uv"]
        flags = [
            "--all-groups",
            "--no-emit-project",
            "--no-annotate",
            "--no-header",
        ]
        subprocess.run([*uv, "lock", "--quiet"], cwd=folder, check=True)
        made = subprocess.run(
            [*uv, "export", *flags, "--quiet"],
            cwd=folder,
            check=True,
            capture_output=True,
            text=True,
        )
    LOCK.write_text(HEAD.format(digest=digest()) + made.stdout, "utf-8")
    sys.stdout.write(f"{len(locked())} packages\n")
    return 0


def audit() -> int:
    """Ask for known vulnerabilities of what is locked."""
    command = ["-m", "pip_audit", "-r", str(LOCK), "--no-deps", "--disable-pip", "--format", "json"]
    done = subprocess.run(
        [sys.executable, *command], check=False, capture_output=True, text=True, timeout=300
    )
    try:
        found = json.loads(done.stdout)["dependencies"]
    except (ValueError, KeyError):
        sys.stdout.write(f"audit: no answer: {done.stderr.strip()[-200:]}\n")
        return 2
    asked = [d for d in found if "vulns" in d]
    known = [d for d in asked if d["vulns"]]
    for package in known:
        names = ", ".join(v["id"] for v in package["vulns"])
        sys.stdout.write(f"{package['name']} {package['version']}: {names}\n")
    if not asked:
        sys.stdout.write("audit: the index of vulnerabilities is out of reach from here\n")
        return 2
    sys.stdout.write(f"audit: {len(known)} of {len(asked)} packages have known vulnerabilities\n")
    return 1 if known else 0


VERBS: Final = {"audit": audit, "check": check, "lock": lock}

if __name__ == "__main__":
    sys.exit(VERBS[sys.argv[1] if len(sys.argv) > 1 else "check"]())
