"""Agents that tests call."""

from __future__ import annotations

from typing import Any


class Counter:
    """An agent of one's own."""

    def __init__(self, start: int = 0) -> None:
        self.start = start

    async def ainvoke(self, payload: dict[str, Any], step: int = 1) -> dict[str, Any]:
        return {"count": self.start + step * len(payload["text"])}


def make_counter(start: int) -> Counter:
    return Counter(start)


counter = Counter(100)


def shout(text: str) -> str:
    return text.upper()


def refuse(payload: Any) -> dict[str, str]:
    return {"status": "error", "error": "no budget left"}


def broken(payload: Any) -> None:
    raise ConnectionError("the model is away")


def chain() -> Any:
    """A chain of LangChain, with a model that knows its answers."""
    from langchain_core.language_models.fake_chat_models import GenericFakeChatModel
    from langchain_core.messages import AIMessage
    from langchain_core.prompts import ChatPromptTemplate

    usage = {"input_tokens": 12, "output_tokens": 8, "total_tokens": 20}
    answer = AIMessage("It will rain.", usage_metadata=usage)
    prompt = ChatPromptTemplate.from_messages([("human", "Weather in {city}?")])
    return prompt | GenericFakeChatModel(messages=iter([answer]))
