"""The tool contract: a parameter model, ``run(call, context)``, an outcome.

A tool gets rendered parameters and services, and returns an :class:`Outcome`, at once or
as an awaitable; it never decides what follows. Cancelling the awaitable stops the work:
a tool that returns from a cancellation has stopped whatever it had started.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from importlib.util import find_spec
from textwrap import dedent
from typing import Any, Final, Protocol, TypeVar

import msgspec

from arcbook.dsl.kinds import Effects, Kind, Param, Shape, Treatment, shape
from arcbook.events.types import WaitKind
from arcbook.outcome import ErrorKind, Outcome, failed
from arcbook.secrets.api import Credential, CredentialError
from arcbook.tools.confinement import Confinement

P = TypeVar("P", bound=msgspec.Struct)


class Params(msgspec.Struct, frozen=True, kw_only=True):
    """Base of a kind's typed parameters. Unknown ones are the lint's concern."""


class ToolCall(msgspec.Struct, frozen=True, kw_only=True):
    """One call of a tool, with everything rendered."""

    kind: str
    config: dict[str, Any]
    input: dict[str, Any] = {}
    #: The credential that ``auth`` names, resolved.
    auth: Any = None
    timeout_seconds: float | None = None
    #: The same over deliveries and retries of one call.
    idempotency_key: str = ""
    attempt: int = 1
    execution_id: int = 0
    #: The version of the execution's document.
    catalog_id: int = 0
    step: str = ""
    label: str = ""
    #: The alias that ``auth`` named.
    alias: str = ""
    #: Whether nothing may change: the call is of a dry run, and says that it has no effects.
    is_dry: bool = False
    #: The job that an earlier run of this call started, and waits for: see :class:`JobTool`.
    job: str = ""
    #: What a callback reported of the job's end.
    reported: Outcome | None = None


class Deferred(msgspec.Struct, frozen=True, kw_only=True):
    """What a tool returns when its outcome comes later, without holding a worker."""

    kind: WaitKind
    path: str = ""
    version: int | None = None
    catalog_id: int | None = None
    payload: dict[str, Any] = {}
    #: Longest wait, in seconds; of a job, when to look at it again.
    timeout_seconds: float | None = None
    #: Whether not to wait for the child at all.
    detached: bool = False
    #: What part of a child's result is the outcome; the name of a job (:func:`job_key`).
    key: str = ""


class ResultsPort(Protocol):
    """Where a tool reads values that are kept by reference."""

    async def load_ref(self, ref: str) -> Any:
        """Return a value by its reference."""


class ToolContext(Protocol):
    """The services that a tool may use; each call has its own."""

    @property
    def results(self) -> ResultsPort:
        """Values kept by reference."""

    @property
    def folder(self) -> str:
        """Folder of the playbook's file, for paths relative to it; may be empty."""

    @property
    def workspace(self) -> str:
        """Folder for files that steps of this execution share."""

    @property
    def confinement(self) -> Confinement:
        """What code of users and tools can reach on this machine."""

    def names(self) -> dict[str, Any]:
        """Return every name that the task's templates may read, as plain data."""

    async def credential(self, alias: str) -> Credential:
        """Return a credential by its alias.

        Raises:
            CredentialError: there is none, or it cannot be opened.
        """

    async def token(self, credential: Credential) -> Credential:
        """Return the bearer token that an issuer gives for a credential, and keep it in mind.

        Raises:
            CredentialError: there is none.
        """


Result = Outcome | Deferred


class Tool(Protocol):
    """A kind of tool. One instance serves a whole runtime."""

    def run(self, call: ToolCall, context: ToolContext) -> Result | Awaitable[Result]:
        """Perform one call."""

    async def close(self) -> None:
        """Let go of connections and processes; closing twice is well."""


class JobTool(Tool, Protocol):
    """A tool whose calls start jobs that run elsewhere, and hold no worker while they run.

    ``run`` returns a :class:`Deferred` of kind ``JOB`` for a job that has not ended. It is
    called again, with ``call.job``, when a callback reports the job's end or it is time to
    look at the job.
    """

    async def stop(self, job: str, confinement: Confinement) -> bool:
        """Stop a job of a cancelled execution; return whether nothing of it is left."""


def job_key(kind: str, name: str) -> str:
    """Return the key by which a wait knows a job: the tool kind, and its name to the tool."""
    return f"{kind}|{name}"


def job_of(key: str) -> tuple[str, str]:
    """Return the tool kind and the name of a job from its key."""
    kind, _, name = key.partition("|")
    return kind, name


UNSURE_CODES: Final = frozenset(
    [
        "DISCONNECTED",
        "DUCKDB_TIMEOUT",
        "NATS_CONNECTION",
        "NATS_TIMEOUT",
        "PG_08006",
        "PG_57P01",
        "PROTOCOL",
        "TIMEOUT",
    ]
)
"""Codes of failures that do not tell whether the other side did what it was asked to."""


class MissingExtraError(ImportError):
    """A kind needs packages that are not installed. The message says which extra has them."""

    def __init__(self, kind: str, extra: str) -> None:
        super().__init__(
            f"tool kind {kind!r} needs packages that are not installed: "
            f"pip install 'arcbook[{extra}]'"
        )


