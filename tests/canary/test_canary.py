"""The short form: some ways, everywhere."""

from __future__ import annotations

import json
import re

import pytest

from arcbook.template.filters.applying import NAMES
from canary.run import Canary
from canary.uses import USES, uses


def test_there_are_as_many_ways_as_are_told():
    names = {task["name"] for task in uses("", {}, "")}

    assert len(names) == USES == 200


def test_every_filter_of_the_language_is_among_them():
    used = json.dumps([task.get("result") for task in uses("", {}, "")])
    left = [name for name in sorted(NAMES) if not re.search(rf"\| {name}\b", used)]

    assert not left


@pytest.mark.services
@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_secret_that_is_used_stands_nowhere_but_in_the_vault():
    report = Canary(short=True).run()

    assert not report.wrong, "\n".join(report.wrong[:20])
    assert not report.hits, "\n".join(report.hits[:20])
    assert report.uses == 30
