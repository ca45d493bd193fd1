"""Each older or shorter spelling means the same playbook as the newer one."""

from __future__ import annotations

from typing import Any, NamedTuple

import msgspec
import pytest

from arcbook.dsl.load import load_playbook
from arcbook.dsl.model import Playbook
from arcbook.template.render import compile_condition
from arcbook.template.scope import DictScope
from unit.lint_cases import HEAD, KINDS

NOOP = "tool: {kind: noop}"
END = "- {step: end, tool: {kind: noop}}\n"
FAILED = "{{ output.status == 'error' }}"


class Pair(NamedTuple):
    """One meaning, in an older and in the normal form."""

    name: str
    old: str
    new: str
    #: Whether the lint asks to change it.
    is_noted: bool = True


def step(text: str, rest: str = END) -> str:
    """Return a workflow whose first step has further keys."""
    return f"workflow:\n- step: start\n  {text}\n{rest}"


def task(text: str) -> str:
    """Return a workflow of one task."""
    return step(f"tool: {{kind: http, url: u, {text}}}")


def rules(text: str) -> str:
    """Return a workflow of one task with policy rules."""
    return task(f"spec: {{policy: {{rules: [{text}]}}}}")


def arcs(text: str, spec: str = "") -> str:
    """Return a workflow whose first step routes to others."""
    more = "- {step: other, tool: {kind: noop}}\n" + END
    return step(f"{NOOP}\n  {spec}next: {text}", more)


def branch(text: str) -> str:
    """Return a workflow whose first step has `case`, and others to lead to."""
    more = "- {step: other, tool: {kind: noop}}\n" + END
    return step(f"{NOOP}\n  {text}", more)


def retry(then: str, when: str = FAILED) -> str:
    """Return the rule that a `retry` stands for."""
    return rules(f'{{when: "{when}", then: {{do: retry{then}}}}}')


def loop(text: str) -> str:
    """Return a workflow whose first step has a loop."""
    return step(f"loop: {{in: [1], iterator: x, {text}}}\n  {NOOP}", END)