def require(module: str, kind: str) -> None:
    """Make sure that a module is installed, which the extra of a kind's name brings.

    Raises:
        MissingExtraError: it is not.
    """
    if find_spec(module) is None:
        raise MissingExtraError(kind, kind)


def parse(model: type[P], call: ToolCall) -> P | Outcome:
    """Return a call's parameters as its kind's model, or the outcome that says what is wrong."""
    try:
        return msgspec.convert(call.config, model, strict=False)
    except msgspec.ValidationError as error:
        return failed(
            ErrorKind.CONFIG,
            f"tool kind {call.kind!r}: {_sentence(str(error))}",
            code="CONFIG",
            where=f"steps.{call.step}.tool.{call.label}",
        )


def _sentence(text: str) -> str:
    reason, _, path = text.partition(" - at `$.")
    field = path.removesuffix("`")
    return f"{field}: {reason}" if field else reason


def declare(  # noqa: PLR0913  # everything that the language knows of a kind
    name: str,
    model: type[msgspec.Struct],
    description: str,
    *,
    aliases: Mapping[str, Iterable[str]] | None = None,
    code: Iterable[str] = (),
    scripts: Iterable[str] = (),
    raw: Iterable[str] = (),
    any_of: Iterable[tuple[str, ...]] = (),
    choices: Mapping[str, Iterable[str]] | None = None,
    keys: Mapping[str, Iterable[str]] | None = None,
    open_: bool = False,
    waits: bool = False,
    takes_auth: bool = False,
    names: Iterable[str] = (),
    result: Mapping[str, str | Shape] | Shape | None = None,
    result_by: str = "",
    results: Mapping[str, Mapping[str, str]] | None = None,
    echoes: Mapping[str, Shape | None] | None = None,
    effects: Iterable[Effects] = (Effects.KEYED,),
    effects_of: Callable[[Mapping[str, Any]], Effects] | None = None,
    summary: Callable[[Mapping[str, Any]], str] | None = None,
    example: str = "",
) -> Kind:
    """Return what the language needs to know of a kind, from its parameter model.

    ``result`` has the fields of what a call yields, each with a description: the lint, the
    schema and the docs have them from here. Where they differ by the value of a parameter,
    that is ``result_by``, and ``results`` has them for each value. ``echoes`` names
    parameters of which the first that is written is the result. ``choices`` has the values
    that can stand in fields of mappings, by their path: ``source.type``.

    ``effects`` are those that calls may have. Where there are several, ``effects_of`` decides
    by the parameters, as they are written or rendered; what it cannot decide is the last one.
    From it follow whether a lost call is performed again, what ``retryable`` says after an
    uncertain failure, what a dry run leaves out, and what lint advises.
    """
    treatments = {
        **dict.fromkeys(code, Treatment.CODE),
        **dict.fromkeys(scripts, Treatment.SCRIPT),
        **dict.fromkeys(raw, Treatment.RAW),
    }
    return Kind(
        name=name,
        description=description,
        params=_params(model, aliases or {}, treatments),
        any_of=tuple(any_of),
        choices={path: tuple(values) for path, values in (choices or {}).items()},
        keys={path: tuple(values) for path, values in (keys or {}).items()},
        open=open_,
        waits=waits,
        takes_auth=takes_auth,
        names=tuple(names),
        result=shape(result) if isinstance(result, Mapping) else result,
        result_by=result_by,
        results={value: shape(fields) for value, fields in (results or {}).items()},
        echoes=dict(echoes or {}),
        effects=tuple(effects),
        effects_of=effects_of,
        summary=summary,
        example=dedent(example).strip(),
    )


def _params(
    model: type[msgspec.Struct],
    aliases: Mapping[str, Iterable[str]],
    treatments: Mapping[str, Treatment],
) -> tuple[Param, ...]:
    schema = msgspec.json.schema(model)
    body = schema["$defs"][schema["$ref"].rpartition("/")[2]]
    required = set(body.get("required", ()))
    return tuple(
        Param(
            name=key,
            description=prop.pop("description", ""),
            required=key in required,
            treatment=treatments.get(key, Treatment.RENDER),
            aliases=tuple(aliases.get(key, ())),
            default=prop.pop("default", None),
            schema=_flat(prop),
        )
        for key, prop in body.get("properties", {}).items()
    )


def _flat(schema: dict[str, Any]) -> dict[str, Any]:
    """Return a schema whose alternatives of plain types are one list of types."""
    options = schema.get("anyOf")
    if not options or not all(o and set(o) <= {"type", "enum"} for o in options):
        return schema
    types = [o.get("type", "string") for o in options if o.get("type") != "null"]
    rest = {k: v for k, v in schema.items() if k != "anyOf"}
    enum = [v for o in options for v in o.get("enum", ())]
    return {**rest, "type": types, **({"enum": enum} if enum else {})}


Factory = Callable[[], Tool]

__all__ = [
    "UNSURE_CODES",
    "Credential",
    "CredentialError",
    "Deferred",
    "Effects",
    "JobTool",
    "MissingExtraError",
    "Params",
    "Result",
    "ResultsPort",
    "Tool",
    "ToolCall",
    "ToolContext",
    "declare",
    "job_key",
    "job_of",
    "parse",
    "require",
]
