"""Short ways to write playbooks in tests."""

from __future__ import annotations

import textwrap


def playbook(workflow: str, head: str = "", path: str = "tests/playbook") -> str:
    """Return a playbook with a workflow and further root keys."""
    return (
        "apiVersion: noetl.io/v2\nkind: Playbook\n"
        f"metadata: {{name: playbook, path: {path}}}\n"
        + textwrap.dedent(head)
        + "workflow:\n"
        + textwrap.indent(textwrap.dedent(workflow).strip("\n"), "  ")
        + "\n"
    )
