"""What runs beside an agent, in a process that runs code of users. It is read, not imported.

Everything is in ``main``, which gets its one input: what the task says.
"""

from __future__ import annotations

import importlib
import inspect
import sys
from typing import Any

METHODS = {
    "langchain": ("ainvoke", "invoke", "arun", "run"),
    "custom": ("ainvoke", "invoke", "run_async", "run", "execute", "__call__"),
}


def load_target(asked: dict[str, Any]) -> Any:
    """Return the agent that an entry point names, made by its factory if it has one."""
    module, _, attribute = asked["entrypoint"].partition(":")
    for folder in asked["folders"]:
        if folder not in sys.path:
            sys.path.insert(0, folder)
    target: Any = importlib.import_module(module)
    for part in attribute.split("."):
        if not hasattr(target, part):
            raise ImportError(f"module {module!r} has no {attribute!r}")
        target = getattr(target, part)
    makes = asked["mode"] == "factory" or (
        asked["mode"] == "auto" and inspect.isclass(target) and not hasattr(type(target), "invoke")
    )
    return target(**asked["arguments"]) if makes else target


def method_of(agent: Any, asked: dict[str, Any]) -> Any:
    """Return the method that calls an agent."""
    names = [asked["method"]] if asked["method"] else METHODS[asked["framework"]]
    for name in names:
        method = getattr(agent, name, None)
        if callable(method):
            return method
    raise ImportError(f"{asked['entrypoint']} has none of the methods {', '.join(names)}")


async def called(method: Any, asked: dict[str, Any]) -> Any:
    """Call an agent with its payload: by a name, or first in line."""
    payload, named = asked["payload"], asked["options"]
    answer = (
        method(**{asked["input_arg"]: payload}, **named)
        if asked["input_arg"]
        else method(payload, **named)
    )
    if hasattr(answer, "__aiter__"):
        return [part async for part in answer]
    return await answer if inspect.isawaitable(answer) else answer


def plain(value: Any, depth: int = 0) -> Any:
    """Return what an agent yields as plain data."""
    if depth > 50 or value is None or isinstance(value, str | int | float | bool):
        return value
    if isinstance(value, dict):
        return {str(k): plain(v, depth + 1) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [plain(v, depth + 1) for v in value]
    if hasattr(value, "model_dump"):
        return plain(value.model_dump(mode="json"), depth + 1)
    return value


def usage_of(value: Any, depth: int = 0) -> dict[str, int]:
    """Return the tokens that the messages in an answer say they cost."""
    total: dict[str, int] = {}
    if depth > 50:
        return total
    inner: list[Any] = []
    if isinstance(value, dict):
        inner = list(value.values())
        usage = value.get("usage_metadata")
        if isinstance(usage, dict):
            inner.remove(usage)
            names = ("input_tokens", "output_tokens", "total_tokens")
            total = {n: usage[n] for n in names if isinstance(usage.get(n), int)}
    elif isinstance(value, list):
        inner = value
    for one in inner:
        for name, count in usage_of(one, depth + 1).items():
            total[name] = total.get(name, 0) + count
    return total


async def main(asked: dict[str, Any]) -> dict[str, Any]:
    """Call the agent that a task asks for."""
    answer = plain(await called(method_of(load_target(asked), asked), asked))
    return {"data": answer, "usage": usage_of(answer)}
