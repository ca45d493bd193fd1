"""Each older or shorter spelling means the same playbook as the newer one."""

from __future__ import annotations

from typing import Any, NamedTuple

import msgspec
import pytest

from arcbook.dsl.load import load_playbook
from arcbook.dsl.model import Playbook
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


@pytest.mark.parametrize("key", ["case", "retry", "save", "set_ctx", "set_iter", "sink", "vars"])
def test_a_key_that_steps_no_longer_have_is_refused_with_its_successor(key: str):
    loaded = load_playbook(HEAD + step(f"{key}: {{a: 1}}\n  {NOOP}"), KINDS)

    (found,) = loaded.errors
    assert found.code == "ARC501"
    assert "write" in found.hint


def test_vars_at_the_root_are_refused():
    loaded = load_playbook(HEAD + "vars: {a: 1}\n" + step(NOOP), KINDS)

    assert [(d.code, d.hint) for d in loaded.errors] == [
        ("ARC501", "write the values under 'workload'")
    ]


def test_a_key_named_pipeline_is_no_secret_of_the_upgrade():
    loaded = load_playbook(HEAD + step(f"pipeline: true\n  {NOOP}"), KINDS)

    assert [d.code for d in loaded.diagnostics] == ["ARC113"]
    assert loaded.playbook is not None
    assert not loaded.playbook.steps[0].is_pipeline


@pytest.mark.parametrize("key", ["case", "sink"])
def test_only_the_upgrade_knows_what_was_removed(key: str):
    from arcbook.dsl import grammar

    assert key not in grammar.STEP
