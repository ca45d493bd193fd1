"""Playbooks that leave their effects in a table, each named by its idempotency key."""

from __future__ import annotations

from typing import Final

HEAD: Final = "apiVersion: noetl.io/v2\nkind: Playbook\nmetadata: {{name: {0}, path: chaos/{0}}}\n"

EFFECT: Final = """{{kind: postgres, auth: effects, command: "insert into effect (key, execution) values ($1, $2) on conflict (key) do update set tries = effect.tries + 1", params: ["{{{{ _idempotency_key }}}}", "{{{{ execution_id }}}}"]{0}}}"""

ONCE: Final = """{kind: postgres, auth: effects, spec: {redelivery: never}, command: "insert into once (key, execution) values ($1, $2)", params: ["{{ _idempotency_key }}", "{{ execution_id }}"]}"""


def effect(more: str = "") -> str:
    """Return a task that writes one row, whatever happens to it."""
    return EFFECT.format(more)


CHAIN: Final = (
    HEAD.format("chain")
    + f"""
workflow:
  - step: one
    tool: {effect()}
    next: {{arcs: [{{step: two}}]}}
  - step: two
    tool: {{kind: python, code: "result = {{'n': 2}}"}}
    next: {{arcs: [{{step: three}}]}}
  - step: three
    tool: {effect()}
    next: {{arcs: [{{step: end}}]}}
  - step: end
    tool: {{kind: python, input: {{n: "{{{{ two.n }}}}"}}, code: "result = {{'n': n + 1}}"}}
"""
)

LOOP: Final = (
    HEAD.format("loop")
    + f"""
workflow:
  - step: each
    loop: {{in: "{{{{ range(12) }}}}", iterator: i, spec: {{mode: parallel, max_in_flight: 4}}}}
    tool: {effect()}
    next: {{arcs: [{{step: end}}]}}
  - step: end
    tool: {{kind: python, input: {{n: "{{{{ each.stats.success }}}}"}}, code: "result = {{'n': n}}"}}
"""
)

FAN: Final = (
    HEAD.format("fan")
    + f"""
workflow:
  - step: start
    tool: {{kind: noop}}
    next: {{spec: {{mode: inclusive}}, arcs: [{{step: a}}, {{step: b}}, {{step: c}}]}}
  - step: a
    tool: {effect()}
    next: {{arcs: [{{step: end}}]}}
  - step: b
    tool: {{kind: shell, command: "echo b"}}
    next: {{arcs: [{{step: end}}]}}
  - step: c
    tool: {effect()}
    next: {{arcs: [{{step: end}}]}}
  - step: end
    tool: {{kind: python, input: {{b: "{{{{ b.stdout }}}}"}}, code: "result = {{'n': len(b.strip())}}"}}
"""
)

PARENT: Final = (
    HEAD.format("parent")
    + """
workflow:
  - step: first
    tool: {kind: playbook, path: chaos/chain}
    next: {arcs: [{step: each}]}
  - step: each
    loop: {in: "{{ range(3) }}", iterator: i, spec: {mode: parallel, max_in_flight: 3}}
    tool: {kind: playbook, path: chaos/chain}
    next: {arcs: [{step: end}]}
  - step: end
    tool: {kind: python, input: {n: "{{ first.n }}"}, code: "result = {'n': n}"}
"""
)

TIMED: Final = (
    HEAD.format("timed")
    + f"""
workflow:
  - step: one
    tool:
      kind: python
      input: {{tries: "{{{{ _attempt | default(0) }}}}"}}
      code: |
        if (tries or 0) < 2:
            raise ConnectionError("not yet")
        result = {{"n": tries}}
      spec:
        policy:
          rules:
            - when: "{{{{ output.status == 'error' }}}}"
              then: {{do: retry, attempts: 5, delay: 1.2, backoff: fixed}}
    next: {{arcs: [{{step: end}}]}}
  - step: end
    tool: {effect()}
"""
)

NEVER: Final = (
    HEAD.format("never")
    + f"""
workflow:
  - step: one
    tool: {effect()}
    next: {{arcs: [{{step: two}}]}}
  - step: two
    tool: {ONCE}
    next:
      arcs:
        - {{step: end}}
        - {{step: end, when: "{{{{ event.name == 'step.failed' }}}}"}}
  - step: end
    tool: {{kind: noop}}
"""
)

PLAYBOOKS: Final = {
    "chain": CHAIN,
    "loop": LOOP,
    "fan": FAN,
    "parent": PARENT,
    "timed": TIMED,
    "never": NEVER,
}

EFFECTS: Final = {"chain": 2, "loop": 12, "fan": 2, "timed": 1, "never": 1, "parent": 0}
"""Rows that one execution of each leaves itself; those of children count for them."""

RESULTS: Final = {"chain": 3, "loop": 12, "fan": 1, "parent": 3}
"""What ``n`` of the results is."""
