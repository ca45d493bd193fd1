"""For each code of the lint, a document that has the problem.

``¶`` stands before the place that the lint is to show; the documents are checked without it.
"""

from __future__ import annotations

import textwrap
from typing import NamedTuple

from arcbook.dsl.kinds import Absence, Effects, Kind, KindTable, Param, Treatment

KINDS = KindTable(
    {
        "noop": Kind(name="noop"),
        "http": Kind(
            name="http",
            params=(
                Param(name="url", required=True, description="address to call"),
                Param(name="method", schema={"type": "string", "enum": ["GET", "POST"]}),
                Param(name="headers", schema={"type": "object"}),
            ),
        ),
        "postgres": Kind(
            name="postgres",
            params=(Param(name="command"), Param(name="query")),
            any_of=(("command", "query"),),
            takes_auth=True,
        ),
        "python": Kind(
            name="python",
            params=(Param(name="code", treatment=Treatment.CODE),),
        ),
        "send": Kind(name="send", effects=(Effects.ONCE,)),
        "shell": Kind(name="shell", params=(Param(name="command", treatment=Treatment.SCRIPT),)),
        "wasm": Kind(name="wasm", open=True, absence=Absence(advice="write it in Python")),
        "sign": Kind(
            name="sign",
            open=True,
            absence=Absence(
                reason="is broken", advice="pip install --upgrade arcbook-sign", is_fault=True
            ),
        ),
    }
)
"""Kinds that the documents use."""

HEAD = "apiVersion: noetl.io/v2\nkind: Playbook\nmetadata: {name: n}\n"
SUBSCRIPTION = "apiVersion: noetl.io/v2\nkind: Subscription\nmetadata: {name: n}\n"
PULL = "source: nats, mode: pull, dispatch: {playbook: p}"


class Case(NamedTuple):
    """A problem."""

    code: str
    #: The document, as text or bytes.
    content: str | bytes
    #: Words of the suggestion.
    hint: str


def book(text: str) -> str:
    """Return a playbook with what follows its metadata."""
    return HEAD + textwrap.dedent(text).lstrip("\n")


def steps(text: str) -> str:
    """Return a playbook with a workflow."""
    return HEAD + "workflow:\n" + textwrap.dedent(text).lstrip("\n")


def task(text: str) -> str:
    """Return a playbook of one step with one task."""
    return HEAD + f"workflow:\n- step: start\n  tool: {text}\n"


def rule(text: str) -> str:
    """Return a playbook whose one task has one policy rule."""
    return task(f"{{name: a, kind: noop, spec: {{policy: {{rules: [{text}]}}}}}}")


def loop(text: str) -> str:
    """Return a playbook whose one step has a loop."""
    return HEAD + f"workflow:\n- step: start\n  loop: {text}\n  tool: {{kind: noop}}\n"


def subscription(spec: str) -> str:
    """Return a subscription."""
    return SUBSCRIPTION + f"spec: {spec}\n"


NOOP = "tool: {kind: noop}"

