"""The sandboxed Jinja2 environment in which expressions beyond a plain path run.

Imported on first need only: playbooks of plain paths never pay for Jinja2.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from jinja2 import ChainableUndefined, Undefined, nodes
from jinja2.exceptions import TemplateRuntimeError
from jinja2.runtime import Context
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.utils import missing, pass_context

from arcbook.template import limits
from arcbook.template.access import MISSING, View, attribute, item
from arcbook.template.filters import FILTERS
from arcbook.template.text import to_text


class Absent(ChainableUndefined):
    """A missing value: its attributes are missing too, and every ordering is false."""

    __slots__ = ()

    def _less(self, _other: object) -> bool:
        return False

    __lt__ = __le__ = __gt__ = __ge__ = _less  # type: ignore[assignment]


class ScopeContext(Context):
    """A render context whose names come from a scope, looked up when used."""

    def __init__(self, environment: Environment, scope: Any) -> None:
        super().__init__(environment, {}, None, {})
        self.scope = scope

    def resolve_or_missing(self, key: str) -> Any:
        if key in self.vars:
            return self.vars[key]
        if key in self.parent:
            return self.parent[key]
        found = self.scope.lookup(key)
        if found is not MISSING:
            return found
        return self.environment.globals.get(key, missing)

    def derived(self, locals: dict[str, Any] | None = None) -> Context:  # noqa: A002
        context = ScopeContext(self.environment, self.scope)  # type: ignore[arg-type]
        context.parent = dict(self.get_all())
        context.vars = {k: v for k, v in (locals or {}).items() if v is not missing}
        context.eval_ctx = self.eval_ctx
        return context


class Environment(ImmutableSandboxedEnvironment):
    """Jinja2 with keys before methods, chainable missing values, and limits."""

    intercepted_binops = frozenset({"*", "**"})

    def __init__(self) -> None:
        super().__init__(
            undefined=Absent,
            finalize=finalize,
            autoescape=False,
            keep_trailing_newline=True,
            cache_size=0,
        )
        self.filters.update(FILTERS)
        self.filters["bounded"] = bounded
        self.globals["range"] = bounded_range
        self.globals.pop("lipsum", None)

    def getattr(self, obj: Any, attribute_name: str) -> Any:
        found = attribute(obj, attribute_name)
        if found is not MISSING:
            return found
        if isinstance(obj, View):
            obj = obj.plain()
        return super().getattr(obj, attribute_name)

    def getitem(self, obj: Any, argument: Any) -> Any:
        found = item(obj, argument)
        if found is not MISSING:
            return found
        if isinstance(obj, View):
            obj = obj.plain()
        return super().getitem(obj, argument)

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        if operator == "*":
            _check_repetition(left, right)
            _check_repetition(right, left)
        elif _bits_of_power(left, right) > limits.POWER_BITS_MAX:
            raise TemplateRuntimeError(f"the result of ** passes {limits.POWER_BITS_MAX} bits")
        return super().call_binop(context, operator, left, right)

    def parse_source(self, source: str) -> nodes.Template:
        """Return the syntax tree of a template, its loops bounded.

        Raises:
            jinja2.TemplateSyntaxError: it is not a template.
        """
        return self._parse(source, None, None)

    def _parse(self, source: str, name: str | None, filename: str | None) -> nodes.Template:
        tree = super()._parse(source, name, filename)
        for loop in tree.find_all(nodes.For):
            loop.iter = nodes.Filter(
                loop.iter, "bounded", [], [], None, None, lineno=loop.lineno, environment=self
            )
        return tree


@pass_context
def finalize(context: Context, value: Any) -> str:
    """Write one value into text, telling the scope when it is missing."""
    if isinstance(value, Undefined):
        context.scope.note_missing(missing_name(value))  # type: ignore[attr-defined]
        return ""
    if callable(value):
        context.scope.note_missing(getattr(value, "__name__", "expression"))  # type: ignore[attr-defined]
        return ""
    return to_text(value)


def missing_name(value: Undefined) -> str:
    """Return the name under which a missing value was looked for."""
    name = value._undefined_name  # noqa: SLF001  # Jinja2 documents no accessor
    return str(name) if name else "expression"


@pass_context
def bounded(context: Context, iterable: Iterable[Any]) -> Iterator[Any]:
    """Yield from ``iterable``, counting against the iteration limit of the render."""
    scope = context.scope  # type: ignore[attr-defined]
    for value in iterable:
        scope.iterations = spent = scope.iterations + 1
        if spent > limits.ITERATIONS_MAX:
            raise TemplateRuntimeError(
                f"the template's loops pass {limits.ITERATIONS_MAX:,} iterations"
            )
        yield value


def bounded_range(*args: Any) -> range:
    """Return a range no longer than the limit."""
    found = range(*(int(a) for a in args))
    if len(found) > limits.RANGE_MAX:
        raise TemplateRuntimeError(f"range() passes {limits.RANGE_MAX:,} numbers")
    return found


def _bits_of_power(base: Any, exponent: Any) -> int:
    if not (isinstance(base, int) and isinstance(exponent, int)):
        return 0
    return base.bit_length() * max(exponent, 0)


def _check_repetition(sequence: Any, times: Any) -> None:
    if not (isinstance(sequence, (str, list, tuple)) and isinstance(times, int)):
        return
    if len(sequence) * max(times, 0) > limits.OUTPUT_BYTES_MAX:
        raise TemplateRuntimeError(
            f"repetition passes {limits.OUTPUT_BYTES_MAX:,} characters or items"
        )


def joined(pieces: Iterable[str]) -> str:
    """Join the pieces of a render, keeping to the output limit."""
    size = 0
    kept: list[str] = []
    for piece in pieces:
        size += len(piece)
        if size > limits.OUTPUT_BYTES_MAX:
            raise TemplateRuntimeError(f"the text passes {limits.OUTPUT_BYTES_MAX:,} characters")
        kept.append(piece)
    return "".join(kept)


environment = Environment()

__all__ = ["Absent", "Environment", "ScopeContext", "environment", "joined"]
