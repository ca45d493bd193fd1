"""What is asked of the command, and what must come of it."""

from __future__ import annotations

from typing import NamedTuple

PLAYBOOKS = {
    "hello.yaml": """apiVersion: noetl.io/v2
kind: Playbook
metadata: {name: hello, path: examples/hello}
workload: {name: world}
workflow:
  - step: start
    tool: {kind: python, input: {name: "{{ workload.name }}"}, code: 'result = {"said": name}'}
    next: {arcs: [{step: end}]}
  - step: end
    tool: {kind: noop}
""",
    "slow.yaml": """apiVersion: noetl.io/v2
kind: Playbook
metadata: {name: slow, path: slow}
workflow:
  - step: start
    tool: {kind: shell, command: sleep 60}
""",
    "bad.txt": """apiVersion: noetl.io/v2
kind: Playbook
metadata: {name: bad, path: examples/bad}
workflow:
  - step: start
    tool: {kind: nonsense}
""",
}

CREDENTIAL = '{"name": "gh", "type": "bearer", "tags": ["a"], "data": {"token": "canary-5a1"}}'

FILES = {
    **{f"books/{name}": text for name, text in PLAYBOOKS.items()},
    "creds/gh.json": CREDENTIAL,
    "input.json": '{"name": "input"}',
}


class Case(NamedTuple):
    """One command: ``{id}`` stands for an execution that ended, ``{slow}`` for one that runs."""

    command: str
    #: What its output must hold.
    says: str = ""
    code: int = 0
    #: Take the execution that it started as this one.
    keeps: str = ""
    #: Which end to wait for afterwards.
    ends: str = ""


CASES = [
    Case("context add here --server-url={url} --set-current", "'here'"),
    Case("context list", "{url}"),
    Case("context current", "here"),
    Case("context set-runtime distributed", "distributed"),
    Case("context update here --runtime=auto", "here"),
    Case("context use here", "here"),
    Case("context add other --server-url={url}", "'other'"),
    Case("context delete other", "other"),
    Case("context init gate --from-gateway {url}", "server_url:"),
    Case("catalog register books/hello.yaml", "'examples/hello' version '1'"),
    Case("catalog register books/bad.txt", "nonsense", code=1),
    Case("catalog load books --dry-run", "discovered 2"),
    Case("catalog load books --json", '"registered":2'),
    Case("catalog load books", "registered 2, failed 0"),
    Case("register playbook --file books/hello.yaml", "registered successfully"),
    Case("register playbook --directory books", "2 succeeded, 0 failed"),
    Case("catalog list Playbook", "examples/hello"),
    Case("catalog list Playbook --json", '"path":"examples/hello"'),
    Case("list Playbook --json", '"path":"examples/hello"'),
    Case("list Credential --json", '"entries":[]'),
    Case("catalog get examples/hello", '"version": 1'),
    Case("catalog get examples/none", "Catalog entry not found"),
    Case("register credential --file creds/gh.json", "registered successfully"),
    Case("register credential --directory creds", "1 succeeded, 0 failed"),
    Case("get credential gh", '"bearer"'),
    Case("get credential none", "404"),
    Case("run examples/hello -r distributed --set name=you --json", '"started"', keeps="id"),
    Case("status {id} --json", '"completed":true', ends="id"),
    Case("status {id}", "COMPLETED"),
    Case("run examples/hello -r distributed", "Execution started"),
    Case("run examples/hello -r distributed --input input.json --json", '"started"'),
    Case('run examples/hello -r distributed --payload {{"name":"x"}} --json', '"started"'),
    Case("run catalog://examples/hello@1 -r distributed --json", '"started"'),
    Case("run books/slow.yaml -r distributed --json", '"started"'),
    Case("run examples/none -r distributed --json", "no playbook", code=1),
    Case("execute playbook examples/hello --json", '"started"'),
    Case("execute playbook examples/hello --input input.json --json", '"started"'),
    Case("execute status {id} --json", '"completed":true'),
    Case("execute rerun {id} --json", '"retry_of":"{id}"'),
    Case("execute playbook slow --json", '"started"', keeps="slow"),
    Case("cancel {slow} --reason because --cascade --json", '"cancelled"'),
    Case("status {slow} --json", '"is_cancelled":true', ends="slow"),
    Case("cancel {id} --json", '"already_completed"'),
    Case("cleanup --dry-run --older-than-minutes 5 --json", '"cancelled_count":0'),
    Case("cleanup --older-than-minutes 0 --json", '"cancelled_count"'),
    Case("cleanup", "stuck execution(s)"),
    Case("db init", "successfully"),
    Case("db validate", "fit this version"),
    Case("ehdb query executions", "examples/hello"),
    Case("ehdb query executions --status COMPLETED --limit 2 --json", '"returned": 2'),
    Case("ehdb query execution {id}", "COMPLETED"),
    Case("ehdb query execution 1", "not found"),
    Case("ehdb query events {id} --limit 3 --json", '"next_cursor": "3"'),
    Case("ehdb query events {id}", "playbook.completed"),
    Case("run books/hello.yaml -r local --dry-run", "hello"),
    Case("schema", "json-schema.org"),
    Case("credential list"),
    Case("credential path", "home"),
]

NOT_WORKING = {
    "query": "it runs SQL on the platform's database without a token; ask the API's lists",
    "ehdb query tier": "it reads a storage engine that this server does not have",
    "auth login": "it speaks to NoETL's gateway, not to its server",
    "auth logout": "it speaks to NoETL's gateway, not to its server",
    "server start": "it starts NoETL's own server",
    "server stop": "it stops NoETL's own server",
    "worker start": "it starts NoETL's own worker",
    "worker stop": "it stops NoETL's own worker",
    "build": "it builds NoETL's own images",
    "k8s deploy": "it deploys NoETL itself",
    "k8s remove": "it deploys NoETL itself",
    "k8s redeploy": "it deploys NoETL itself",
    "k8s reset": "it deploys NoETL itself",
    "context port-forward": "it needs kubectl and a cluster; no server is asked",
    "console": "it is a terminal for people; it sends what the other subcommands send",
    "codex": "it starts another program; no server is asked",
    "ai": "it starts another program; no server is asked",
    "subscribe": "it runs playbooks on its own machine; no server is asked by default",
    "credential set": "it keeps secrets on its own machine; no server is asked",
    "credential google": "it opens a browser; no server is asked",
    "provider": "it speaks to cloud providers; of a server it asks the storage engine's tiers",
    "iap": "it manages infrastructure from its own machine; no server is asked",
}
"""Subcommands that cannot work with this server, or do not ask one, and why."""
