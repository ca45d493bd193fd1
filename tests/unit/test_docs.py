"""Documents say what the code does."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from arcbook.dsl.load import load_playbook
from arcbook.settings import reference
from arcbook.tools.registry import MODULES, Registry

ROOT = Path(__file__).parents[2]
PAGES = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]


def _playbooks(page: Path) -> list[str]:
    blocks = re.findall(r"```yaml\n(.*?)```", page.read_text("utf-8"), re.DOTALL)
    return [block for block in blocks if "kind: Playbook" in block]


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_links_between_pages_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text("utf-8")):
        assert (page.parent / target).exists(), target


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_links_to_sections_lead_to_headings(page):
    for target, section in re.findall(r"\]\(([^)#:]*)#([^)]+)\)", page.read_text("utf-8")):
        text = (page.parent / target if target else page).read_text("utf-8")
        headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
        anchors = [re.sub(r"[^\w -]", "", h.lower()).replace(" ", "-") for h in headings]
        assert section in anchors, (target, section)


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_playbooks_on_a_page_are_free_of_errors_and_warnings(page):
    for text in _playbooks(page):
        loaded = load_playbook(text, Registry())
        assert not loaded.diagnostics, [d.message for d in loaded.diagnostics]


@pytest.mark.parametrize("kind", [*sorted(MODULES), "workbook"])
def test_every_kind_of_tool_has_a_page_with_an_example(kind):
    page = (ROOT / "docs" / "tools" / f"{kind}.md").read_text("utf-8")
    assert re.search(rf"```yaml\n[^`]*kind: {kind}\b", page)


def test_the_page_on_operation_lists_every_setting():
    page = (ROOT / "docs" / "operate.md").read_text("utf-8")
    rows = [f"| `{name}` | {f'`{d}`' if d else ''} | {text} |" for name, d, text in reference()]
    shown = page.split("<!-- settings -->")[1].split("<!-- /settings -->")[0].strip()
    assert shown.splitlines()[2:] == rows


def test_the_guide_to_tools_shows_the_example_package_as_it_is():
    page = (ROOT / "docs/tools/write-your-own.md").read_text("utf-8")
    package = ROOT / "examples/arcbook-sign"
    files = [*package.rglob("*.py"), package / "pyproject.toml"]
    texts = [file.read_text("utf-8") for file in files]
    blocks = re.findall(r"```(?:python|toml)\n(.*?)```", page, re.DOTALL)

    assert len(blocks) > 5
    assert [block for block in blocks if not any(block in text for text in texts)] == []


@pytest.mark.slow
def test_the_site_builds_without_a_warning(tmp_path):
    built = subprocess.run(  # links, anchors and the navigation are checked by the builder
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path)],
        cwd=ROOT,
        env=os.environ | {"NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert built.returncode == 0, built.stderr
    assert {p.stem for p in PAGES} - {"README"} <= {p.stem for p in tmp_path.rglob("*.html")}