PAIRS = [
    Pair("a step name as next", arcs("end"), arcs("{arcs: [{step: end}]}")),
    Pair("a lone arc as next", arcs("{step: end, when: a}"), arcs("{arcs: [{step: end, when: a}]}")),
    Pair("a list of arcs as next", arcs("[{step: end, when: a}, {step: other}]"), arcs("{arcs: [{step: end, when: a}, {step: other}]}")),
    Pair("a list of names as next", arcs("[end, other]"), arcs("{spec: {mode: inclusive}, arcs: [{step: end}, {step: other}]}")),
    Pair("next_mode with a list", arcs("[end, other]", "spec: {next_mode: exclusive}\n  "), arcs("{spec: {mode: exclusive}, arcs: [{step: end}, {step: other}]}")),
    Pair("next_mode with arcs", arcs("{arcs: [{step: end}, {step: other}]}", "spec: {next_mode: inclusive}\n  "), arcs("{spec: {mode: inclusive}, arcs: [{step: end}, {step: other}]}"), is_noted=False),
    Pair("args of an arc", arcs("{arcs: [{step: end, args: {a: 1}}]}"), arcs("{arcs: [{step: end, set: {a: 1}}]}")),
    Pair("args of an arc in a list", arcs("[{step: end, args: {a: 1}}]"), arcs("{arcs: [{step: end, set: {a: 1}}]}")),
    Pair("cond of an arc", arcs("{arcs: [{step: end, cond: a}]}"), arcs("{arcs: [{step: end, when: a}]}")),
    Pair("an end that nothing leads to", step(NOOP), step(f"{NOOP}\n  next: {{arcs: [{{step: end}}]}}"), is_noted=False),
    Pair("args of a step", step(f"args: {{a: 1}}\n  {NOOP}"), step(f"input: {{a: 1}}\n  {NOOP}"), is_noted=False),
    Pair("description of a step", step(f"description: d\n  {NOOP}"), step(f"desc: d\n  {NOOP}"), is_noted=False),
    Pair("mode of a loop", loop("mode: parallel"), loop("spec: {mode: parallel}")),
    Pair("max_in_flight of a loop", loop("max_in_flight: 3"), loop("spec: {max_in_flight: 3}")),
    Pair("on_error of a loop", loop("on_error: continue"), loop("spec: {on_error: continue}")),
    Pair("frame of a loop", loop("frame: {max_rows: 2}"), loop("spec: {frame: {max_rows: 2}}")),
    Pair("on_error below policy", loop("spec: {policy: {on_error: continue}}"), loop("spec: {on_error: continue}"), is_noted=False),
    Pair("type of a task", step("tool: {type: noop}"), step("tool: {kind: noop}")),
    Pair("args of a task", task("args: {a: 1}"), task("input: {a: 1}"), is_noted=False),
    Pair("timeout_seconds of a task", task("timeout_seconds: 3"), task("timeout: 3"), is_noted=False),
    Pair("timeout below spec", task("spec: {timeout: 3}"), task("timeout: 3"), is_noted=False),
    Pair("a parameter below spec", step("tool: {kind: http, spec: {url: u}}"), step("tool: {kind: http, url: u}"), is_noted=False),
    Pair("credential of a task", step("tool: {kind: postgres, query: q, credential: c}"), step("tool: {kind: postgres, query: q, auth: c}"), is_noted=False),
    Pair("a task below its label", step("tool: [{load: {kind: noop}}]"), step("tool: [{name: load, kind: noop}]"), is_noted=False),
    Pair("a task_sequence", step("tool: {kind: task_sequence, input: {a: 1}, tasks: [{name: b, kind: noop}]}"), step("input: {a: 1}\n  tool: [{name: b, kind: noop}]"), is_noted=False),
    Pair("sink of a task", task("sink: true"), task("redelivery: never"), is_noted=False),
    Pair("output_select", task("output_select: [a]"), task("output: {select: [a]}"), is_noted=False),
    Pair("output_select below output", task("output: {output_select: [{path: a}]}"), task("output: {select: [a]}"), is_noted=False),
    Pair("fields below select", task("output: {select: {fields: [a]}}"), task("output: {select: [a]}"), is_noted=False),
    Pair("inline_max_bytes of a task", task("inline_max_bytes: 9"), task("output: {inline_max_bytes: 9}"), is_noted=False),
    Pair("expr of a rule", rules("{expr: a, then: {do: break}}"), rules("{when: a, then: {do: break}}")),
    Pair("a rule without then", rules("{when: a, do: retry, attempts: 2}"), rules("{when: a, then: {do: retry, attempts: 2}}"), is_noted=False),
    Pair("text as then", rules("{when: a, then: break}"), rules("{when: a, then: {do: break}}"), is_noted=False),
    Pair("else with then inside", rules("{else: {then: {do: break}}}"), rules("{then: {do: break}}"), is_noted=False),
    Pair("else as then", rules("{else: {do: break}}"), rules("{then: {do: break}}"), is_noted=False),
    Pair("else beside then", rules("{else: null, then: {do: break}}"), rules("{then: {do: break}}"), is_noted=False),
    Pair("a policy that is a list", task("spec: {policy: [{when: a, then: {do: break}}]}"), rules("{when: a, then: {do: break}}"), is_noted=False),
    Pair("set_ctx of a rule", rules("{when: a, then: {do: break, set_ctx: {b: 1}}}"), rules("{when: a, then: {do: break, set: {ctx.b: 1}}}")),
    Pair("set_vars of a rule", rules("{when: a, then: {do: break, set_vars: {b: 1}}}"), rules("{when: a, then: {do: break, set: {ctx.b: 1}}}")),
    Pair("set_iter of a rule", rules("{when: a, then: {do: break, set_iter: {b: 1}}}"), rules("{when: a, then: {do: break, set: {iter.b: 1}}}")),
    Pair("retry: true", task("retry: true"), retry(""), is_noted=False),
    Pair("retry: false", task("method: GET, retry: false"), task("method: GET"), is_noted=False),
    Pair("retry as a number", task("retry: 4"), retry(", attempts: 4"), is_noted=False),
    Pair("retry as a template", task("retry: '{{ n }}'"), retry(", attempts: '{{ n }}'"), is_noted=False),
    Pair("max_attempts", task("retry: {max_attempts: 4}"), retry(", attempts: 4"), is_noted=False),
    Pair("max_retries", task("retry: {max_retries: 4}"), retry(", attempts: 4"), is_noted=False),
    Pair("initial_delay", task("retry: {initial_delay: 4, max_delay: 9}"), retry(", delay: 4, max_delay: 9"), is_noted=False),
    Pair("backoff as a number", task("retry: {backoff: 4}"), retry(", delay: 4"), is_noted=False),
    Pair("backoff_multiplier", task("retry: {attempts: 2, backoff_multiplier: 2.0}"), retry(", attempts: 2, backoff: exponential"), is_noted=False),
    Pair("retry_on_status", task("retry: {attempts: 2, retry_on_status: [429]}"), retry(", attempts: 2", "{{ output.status == 'error' and output.http.status in [429] }}"), is_noted=False),
    Pair("retry_on", task("retry: {retry_on: [timeout]}"), retry("", "{{ output.status == 'error' and (output.error.kind in ['timeout'] or output.error.http_status in ['timeout']) }}"), is_noted=False),
    Pair("retry as rules", task("retry: [{when: a, then: {max_attempts: 2, initial_delay: 3}}]"), rules("{when: a, then: {do: retry, attempts: 2, delay: 3}}"), is_noted=False),
    Pair(
        "a workbook entry",
        "workbook: [{name: load, tool: {kind: http, url: u, args: {a: 1, b: 2}}}]\n" + step("tool: {kind: workbook, name: load, args: {b: 3}}"),
        step("tool: {kind: http, url: u, input: {a: 1, b: 3}}"),
        is_noted=False,
    ),
    Pair(
        "a workbook entry without input of the task",
        "workbook: [{name: load, tool: {kind: http, url: u, args: {a: 1}}}]\n" + step("tool: {kind: workbook, task: load}"),
        step("tool: {kind: http, url: u, input: {a: 1}}"),
        is_noted=False,
    ),
]  # fmt: skip