CASES = [
    Case("ARC001", "¶" + " " * (8 * 2**20 + 1), "move data out"),
    Case("ARC002", HEAD.encode() + "description: ¶".encode() + b"\xff\n", "save the document as UTF-8"),
    Case("ARC003", "a: [1, 2\nb¶: 3\n", "close the bracket"),
    Case("ARC003", "a: 1\n\tb: 2\n", "spaces"),
    Case("ARC003", book("workload: {a: ¶*nobody}\n"), "quote the text"),
    Case("ARC003", 'a: ¶"text\n', "close the quote"),
    Case("ARC003", "a: ¶@b\n", "quote the text"),
    Case("ARC003", "a: b¶: c\n", "quote a text that has"),
    Case("ARC003", "a: ¶\x07\n", '"\\x07"'),
    Case("ARC004", "¶# nothing but a comment\n", "begin with"),
    Case("ARC005", "a: 1\n¶---\nb: 2\n", "remove what follows"),
    Case(
        "ARC006",
        "a: &a [x, x, x, x, x, x, x, x, x, x]\n"
        + "".join(
            f"{chr(98 + i)}: &{chr(98 + i)} [{', '.join(['*' + chr(97 + i)] * 10)}]\n"
            for i in range(5)
        ),
        "move data out",
    ),
    Case("ARC007", book("workload: &w\n  a: ¶*w\n"), "write the value"),
    Case("ARC008", "a: " + "[" * 79 + "¶[" + "]" * 80 + "\n", "move data out"),
    Case("ARC009", book("workload: {a: 1, ¶a: 2}\n"), "remove one of them"),
    Case("ARC010", book("workload:\n  <<: ¶[1]\n"), "name an anchor"),
    Case("ARC011", book("workload:\n  ? ¶[a]\n  : 1\n"), "write a text before"),
    Case("ARC012", book("workload: {a: ¶!!int x}\n"), "remove it"),
    Case("ARC013", book("workload: {a: 1}\noutput: ¶{{ a }}\n"), 'write "{{ a }}"'),
    Case("ARC100", "¶- start\n", "begin with 'apiVersion"),
    Case("ARC101", HEAD.replace("noetl.io/v2", "¶noetl.io/v3"), "write 'noetl.io/v2'"),
    Case("ARC101", "¶kind: Playbook\n", "write 'apiVersion: noetl.io/v2'"),
    Case("ARC102", HEAD.replace("Playbook", "¶Recipe"), "write 'Playbook'"),
    Case("ARC104", "apiVersion: noetl.io/v2\nkind: Subscription\nmetadata: {}\nspec: {" + PULL + "}\n", "write 'name'"),
    Case("ARC302", rule("{when: ¶[a], then: {do: fail}}"), "write"),
    Case("ARC401", steps("- {step: start, loop: {cursor: ¶{kind: postgress, claim: q}, iterator: x}, tool: {kind: noop}}\n"), "did you mean 'postgres'?"),
    Case("ARC103", book("workload: ¶text\n"), "name: value"),
    Case("ARC103", loop("{in: [1], iterator: x, spec: {max_in_flight: ¶many}}"), "write a number"),
    Case("ARC103", task("{kind: noop, retry: ¶often}"), "retry: {attempts: 3}"),
    Case("ARC103", task("¶7"), "tool: {kind: <kind>}"),
    Case("ARC104", HEAD.replace("{name: n}", "¶{labels: {}}"), "write 'name'"),
    Case("ARC105", book("¶workflow: []\n"), "- step: start"),
    Case("ARC106", steps("- ¶step: start\n"), "tool: {kind: noop}"),
    Case("ARC107", task("¶[]"), "- kind: <kind>"),
    Case("ARC108", task("¶{url: x}"), "write 'kind', one of"),
    Case("ARC109", steps(f"- step: start\n  {NOOP}\n  next: ¶{{spec: {{mode: inclusive}}}}\n"), "arcs:"),
    Case("ARC110", steps(f"- ¶{NOOP}\n"), "write 'step'"),
    Case("ARC111", loop("{in: [1], iterator: x, spec: {max_in_flight: ¶0}}"), "write 1 or more"),
    Case("ARC112", loop("{in: [1], iterator: x, spec: {mode: ¶paralel}}"), "did you mean 'parallel'?"),
    Case("ARC103", task("{kind: noop, timeout: ¶soon}"), "500ms, 30s, 5m"),
    Case("ARC112", book(f"executor: {{profile: ¶lokal}}\nworkflow:\n- step: start\n  {NOOP}\n"), "did you mean 'local'?"),
    Case("ARC112", task("{kind: noop, output: {scope: ¶forever}}"), "step, execution"),
    Case("ARC112", task("{kind: noop, output: {store: {kind: ¶dsik}}}"), "did you mean 'disk'?"),
    Case("ARC113", steps(f"- step: start\n  {NOOP}\n  ¶owner: sales\n"), "remove it"),
    Case("ARC113", book(f"workbook: [{{name: a, {NOOP}, ¶dsec: d}}]\n"), "did you mean 'desc'?"),
    Case("ARC113", steps(f"- step: start\n  {NOOP}\n  ¶pool: fast\n"), "spec: {pool: <name>}"),
    Case("ARC114", steps("- step: start\n  tool: {kind: postgres}\n  ¶command: select 1\n"), "move it under 'tool'"),
    Case("ARC114", steps("- step: start\n  ¶code: result = 1\n"), "move 'code' under 'tool'"),
    Case("ARC115", "¶- step: start\n- step: end\n", "below 'workflow:'"),
    Case("ARC115", "¶kind: http\nurl: u\n", "below 'tool:'"),
    Case("ARC115", "¶workload: {a: 1}\nworkflow: []\n", "at the root"),
    Case(
        "ARC116",
        HEAD.replace("noetl.io/v2", "¶noetl.io/v1") + "workflow:\n- step: start\n  tool: noop\n  case: [{when: a, then: [{collect: b}]}]\n",
        "jumps back",
    ),
    Case("ARC117", steps(f"- step: start\n  {NOOP}\n  ¶nexxt: {{}}\n"), "did you mean 'next'?"),
    Case("ARC117", task("{kind: noop, retry: {¶atempts: 3}}"), "did you mean 'attempts'?"),
    Case("ARC117", steps(f"- step: start\n  {NOOP}\n  ¶timeout: 5\n"), "spec: {timeout: 30}"),
    Case("ARC117", book(f"¶secrets: {{a: b}}\nworkflow:\n- step: start\n  {NOOP}\n"), "keychain"),
    Case("ARC117", task("{kind: http, url: x, ¶heders: {}}"), "did you mean 'headers'?"),
    Case("ARC120", book(f"workbook:\n- ¶{NOOP}\n"), "write 'name'"),
    Case("ARC121", book("workbook:\n- ¶name: a\n"), "tool: {kind: ...}"),
    Case("ARC122", task("¶{kind: workbook}"), "write 'name: <entry>'"),
    Case(
        "ARC123",
        book(f"workbook: [{{name: load, {NOOP}}}]\nworkflow:\n- step: start\n  tool: {{kind: workbook, name: ¶laod}}\n"),
        "did you mean 'load'?",
    ),
    Case("ARC124", task("[{kind: noop}, {kind: ¶task_sequence, tasks: []}]"), "list of tasks"),
    Case("ARC130", steps(f"- step: start\n  {NOOP}\n  spec: {{policy: {{admit: {{rules: [¶{{when: true}}]}}}}}}\n"), "allow: true"),
    Case("ARC131", steps(f"- step: start\n  {NOOP}\n  spec: {{join: ¶some}}\n"), "'all', 'any'"),
    Case("ARC140", loop("¶{in: [1]}"), "iterator: item"),
    Case("ARC141", loop("¶{iterator: x, spec: {mode: cursor}}"), "claim"),
    Case("ARC142", loop("¶{iterator: x}"), "write 'in:"),
    Case("ARC143", loop("¶{iterator: x, in: [1], cursor: {claim: c}}"), "remove one of them"),
    Case("ARC144", loop("{iterator: x, cursor: {claim: c}, spec: {frame: {¶process: rows}}}"), "'row'"),
    Case("ARC150", task("{kind: noop, spec: {policy: ¶{on: error}}}"), "rules:"),
    Case("ARC151", rule("¶{when: true}"), "then: {do: continue}"),
    Case("ARC152", rule("{when: true, then: ¶{do: jump}}"), "to: <label>"),
    Case("ARC153", rule("{when: true, then: {do: retry, backoff: none, delay: ¶5}}"), "backoff: fixed"),
    Case("ARC160", steps(f"- step: start\n  {NOOP}\n  set: {{¶ctx..a: 1}}\n"), "between the dots"),
    Case("ARC201", steps(f"- step: start\n  {NOOP}\n- ¶step: start\n  {NOOP}\n"), "rename"),
    Case("ARC202", book(f"keychain:\n- name: a\n- ¶name: a\nworkflow:\n- step: start\n  {NOOP}\n"), "rename"),
    Case("ARC203", steps(f"- step: start\n  {NOOP}\n  next: {{arcs: [¶{{step: finsh}}]}}\n- step: finish\n  {NOOP}\n"), "did you mean 'finish'?"),
    Case("ARC204", book(f"executor: {{spec: {{entry_step: ¶strat}}}}\nworkflow:\n- step: start\n  {NOOP}\n"), "did you mean 'start'?"),
    Case("ARC205", book(f"executor: {{spec: {{no_next_is_error: true}}}}\nworkflow:\n- ¶step: start\n  {NOOP}\n"), "write 'next'"),
    Case("ARC206", task("[{name: a, kind: noop}, ¶{name: a, kind: noop}]"), "rename"),
    Case("ARC207", rule("¶{when: true, then: {do: jump, to: b}}"), "its tasks are a"),
    Case("ARC207", rule("¶{when: true, then: {do: jump, to: previous}}"), "name a task"),
    Case("ARC208", rule("{else: {do: break}}, ¶{when: a, then: {do: fail}}"), "move it"),
    Case("ARC209", loop("¶{iterator: x, in: rows}"), 'write "{{ rows }}"'),
    Case("ARC210", steps(f"- step: start\n  {NOOP}\n  next: ¶{{arcs: [{{step: start}}]}}\n"), "guard an arc"),
    Case("ARC211", steps(f"- step: start\n  {NOOP}\n- ¶step: other\n  {NOOP}\n"), "route to it"),
    Case(
        "ARC212",
        steps(
            f"- step: start\n  {NOOP}\n  next: ¶{{spec: {{mode: inclusive}}, arcs: [{{step: a}}, {{step: b}}]}}\n"
            f"- step: a\n  {NOOP}\n- step: b\n  {NOOP}\n"
        ),
        "route them to one step",
    ),
    Case("ARC214", steps(f"- step: start\n  {NOOP}\n  next: {{arcs: [{{step: a}}, ¶{{step: b, when: x}}]}}\n- step: a\n  {NOOP}\n- step: b\n  {NOOP}\n"), "mode: inclusive"),
    Case("ARC301", steps(f"- step: start\n  {NOOP}\n  set: {{ctx.a: ¶'{{{{ x | lenght }}}}'}}\n"), "did you mean 'length'?"),
    Case("ARC301", steps(f"- step: start\n  {NOOP}\n  when: ¶'a =='\n"), "check brackets"),
    Case("ARC301", task("\n    kind: http\n    url: |\n      first\n      ¶{{ a b }}"), "check brackets"),
    Case("ARC301", task("{kind: python, code: ¶'{{ a b }}'}"), "check brackets"),
    Case("ARC302", steps(f"- step: start\n  {NOOP}\n  when: ¶[a]\n"), "name == 'value'"),
    Case("ARC302", steps(f"- step: start\n  {NOOP}\n  when: ¶'{{{{ a }}}} production'\n"), "inside the braces"),
    Case("ARC303", steps(f"- step: start\n  {NOOP}\n  next: {{arcs: [{{step: ctx}}]}}\n- ¶step: ctx\n  {NOOP}\n"), "another name"),
    Case("ARC303", loop("¶{iterator: output, in: [1]}"), "another name"),
    Case("ARC304", task("{kind: python, code: ¶'x = \"{{ workload.a }}\"'}"), "with 'input'"),
    Case("ARC305", book(f"workload: {{start: 1}}\nworkflow:\n- ¶step: start\n  {NOOP}\n"), "rename"),
    Case("ARC306", book(f"workload: {{customer: 1}}\nworkflow:\n- step: start\n  {NOOP}\n  set: {{ctx.a: ¶'{{{{ custommer }}}}'}}\n"), "did you mean 'customer'?"),
    Case("ARC307", steps(f"- step: start\n  {NOOP}\n  next: {{arcs: [¶{{step: end, when: keychain.api.token == 'x'}}]}}\n- step: end\n  {NOOP}\n"), "read it in a task"),
    Case("ARC308", task("\n    kind: shell\n    command: |\n      first\n      ¶docker images --format '{{.ID}}'"), "template of another program"),
    Case("ARC308", task("{kind: shell, command: ¶'echo {{ custommer }}'}").replace("workflow:", "workload: {customer: 1}\nworkflow:"), "did you mean 'customer'?"),
    Case("ARC309", book(f"workload: {{price: 1}}\nworkflow:\n- step: start\n  {NOOP}\n  set: {{ctx.a: ¶'{{{{ workload.prise }}}}'}}\n"), "did you mean 'price'?"),
    Case("ARC309", task("{kind: python, code: 'result = {\"price\": 1}'}") + "  set: {ctx.a: ¶'{{ start.data.prise }}'}\n", "did you mean 'price'?"),
    Case("ARC309", steps(f"- step: start\n  {NOOP}\n  when: ¶ctx.nothing == 3\n"), "default("),
    Case("ARC310", task("\n    kind: python\n    code: |\n      a = 1\n      if a¶\n        b = 2"), "its parser stopped here"),
    Case("ARC311", book(f"workload: {{env: prod}}\nworkflow:\n- step: start\n  {NOOP}\n"), "read it as 'workload.env'"),
    Case("ARC313", task("\n    kind: python\n    code: |\n      ¶reslt = 1\n"), "did you mean 'result'?"),
    Case("ARC312", task("{kind: noop, result: ¶'${workload.a}/b'}"), "write '{{ workload.a }}'"),
    Case("ARC401", task("{kind: ¶htpp}"), "did you mean 'http'?"),
    Case("ARC402", task("¶{kind: http}"), "address to call"),
    Case("ARC402", task("¶{kind: postgres}"), "'command' or 'query'"),
    Case("ARC403", task("{kind: http, url: x, ¶colour: red}"), "remove it"),
    Case("ARC404", task("{kind: http, url: x, headers: ¶text}"), "type object"),
    Case("ARC405", task("{kind: http, url: x, method: ¶PSOT}"), "did you mean 'POST'?"),
    Case("ARC406", task("{kind: ¶wasm}"), "write it in Python"),
    Case("ARC410", task("{kind: ¶sign}"), "pip install --upgrade arcbook-sign"),
    Case("ARC407", task("{kind: send, spec: {policy: {rules: [¶{when: '{{ output.error }}', then: {do: retry}}]}}}"), "output.error.retryable"),
    Case("ARC501", steps(f"- step: start\n  {NOOP}\n  case: [{{when: a, then: [{{¶collect: b}}]}}]\n"), "jumps back"),
    Case("ARC502", steps(f"- step: start\n  {NOOP}\n  next: ¶end\n- step: end\n  {NOOP}\n"), "next: {arcs: [{step: end}]}"),
    Case("ARC601", subscription("{source: ¶nast, mode: pull, dispatch: {playbook: p}}"), "did you mean 'nats'?"),
    Case("ARC602", subscription("¶{source: nats, mode: pull}"), "write its path"),
    Case("ARC603", subscription("¶{source: webhook, mode: push, dispatch: {playbook: p}}"), "ingress"),
    Case("ARC103", subscription("{source: nats, mode: pull, dispatch: {playbook: p, batch_dispatch: ¶often}}"), "'true' or 'false'"),
    Case("ARC605", subscription("{source: nats, mode: pull, dispatch: {playbook: p, batch_max: ¶0}}"), "at most"),
    Case("ARC603", subscription("{source: webhook, mode: push, dispatch: {playbook: p}, ingress: {gateway_path: ¶x, verify: {type: hmac, secret: s, header: h}}}"), "write '/name'"),
    Case("ARC603", subscription("{source: webhook, mode: push, dispatch: {playbook: p}, ingress: {gateway_path: /x, verify: ¶{type: trust}}}"), "one of"),
    Case("ARC603", subscription("{source: webhook, mode: push, dispatch: {playbook: p}, ingress: ¶{gateway_path: /x}}"), "one of"),
    Case("ARC604", subscription(f"{{{PULL}, spool: {{mode: hybrid, backend: nats_object, bucket: b, ordering: global, drain: {{on_recovery: ¶interleave}}}}}}"), "choose one"),
    Case("ARC604", subscription(f"{{{PULL}, spool: ¶{{mode: hybrid, backend: s3}}}}"), "'bucket'"),
    Case("ARC605", subscription(f"{{{PULL}, limits: {{max_in_flight: ¶0}}}}"), "above 0"),
    Case("ARC606", subscription(f"{{{PULL}, headers: {{directives: [¶{{header: h}}]}}}}"), "'controls'"),
]  # fmt: skip


def marked(content: str | bytes) -> tuple[str | bytes, int | None, int | None]:
    """Return a document without its mark, and the mark's line and column."""
    if isinstance(content, str):
        before, mark, after = content.partition("¶")
        return (before + after, *_place(before)) if mark else (content, None, None)
    head, sign, tail = content.partition("¶".encode())
    return (head + tail, *_place(head.decode())) if sign else (content, None, None)


def _place(before: str) -> tuple[int, int]:
    return before.count("\n") + 1, len(before) - before.rfind("\n")
