"""Fixtures that all tests share."""

from __future__ import annotations

import os
import signal

import pytest

pytest_plugins = ["blocking", "services_fixtures", "api_stores"]

# A shell's background job ignores Ctrl-C, one below nohup its terminal's end, and so would
# the processes that tests start.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)

SKIPS = {
    "the corpus is not beside the project": 6,
    "got empty parameter set": 1,
    "and may not mount": 1,
}
"""How many tests may be skipped, by reason: without a corpus, or where root may not mount."""


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Fail a whole run that skips what it should not."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    skipped = [r.longrepr[2] for r in reporter.stats.get("skipped", [])] if reporter else []
    counts = {part: sum(part in reason for reason in skipped) for part in SKIPS}
    surplus = [r for r in skipped if not any(part in r for part in SKIPS)]
    surplus += [part for part, count in counts.items() if count > SKIPS[part]]
    if surplus:
        reporter.write_line(f"these tests must not be skipped: {surplus}", red=True)
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


@pytest.fixture(autouse=True)
def _bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No setting of the developer's reaches a test."""
    for name in list(os.environ):
        if name.startswith("ARCBOOK_"):
            monkeypatch.delenv(name)