BRANCHES = "{arcs: [{step: end, when: '{{ a }}'}, {step: other}]}"

OLDER = [
    # -- where a step leads
    Pair("a case", branch("case: [{when: '{{ a }}', then: [{step: end}]}]\n  next: [{step: other}]"), arcs(BRANCHES)),
    Pair("a case with else", branch("case: [{when: '{{ a }}', then: {step: end}, else: [other]}]"), arcs(BRANCHES)),
    Pair("a case with a last else", branch("case: [{when: '{{ a }}', then: [end]}, {else: [{step: other}]}]"), arcs(BRANCHES)),
    Pair("a case with next inside", branch("case: [{when: '{{ a }}', then: [{next: [{step: end}]}]}, {else: {next: other}}]"), arcs(BRANCHES)),
    Pair("then in next", arcs("[{when: '{{ a }}', then: [{step: end}]}, {step: other}]"), arcs(BRANCHES)),
    Pair("then and else in next", arcs("[{when: '{{ a }}', then: [{step: end}]}, {else: [{step: other}]}]"), arcs(BRANCHES)),
    Pair("a mapping with then as next", arcs("{when: '{{ a }}', then: end, else: other}"), arcs(BRANCHES)),
    Pair("a case in next", arcs("[{case: [{when: '{{ a }}', then: [{step: end}]}]}, {step: other}]"), arcs(BRANCHES)),
    Pair("then in arcs", arcs("{arcs: [{when: '{{ a }}', then: [{step: end}]}, {step: other}]}"), arcs(BRANCHES)),
    Pair("set in a branch", branch("case: [{when: '{{ a }}', then: [{set: {x: 1}}, {step: end, args: {y: 2}}]}]"), arcs("{arcs: [{step: end, when: '{{ a }}', set: {x: 1, y: 2}}]}")),
    Pair("a guard in a branch", branch("case: [{when: '{{ a }}', then: [{step: end, when: '{{ b }}'}]}]"), arcs("{arcs: [{step: end, when: '{{ (a) and (b) }}'}]}")),
    Pair(
        "two steps in a branch",
        branch("case: [{when: '{{ a }}', then: [{step: end}, {step: other}]}, {else: [{step: end}]}]"),
        arcs("{spec: {mode: inclusive}, arcs: [{step: end, when: '{{ a }}'}, {step: other, when: '{{ a }}'}, {step: end, when: '{{ not ((a)) }}'}]}"),
    ),
    Pair(
        "a branch without steps",
        branch("case: [{when: '{{ a }}', then: []}]\n  next: [{step: end}]"),
        arcs("{spec: {mode: inclusive}, arcs: [{step: end, when: '{{ not ((a)) }}'}]}"),
    ),
    Pair("data of an arc", arcs("[{step: end, data: {a: 1}}]"), arcs("{arcs: [{step: end, set: {a: 1}}]}")),
    # -- variables
    Pair("vars of a step", step(f"vars: {{a: '{{{{ result.b }}}}'}}\n  {NOOP}"), step(f"set: {{ctx.a: '{{{{ result.b }}}}'}}\n  {NOOP}")),
    Pair("vars beside set", step(f"vars: {{a: 1}}\n  set: {{ctx.b: 2}}\n  {NOOP}"), step(f"set: {{ctx.a: 1, ctx.b: 2}}\n  {NOOP}")),
    Pair("set_ctx of a step", step(f"set_ctx: {{a: 1}}\n  {NOOP}"), step(f"set: {{ctx.a: 1}}\n  {NOOP}")),
    Pair("set_iter of a step", step(f"set_iter: {{a: 1}}\n  {NOOP}"), step(f"set: {{iter.a: 1}}\n  {NOOP}")),
    Pair("vars in templates", step(f"set: {{ctx.a: \"{{{{ vars.b.c + x.vars + 'vars' }}}}\"}}\n  {NOOP}"), step(f"set: {{ctx.a: \"{{{{ ctx.b.c + x.vars + 'vars' }}}}\"}}\n  {NOOP}")),
    Pair("vars in a guard", arcs("{arcs: [{step: end, when: vars.a}]}"), arcs("{arcs: [{step: end, when: ctx.a}]}")),
    Pair("vars of the playbook", "vars: {a: 1}\n" + step(NOOP), "workload: {a: 1}\n" + step(NOOP)),
    Pair("outcome in a rule", rules("{when: \"{{ outcome.status == 'error' }}\", then: {do: fail}}"), rules("{when: \"{{ output.status == 'error' }}\", then: {do: fail}}")),
    Pair("response in a guard", arcs("{arcs: [{step: end, when: '{{ response.a }}'}]}"), arcs("{arcs: [{step: end, when: '{{ output.a }}'}]}")),
    Pair("args in templates", step(f"set: {{ctx.a: '{{{{ args.b.c }}}} {{{{ args }}}}'}}\n  {NOOP}"), step(f"set: {{ctx.a: '{{{{ b.c }}}} {{{{ args }}}}'}}\n  {NOOP}")),
    Pair("a timeout with its unit", task("timeout: 5m"), task("timeout: 300"), is_noted=False),
    Pair("a delay with its unit", rules("{when: a, then: {do: retry, delay: 500ms}}"), rules("{when: a, then: {do: retry, delay: 0.5}}"), is_noted=False),
    Pair("result.status of http", task("x: 1}\n  set: {ctx.a: '{{ result.status == 200 }}'"), task("x: 1}\n  set: {ctx.a: '{{ result.status_code == 200 }}'")),
    # -- the tool
    Pair("a tool as text", step("tool: http\n  url: u\n  args: {a: 1}\n  next: {arcs: [{step: end}]}"), step("tool: {kind: http, url: u, input: {a: 1}}\n  next: {arcs: [{step: end}]}")),
    Pair("a type of a step", step("type: http\n  url: u\n  with: {a: 1}\n  auth: c"), step("tool: {kind: http, url: u, input: {a: 1}, auth: c}")),
    Pair("data of a step", step("tool: python\n  code: x\n  data: '{{ a }}'"), step("tool: {kind: python, code: x, input: {data: '{{ a }}'}}")),
    Pair("a call", step("call: {type: http, url: u, with: {a: 1}}"), step("tool: {kind: http, url: u, input: {a: 1}}")),
    Pair("auth beside the tool", step("auth: c\n  tool: {kind: postgres, query: q}"), step("tool: {kind: postgres, query: q, auth: c}")),
    Pair(
        "an iterator",
        step("tool: iterator\n  collection: '{{ a }}'\n  element: x\n  mode: async\n  concurrency: 2\n  task: {tool: http, url: u}"),
        step("loop: {in: '{{ a }}', iterator: x, spec: {mode: parallel, max_in_flight: 2}}\n  tool: {kind: http, url: u}"),
    ),
    Pair("collection of a loop", step(f"loop: {{collection: [1], element: x}}\n  {NOOP}"), step(f"loop: {{in: [1], iterator: x}}\n  {NOOP}")),
    Pair(
        "a workbook of the first version",
        "workbook: [{name: load, type: http, url: u, description: d}]\n" + step("type: workbook\n  name: load\n  data: {a: 1}"),
        step("tool: {kind: http, url: u, input: {a: 1}}"),
    ),
    Pair("one value as the input of code", step("tool: {kind: python, code: x, args: '{{ a }}'}"), step("tool: {kind: python, code: x, input: {input_data: '{{ a }}'}}")),
    Pair("mode: async below spec", loop("spec: {mode: async}"), loop("spec: {mode: parallel}")),
    Pair("a timeout in parts", task("spec: {timeout: {connect: 5, read: 15}}"), task("timeout: 20")),
    Pair("text in Base64", step("tool: {kind: python, code_b64: eCA9IDE=}"), step("tool: {kind: python, code: x = 1}")),
    Pair("retry of a step", step("retry: {attempts: 2}\n  tool: {kind: http, url: u}"), step("tool: {kind: http, url: u, retry: {attempts: 2}}")),
    Pair("sink of a step", step("sink: true\n  tool: {kind: http, url: u}"), step("tool: {kind: http, url: u, redelivery: never}")),
    Pair("eval of a task", task("eval: [{expr: a, do: jump, target: task_0}, {else: {do: break}}], name: task_0"), task("name: task_0, spec: {policy: {rules: [{when: a, then: {do: jump, to: task_0}}, {then: {do: break}}]}}")),
    Pair(
        "a case that retries",
        step("tool: {kind: http, url: u}\n  case: [{when: \"{{ event.name == 'call.error' and error.status == 503 }}\", then: {retry: {max_attempts: 2}}}]"),
        step("tool: {kind: http, url: u, spec: {policy: {rules: [{when: \"{{ output.status == 'error' and output.error.status == 503 }}\", then: {do: retry, attempts: 2}}]}}}"),
    ),
    Pair(
        "a sink",
        step("tool: {kind: noop}\n  sink: {tool: postgres, auth: c, table: t, args: {a: '{{ this.a }}'}}"),
        step(
            "tool: [{kind: noop, name: start_task}, {name: start_task_sink, kind: postgres, auth: c, query: 'INSERT INTO t (a) VALUES (%(a)s)', params: {a: '{{ this.a }}'}, "
            "input: {this: \"{{ results['start_task'] }}\", data: \"{{ results['start_task'] }}\"}}, {name: start_task_again, kind: noop, result: \"{{ results['start_task'] }}\"}]"
        ),
    ),
    Pair("a single task of an iterator that is written like a step", step("tool: {kind: iterator, in: '{{ a }}', iterator: x, task: {name: b, tool: {kind: http, url: u}}}"), step("loop: {in: '{{ a }}', iterator: x}\n  tool: {name: b, kind: http, url: u}")),
    Pair("a task of an iterator that has its own name", step("tool: {kind: iterator, in: '{{ a }}', iterator: x, task: {name: b, tool: {name: c, kind: http, url: u}}}"), step("loop: {in: '{{ a }}', iterator: x}\n  tool: {name: c, kind: http, url: u}")),
    Pair("tasks of an iterator", step("tool: {kind: iterator, in: '{{ a }}', iterator: x, tasks: [{task: b, tool: {kind: http, url: u}}, {name: c, tool: http, url: v}]}"), step("loop: {in: '{{ a }}', iterator: x}\n  tool: [{name: b, kind: http, url: u}, {name: c, kind: http, url: v}]")),
    Pair("retry_when and stop_when", task("retry: {attempts: 2, retry_when: '{{ status_code == 503 }}', stop_when: success}"), retry(", attempts: 2", "{{ (output.http.status == 503) and not ((output.status == 'ok')) }}"), is_noted=False),
    Pair("stop_when alone", task("retry: {attempts: 2, stop_when: '{{ page.done }}'}"), retry(", attempts: 2", "{{ output.status == 'error' and not (output.data.done) }}"), is_noted=False),
    Pair("when of a retry", task("retry: {attempts: 2, when: error.status == 503}"), retry(", attempts: 2", "{{ (output.error.status == 503) }}"), is_noted=False),
    Pair("retry as a rule that jumps", task("name: b, retry: [{when: a, then: {do: jump, to: b}}]"), task("name: b, spec: {policy: {rules: [{when: a, then: {do: jump, to: b}}]}}"), is_noted=False),
    # -- the document
    Pair("the kind of the executor", "executor: {kind: local}\n" + step(NOOP), "executor: {profile: local}\n" + step(NOOP)),
    Pair("a kind of credential in the keychain", "keychain: [{name: a, kind: postgres_credential}]\n" + step(NOOP), "keychain: [{name: a, kind: credential}]\n" + step(NOOP)),
]  # fmt: skip

