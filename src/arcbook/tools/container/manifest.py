"""Jobs as Kubernetes has them: the manifest of one, and how one stands by its pods."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, Final

import msgspec

from arcbook.tools.container.jobs import Job, JobState, JobStatus

CONTAINER: Final = "main"
"""Name of the container in its pod."""

EXECUTION_LABEL: Final = "noetl.execution-id"
STEP_LABEL: Final = "noetl.step-name"
KIND_LABEL: Final = "noetl.tool-kind"
STEP_ANNOTATION: Final = "arcbook.io/step"
"""The step's name as it is; a label cannot hold every name."""

SELECTOR: Final = f"{KIND_LABEL} in (container,script),app.kubernetes.io/managed-by=arcbook"
"""Selects our jobs, and their pods."""

LABEL_CHARACTERS_MAX: Final = 63

STUCK: Final = {
    "ErrImageNeverPull": JobStatus.IMAGE_PULL,
    "ImagePullBackOff": JobStatus.IMAGE_PULL,
    "InvalidImageName": JobStatus.IMAGE_PULL,
    "CreateContainerConfigError": JobStatus.FAILED,
    "CreateContainerError": JobStatus.FAILED,
}
"""Why a container waits that will not start by itself."""

LOST: Final = frozenset(
    {"Evicted", "NodeLost", "NodeShutdown", "Preempting", "Shutdown", "Terminated"}
)
"""Reasons of pods that their node ended, not their container."""

_UNLABELLED: Final = re.compile("[^A-Za-z0-9_.-]+")


def manifest(job: Job) -> dict[str, Any]:
    """Return the manifest of a job."""
    labels = {
        "app.kubernetes.io/managed-by": "arcbook",
        EXECUTION_LABEL: str(job.execution_id),
        STEP_LABEL: _label(job.step),
        KIND_LABEL: job.kind,
    }
    metadata = {"labels": labels, "annotations": {STEP_ANNOTATION: job.step}}
    container: dict[str, Any] = {
        **job.container,
        "name": CONTAINER,
        "image": job.image,
        "env": [*map(_variable, job.env.items()), *map(_secret, job.secrets.items())],
    }
    command, args = job.command, job.args
    if job.code:
        command, args = [*command, _verbatim(job.code)], [_verbatim(word) for word in args]
    optional = {"command": command, "args": args, "workingDir": job.working_dir}
    container |= {name: value for name, value in optional.items() if value}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": job.name, **metadata},
        "spec": {
            "backoffLimit": job.backoff_limit,
            "activeDeadlineSeconds": max(1, math.ceil(job.deadline_seconds)),
            "ttlSecondsAfterFinished": job.ttl_seconds,
            "template": {
                "metadata": metadata,
                "spec": {**job.pod, "restartPolicy": "Never", "containers": [container]},
            },
        },
    }


def _label(text: str) -> str:
    """Return a text as a label can hold it."""
    return _UNLABELLED.sub("-", text)[:LABEL_CHARACTERS_MAX].strip("-_.")


def _variable(pair: tuple[str, str]) -> dict[str, Any]:
    return {"name": pair[0], "value": _verbatim(pair[1])}


def _verbatim(text: str) -> str:
    """Return a text that Kubernetes leaves as it is: it expands ``$(NAME)``, but not ``$$(``."""
    return text.replace("$(", "$$(")


def _secret(pair: tuple[str, Any]) -> dict[str, Any]:
    name, ref = pair
    source = {"secretKeyRef": {"name": ref.secret_name, "key": ref.secret_key}}
    return {"name": name, "valueFrom": source}


# -- how a job stands -----------------------------------------------------------------


def state_of(job: Mapping[str, Any], pods: Iterable[Mapping[str, Any]]) -> JobState:
    """Return how a job stands, by its own status and those of its pods."""
    pod = latest(pods)
    status = job.get("status") or {}
    state = JobState(
        status=JobStatus.RUNNING,
        uid=job["metadata"].get("uid", ""),
        started_at=status.get("startTime"),
        completed_at=status.get("completionTime"),
    )
    conditions = {
        one.get("type"): one
        for one in status.get("conditions") or ()
        if one.get("status") == "True"
    }
    if "Complete" in conditions:
        return msgspec.structs.replace(state, status=JobStatus.SUCCEEDED, exit_code=0)
    failure = conditions.get("Failed")
    if failure is not None:
        ended = failure.get("lastTransitionTime")
        state = msgspec.structs.replace(state, completed_at=ended)
        if failure.get("reason") == "DeadlineExceeded":
            return msgspec.structs.replace(state, status=JobStatus.TIMEOUT)
        return _failed(state, failure, pod)
    return state if pod is None else _stuck(state, pod)


def latest(pods: Iterable[Mapping[str, Any]]) -> Mapping[str, Any] | None:
    """Return the pod that was created last."""
    return max(pods, key=lambda pod: str(pod["metadata"].get("creationTimestamp")), default=None)


def _failed(state: JobState, failure: Mapping[str, Any], pod: Mapping[str, Any] | None) -> JobState:
    """Return why a job failed: what its last pod says of it."""
    message = str(failure.get("message") or failure.get("reason") or "")
    if pod is None:
        status, reason = JobStatus.NODE_LOST, f"its pod is gone: {message}"
        return msgspec.structs.replace(state, status=status, reason=reason)
    end = _container(pod).get("terminated") or {}
    pod_reason = str(pod["status"].get("reason") or "")
    status = JobStatus.FAILED
    if end.get("reason") == "OOMKilled":
        status = JobStatus.OUT_OF_MEMORY
    elif pod_reason in LOST or _is_disrupted(pod):
        status = JobStatus.NODE_LOST
    reason = end.get("message") or end.get("reason") or pod["status"].get("message") or message
    if reason == "Error":  # any exit code other than 0
        reason = ""
    return msgspec.structs.replace(
        state, status=status, exit_code=end.get("exitCode"), reason=str(reason).strip()
    )


def _stuck(state: JobState, pod: Mapping[str, Any]) -> JobState:
    """Return the end of a job whose container will not start."""
    waiting = _container(pod).get("waiting") or {}
    status = STUCK.get(str(waiting.get("reason")))
    if status is None:
        return state
    reason = str(waiting.get("message") or waiting.get("reason"))
    return msgspec.structs.replace(state, status=status, reason=reason, is_stuck=True)


def _container(pod: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the state of a pod's container."""
    for one in (pod.get("status") or {}).get("containerStatuses") or ():
        if one.get("name") == CONTAINER:
            state: Mapping[str, Any] = one.get("state") or {}
            return state
    return {}


def _is_disrupted(pod: Mapping[str, Any]) -> bool:
    return any(
        one.get("type") == "DisruptionTarget" and one.get("status") == "True"
        for one in pod["status"].get("conditions") or ()
    )


def seconds_of(timestamp: str) -> int:
    """Return a time of Kubernetes in seconds since the epoch."""
    return int(datetime.fromisoformat(timestamp).timestamp())
