"""NoETL's own command line works with our server."""

from __future__ import annotations

import pytest

from noetl_client.__main__ import records
from noetl_client.program import NotInstallableError, installed


@pytest.mark.slow
@pytest.mark.services
@pytest.mark.timeout(600)
def test_every_subcommand_does_what_it_must():
    try:
        installed()
    except NotInstallableError:
        pytest.skip("NoETL's command line cannot be installed here")

    assert [(r.command, r.wrong, r.output[-500:]) for r in records() if r.wrong] == []
