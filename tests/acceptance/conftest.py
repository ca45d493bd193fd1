"""A terminal on a fresh home, and a service to call."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from acceptance.service import Service
from acceptance.terminal import Terminal


@pytest.fixture
def arcbook(tmp_path: Path) -> Iterator[Terminal]:
    """The command line in a fresh folder, on a fresh home."""
    terminal = Terminal(tmp_path)
    yield terminal
    terminal.close()


@pytest.fixture
def service() -> Iterator[Service]:
    """A web service."""
    with Service().serving() as service:
        yield service
