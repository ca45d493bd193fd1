"""Documents as people write them: those of the documentation, and one for each older spelling."""

from __future__ import annotations

import pytest

from corpus.documents import HERE, is_corpus, load_corpus
from corpus.outcomes import Result
from corpus.runner import DOCUMENTATION, Corpus, Options

SPELLINGS = HERE / "spellings"
FOLDERS = [SPELLINGS, *([DOCUMENTATION] if is_corpus(DOCUMENTATION) else [])]
NAMES = [(folder.name, document.name) for folder in FOLDERS for document in load_corpus(folder)]

DOCUMENTATION_CLEAN_MIN = 24
"""Examples of the documentation that lint without errors; the others are wrong in themselves."""

pytestmark = [pytest.mark.services, pytest.mark.slow, pytest.mark.timeout(300)]


@pytest.fixture(scope="session")
def results() -> dict[tuple[str, str], list[Result]]:
    found: dict[tuple[str, str], list[Result]] = {}
    for folder in FOLDERS:
        for result in Corpus(Options(folder=folder), lambda _: None).run():
            found.setdefault((folder.name, result.name), []).append(result)
    return found


@pytest.mark.parametrize("name", NAMES, ids=["/".join(name) for name in NAMES])
def test_a_document_is_as_expected(results, name):
    wrong = [r for r in results[name] if r.is_well is False]

    assert not wrong, "; ".join(f"{r.expected}: {r.got}: {r.note}" for r in wrong)


@pytest.mark.skipif(not is_corpus(DOCUMENTATION), reason="the corpus is not beside the project")
def test_most_examples_of_the_documentation_have_no_errors(results):
    lint = [r for found in results.items() for r in found[1] if r.expected == "lint"]
    clean = [r for r in lint if r.got == "clean"]
    own = [d for d in load_corpus(SPELLINGS) if d.expected.expected_outcome == "COMPLETED"]

    assert len(clean) - len(own) >= DOCUMENTATION_CLEAN_MIN
