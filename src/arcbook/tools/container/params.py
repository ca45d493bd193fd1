"""The parameters of ``container``, and the job that they describe."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Final

from msgspec import Meta

from arcbook.tools.api import Params, ToolCall
from arcbook.tools.container.jobs import (
    DEADLINE_SECONDS,
    TTL_SECONDS,
    Job,
    JobError,
    SecretRef,
    job_name,
)
from arcbook.tools.texts import text_of

KEY_VARIABLE: Final = "IDEMPOTENCY_KEY"
"""Variable that has the call's idempotency key."""

VARIABLES_MAX: Final = 1000
"""Environment variables of one job."""


class JobParams(Params, frozen=True, kw_only=True):
    """What ``container`` and ``script`` say about their job alike."""

    env: Annotated[
        dict[str, Any] | list[dict[str, Any]] | None,
        Meta(
            description="Environment variables: a mapping, or a list of `{name, value}`. In "
            "place of a value, `{secret_name, secret_key}` names an entry of a Kubernetes secret."
        ),
    ] = None
    working_dir: Annotated[str | None, Meta(description="Folder to run in.")] = None
    resources: Annotated[
        dict[str, Any] | None, Meta(description="`requests` and `limits`, as in Kubernetes.")
    ] = None
    namespace: Annotated[
        str | None, Meta(description="Namespace of the job; else that of the worker's settings.")
    ] = None
    service_account: Annotated[str | None, Meta(description="Service account of the pod.")] = None
    node_selector: Annotated[
        dict[str, Any] | None, Meta(description="Labels that the node must have.")
    ] = None
    tolerations: Annotated[
        list[dict[str, Any]] | None, Meta(description="Tolerations of the pod, as in Kubernetes.")
    ] = None
    volumes: Annotated[
        list[dict[str, Any]] | None,
        Meta(
            description="Volumes of the pod: `{name, empty_dir | persistent_volume_claim | "
            "config_map | secret}`."
        ),
    ] = None
    volume_mounts: Annotated[
        list[dict[str, Any]] | None,
        Meta(description="Where they are mounted: `{name, mount_path, read_only, sub_path}`."),
    ] = None
    image_pull_policy: Annotated[
        str | None, Meta(description="`Always`, `IfNotPresent` or `Never`.")
    ] = None
    backoff_limit: Annotated[
        Annotated[int, Meta(ge=0, le=100)] | None,
        Meta(description="Pods to start again after one has failed."),
    ] = None
    deadline: Annotated[
        Annotated[float, Meta(gt=0)] | None,
        Meta(description="Seconds that the job may take; else the task's `timeout`, or a day."),
    ] = None
    ttl: Annotated[
        Annotated[int, Meta(ge=0)] | None,
        Meta(description="Seconds for which the ended job is kept."),
    ] = TTL_SECONDS


class ContainerParams(JobParams, frozen=True, kw_only=True):
    """Parameters of ``container``."""

    image: Annotated[str, Meta(min_length=1, description="Image to run.")]
    command: Annotated[
        str | list[Any] | None,
        Meta(
            description="What to run instead of the image's entry point: a list of words, or a "
            "text, which `sh` runs."
        ),
    ] = None
    args: Annotated[list[Any] | None, Meta(description="Arguments of it, as words.")] = None


ALIASES: Final[dict[str, list[str]]] = {
    "deadline": ["timeout_seconds", "active_deadline_seconds"],
    "ttl": ["ttl_seconds", "ttl_seconds_after_finished"],
    "service_account": ["service_account_name"],
    "working_dir": ["cwd"],
}
"""Other spellings of the parameters."""


def container_job(params: ContainerParams, call: ToolCall) -> Job:
    """Return the job of a call.

    Raises:
        JobError: a parameter is not what it must be.
    """
    command = params.command
    argv = ["sh", "-c", command] if isinstance(command, str) else words_of(command, "command")
    return job_of(
        params, call, image=params.image, command=argv, args=words_of(params.args, "args")
    )