PAIRS += OLDER


def bare(playbook: Playbook) -> Any:
    """Return what a playbook means: its model without places."""
    return _without_places(msgspec.to_builtins(playbook))


def _without_places(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _without_places(v) for k, v in value.items() if k not in ("position", "places")}
    return [_without_places(v) for v in value] if isinstance(value, (list, tuple)) else value


@pytest.mark.parametrize("pair", PAIRS, ids=[pair.name for pair in PAIRS])
def test_an_older_spelling_is_the_same_playbook_as_the_normal_form(pair: Pair):
    old, new = load_playbook(HEAD + pair.old, KINDS), load_playbook(HEAD + pair.new, KINDS)

    assert old.playbook is not None, old.diagnostics
    assert new.playbook is not None, new.diagnostics
    assert bare(old.playbook) == bare(new.playbook)


@pytest.mark.parametrize("pair", PAIRS, ids=[pair.name for pair in PAIRS])
def test_the_lint_asks_to_change_what_is_old_and_never_the_normal_form(pair: Pair):
    old, new = load_playbook(HEAD + pair.old, KINDS), load_playbook(HEAD + pair.new, KINDS)

    assert ("ARC502" in {d.code for d in old.diagnostics}) == pair.is_noted
    assert "ARC502" not in {d.code for d in new.diagnostics}


