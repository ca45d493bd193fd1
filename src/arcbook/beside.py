"""Playbooks that lie in files beside another one, which it may call."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

from arcbook.dsl.kinds import Kinds
from arcbook.dsl.load import Loaded, load_playbook
from arcbook.dsl.model import Playbook
from arcbook.dsl.paths import catalog_path
from arcbook.engine.plan import Plan
from arcbook.errors import InvalidError

SIBLINGS_MAX: Final = 500
"""Documents that are looked at below a playbook's folder for the playbooks it calls."""

FILES_MAX: Final = 500
"""Files that a playbook, and those it names, may name."""

SUFFIXES: Final = (".yaml", ".yml")


class AmbiguousFileError(InvalidError):
    """Two files are named in the same way, so a call would not say which it means."""

    code = "ambiguous_file"


class Beside(NamedTuple):
    """A playbook that another one calls by its file."""

    #: What the other one calls it, as a path of the catalog.
    path: str
    content: str
    loaded: Loaded
    folder: Path


def calls_playbooks(plan: Plan) -> bool:
    """Return whether a playbook calls others."""
    return any(task.kind == "playbook" for step in plan.steps for task in step.tasks)


def siblings(folder: Path, path: str, kinds: Kinds) -> Iterator[tuple[str, Loaded, Path]]:
    """Yield the good playbooks below a folder but one: text, document and folder of each."""
    files = [p for p in sorted(folder.rglob("*.y*ml")) if p.is_file()][:SIBLINGS_MAX]
    for file in files:
        content = _text(file)
        if "kind: Playbook" not in content:
            continue
        loaded = load_playbook(content, kinds)
        if loaded.playbook is not None and loaded.playbook.path != path:
            yield content, loaded, file.parent


def changed_file(folder: Path, path: str, known: str, kinds: Kinds) -> Path | None:
    """Return the file of a playbook, if what is in it differs from what is known of it."""
    for file in sorted(folder.glob("*.y*ml"))[:SIBLINGS_MAX]:
        content = _text(file)
        if content == known:
            return None
        if "kind: Playbook" not in content or path.rpartition("/")[2] not in content:
            continue
        loaded = load_playbook(content, kinds)
        if loaded.playbook is not None and loaded.playbook.path == path:
            return file
    return None


def named_files(playbook: Playbook, folder: Path, kinds: Kinds) -> Iterator[Beside]:
    """Yield the playbooks that one calls by their files, and those that these call so.

    ``path: ./build.yaml`` is the file ``build.yaml`` beside the playbook that says so.

    Raises:
        AmbiguousFileError: two of them name different files in the same way.
    """
    files: dict[str, Path] = {}
    remaining = [(playbook, folder)]
    while remaining:
        caller, place = remaining.pop()
        for name in _files(caller):
            file, path = (place / name).resolve(), catalog_path(name)
            known = files.get(path)
            if known is not None and known != file:
                message = f"{name!r} is both {known} and {file}: call one by its 'metadata.path'"
                raise AmbiguousFileError(message)
            content = "" if known is not None or len(files) >= FILES_MAX else _text(file)
            if not content:
                continue
            files[path] = file
            loaded = load_playbook(content, kinds)
            if loaded.playbook is None:
                continue
            yield Beside(path, content, loaded, file.parent)
            remaining.append((loaded.playbook, file.parent))


def _files(playbook: Playbook) -> list[str]:
    named = [
        task.config.get("path")
        for step in playbook.steps
        for task in step.tasks
        if task.kind == "playbook"
    ]
    return sorted({p for p in named if isinstance(p, str) and p.endswith(SUFFIXES)})


def _text(file: Path) -> str:
    with contextlib.suppress(OSError, UnicodeDecodeError):
        return file.read_text("utf-8")
    return ""
