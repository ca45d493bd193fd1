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
    "workload": _key("Input with its defaults; a request may replace each key.", **_MAP),
    "keychain": _key("Secrets by name.", type="array", items={"$ref": "keychain"}),
    "workbook": _key("Tasks to use by name.", type="array", items={"$ref": "workbook"}),
    "workflow": _key("The steps.", type="array", items={"$ref": "step"}, minItems=1),
    "output": _key(
        "Template of the playbook's result; else the data of the last step with a tool."
    ),
}

METADATA: Final[Keys] = {
    "name": _key("Short name.", **_TEXT),
    "path": _key("Identity in the catalog; the name where it is not written.", **_TEXT),
    "version": _key("Version that the author gives it.", type=["string", "number"]),
    "description": _key("What it is for.", **_TEXT),
    "labels": _key("Labels to find it by.", **_MAP),
    "tags": _key("Tags to find it by.", type=["array", "string"]),
    "exposed_in_ui": _key("Whether it is shown in the web page.", type="boolean"),
    "exposes_as_mcp": _key("Whether agents may call it.", type="boolean"),
    "agent": _key("Whether it is an agent.", type="boolean"),
    "capabilities": _key("What it can do, for agents.", type="array"),
}

EXECUTOR: Final[Keys] = {
    "profile": _key("Where it runs; said for readers.", enum=list(PROFILES)),
    "version": _key("Runtime that it was written for.", **_TEXT),
    "requires": _key("Tools and features that it needs.", **_MAP),
    "spec": _key("Entry, exit and limits.", **{"$ref": "executor_spec"}),
}

EXECUTOR_SPEC: Final[Keys] = {
    "entry_step": _key("The first step; `start`, else the first one written.", **_TEXT),
    "final_step": _key(
        "A step that runs once when nothing else is left; its data is the result.", **_TEXT
    ),
    "no_next_is_error": _key(
        "Whether a step other than `end` and the final step must have `next`.",
        default=False,
        type="boolean",
    ),
    "timeout": _key("Time that the whole execution may take.", **_DURATION),
    "policy": _key(
        "`defaults.timeout_s`: time that a call may take where its task says nothing.", **_MAP
    ),
}

