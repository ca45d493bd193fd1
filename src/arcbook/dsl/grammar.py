"""The keys of a playbook, one table for each mapping of the normal form.

The parser takes unknown keys from here, the JSON Schema its properties, and the docs
their reference. Order is the order in which the docs list them.
"""

from __future__ import annotations

from typing import Any, Final

Keys = dict[str, dict[str, Any]]
"""Each key with its JSON Schema (``$ref`` names another table) and description."""


def _key(description: str, **schema: Any) -> dict[str, Any]:
    return {"description": description, **schema}


_TEXT: Final = {"type": "string"}
_MAP: Final = {"type": "object"}
_NUMBER: Final = {"type": ["number", "string"]}
_DURATION: Final = {"type": ["number", "string"], "$comment": "duration"}
_INTEGER: Final = {"type": ["integer", "string"]}
_GUARD: Final = {"type": ["string", "boolean"]}

PROFILES: Final = ("local", "distributed", "auto")
SCOPES: Final = ("step", "execution", "workflow", "permanent")
STORES: Final = (
    "auto", "memory", "kv", "disk", "object", "s3", "gcs", "db", "duckdb", "eventlog"
)  # fmt: skip

SECRET_KINDS: Final = (
    "secrets", "oauth2", "google_id_token", "bearer", "static", "credential",
    "credential_ref", "google", "google_oauth", "google_service_account", "secret_manager",
)  # fmt: skip
SECRET_VALUES: Final = {
    "scope": ("global", "execution", "local", "shared", "catalog"),
    "provider": ("gcp", "aws", "azure", "vault", "k8s", "google", "kubernetes"),
    "residency": ("none", "advisory", "strict"),
    "method": ("GET", "POST", "PUT", "PATCH"),
}
"""Values of further fields of an entry of the keychain."""

SECRET_KEYS: Final = (
    "name", "kind", "type", "scope", "provider", "residency", "method", "credential", "ref", "map",
    "value", "token", "auth", "endpoint", "headers", "data", "region", "allowed_regions", "path",
    "auto_renew", "no_broker_fallback", "target_audience", "service_account_credential", "scopes",
    "service_account_secret", "ttl_seconds", "token_type", "credential_type", "project", "url",
    "token_url", "client_id", "client_secret", "username", "password", "description", "audience",
)  # fmt: skip
"""Keys of an entry of the keychain; others are data."""

LOOP_POLICY: Final = ("on_error", "exec", "results")
EXECUTOR_POLICY: Final = ("defaults", "results", "limits")
CALL_DEFAULTS: Final = ("timeout_s",)
STORE_KEYS: Final = ("kind", "bucket", "prefix", "driver", "driver_args", "ttl", "compression")

AUTH_KEYS: Final = (
    "type", "source", "key", "credential", "token", "username", "password", "header", "scopes",
)  # fmt: skip
"""Fields of an `auth` that is written out; others are those of its tool, or aliases."""

EXECS: Final = ("local", "distributed")
ADMIT_MODES: Final = ("exclusive", "inclusive")

REQUIRED: Final[dict[str, frozenset[str]]] = {
    "arc": frozenset({"step"}),
    "keychain": frozenset({"name"}),
    "loop": frozenset({"iterator"}),
    "next": frozenset({"arcs"}),
    "playbook": frozenset({"apiVersion", "kind", "metadata", "workflow"}),
    "step": frozenset({"step"}),
    "task": frozenset({"kind"}),
    "workbook": frozenset({"name", "tool"}),
}
"""Keys that must be written, by table."""

API_VERSIONS: Final = ("noetl.io/v2", "noetl.io/v10")

PLAYBOOK: Final[Keys] = {
    "apiVersion": _key("Version of the language.", enum=list(API_VERSIONS)),
    "kind": _key("What the document is.", enum=["Playbook", "Agent"]),
    "metadata": _key("Name, path and labels.", **{"$ref": "metadata"}),
    "executor": _key("How the playbook is run.", **{"$ref": "executor"}),
    "workload": _key("Input and its defaults; a request can override each key.", **_MAP),
    "keychain": _key(
        "Secrets that the playbook uses, by name.", type="array", items={"$ref": "keychain"}
    ),
    "workbook": _key("Tasks that steps use by name.", type="array", items={"$ref": "workbook"}),
    "workflow": _key("The steps.", type="array", items={"$ref": "step"}, minItems=1),
    "output": _key("Template of the result; by default, the data of the last step with a tool."),
}