COMPARISONS = [
    ("{{ a }} == b", "a == 'b'"),
    ("{{ a.b }} != 'c d'", "a.b != 'c d'"),
    ("{{ a }} == true", "a == true"),
    ("{{ a }} == ", "a == ''"),
    ("{{ a }} > 5 and {{ b }} <= 3", "a > 5 and b <= 3"),
    ("not {{ a }} || {{ b }} == c", "not a or b == 'c'"),
    ("{{ a }} in [b, 'c d']", "a in ['b', 'c d']"),
    ("{{ a }} contains b", "'b' in a"),
    ("{{ a }} is not defined", "a is not defined"),
    ("({{ a }} == 1 or {{ b }} == 2) and {{ c }}", "(a == 1 or b == 2) and c"),
]


@pytest.mark.parametrize(("guard", "shown"), COMPARISONS)
def test_a_comparison_outside_of_the_braces_is_one_inside(guard: str, shown: str):
    loaded = load_playbook(HEAD + arcs(f'{{arcs: [{{step: end, when: "{guard}"}}]}}'), KINDS)

    (found,) = [d for d in loaded.diagnostics if d.code == "ARC502"]
    assert found.hint == f'write "{{{{ {shown} }}}}"'


@pytest.mark.parametrize(
    ("guard", "values", "expected"),
    [
        ("{{ a }} == production", {"a": "production"}, True),
        ("{{ a }} == production", {"a": "staging"}, False),
        ("{{ a }} == 5", {"a": 5}, True),
        ("{{ a }} == 5", {"a": "5"}, True),
        ("{{ a }} == 5.0", {"a": 5}, True),
        ("{{ a }} == true", {"a": True}, True),
        ("{{ a }} == True", {"a": "true"}, True),
        ("{{ a }} == false", {"a": True}, False),
        ("{{ a }} == null", {"a": None}, True),
        ("{{ a }} != null", {}, False),
        ("{{ a }} == ''", {}, True),
        ("{{ a }} == a b", {"a": "a b"}, True),
        ("'{{ a }}' == 'a b'", {"a": "a b"}, True),
        ("production == {{ a }}", {"a": "production"}, True),
        ("{{ a }} > 10", {"a": 5}, False),
        ("{{ a }} > 3", {"a": "5"}, True),
        ("10 > {{ a }}", {"a": 5}, True),
        ("{{ a }} == {{ b }}", {"a": 5, "b": "5"}, True),
        ("{{ a }} in [x, y]", {"a": "y"}, True),
        ("{{ a }} not in [x, y]", {"a": "y"}, False),
        ("{{ a }} in {{ b }}", {"a": 1, "b": "123"}, True),
        ("{{ a }}-{{ b }} == 1-2", {"a": 1, "b": 2}, True),
        ("!{{ a }}", {"a": False}, True),
        ("{{ a }} && {{ b }}", {"a": True, "b": False}, False),
    ],
)
def test_such_a_comparison_means_what_it_says(
    guard: str, values: dict[str, Any], *, expected: bool
):
    text = HEAD + arcs(f'{{arcs: [{{step: end, when: "{guard}"}}]}}')
    loaded = load_playbook(text, KINDS)
    assert loaded.playbook is not None, loaded.diagnostics
    when = loaded.playbook.steps[0].router.arcs[0].when

    assert compile_condition(when).test(DictScope(values)) is expected