KEYCHAIN: Final[Keys] = {
    "name": _key("Name under which templates read it.", **_TEXT),
    "kind": _key("Where the secret comes from.", examples=list(SECRET_KINDS), **_TEXT),
    "scope": _key(
        "Whose it is: `execution` and `local` give each execution one of its own.",
        default="global",
        examples=list(SECRET_VALUES["scope"]),
        **_TEXT,
    ),
    "provider": _key(
        "Secret manager, for `secrets`.", examples=list(SECRET_VALUES["provider"]), **_TEXT
    ),
    "residency": _key(
        "How strictly the region counts.", examples=list(SECRET_VALUES["residency"]), **_TEXT
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
    "when": _key("Guard: where it is false, the step is passed over.", **_GUARD),
    "input": _key("Values for its tasks, by name.", **_MAP),
    "loop": _key("Runs the tasks for each item.", **{"$ref": "loop"}),
    "tool": _key(
        "One task, or a list of tasks that run in turn.",
        oneOf=[{"$ref": "task"}, {"type": "array", "items": {"$ref": "task"}, "minItems": 1}],
    ),
    "set": _key("Variables to write when the step is done.", **_MAP),
    "output": _key("How the result is kept.", **{"$ref": "output"}),
    "spec": _key("Admission, join, timeout, pool.", **{"$ref": "step_spec"}),
    "next": _key("Where to go then.", **{"$ref": "next"}),
}

STEP_SPEC: Final[Keys] = {
    "policy": _key("`admit`: rules that say whether the step runs.", **{"$ref": "step_policy"}),
    "join": _key(
        "How many arrivals start it: `all`, `any` or a number.",
        default="all",
        type=["string", "integer"],
    ),
    "timeout": _key("Time that one visit may take.", **_DURATION),
    "pool": _key("Pool of workers that runs it.", **_TEXT),
}

STEP_POLICY: Final[Keys] = {
    "admit": _key("Rules that say whether the step runs.", **{"$ref": "admit"}),
}

ADMIT: Final[Keys] = {
    "rules": _key("The first whose guard is true decides.", type="array", items=dict(_MAP)),
    "mode": _key("`exclusive`; said for readers.", **_TEXT),
}

TASK: Final[Keys] = {
    "name": _key("Label of the task in its pipeline.", **_TEXT),
    "desc": _key("What it does.", **_TEXT),
    "kind": _key("The tool.", **_TEXT),
    "input": _key("Values for the tool, by name.", **_MAP),
    "auth": _key("Credential, by its alias.", type=["string", "object"]),
    "set": _key("Variables to write after the task.", **_MAP),
    "timeout": _key("Time that one call may take.", **_DURATION),
    "retry": _key("Short form of a retry rule.", type=["object", "integer", "boolean"]),
    "redelivery": _key(
        "Whether a call that was cut off may run again. By itself: unless that repeats its effect.",
        enum=["allowed", "never"],
    ),
    "sink": _key("It writes to a system of record: implies `redelivery: never`.", type="boolean"),
    "output": _key("How the result is kept.", **{"$ref": "output"}),
    "spec": _key("Policy rules.", **{"$ref": "task_spec"}),
    "assert": _key("What it expects and returns; documentation.", **_MAP),
}

TASK_SPEC: Final[Keys] = {
    "policy": _key("`rules`: what follows the task.", **{"$ref": "policy"}),
    "timeout": _key("Time that one call may take.", **_DURATION),
}

POLICY: Final[Keys] = {
    "rules": _key("The first whose guard is true directs.", type="array", items={"$ref": "rule"}),
}

RULE: Final[Keys] = {
    "when": _key("Guard over `output`.", **_GUARD),
    "then": _key("What to do.", **{"$ref": "then"}),
    "else": _key("Instead of `when`: for all other outcomes.", type=["object", "null"]),
}

THEN: Final[Keys] = {
    "do": _key(
        "What follows.", default="continue", enum=["continue", "retry", "jump", "break", "fail"]
    ),
    "attempts": _key("Runs in all, the first included.", default=3, **_INTEGER),
    "backoff": _key(
        "How the delay grows.",
        enum=["none", "fixed", "linear", "exponential"],
    ),
    "delay": _key("Time before the next try.", default=1, **_DURATION),
    "max_delay": _key("Longest delay.", **_DURATION),
    "to": _key("Label to jump to, or `previous`.", **_TEXT),
    "set": _key("Variables to write.", **_MAP),
}

LOOP: Final[Keys] = {
    "in": _key("The items: a template that yields a list."),
    "cursor": _key("Where rows are claimed, for mode `cursor`.", **{"$ref": "cursor"}),
    "iterator": _key("Name of one item.", **_TEXT),
    "spec": _key("Mode and limits.", **{"$ref": "loop_spec"}),
}

LOOP_SPEC: Final[Keys] = {
    "mode": _key(
        "How the items are taken.",
        enum=["sequential", "parallel", "cursor"],
    ),
    "max_in_flight": _key("Iterations at work at once.", **_INTEGER),
    "on_error": _key(
        "Whether a failed iteration fails the loop.", default="fail", enum=["fail", "continue"]
    ),
    "policy": _key("`on_error` in its older place; `exec` says nothing here.", **_MAP),
    "frame": _key("How rows are grouped.", **{"$ref": "frame"}),
}

CURSOR: Final[Keys] = {
    "kind": _key("Tool that claims.", default="postgres", **_TEXT),
    "auth": _key("Credential, by its alias.", type=["string", "object"]),
    "claim": _key("Statement that claims rows and returns them.", **_TEXT),
    "options": _key("Further parameters of the tool.", **_MAP),
}

FRAME: Final[Keys] = {
    "max_rows": _key("Rows of one frame.", default=1, **_INTEGER),
    "row_concurrency": _key("Rows at work at once in a frame.", default=1, **_INTEGER),
    "process": _key(
        "Body for each row, or once for the frame.", default="row", enum=["row", "frame"]
    ),
    "lease_seconds": _key("Lease of a frame.", **_DURATION),
    "heartbeat_seconds": _key("Time between heartbeats.", **_DURATION),
    "max_attempts": _key("Deliveries of a frame.", **_INTEGER),
    "max_seconds": _key("Time that a frame should take; advisory.", **_DURATION),
    "max_bytes": _key("Size that a frame should have; advisory.", **_INTEGER),
    "retry_mode": _key("Advisory.", **_TEXT),
    "verify_ipc": _key("Advisory.", type="boolean"),
}

NEXT: Final[Keys] = {
    "spec": _key("Mode of the router.", **{"$ref": "next_spec"}),
    "arcs": _key("Ways on.", type="array", items={"$ref": "arc"}),
}

NEXT_SPEC: Final[Keys] = {
    "mode": _key(
        "The first true arc, or all of them.",
        default="exclusive",
        enum=["exclusive", "inclusive"],
    ),
    "on_no_match": _key(
        "What it means that no arc fires.",
        default="complete",
        enum=["complete", "quiet", "error"],
    ),
}

ARC: Final[Keys] = {
    "step": _key("The step to go to.", **_TEXT),
    "when": _key("Guard.", **_GUARD),
    "set": _key("Variables to write on the way.", **_MAP),
}

OUTPUT: Final[Keys] = {
    "select": _key("Fields that stay readable when the result is kept by reference.", type="array"),
    "inline_max_bytes": _key("Size from which it is kept by reference.", **_INTEGER),
    "store": _key(
        "Where it is kept: `kind`, one of " + ", ".join(STORES) + ".", type=["object", "string"]
    ),
    "ttl": _key(
        "How long it is kept at least, or `forever`; nothing is removed before its execution.",
        **_DURATION,
    ),
    "scope": _key("What it belongs to; all is kept as long as its execution.", enum=list(SCOPES)),
    "as": _key("Name for the result.", **_TEXT),
    "preview_max_bytes": _key("Size of the preview.", **_INTEGER),
    "accumulate": _key("Not used.", **_MAP),
}

TABLES: Final[dict[str, Keys]] = {
    "admit": ADMIT,
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

#: Keys that the language reads but has no use for yet; the lint says so.
UNUSED: Final = frozenset({"accumulate", "as", "preview_max_bytes"})