METADATA: Final[Keys] = {
    "name": _key("Short name.", **_TEXT),
    "path": _key("Identity in the catalog; by default, the name.", **_TEXT),
    "version": _key("The author's version number.", type=["string", "number"]),
    "description": _key("What the playbook is for.", **_TEXT),
    "labels": _key("Labels for searching.", **_MAP),
    "tags": _key("Tags for searching.", type=["array", "string"]),
    "exposed_in_ui": _key("Whether the web page shows it.", type="boolean"),
    "exposes_as_mcp": _key("Whether agents can call it.", type="boolean"),
    "agent": _key("Whether it is an agent.", type="boolean"),
    "capabilities": _key("Its capabilities, for agents.", type="array"),
}

EXECUTOR: Final[Keys] = {
    "profile": _key("Where it is meant to run; documentation.", enum=list(PROFILES)),
    "version": _key("Runtime version that it was written for.", **_TEXT),
    "requires": _key("Tools and features that it needs.", **_MAP),
    "spec": _key("Entry step, final step and limits.", **{"$ref": "executor_spec"}),
}

EXECUTOR_SPEC: Final[Keys] = {
    "entry_step": _key("The step where the execution starts.", **_TEXT),
    "final_step": _key(
        "A step that runs once after everything else; its data is the result.", **_TEXT
    ),
    "no_next_is_error": _key(
        "Whether every step except `end` and the final step must have `next`.",
        default=False,
        type="boolean",
    ),
    "timeout": _key("Time limit of the whole execution.", **_DURATION),
    "policy": _key("`defaults.timeout_s`: time limit of calls whose task sets none.", **_MAP),
}

KEYCHAIN: Final[Keys] = {
    "name": _key("Name by which templates read it.", **_TEXT),
    "kind": _key("Where the secret comes from.", examples=list(SECRET_KINDS), **_TEXT),
    "scope": _key(
        "Who shares it: with `execution` and `local`, each execution gets its own secret.",
        default="global",
        examples=list(SECRET_VALUES["scope"]),
        **_TEXT,
    ),
    "provider": _key(
        "Secret manager, for `secrets`.", examples=list(SECRET_VALUES["provider"]), **_TEXT
    ),
    "map": _key("Fields of the secret, or where they are.", **_MAP),
    "auto_renew": _key("Whether an expired token is renewed.", type="boolean"),
    "residency": _key(
        "How strictly the region is enforced.", examples=list(SECRET_VALUES["residency"]), **_TEXT
    ),
}

WORKBOOK: Final[Keys] = {
    "name": _key("Name by which steps use it.", **_TEXT),
    "desc": _key("What it does.", **_TEXT),
    "tool": _key("The task.", **{"$ref": "task"}),
    "assert": _key("What it expects and returns; documentation.", **_MAP),
    "sink": _key("Whether it writes to a system of record.", type=["boolean", "object"]),
}

STEP: Final[Keys] = {
    "step": _key("Name of the step.", **_TEXT),
    "desc": _key("What it does.", **_TEXT),
    "when": _key("Guard: if it is false, the step is skipped.", **_GUARD),
    "input": _key("Values for the tasks, by name.", **_MAP),
    "loop": _key("Runs the tasks for each item.", **{"$ref": "loop"}),
    "tool": _key(
        "One task, or a list of tasks that run in order.",
        oneOf=[{"$ref": "task"}, {"type": "array", "items": {"$ref": "task"}, "minItems": 1}],
    ),
    "set": _key("Variables to write when the step is done.", **_MAP),
    "output": _key("How the result is kept.", **{"$ref": "output"}),
    "spec": _key("Admission, join, timeout, pool.", **{"$ref": "step_spec"}),
    "next": _key("Where to go next.", **{"$ref": "next"}),
}