@pytest.mark.parametrize(
    "key", ["steps[0].when", "a rule", "an admission rule", "an arc", "a branch", "cond"]
)
def test_every_guard_may_have_its_comparison_outside(key: str):
    guard = '"{{ a }} == b"'
    text = {
        "steps[0].when": step(f"when: {guard}\n  {NOOP}"),
        "a rule": rules(f"{{when: {guard}, then: {{do: break}}}}"),
        "an admission rule": step(
            f"spec: {{policy: {{admit: {{rules: [{{when: {guard}, then: {{allow: true}}}}]}}}}}}\n  {NOOP}"
        ),
        "an arc": arcs(f"{{arcs: [{{step: end, when: {guard}}}]}}"),
        "a branch": branch(f"case: [{{when: {guard}, then: end}}]"),
        "cond": arcs(f"[{{step: end, cond: {guard}}}]"),
    }[key]

    loaded = load_playbook(HEAD + text, KINDS)

    assert "write \"{{ a == 'b' }}\"" in [d.hint for d in loaded.diagnostics]
    assert loaded.playbook is not None
    assert "{{ a }} ==" not in str(msgspec.to_builtins(loaded.playbook))


@pytest.mark.parametrize(
    "guard", ["{{ a }} production", "{{ a }} === b", "a {{ b }}", "{{ a }} is odd"]
)
def test_text_around_a_template_that_is_no_comparison_is_refused(guard: str):
    loaded = load_playbook(HEAD + arcs(f'{{arcs: [{{step: end, when: "{guard}"}}]}}'), KINDS)

    assert [(d.code, "inside the braces" in d.hint) for d in loaded.errors] == [("ARC302", True)]


