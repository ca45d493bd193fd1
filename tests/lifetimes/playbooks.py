"""Ten kinds of short executions, each with something that could outlive it."""

from __future__ import annotations

from typing import Final

HEAD: Final = "apiVersion: noetl.io/v2\nkind: Playbook\nmetadata: {{name: {0}, path: flat/{0}}}\n"

CANCELLED: Final = "cancelled"
"""The kind that waits for a retry until it is cancelled."""

FAILED: Final = "failed"

REFUSED: Final = "{kind: http, url: 'http://127.0.0.1:9/', timeout: 5"

WORKFLOWS: Final = {
    "chain": "- {step: a, tool: {kind: noop}, next: b}\n- {step: b, tool: {kind: noop}}\n",
    "context": "- {step: a, tool: {kind: noop}, set: {ctx.text: '{{ \"x\" * 1000 }}'}, next: b}\n"
    "- {step: b, tool: {kind: noop}}\n",
    "code": "- step: a\n  tool: {kind: python, code: \"result = {'n': 1}\"}\n",
    "shell": "- {step: a, tool: {kind: shell, command: echo a}}\n",
    "loop": "- step: a\n  tool: {kind: noop}\n"
    "  loop: {in: '{{ range(5) }}', iterator: i, spec: {mode: parallel, max_in_flight: 3}}\n",
    "parent": "- {step: a, tool: {kind: playbook, path: flat/chain}}\n",
    "timer": "- {step: a, spec: {timeout: 3600}, tool: {kind: noop}}\n",
    "large": "- step: a\n  tool: {kind: python, code: \"result = {'text': 'x' * 200_000}\"}\n",
    FAILED: f"- {{step: a, tool: {REFUSED}}}}}\n",
    CANCELLED: f"- step: a\n  tool: {REFUSED}, retry: {{attempts: 9, delay: 600}}}}\n",
}

PLAYBOOKS: Final = {
    name: HEAD.format(name) + "workflow:\n" + workflow for name, workflow in WORKFLOWS.items()
}

STATUSES: Final = {FAILED: "FAILED", CANCELLED: "CANCELLED"}
"""How executions end that do not end well."""