def job_of(
    params: JobParams, call: ToolCall, *, image: str, command: list[str], args: list[str]
) -> Job:
    """Return the job of a call that runs a command in an image.

    Raises:
        JobError: a parameter is not what it must be.
    """
    env, secrets = _variables(params.env)
    return Job(
        name=job_name(call.idempotency_key, call.attempt),
        execution_id=call.execution_id,
        step=call.step,
        kind=call.kind,
        image=image,
        command=command,
        args=args,
        env={KEY_VARIABLE: call.idempotency_key, **env},
        secrets=secrets,
        working_dir=params.working_dir or "",
        deadline_seconds=deadline_of(params, call),
        ttl_seconds=TTL_SECONDS if params.ttl is None else params.ttl,
        namespace=params.namespace or "",
        backoff_limit=params.backoff_limit or 0,
        pod=_nonempty(
            serviceAccountName=params.service_account,
            nodeSelector=_texts(params.node_selector),
            tolerations=_camel(params.tolerations),
            volumes=_camel(params.volumes),
        ),
        container=_nonempty(
            resources=params.resources,
            volumeMounts=_camel(params.volume_mounts),
            imagePullPolicy=params.image_pull_policy,
        ),
    )


def deadline_of(params: JobParams, call: ToolCall) -> float:
    """Return how long the job of a call may take."""
    limits = [s for s in (params.deadline, call.timeout_seconds) if s is not None]
    return float(min(limits, default=DEADLINE_SECONDS))


def words_of(values: list[Any] | None, name: str) -> list[str]:
    """Return words of a command as text.

    Raises:
        JobError: one is no text.
    """
    words = [text_of(word) for word in values or []]
    if any(word is None or "\0" in word for word in words):
        raise JobError(f"{name!r} has a word that is no text")
    return [word for word in words if word is not None]


def _variables(
    values: dict[str, Any] | list[dict[str, Any]] | None,
) -> tuple[dict[str, str], dict[str, SecretRef]]:
    """Return the variables with a value, and those whose value is in a secret."""
    plain: dict[str, str] = {}
    secrets: dict[str, SecretRef] = {}
    pairs = values.items() if isinstance(values, dict) else map(_pair, values or [])
    for name, value in pairs:
        if not name or "=" in name or "\0" in name:
            raise JobError(f"{name!r} cannot be the name of a variable in 'env'")
        entry = value.get("secretKeyRef", value) if isinstance(value, Mapping) else value
        if isinstance(entry, Mapping) and ("secret_name" in entry or "name" in entry):
            secrets[name] = _secret(name, entry)
        elif (text := text_of(entry)) is not None:
            plain[name] = text
    if len(plain) + len(secrets) > VARIABLES_MAX:
        raise JobError(f"'env' has more than {VARIABLES_MAX} variables")
    return plain, secrets


def _pair(entry: Mapping[str, Any]) -> tuple[str, Any]:
    value = entry.get("value_from", entry.get("valueFrom"))
    return str(entry.get("name") or ""), entry.get("value") if value is None else value


def _secret(variable: str, values: Mapping[str, Any]) -> SecretRef:
    name, key = (
        values.get("secret_name", values.get("name")),
        values.get("secret_key", values.get("key")),
    )
    if not isinstance(name, str) or not isinstance(key, str):
        raise JobError(f"'env.{variable}' needs 'secret_name' and 'secret_key', both texts")
    return SecretRef(secret_name=name, secret_key=key)


def _nonempty(**fields: Any) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value}


def _texts(values: dict[str, Any] | None) -> dict[str, str]:
    return {name: text_of(value) or "" for name, value in (values or {}).items()}


def _camel(value: Any) -> Any:
    """Return a value with its keys as Kubernetes spells them: ``mount_path`` as ``mountPath``."""
    if isinstance(value, list):
        return [_camel(one) for one in value]
    if not isinstance(value, Mapping):
        return value
    renamed: dict[str, Any] = {}
    for key, inner in value.items():
        first, *rest = str(key).split("_")
        name = first + "".join(word[:1].upper() + word[1:] for word in rest)
        renamed[name] = _camel(
            {} if inner is None or (inner is True and name == "emptyDir") else inner
        )
    return renamed