def test_parentheses_may_not_be_deeper_than_a_person_writes_them():
    deep = "(" * 5_000 + "{{ a }} == b" + ")" * 5_000
    loaded = load_playbook(HEAD + arcs(f'{{arcs: [{{step: end, when: "{deep}"}}]}}'), KINDS)

    assert [d.code for d in loaded.errors] == ["ARC302"]


@pytest.mark.parametrize("name", ["workload", "step", "set", "iterator", "input"])
def test_a_name_of_the_playbooks_own_is_not_taken_for_an_older_one(name: str):
    given = {
        "workload": "workload: {outcome: 1}\n" + step(NOOP),
        "step": step(f"{NOOP}\n  next: {{arcs: [{{step: outcome}}]}}", "- {step: outcome, tool: {kind: noop}}\n"),
        "set": step(f"set: {{ctx.outcome: 1}}\n  {NOOP}"),
        "iterator": step(f"loop: {{in: [1], iterator: outcome}}\n  {NOOP}"),
        "input": step(f"input: {{outcome: 1}}\n  {NOOP}"),
    }[name]  # fmt: skip
    text = given.replace("- step: start\n", "- step: start\n  when: '{{ outcome.a }}'\n")

    loaded = load_playbook(HEAD + text, KINDS)

    assert loaded.playbook is not None
    assert loaded.playbook.steps[0].when == "{{ outcome.a }}"


@pytest.mark.parametrize("text", ["type: start", "tool: {kind: end}", "tool:", "desc: x"])
def test_a_step_without_a_tool_only_routes(text: str):
    loaded = load_playbook(HEAD + step(text), KINDS)

    assert loaded.playbook is not None
    assert loaded.playbook.steps[0].routes_only
    assert [t.kind for t in loaded.playbook.steps[0].tasks] == ["noop"]
    assert "ARC106" in [d.code for d in loaded.diagnostics]


def test_what_stands_in_githubs_own_templates_keeps_its_name():
    text = step("tool: {kind: shell, command: 'echo ${{ vars.a }} {{ vars.a }}'}")
    loaded = load_playbook(HEAD + text, KINDS)

    assert loaded.playbook is not None
    command = loaded.playbook.steps[0].tasks[0].config["command"]
    assert command == "echo ${{ vars.a }} {{ ctx.a }}"


def test_a_document_of_the_first_version_is_read_as_one_of_the_present():
    text = HEAD.replace("v2", "v1") + step("tool: http\n  url: u")
    loaded = load_playbook(text, KINDS)

    assert loaded.playbook is not None
    assert loaded.diagnostics[0].hint == "write 'apiVersion: noetl.io/v2'"


def test_the_first_version_has_its_name_and_path_at_the_root():
    head = "apiVersion: noetl.io/v1\nkind: playbook\nname: n\npath: /a/b\n"
    loaded = load_playbook(head + step(NOOP), KINDS)

    assert loaded.playbook is not None
    assert (loaded.playbook.name, loaded.playbook.path, loaded.path) == ("n", "a/b", "a/b")
    assert "write 'metadata: {name: ..., path: ...}'" in [d.hint for d in loaded.diagnostics]


