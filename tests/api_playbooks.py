"""Playbooks that the tests of the API run."""

from __future__ import annotations

HELLO = """\
apiVersion: noetl.io/v2
kind: Playbook
metadata:
  name: hello
  path: examples/hello
  description: Greets.
workload:
  name: world  # ui:description=Who is greeted
  token: abc  # ui:secret
  colour: red  # ui:enum=[red, green]
  nested: {a: 1}
workflow:
  - step: start
    tool:
      kind: python
      code: |
        result = {"greeting": "hello " + name}
      input:
        name: "{{ workload.name }}"
    set:
      ctx.greeting: "{{ output.data.greeting }}"
    next:
      arcs:
        - step: end
  - step: end
    tool:
      kind: python
      input: {said: "{{ ctx.greeting }}"}
      code: |
        result = {"said": said, "rows": list(range(3))}
"""

WAITS = """\
apiVersion: noetl.io/v2
kind: Playbook
metadata: {name: waits, path: examples/waits}
workflow:
  - step: start
    tool: {kind: shell, command: "sleep 60"}
"""

PARENT = """\
apiVersion: noetl.io/v2
kind: Playbook
metadata: {name: parent, path: examples/parent}
workflow:
  - step: start
    tool: {kind: playbook, path: examples/waits}
"""

LARGE = """\
apiVersion: noetl.io/v2
kind: Playbook
metadata: {name: large, path: examples/large}
workflow:
  - step: start
    tool:
      kind: python
      code: |
        result = {"text": "x" * 300000}
"""

FAILS = """\
apiVersion: noetl.io/v2
kind: Playbook
metadata: {name: fails, path: examples/fails}
workflow:
  - step: start
    tool:
      kind: python
      code: |
        raise ValueError("it went wrong")
"""

BAD = """\
apiVersion: noetl.io/v2
kind: Playbook
metadata: {name: bad, path: examples/bad}
workflow:
  - step: start
    tool: {kind: nonsense}
    next:
      arcs:
        - step: nowhere
"""
