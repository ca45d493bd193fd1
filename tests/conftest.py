"""Fixtures that all tests share."""

from __future__ import annotations

import os
import signal

import pytest

pytest_plugins = ["services_fixtures"]

# A shell's background job ignores Ctrl-C, and so would the processes that tests start.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def _bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No setting of the developer's reaches a test."""
    for name in list(os.environ):
        if name.startswith("ARCBOOK_"):
            monkeypatch.delenv(name)