def test_a_document_of_the_first_version_that_cannot_be_upgraded_has_one_error_that_says_why():
    text = HEAD.replace("v2", "v1") + branch(
        "case: [{when: a, then: [{collect: b}, {call: c}]}]\n  loop: 7"
    )
    loaded = load_playbook(text, KINDS)

    (found,) = loaded.errors
    assert found.code == "ARC116"
    assert "line 7: 'collect' in a branch" in found.message
    assert "2 more" in found.message


@pytest.mark.parametrize("action", ["collect", "call", "tool", "result"])
def test_what_a_branch_did_besides_leading_somewhere_is_refused_with_its_successor(action: str):
    loaded = load_playbook(HEAD + branch(f"case: [{{when: a, then: [{{{action}: b}}]}}]"), KINDS)

    assert {(d.code, bool(d.hint)) for d in loaded.errors} == {("ARC501", True)}


@pytest.mark.parametrize(("branches", "codes"), [(50, []), (51, ["ARC501"])])
def test_branches_that_exclude_each_other_have_a_limit(branches: int, codes: list[str]):
    """Each has the guards of all before it, so many are a document that grows too far."""
    cases = ["{when: x, then: [{step: end}, {step: end}]}"]
    cases += [f"{{when: '{{{{ a == {i} }}}}', then: [{{step: end}}]}}" for i in range(1, branches)]
    loaded = load_playbook(HEAD + branch(f"case: [{', '.join(cases)}]"), KINDS)

    assert [d.code for d in loaded.errors] == codes


def test_a_branch_that_leads_nowhere_at_all_is_refused():
    loaded = load_playbook(HEAD + arcs("[{when: a}, {step: end}]"), KINDS)

    assert [d.code for d in loaded.errors] == ["ARC110"]


def test_a_branch_that_only_sets_is_refused_and_not_forgotten():
    loaded = load_playbook(HEAD + branch("case: [{when: a, then: [{set: {x: 1}}]}]"), KINDS)

    assert [d.code for d in loaded.errors] == ["ARC501"]


@pytest.mark.parametrize(
    ("block", "why"),
    [
        ("{type: response_based}", "'continue_while'"),
        ("{continue_while: a}", "'next_page'"),
        ("{continue_while: a, next_page: {params: {p: 1}}, merge_strategy: merge}", "'merge'"),
        ("{continue_while: a, next_page: {method: POST}}", "'method'"),
        ("{continue_while: a, next_page: {params: {p: 1}}, delay: 1}", "'delay'"),
    ],
)
def test_pages_that_cannot_be_fetched_as_written_are_refused(block: str, why: str):
    text = step(f"tool: {{kind: http, url: u}}\n  loop: {{pagination: {block}}}")
    loaded = load_playbook(HEAD + text, KINDS)

    (found,) = loaded.errors
    assert found.code == "ARC501"
    assert why in found.message


@pytest.mark.parametrize("key", ["save", "sink"])
def test_what_says_to_save_in_no_known_way_is_refused_and_not_forgotten(key: str):
    loaded = load_playbook(HEAD + step(f"{NOOP}\n  {key}: somewhere"), KINDS)

    assert [d.code for d in loaded.errors] == ["ARC501"]


def test_a_retry_of_a_step_with_several_tasks_is_refused():
    text = step("retry: {attempts: 2}\n  tool: [{kind: noop}, {kind: noop}]")

    assert [d.code for d in load_playbook(HEAD + text, KINDS).errors] == ["ARC501"]


def test_variables_of_the_playbook_that_the_workload_has_as_well_are_refused():
    loaded = load_playbook(HEAD + "vars: {a: 1}\nworkload: {a: 2}\n" + step(NOOP), KINDS)

    assert [(d.code, d.hint) for d in loaded.errors] == [
        ("ARC501", "write the values under 'workload', each once")
    ]


def test_a_key_named_pipeline_is_no_secret_of_the_upgrade():
    loaded = load_playbook(HEAD + step(f"pipeline: true\n  {NOOP}"), KINDS)

    assert [d.code for d in loaded.diagnostics] == ["ARC113"]
    assert loaded.playbook is not None
    assert not loaded.playbook.steps[0].is_pipeline


@pytest.mark.parametrize("key", ["case", "sink", "vars"])
def test_only_the_upgrade_knows_what_was_removed(key: str):
    from arcbook.dsl import grammar

    assert key not in grammar.STEP
