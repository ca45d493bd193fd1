"""A sample of what ``make lifetimes`` runs: nothing may grow with the executions."""

from __future__ import annotations

import pytest

from lifetimes.measures import Measures
from lifetimes.run import Report, flat

NOTHING = Measures(*[0.0] * len(Measures._fields))


@pytest.mark.services
@pytest.mark.slow
@pytest.mark.timeout(600)
async def test_executions_of_ten_kinds_leave_nothing_but_their_history(
    postgres_server, nats_server
):
    report = await flat(postgres_server, nats_server, executions=1000, warming=1500)

    assert report.grown == []


@pytest.mark.parametrize(
    ("executions", "left"),
    [
        (1000, {"rows": 5}),
        (1000, {"objects": 1000}),
        (1000, {"files": 1}),
        (100_000, {"memory_kb": 20_000}),
        (100_000, {"tasks": 20}),
        (100_000, {"descriptors": 100}),
    ],
    ids=str,
)
def test_what_a_few_executions_leave_is_found(executions, left):
    last = NOTHING._replace(**left)
    report = Report(executions, 1.0, NOTHING, last, last.growth(NOTHING, executions))

    assert [told.partition(":")[0] for told in report.grown] == list(left)
