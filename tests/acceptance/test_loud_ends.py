"""A process whose loop has ended ends as well: soon, with a code that is not zero, and says why."""

from __future__ import annotations

import subprocess
import sys
import textwrap

import pytest

from arcbook.cli.serving import END_SECONDS
from arcbook.testing.services import bare_environment

START_SECONDS = 60.0

LOOPS = {
    "arcbook.server.scheduler:Scheduler": "look",
    "arcbook.server.ownership:ShardOwnership": "renew_lease",
    "arcbook.owner.commands:CommandBook": "expire",
    "arcbook.worker.core:Worker": "_extend",
    "arcbook.server.system:Housekeeping": "_forget_requests",
    "uvicorn:Server": "on_tick",
}


@pytest.mark.parametrize("part", LOOPS)
def test_a_process_whose_loop_ends_ends_soon_and_says_why(part, tmp_path):
    module, _, name = part.partition(":")
    program = f"""
        import inspect, sys, time
        from {module} import {name} as part
        from arcbook.cli.main import main

        whole, began = part.{LOOPS[part]}, time.monotonic()

        def broken(*given, **named):
            if {name!r} == "Housekeeping" or time.monotonic() > began + 3:
                raise LookupError("planted")
            return whole(*given, **named)

        async def broken_later(*given, **named):
            return await broken(*given, **named)

        part.{LOOPS[part]} = broken_later if inspect.iscoroutinefunction(whole) else broken
        sys.argv = ["arcbook", "dev", "--port", "0"]
        main()
    """
    environment = {**bare_environment(), "ARCBOOK_HOME": str(tmp_path)}
    ended = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)],
        check=False,
        capture_output=True,
        cwd=tmp_path,
        env=environment,
        timeout=START_SECONDS + END_SECONDS,
        text=True,
        start_new_session=True,
    )

    assert ended.returncode == 1, ended.stderr
    assert "planted" in ended.stderr
