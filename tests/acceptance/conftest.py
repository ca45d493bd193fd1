"""A terminal on a fresh home, and a service to call."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from acceptance.service import Service
from acceptance.terminal import Terminal


@pytest.fixture
def arcbook(tmp_path: Path) -> Terminal:
    """The command line in a fresh folder, on a fresh home."""
    return Terminal(tmp_path)


@pytest.fixture
def service() -> Iterator[Service]:
    """A web service."""
    with Service().serving() as service:
        yield service
