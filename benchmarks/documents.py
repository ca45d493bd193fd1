"""The playbooks that are measured."""

from __future__ import annotations

HEAD = "apiVersion: noetl.io/v2\nkind: Playbook\nmetadata: {{name: {name}, path: bench/{name}}}\n"

NOOP = "{kind: noop}"
PYTHON = "{kind: python, code: \"result = {'n': 1}\"}"


def chain(name: str, length: int, tool: str = NOOP) -> str:
    """Return a chain of steps."""
    lines = [HEAD.format(name=name), "workflow:\n"]
    for i in range(length):
        lines.append(f"- step: s{i}\n  tool: {tool}\n")
        if i + 1 < length:
            lines.append(f"  next: {{arcs: [{{step: s{i + 1}}}]}}\n")
    return "".join(lines)


def loop(name: str, items: int) -> str:
    """Return a parallel loop of items that do nothing."""
    return (
        HEAD.format(name=name) + "workflow:\n- step: start\n"
        f'  loop: {{in: "{{{{ range({items}) }}}}", iterator: item, spec: {{mode: parallel}}}}\n'
        '  tool: {kind: noop, result: "{{ item }}"}\n'
    )


def cycle(name: str) -> str:
    """Return a step that routes to itself as often as its workload says."""
    return HEAD.format(name=name) + (
        "workload: {turns: 10}\n"
        "workflow:\n"
        "- step: start\n"
        "  tool: {kind: noop}\n"
        "  next:\n"
        "    arcs:\n"
        '    - {step: start, when: "{{ ctx.n | default(0) < workload.turns }}",'
        ' set: {ctx.n: "{{ (ctx.n | default(0)) + 1 }}"}}\n'
    )


HELLO = HEAD.format(name="hello") + (
    "workflow:\n- step: start\n  tool: {kind: python, code: \"result = 'hello'\"}\n"
)