STEP_SPEC: Final[Keys] = {
    "policy": _key("`admit`: rules that decide whether the step runs.", **{"$ref": "step_policy"}),
    "join": _key(
        "How many arrivals start it: `all`, `any` or a number.",
        default="all",
        type=["string", "integer"],
    ),
    "timeout": _key("Time limit of one visit.", **_DURATION),
    "pool": _key("Pool of workers that runs it.", **_TEXT),
}

STEP_POLICY: Final[Keys] = {
    "admit": _key("Rules that decide whether the step runs.", **{"$ref": "admit"}),
}

ADMIT: Final[Keys] = {
    "rules": _key(
        "The first rule whose guard is true applies.", type="array", items={"$ref": "admit_rule"}
    ),
    "mode": _key("`exclusive`; documentation.", **_TEXT),
}

ADMIT_RULE: Final[Keys] = {
    "when": _key("Guard.", **_GUARD),
    "then": _key("`allow`: whether the step runs.", **_MAP),
    "else": _key("Instead of `when`: applies in all other cases.", **_MAP),
}

TASK: Final[Keys] = {
    "name": _key("Label of the task in its pipeline.", **_TEXT),
    "desc": _key("What it does.", **_TEXT),
    "kind": _key("The tool.", **_TEXT),
    "input": _key("Values for the tool, by name.", **_MAP),
    "auth": _key("Credential, by its alias.", type=["string", "object"]),
    "set": _key("Variables to write after the task.", **_MAP),
    "timeout": _key("Time limit of one call.", **_DURATION),
    "retry": _key("Short form of a retry rule.", type=["object", "integer", "boolean"]),
    "redelivery": _key(
        "Whether an interrupted call may run again; by default, unless that repeats its effect.",
        enum=["allowed", "never"],
    ),
    "sink": _key(
        "Whether it writes to a system of record; implies `redelivery: never`.", type="boolean"
    ),
    "output": _key("How the result is kept.", **{"$ref": "output"}),
    "spec": _key("Policy rules.", **{"$ref": "task_spec"}),
    "assert": _key("What it expects and returns; documentation.", **_MAP),
}

TASK_SPEC: Final[Keys] = {
    "policy": _key("`rules`: what happens after the task.", **{"$ref": "policy"}),
    "timeout": _key("Time limit of one call.", **_DURATION),
}

POLICY: Final[Keys] = {
    "rules": _key(
        "The first rule whose guard is true applies.", type="array", items={"$ref": "rule"}
    ),
}

RULE: Final[Keys] = {
    "when": _key("Guard, usually about `output`.", **_GUARD),
    "then": _key("What to do.", **{"$ref": "then"}),
    "else": _key("Instead of `when`: applies to all other outcomes.", type=["object", "null"]),
}

THEN: Final[Keys] = {
    "do": _key(
        "What happens next.",
        default="continue",
        enum=["continue", "retry", "jump", "break", "fail"],
    ),
    "attempts": _key("Total attempts, including the first.", default=3, **_INTEGER),
    "backoff": _key(
        "How the delay grows.",
        enum=["none", "fixed", "linear", "exponential"],
    ),
    "delay": _key("Delay before the next attempt.", default=1, **_DURATION),
    "max_delay": _key("Upper bound of the delay.", **_DURATION),
    "to": _key("Label to jump to, or `previous`.", **_TEXT),
    "set": _key("Variables to write.", **_MAP),
}

LOOP: Final[Keys] = {
    "in": _key("The items: a template that returns a list."),
    "cursor": _key("Where to claim rows, for mode `cursor`.", **{"$ref": "cursor"}),
    "iterator": _key("Name of one item.", **_TEXT),
    "spec": _key("Mode and limits.", **{"$ref": "loop_spec"}),
}

LOOP_SPEC: Final[Keys] = {
    "mode": _key(
        "How items are processed.",
        enum=["sequential", "parallel", "cursor"],
    ),
    "max_in_flight": _key("Iterations that run at once.", **_INTEGER),
    "on_error": _key(
        "Whether a failed iteration fails the loop.", default="fail", enum=["fail", "continue"]
    ),
    "policy": _key("`on_error` in its older place; `exec` is ignored.", **_MAP),
    "frame": _key("How rows are grouped.", **{"$ref": "frame"}),
}

