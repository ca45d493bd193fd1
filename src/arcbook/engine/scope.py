"""The names that an execution's templates can read, and their order of precedence.

Bare names resolve to the iteration, then input and values that the pipeline set, then
``ctx``, step results and workload. The names of the language itself (``ctx``, ``output``,
``iter``, ...) come first and cannot be shadowed.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import Any, Final

import msgspec

from arcbook.engine.keychain import KeychainView, Opened
from arcbook.engine.views import Loaded, result_view
from arcbook.events.types import LoopResult, StepResult
from arcbook.template.access import MISSING, View, plain
from arcbook.template.budget import Budget
from arcbook.template.errors import TemplateError
from arcbook.template.scope import Scope

MICROSECONDS: Final = 1_000_000


class Context(msgspec.Struct, kw_only=True, omit_defaults=True):
    """The part of an execution that a command carries for its templates to read."""

    execution_id: int
    path: str = ""
    version: int = 0
    catalog_id: int = 0
    workload: dict[str, Any] = {}
    payload: dict[str, Any] = {}
    ctx: dict[str, Any] = {}
    steps: dict[str, StepResult | LoopResult] = {}
    #: Values of the step's lifetime.
    locals: dict[str, Any] = {}
    #: The step that the token came from.
    came_from: str = ""
    #: Whether a name without a value is an error rather than a warning.
    strict: bool = False


class ExecutionScope(Scope):
    """The names of an execution, below layers for one task, iteration or arc."""

    __slots__ = (
        "base", "context", "data", "env", "inputs", "keychain", "layers", "loaded", "now", "top",
    )  # fmt: skip

    def __init__(
        self,
        context: Context,
        *,
        data: dict[str, Any],
        now: Callable[[], int],
        loaded: Loaded,
        top: dict[str, Any] | None = None,
        layers: tuple[dict[str, Any], ...] = (),
        env: dict[str, str] | None = None,
        keychain: Opened | None = None,
        budget: Budget | None = None,
    ) -> None:
        super().__init__(budget)
        self.context = context
        self.data = data
        self.now = now
        self.loaded = loaded
        self.top: dict[str, Any] = {} if top is None else top
        self.layers = layers
        #: The inputs of the step and of the task, filled in place.
        self.inputs: tuple[dict[str, Any], ...] = ()
        self.env = env or {}
        #: Fetched secrets; None where secrets are not available.
        self.keychain = keychain

    def now_at(self) -> dt.datetime:
        return dt.datetime.fromtimestamp(self.now() / MICROSECONDS, tz=dt.UTC)

    def seed(self) -> str:
        return f"{self.context.execution_id}:{self.now()}"

    def lookup(self, name: str) -> Any:
        value = self.top.get(name, MISSING)
        if value is not MISSING:
            return value
        for layer in self.layers:
            if name in layer:
                return layer[name]
        root = _ROOTS.get(name)
        if root is not None:
            return root(self) if self.views is None else self._view(name, root)
        context = self.context
        if name in context.ctx:
            return context.ctx[name]
        if name in context.steps:
            return self.step(name)
        if name in context.workload:
            return context.workload[name]
        if name in self.data:
            return self.data[name]
        fallback = _GIVEN.get(name)
        return MISSING if fallback is None else fallback(self)

    def step(self, name: str) -> View:
        """Return the view of a step's result."""
        views = self.views
        if views is None:
            return result_view(self.context.steps[name], self.loaded)
        view: View | None = views.get(f".{name}")
        if view is None:
            view = views[f".{name}"] = result_view(self.context.steps[name], self.loaded)
        return view

    def _view(self, name: str, root: Callable[[ExecutionScope], Any]) -> Any:
        assert self.views is not None
        if name not in self.views:
            self.views[name] = root(self)
        return self.views[name]


class CtxView(View):
    """``ctx``: values that were set, with workload and step results as fallbacks."""

    __slots__ = ("_whole", "scope")

    def __init__(self, scope: ExecutionScope) -> None:
        self.scope = scope
        self._whole: dict[str, Any] | None = None

    def name(self, key: str) -> Any:
        context = self.scope.context
        if key in context.ctx:
            return context.ctx[key]
        if key in context.workload:
            return context.workload[key]
        if key in context.steps:
            return self.scope.step(key)
        root = _ROOTS.get(key) or _GIVEN.get(key)
        return root(self.scope) if root and key not in ("ctx", "workload") else MISSING

    def plain(self) -> Any:
        if self._whole is None:
            context = self.scope.context
            self._whole = {**context.workload, **context.ctx}
        return self._whole


class StepsView(View):
    """``steps``: results by step name."""

    __slots__ = ("_whole", "scope")

    def __init__(self, scope: ExecutionScope) -> None:
        self.scope = scope
        self._whole: dict[str, Any] | None = None

    def name(self, key: str) -> Any:
        return self.scope.step(key) if key in self.scope.context.steps else MISSING

    def plain(self) -> Any:
        if self._whole is None:
            names = self.scope.context.steps
            self._whole = {name: self.scope.step(name).plain() for name in names}
        return self._whole


def everything(scope: ExecutionScope) -> dict[str, Any]:
    """Return all names as one plain dict, for ``context`` in Python code."""
    context = scope.context
    names: dict[str, Any] = {**scope.data, **context.workload}
    for name, result in context.steps.items():
        names[name] = result_view(result, scope.loaded).plain()
    names.update(context.ctx)
    for layer in reversed(scope.layers):
        names.update(layer)
    names["execution_id"] = str(context.execution_id)
    names["catalog_id"] = str(context.catalog_id)
    names["workload"] = context.workload
    names["ctx"] = context.ctx
    return {key: plain(value) for key, value in names.items()}


def _execution_id(scope: ExecutionScope) -> str:
    return str(scope.context.execution_id)


def _job(scope: ExecutionScope) -> dict[str, str]:
    identity = str(scope.context.execution_id)
    return {"uuid": identity, "execution_id": identity, "id": identity}


def _keychain(scope: ExecutionScope) -> KeychainView:
    """Return the keychain.

    Raises:
        TemplateError: If the template is not rendered by a worker.
    """
    if scope.keychain is None:
        raise TemplateError("only tasks can read secrets: guards and loops cannot use 'keychain'")
    return KeychainView(scope.keychain)


def _payload(scope: ExecutionScope) -> dict[str, Any]:
    return scope.context.payload


def _input(scope: ExecutionScope) -> dict[str, Any]:
    """Return the request's payload, overlaid by the inputs of the step and its task."""
    values = dict(scope.context.payload)
    for inputs in scope.inputs:
        values.update(inputs)
    return values


_ROOTS: Final[dict[str, Callable[[ExecutionScope], Any]]] = {
    "ctx": CtxView,
    "env": lambda scope: scope.env,
    "execution_id": _execution_id,
    "keychain": _keychain,
    "steps": StepsView,
    "workload": lambda scope: scope.context.workload,
}

_GIVEN: Final[dict[str, Callable[[ExecutionScope], Any]]] = {
    "catalog_id": lambda scope: str(scope.context.catalog_id),
    "input": _input,
    "job": _job,
    "path": lambda scope: scope.context.path,
    "payload": _payload,
    "version": lambda scope: scope.context.version,
}
