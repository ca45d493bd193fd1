"""``script``: runs a script in a container as a job, and waits for it holding no worker."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta

from arcbook.outcome import ErrorKind, Outcome, failed
from arcbook.tools.api import Deferred, Effects, ToolCall, ToolContext, declare, parse
from arcbook.tools.confinement import Confinement
from arcbook.tools.container.jobs import Job, JobError
from arcbook.tools.container.params import ALIASES, JobParams, deadline_of, job_of, words_of
from arcbook.tools.container.waiting import RESULT, Waiting
from arcbook.tools.object.tool import ObjectTool
from arcbook.tools.scripts import SCRIPT_KEYS, SCRIPT_SOURCES, ScriptError, load_script
from arcbook.tools.spec import ToolSpec

IMAGE: Final = "python:3.12-slim"

CODE_BYTES_MAX: Final = 100 * 1024
"""Size of a script: it is one argument of its interpreter, for which Linux has a limit."""

OBJECTS: Final = {"s3": "s3", "gcs": "gs", "azure": "az"}
"""Kinds of source that are object stores, with the scheme of their addresses."""

SOURCES: Final = (*SCRIPT_SOURCES, "local", *OBJECTS)

INTERPRETERS: Final = {".bash": "bash", ".js": "node", ".pl": "perl", ".rb": "ruby", ".sh": "sh"}
"""Interpreters by the ending of a script's name; of any other script, ``python3``."""

_OPTIONS: Final = {
    "bash": "-c",
    "node": "-e",
    "perl": "-e",
    "python": "-c",
    "python3": "-c",
    "ruby": "-e",
    "sh": "-c",
}
"""The option by which an interpreter takes code as an argument."""

_CANONICAL: Final = {
    "timeout": "deadline",
    **{alias: name for name, aliases in ALIASES.items() for alias in aliases},
}


class ScriptParams(JobParams, frozen=True, kw_only=True):
    """Parameters of ``script``."""

    code: Annotated[str | None, Meta(description="The script itself.")] = None
    script: Annotated[
        dict[str, Any] | str | None,
        Meta(
            description="Where it is, instead: a file, or `{uri, source: {type}}` with the type "
            "`inline`, `file`, `http`, `s3`, `gcs` or `azure`."
        ),
    ] = None
    args: Annotated[list[Any] | None, Meta(description="Arguments of the script.")] = None
    image: Annotated[str, Meta(min_length=1, description="Image to run it in.")] = IMAGE
    interpreter: Annotated[
        str | None,
        Meta(
            description="Program that runs it: `python3`, `sh`, `bash`, `node`, `perl`, `ruby`; "
            "by default, by the ending of its name."
        ),
    ] = None
    job: Annotated[
        dict[str, Any] | None,
        Meta(description="The parameters of the job, if they do not stand beside `script`."),
    ] = None


def summary(config: Mapping[str, Any]) -> str:
    """Say which script a call runs, and where."""
    script = config.get("script")
    uri = script.get("uri") if isinstance(script, Mapping) else script
    job = config.get("job")
    image = config.get("image") or (job.get("image") if isinstance(job, Mapping) else None)
    return f"run script {uri or 'code'} in image {image or IMAGE}"


KIND = declare(
    "script",
    ScriptParams,
    "Runs a script in a container as a job and waits for its end, holding no worker meanwhile.",
    aliases=ALIASES,
    scripts=["code"],
    any_of=[("code", "script")],
    choices={"script.source.type": SOURCES, "script.type": SOURCES},
    keys={"script": SCRIPT_KEYS, "script.source": SCRIPT_KEYS},
    waits=True,
    takes_auth=True,
    # A call that is made again finds the job that it had started, by its name.
    effects=[Effects.KEYED],
    result=RESULT,
    summary=summary,
    example="""
    tool:
      kind: script
      code: |
        import sys
        print(sum(int(word) for word in sys.argv[1:]))
      args: [20, 22]
      deadline: 300
    """,
)