CURSOR: Final[Keys] = {
    "kind": _key("Tool that claims the rows.", default="postgres", **_TEXT),
    "auth": _key("Credential, by its alias.", type=["string", "object"]),
    "claim": _key("Statement that claims rows and returns them.", **_TEXT),
    "options": _key("Further parameters of the tool.", **_MAP),
}

FRAME: Final[Keys] = {
    "max_rows": _key("Rows of one frame.", default=1, **_INTEGER),
    "row_concurrency": _key("Rows of a frame that are processed at once.", default=1, **_INTEGER),
    "process": _key(
        "Whether the body runs for each row, or once for the frame.",
        default="row",
        enum=["row", "frame"],
    ),
    "lease_seconds": _key("Lease time of a frame.", **_DURATION),
    "heartbeat_seconds": _key("Time between heartbeats.", **_DURATION),
    "max_attempts": _key("How often a frame may be delivered.", **_INTEGER),
    "max_seconds": _key("Target duration of a frame; advisory.", **_DURATION),
    "max_bytes": _key("Target size of a frame; advisory.", **_INTEGER),
    "retry_mode": _key("Advisory.", **_TEXT),
    "verify_ipc": _key("Advisory.", type="boolean"),
}

NEXT: Final[Keys] = {
    "spec": _key("Mode of the router.", **{"$ref": "next_spec"}),
    "arcs": _key("The arcs.", type="array", items={"$ref": "arc"}),
}

NEXT_SPEC: Final[Keys] = {
    "mode": _key(
        "Take the first arc whose guard is true, or all of them.",
        default="exclusive",
        enum=["exclusive", "inclusive"],
    ),
    "on_no_match": _key(
        "What happens if no arc fires.",
        default="complete",
        enum=["complete", "quiet", "error"],
    ),
}

ARC: Final[Keys] = {
    "step": _key("The step to go to.", **_TEXT),
    "when": _key("Guard.", **_GUARD),
    "set": _key("Variables to write if the arc is taken.", **_MAP),
}

OUTPUT: Final[Keys] = {
    "select": _key(
        "Fields that stay readable when the result is kept by reference.",
        type="array",
        items={"type": ["string", "object"]},
    ),
    "inline_max_bytes": _key("Size from which the result is kept by reference.", **_INTEGER),
    "store": _key(
        "Where the result is kept: `kind`, one of " + ", ".join(STORES) + ".",
        type=["object", "string"],
    ),
    "ttl": _key(
        "Minimum retention, or `forever`; nothing is removed before its execution.",
        **_DURATION,
    ),
    "scope": _key(
        "What it belongs to; every result is kept as long as its execution.", enum=list(SCOPES)
    ),
    "as": _key("Name for the result.", **_TEXT),
    "preview_max_bytes": _key("Size of the preview.", **_INTEGER),
    "accumulate": _key("Not used.", **_MAP),
}

TABLES: Final[dict[str, Keys]] = {
    "admit": ADMIT,
    "admit_rule": ADMIT_RULE,
    "arc": ARC,
    "cursor": CURSOR,
    "executor": EXECUTOR,
    "executor_spec": EXECUTOR_SPEC,
    "frame": FRAME,
    "keychain": KEYCHAIN,
    "loop": LOOP,
    "loop_spec": LOOP_SPEC,
    "metadata": METADATA,
    "next": NEXT,
    "next_spec": NEXT_SPEC,
    "output": OUTPUT,
    "playbook": PLAYBOOK,
    "policy": POLICY,
    "rule": RULE,
    "step": STEP,
    "step_policy": STEP_POLICY,
    "step_spec": STEP_SPEC,
    "task": TASK,
    "task_spec": TASK_SPEC,
    "then": THEN,
    "workbook": WORKBOOK,
}

#: Tables whose mappings take further keys.
OPEN_TABLES: Final = frozenset({"keychain", "metadata", "playbook", "task", "task_spec"})
