"""``agent``: calls an agent: a runnable of LangChain, an object of one's own, a playbook."""

from arcbook.tools.agent.tool import KIND, SPEC, Agent

__all__ = ["KIND", "SPEC", "Agent"]
