"""The tools of a run, and what they answer: those of generated playbooks, or of documents."""

from __future__ import annotations

from arcbook.secrets.api import Credential
from arcbook.testing.local import Handler
from arcbook.testing.simulate.documents import DocumentAnswers, add_scripted
from arcbook.testing.simulate.scenario import Scenario
from arcbook.testing.simulate.tools import Answers, GeneratedAnswers, add_generated, ask
from arcbook.tools.registry import Registry


def add_tools(registry: Registry, scenario: Scenario, act: Handler, asked: Handler = ask) -> None:
    """Add the tools of a scenario's playbooks."""
    if scenario.documents:
        add_scripted(registry, act)
    else:
        add_generated(registry, act, asked)


def answers_of(scenario: Scenario) -> Answers:
    """Return what the tools of a scenario's playbooks answer."""
    if scenario.documents:
        return DocumentAnswers(scenario.seed, scenario.playbooks.values())
    return GeneratedAnswers(scenario.seed)


class AnyCredentials:
    """Knows every alias, and what it stands for is worth nothing."""

    async def credential(self, alias: str, execution_id: int, *, requester: str = "") -> Credential:
        """Return a credential of that name."""
        return Credential(name=alias, type="secret", data={"secret": "***"})
