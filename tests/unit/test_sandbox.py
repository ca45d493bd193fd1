"""What a sandbox shows, in the order in which it is laid over what was there before."""

from __future__ import annotations

import pytest

from arcbook.tools import sandbox


@pytest.mark.parametrize("place", ["/tmp/venv", "/var/tmp/user/venv", "/opt/venv"])
def test_an_installation_is_seen_wherever_it_is(monkeypatch, place):
    monkeypatch.setattr(sandbox, "_python", lambda: [place])
    given = sandbox.view(["/tmp/work"], has_network=False)
    empty = max(n for n, word in enumerate(given) if word == "--tmpfs")
    bound = [given[n + 1] for n, word in enumerate(given) if n > empty and word.endswith("bind")]

    assert bound == [place, "/tmp/work"]
