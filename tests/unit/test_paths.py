"""Paths of the catalog, and playbooks in files beside another one."""

from __future__ import annotations

import pytest

from arcbook.beside import AmbiguousFileError, named_files, siblings
from arcbook.dsl.load import load_document, load_playbook
from arcbook.dsl.paths import catalog_path
from unit.lint_cases import HEAD, KINDS

SAME = ["a/b", "/a/b", "a/b/", "/a/b/", "//a//b//", " /a/b ", "./a/b", "a/./b"]


@pytest.mark.parametrize("text", SAME)
def test_slashes_around_a_path_say_nothing(text):
    assert catalog_path(text) == "a/b"


@pytest.mark.parametrize("text", ["", "/", " ", "./"])
def test_a_path_of_nothing_but_slashes_is_empty(text):
    assert catalog_path(text) == ""


@pytest.mark.parametrize("text", SAME)
def test_a_document_is_known_by_one_form_of_its_path(text):
    content = (
        HEAD.replace("{name: n}", f"{{path: '{text}'}}")
        + "workflow: [{step: a, tool: {kind: noop}}]"
    )
    loaded = load_document(content, KINDS)

    assert loaded.path == "a/b"
    assert loaded.playbook is not None
    assert loaded.playbook.path == "a/b"


# -- files ----------------------------------------------------------------------------


def playbook(name, *called):
    steps = "".join(
        f"- step: s{i}\n  tool: {{kind: playbook, path: {p}}}\n" for i, p in enumerate(called)
    )
    return HEAD.replace("{name: n}", f"{{name: {name}}}") + "workflow:\n" + (steps or "- step: s\n")


@pytest.fixture
def kinds():
    from unit.kinds import every_kind

    return every_kind()


def found_beside(folder, text, kinds):
    loaded = load_playbook(text, kinds)
    assert loaded.playbook is not None
    return {b.path: b.loaded.path for b in named_files(loaded.playbook, folder, kinds)}


def test_a_playbook_may_call_another_by_its_file(tmp_path, kinds):
    (tmp_path / "build.yaml").write_text(playbook("one"))
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "deploy.yml").write_text(playbook("two"))

    found = found_beside(tmp_path, playbook("p", "./build.yaml", "sub/deploy.yml", "x/y"), kinds)

    assert found == {"build.yaml": "one", "sub/deploy.yml": "two"}


def test_files_that_called_playbooks_call_are_found_from_where_these_lie(tmp_path, kinds):
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "a.yaml").write_text(playbook("a", "./b.yaml", "./a.yaml"))
    (tmp_path / "sub" / "b.yaml").write_text(playbook("b"))

    found = found_beside(tmp_path, playbook("p", "sub/a.yaml"), kinds)

    assert found == {"sub/a.yaml": "a", "b.yaml": "b", "a.yaml": "a"}


def test_two_files_of_one_name_are_refused_and_not_mixed_up(tmp_path, kinds):
    (tmp_path / "sub").mkdir()
    (tmp_path / "b.yaml").write_text(playbook("one"))
    (tmp_path / "sub" / "a.yaml").write_text(playbook("a", "./b.yaml"))
    (tmp_path / "sub" / "b.yaml").write_text(playbook("two"))

    with pytest.raises(AmbiguousFileError, match=r"'\./b\.yaml' is both"):
        found_beside(tmp_path, playbook("p", "b.yaml", "sub/a.yaml"), kinds)


def test_files_that_are_not_there_or_no_playbooks_are_left_to_the_run(tmp_path, kinds):
    (tmp_path / "broken.yaml").write_text("a: [")
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe")

    found = found_beside(tmp_path, playbook("p", "broken.yaml", "binary.yaml", "gone.yaml"), kinds)

    assert found == {}


def test_siblings_are_the_good_playbooks_below_a_folder(tmp_path, kinds):
    (tmp_path / "a.yaml").write_text(playbook("a"))
    (tmp_path / "self.yaml").write_text(playbook("p"))
    (tmp_path / "bad.yaml").write_text("kind: Playbook\n")

    assert [loaded.path for _, loaded, _ in siblings(tmp_path, "p", kinds)] == ["a"]