class Script:
    """Runs scripts as jobs."""

    def __init__(self) -> None:
        self._waiting = Waiting()
        self._objects = ObjectTool()

    async def run(self, call: ToolCall, context: ToolContext) -> Outcome | Deferred:
        params = parse(ScriptParams, msgspec.structs.replace(call, config=_flat(call.config)))
        if isinstance(params, Outcome):
            return params
        deadline = deadline_of(params, call)
        code = ""
        if not call.job:
            loaded = await self._load(params, call, context)
            if isinstance(loaded, Outcome):
                return loaded
            code = loaded
        return await self._waiting.run(
            call, context.confinement, lambda: script_job(params, code, call), deadline
        )

    async def stop(self, job: str, confinement: Confinement) -> bool:
        """Stop the job of a cancelled execution."""
        return await self._waiting.stop(job, confinement)

    async def close(self) -> None:
        await self._waiting.close()
        await self._objects.close()

    async def _load(
        self, params: ScriptParams, call: ToolCall, context: ToolContext
    ) -> str | Outcome:
        """Return the text of a script, or why there is none."""
        if params.code is not None:
            return params.code
        provider, source = _source(params.script)
        if provider in OBJECTS:
            return await self._load_object(provider, source, call, context)
        try:
            return await load_script(params.script, context)
        except ScriptError as error:
            return failed(error.kind, str(error), code=error.kind.name, retryable=error.retryable)

    async def _load_object(
        self, provider: str, source: Mapping[str, Any], call: ToolCall, context: ToolContext
    ) -> str | Outcome:
        uri = str(source.get("uri") or source.get("url") or "")
        url = uri if "://" in uri else f"{OBJECTS[provider]}://{uri}"
        options = {name: source[name] for name in ("endpoint", "region") if name in source}
        config = {"operation": "get", "url": url, "encoding": "text", **options}
        fetched = await self._objects.run(
            msgspec.structs.replace(call, kind="object", config=config), context
        )
        if not fetched.is_ok:
            return fetched
        if fetched.data.get("encoding") == "base64":
            message = f"script {url!r} is no text"
            return failed(ErrorKind.CONFIG, message, code=ErrorKind.CONFIG.name)
        return str(fetched.data["data"])


def _flat(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return parameters with those of ``job`` beside the others, which come first."""
    job = config.get("job")
    if not isinstance(job, Mapping):
        return dict(config)
    return {
        **{_CANONICAL.get(str(name), str(name)): value for name, value in job.items()},
        **config,
    }


def _source(script: dict[str, Any] | str | None) -> tuple[str, dict[str, Any]]:
    """Return the kind of a script's source, and all that is said of it."""
    if not isinstance(script, dict):
        return "file", {"uri": script}
    source = script.get("source")
    inner = source if isinstance(source, dict) else {"type": source} if source else {}
    facts = {**script, **inner}
    scheme = str(facts.get("uri") or "").partition("://")[0]
    schemes = {scheme: provider for provider, scheme in OBJECTS.items()}
    return str(facts.get("type") or schemes.get(scheme) or "").lower(), facts


def script_job(params: ScriptParams, code: str, call: ToolCall) -> Job:
    """Return the job of a call.

    Raises:
        JobError: a parameter is not what it must be.
    """
    _, source = _source(params.script)
    ending = PurePosixPath(str(source.get("uri") or "").partition("?")[0]).suffix.lower()
    interpreter = params.interpreter or INTERPRETERS.get(ending, "python3")
    option = _OPTIONS.get(PurePosixPath(interpreter).name)
    if option is None:
        known = ", ".join(sorted(_OPTIONS))
        raise JobError(f"'interpreter' is {interpreter!r}; it can be {known}")
    if not code.strip() or "\0" in code:
        raise JobError("the script is empty, or no text")
    if len(code.encode()) > CODE_BYTES_MAX:
        message = f"the script has more than {CODE_BYTES_MAX:,} bytes: put it into the image"
        raise JobError(message, ErrorKind.LIMIT)
    args = words_of(params.args, "args")
    if PurePosixPath(interpreter).name in ("sh", "bash"):
        args = [interpreter, *args]  # the script's own name, before its arguments
    job = job_of(params, call, image=params.image, command=[interpreter, option], args=args)
    return msgspec.structs.replace(job, code=code)


SPEC = ToolSpec(kind=KIND, factory=Script)
