"""Hooks of the site's builder: the pages outside docs, and links to them; see mkdocs.yml."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Final

from mkdocs.structure.files import File, Files

ROOT: Final = Path(__file__).resolve().parents[1]

PAGES: Final = {
    "README.md": "index.md",
    "ARCHITECTURE.md": "ARCHITECTURE.md",
    "CHANGELOG.md": "CHANGELOG.md",
    "CONTRIBUTING.md": "CONTRIBUTING.md",
    "SECURITY.md": "SECURITY.md",
}
"""Pages of the repository's root, and their place in the site."""

FOLDERS: Final = ("decisions", "tools")
"""Folders of docs whose pages are one section each."""

LINK: Final = re.compile(r"\[([^\]]*)\]\(([^)#:]+)(#[^)]*)?\)")


def on_config(config: Any) -> Any:
    """Put the pages of each folder into the navigation."""
    for entry in config.nav:
        for title, place in entry.items():
            if place in FOLDERS:
                pages = sorted(p.name for p in (ROOT / "docs" / place).glob("*.md"))
                entry[title] = [{Path(page).stem: f"{place}/{page}"} for page in pages]
    return config


def on_files(files: Files, config: Any) -> Files:
    """Add the pages of the repository's root."""
    for source, target in PAGES.items():
        files.append(File.generated(config, target, content=(ROOT / source).read_text("utf-8")))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Let links lead to pages of the site; what is no page stays as text."""
    target = page.file.src_uri
    sources = {place: source for source, place in PAGES.items()}
    folder = ROOT if target in sources else (ROOT / "docs" / target).parent
    depth = "../" * target.count("/")

    def linked(match: re.Match[str]) -> str:
        text, path, anchor = match[1], match[2], match[3] or ""
        file = (folder / path).resolve()
        if not file.is_relative_to(ROOT):
            return match[0]
        place = file.relative_to(ROOT).as_posix().removeprefix("docs/")
        place = PAGES.get(place, place)
        is_page = place in PAGES.values() or (ROOT / "docs" / place).is_file()
        return f"[{text}]({depth}{place}{anchor})" if is_page else text

    return LINK.sub(linked, markdown)
