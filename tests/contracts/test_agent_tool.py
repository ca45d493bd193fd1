"""What the agent tool promises: real runnables, objects of one's own, playbooks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from arcbook.events.types import WaitKind
from arcbook.outcome import ErrorKind, Outcome
from arcbook.testing.tools import FakeContext, call_tool
from arcbook.tools.agent import Agent
from arcbook.tools.api import Deferred

HERE = FakeContext(folder=str(Path(__file__).parents[1]))


@pytest.fixture
async def agent():
    tool = Agent()
    yield tool
    await tool.close()


@pytest.fixture
def ask(agent):
    async def call(name: str = "", **config: Any) -> Any:
        config = {"entrypoint": f"agents:{name}", **config}
        return await call_tool(agent, "agent", config, context=HERE, timeout_seconds=60)

    return call


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ({"entrypoint": "agents:counter", "payload": {"text": "abc"}}, {"count": 103}),
        ({"entrypoint": "agents:Counter", "payload": {"text": "abc"}}, {"count": 3}),
        (
            {
                "entrypoint": "agents:make_counter",
                "entrypoint_mode": "factory",
                "entrypoint_args": {"start": 10},
                "payload": {"text": "ab"},
                "invoke_kwargs": {"step": 5},
            },
            {"count": 20},
        ),
        ({"entrypoint": "agents:shout", "payload": "hey"}, "HEY"),
        ({"entrypoint": "agents:shout", "payload": "hey", "input_arg": "text"}, "HEY"),
        (
            {"entrypoint": "agents:counter", "payload": {"text": "a"}, "invoke_method": "ainvoke"},
            {"count": 101},
        ),
    ],
)
async def test_an_object_of_one_s_own_is_called(ask, config, expected):
    outcome = await ask(**config)

    assert outcome.is_ok, outcome.error
    assert outcome.data["data"] == expected


async def test_a_chain_of_langchain_yields_its_message_tokens_and_cost(ask):
    outcome = await ask(
        "chain",
        framework="langchain",
        entrypoint_mode="factory",
        payload={"city": "Oslo"},
        prices={"input": 1.0, "output": 2.0},
    )

    assert outcome.is_ok, outcome.error
    assert outcome.data["data"]["content"] == "It will rain."
    assert outcome.data["usage"] == {"input_tokens": 12, "output_tokens": 8, "total_tokens": 20}
    assert outcome.data["cost"] == pytest.approx(28e-6)


async def test_what_an_agent_says_is_an_error_fails(ask):
    outcome = await ask("refuse", payload={})

    assert outcome.error is not None
    assert (outcome.error.kind, outcome.error.code) == (ErrorKind.PROCESS, "AGENT_ERROR")
    assert "no budget left" in outcome.error.message


async def test_an_agent_that_raises_fails_as_its_code_would(ask):
    outcome = await ask("broken", payload={})

    assert outcome.error is not None
    assert (outcome.error.kind, outcome.error.retryable) == (ErrorKind.CONNECTION, True)
    assert "the model is away" in outcome.error.message
    assert "broken" in outcome.error.traceback


@pytest.mark.parametrize(
    ("entrypoint", "said"),
    [
        ("no_such_module:agent", "no_such_module"),
        ("agents:nothing", "has no 'nothing'"),
        ("agents", "module:attribute"),
        ("math:pi", "none of the methods"),
    ],
)
async def test_an_agent_that_is_not_there(ask, entrypoint, said):
    outcome = await ask(entrypoint=entrypoint, payload={})

    assert outcome.error is not None
    assert outcome.error.kind is ErrorKind.CONFIG
    assert said in outcome.error.message


async def test_a_playbook_is_an_agent_that_holds_no_worker(agent):
    config = {"framework": "noetl", "entrypoint": "agents/triage", "payload": {"id": 7}}
    answer = await call_tool(agent, "agent", config, timeout_seconds=30)

    assert answer == Deferred(
        kind=WaitKind.CHILD, path="agents/triage", payload={"id": 7}, timeout_seconds=30
    )


async def test_an_agent_runs_apart_and_within_its_time(agent, tmp_path):
    (tmp_path / "slow_agent.py").write_text(
        "import os, time\ndef pid(payload):\n    return os.getpid()\n"
        "def hang(payload):\n    time.sleep(600)\n"
    )
    context = FakeContext(folder=str(tmp_path))
    pid = await call_tool(
        agent, "agent", {"entrypoint": "slow_agent:pid", "payload": 1}, context=context
    )
    hung = await call_tool(
        agent,
        "agent",
        {"entrypoint": "slow_agent:hang", "payload": 1},
        context=context,
        timeout_seconds=1,
    )

    assert isinstance(pid, Outcome)
    assert isinstance(hung, Outcome)
    assert hung.error is not None
    assert hung.error.kind is ErrorKind.TIMEOUT
    assert pid.data["data"] != __import__("os").getpid()
