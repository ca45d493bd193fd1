"""Everything is killed once while executions run; all of them end as they must."""

from __future__ import annotations

import pytest

from chaos.run import Chaos


@pytest.mark.services
@pytest.mark.slow
@pytest.mark.timeout(900)
def test_executions_end_as_they_must_whatever_is_killed():
    report = Chaos(executions=60, rounds=1).run()

    assert not report.wrong, "\n".join(report.wrong[:20])
    assert report.executions >= 60
    assert len(report.recoveries) >= 12
