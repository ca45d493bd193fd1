"""The corpus itself: every document that can run here ends as it is expected to."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from corpus.documents import EXPECTATIONS, load_corpus
from corpus.outcomes import Result
from corpus.runner import DEFAULT_FOLDER, Corpus, Options

FOLDER = Path(os.environ.get("CORPUS") or DEFAULT_FOLDER)
IS_THERE = (FOLDER / EXPECTATIONS).is_file()
NAMES = [document.name for document in load_corpus(FOLDER)] if IS_THERE else []

pytestmark = [
    pytest.mark.services,
    pytest.mark.slow,
    pytest.mark.timeout(1800),
    pytest.mark.skipif(not IS_THERE, reason="the corpus is not beside the project"),
]


@pytest.fixture(scope="session")
def results() -> dict[str, list[Result]]:
    found: dict[str, list[Result]] = {}
    for result in Corpus(Options(folder=FOLDER), lambda _: None).run():
        found.setdefault(result.name, []).append(result)
    return found


@pytest.mark.parametrize("name", NAMES)
def test_a_document_is_as_expected(results, name):
    wrong = [r for r in results[name] if r.is_well is False]

    assert not wrong, "; ".join(f"{r.expected}: {r.got}: {r.note}" for r in wrong)
