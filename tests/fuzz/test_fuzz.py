"""The short form: the same few inputs each time."""

from __future__ import annotations

import pytest

from fuzz.run import run
from fuzz.targets import TARGETS


@pytest.mark.slow
@pytest.mark.parametrize("target", TARGETS, ids=lambda t: t.name)
def test_whatever_is_read_is_taken_or_refused_with_a_reason(target):
    report = run([target], seconds=0, seed=7, least=200)

    assert not report.broken, report.broken[0]
    assert report.inputs == len(target.seeds) + 200
