"""A worker that holds secrets and runs the code that it is given: ``ISOLATION FOLDER``.

Reads calls as lines of JSON, one or several at once, and answers each line with their
outcomes.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import Any

import msgspec

from arcbook.cli.serving import keep_secrets
from arcbook.compose.working import confinement_of
from arcbook.outcome import Outcome
from arcbook.settings import Settings, load_settings
from arcbook.testing.tools import FakeContext, call_tool
from arcbook.tools.confinement import Isolation
from arcbook.tools.registry import Registry


class Held:
    """What an attacker looks for in memory."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.secret = settings.encryption_key


def say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


async def main() -> None:
    isolation, folder = Isolation(sys.argv[1]), Path(sys.argv[2])
    settings = load_settings(home=folder)
    held = Held(settings)
    keep_secrets()
    confinement = confinement_of(settings, isolation)
    registry = Registry()

    async def answer(call: dict[str, Any]) -> Any:
        execution = call["execution_id"]
        context = FakeContext(
            confinement=confinement, workspace=confinement.make_workspace(execution)
        )
        tool = registry.tool(call["kind"])
        facts = {k: call[k] for k in ("input", "timeout_seconds") if k in call}
        outcome = await call_tool(
            tool, call["kind"], call["config"], context=context, execution_id=execution, **facts
        )
        assert isinstance(outcome, Outcome)
        return {"status": outcome.status, "data": outcome.data, "error": outcome.error}

    loop = asyncio.get_running_loop()
    say(json.dumps({"pid": os.getpid(), "uid": os.getuid()}))
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        calls = json.loads(line)
        outcomes = await asyncio.gather(*(answer(call) for call in calls))
        say(msgspec.json.encode(outcomes).decode())
    await registry.close()
    assert held.secret


asyncio.run(main())
