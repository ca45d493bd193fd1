"""The corpus on a cluster ends as it does here: statuses, results, steps."""

from __future__ import annotations

import pytest

from corpus.cluster import ClusterHost, compared
from corpus.documents import load_corpus
from corpus.runner import Corpus, Options, Table
from corpus.test_corpus import FOLDER, IS_THERE, NAMES

pytestmark = [
    pytest.mark.services,
    pytest.mark.slow,
    pytest.mark.timeout(1800),
    pytest.mark.skipif(not IS_THERE, reason="the corpus is not beside the project"),
]


@pytest.fixture(scope="module")
def results():
    options = Options(folder=FOLDER)
    here = [Corpus(options, lambda _: None) for _ in range(2)]
    for corpus in here:
        corpus.run()
    with ClusterHost(FOLDER) as host:
        there = Corpus(options, lambda _: None, host=host)
        found = compared(here, there, there.run(), Table(load_corpus(FOLDER)))
    by_name = {}
    for result in found:
        by_name.setdefault(result.name, []).append(result)
    return by_name


@pytest.mark.parametrize("name", NAMES)
def test_a_document_ends_on_a_cluster_as_it_does_here(results, name):
    wrong = [r for r in results[name] if r.is_well is False]

    assert not wrong, "; ".join(f"{r.expected}: {r.got}: {r.note}" for r in wrong)
