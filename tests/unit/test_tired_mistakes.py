"""Mistakes of tired people: each is found, at its place, with what to write instead."""

from __future__ import annotations

import pytest

from arcbook.dsl.load import load_playbook
from arcbook.tools.registry import Registry

KINDS = Registry()
HEAD = "apiVersion: noetl.io/v2\nkind: Playbook\nmetadata: {name: n}\nworkload: {city: Graz}\n"


def told(body: str) -> dict[str, str]:
    """Return what the lint says of a document, by code."""
    found = load_playbook(HEAD + body, KINDS).diagnostics
    return {d.code: f"{d.message} = {d.hint}" for d in found}


def of_template(text: str) -> dict[str, str]:
    return told(f"workflow:\n  - step: a\n    tool: {{kind: noop, result: '{text}'}}\n")


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("{{ city && other }}", "write 'and' for '&&'"),
        ("{{ city || other }}", "write 'or' for '||'"),
        ("{{ !city }}", "write 'not' for '!'"),
        ("{{ city ? 1 : 2 }}", "write '{{ one if condition else other }}' for '? :'"),
        ("{{ city ?? 2 }}", "write '{{ name | default(value) }}' for '??'"),
        ("{{ city?.name }}", "write '.' for '?.'"),
        ("{{ city === 1 }}", "write '==' or '!='"),
        ("{{ city = 1 }}", "write '==' to compare"),
        ("{{ city + }}", "check brackets"),
    ],
)
def test_operators_of_other_languages(text, hint):
    assert hint in of_template(text)["ARC301"]


@pytest.mark.parametrize("text", ["${workload.city}", "{workload.city}", "at ${ ctx.a.b }/x"])
def test_braces_of_other_languages_around_a_name_of_the_playbook(text):
    assert "write '{{ " in of_template(text)["ARC312"]


@pytest.mark.parametrize("text", ["{{ workload.city }}", "${HOME}", "{city}", "{% if city %}x{% endif %}"])  # fmt: skip
def test_braces_that_are_templates_or_nobodys_are_let_be(text):
    assert "ARC312" not in of_template(text)


def test_a_name_in_code_and_in_the_text_of_a_shell():
    code = told(
        "workflow: [{step: a, tool: {kind: python, code: 'result = {{ workload.cty }}'}}]\n"
    )
    shell = told("workflow: [{step: a, tool: {kind: shell, cmds: 'echo {{ workload.cty }}'}}]\n")

    assert "the workload has no 'cty' = did you mean 'city'?" in code["ARC309"]
    assert "the workload has no 'cty' = did you mean 'city'?" in shell["ARC309"]


def test_a_secret_and_its_field():
    entry = "keychain: [{name: api, kind: static, map: {key: x}}]\n"
    step = (
        "workflow: [{step: a, tool: {kind: http, url: 'http://x', headers: {A: '{{ NAME }}'}}}]\n"
    )
    name, field = (told(entry + step.replace("NAME", n)) for n in ("keychain.apy.key", "keychain.api.kye"))  # fmt: skip

    assert "did you mean 'api'?" in name["ARC309"]
    assert "did you mean 'key'?" in field["ARC309"]
    assert "ARC309" not in told(entry + step.replace("NAME", "keychain.stored_elsewhere.key"))


RULES = "policy: {rules: [{when: '{{ true }}', then: {do: fail}}]}"


@pytest.mark.parametrize(
    "step",
    [
        f"{{step: a, tool: {{kind: noop, {RULES}}}}}",
        f"{{step: a, spec: {{{RULES}}}, tool: {{kind: noop}}}}",
    ],
)
def test_rules_in_another_place_are_those_of_the_task(step):
    loaded = load_playbook(f"{HEAD}workflow: [{step}]\n", KINDS)

    assert [d.code for d in loaded.diagnostics] == ["ARC502"]
    assert loaded.playbook is not None
    (task,) = loaded.playbook.steps[0].tasks
    assert [rule.do for rule in task.rules] == ["fail"]


def test_rules_of_a_step_with_several_tasks_are_refused():
    step = (
        f"{{step: a, spec: {{{RULES}}}, tool: [{{name: b, kind: noop}}, {{name: c, kind: noop}}]}}"
    )

    assert "below the tool" in told(f"workflow: [{step}]\n")["ARC117"]


def test_an_end_that_nobody_wrote_is_where_the_branch_ends():
    loaded = load_playbook(
        f"{HEAD}workflow: [{{step: a, tool: {{kind: noop}}, next: end}}]\n", KINDS
    )

    assert loaded.errors == ()
    assert loaded.playbook is not None
    assert [step.name for step in loaded.playbook.steps] == ["a", "end"]
    assert "there is no step 'end'" in "".join(d.message for d in loaded.diagnostics)


@pytest.mark.parametrize(
    ("tool", "hint"),
    [
        ("{kind: postgres, auth: a, query: x, pool: {max_sze: 3}}", "max_size"),
        ("{kind: transfer, source: {type: http, url: x, data_pth: y}, target: {type: duckdb, table: t}}", "data_path"),
        ("{kind: transfer, source: {type: http, url: x}, target: {type: duckdb, tabel: t}}", "table"),
        ("{kind: python, script: {urii: x.py}}", "uri"),
        ("{kind: nats, auth: a, operation: kv_get, bucket: b, key: k, tls: {hostnme: x}}", "hostname"),
        ("{kind: http, url: 'http://x', auth: {type: basic, usrname: a, password: b}}", "username"),
        ("{kind: noop, output: {store: {knd: disk}}}", "kind"),
    ],
)  # fmt: skip
def test_misspelt_keys_deep_in_a_tool(tool, hint):
    assert told(f"workflow: [{{step: a, tool: {tool}}}]\n")["ARC113"].endswith(
        f"did you mean {hint!r}?"
    )


@pytest.mark.parametrize(
    ("head", "hint"),
    [
        ("executor: {spec: {policy: {defaults: {timeut_s: 5}}}}", "timeout_s"),
        ("executor: {spec: {policy: {defalts: {timeout_s: 5}}}}", "defaults"),
    ],
)
def test_misspelt_keys_deep_in_the_executor(head, hint):
    document = f"{head}\nworkflow: [{{step: a, tool: {{kind: noop}}}}]\n"

    assert told(document)["ARC113"].endswith(f"did you mean {hint!r}?")


@pytest.mark.parametrize(
    ("guard", "hint"),
    [
        ("output.error.kind == 'rate_limt'", "rate_limit"),
        ("error.kind != 'tmeout'", "timeout"),
        ("output.status == 'eror'", "error"),
        ("event.name == 'loop.dne'", "loop.done"),
        ("output.status == 'error'", ""),
        ("output.data.status == 'eror'", ""),
        ("event.name == 'something.else'", ""),
    ],
)
def test_comparisons_that_are_never_true(guard, hint):
    step = '{step: a, tool: {kind: noop}, next: {arcs: [{step: b, when: "{{ GUARD }}"}]}}'
    step = step.replace("GUARD", guard)
    found = told(f"workflow: [{step}, {{step: b, tool: {{kind: noop}}}}]\n")

    assert found.get("ARC112", "").endswith(f"did you mean {hint!r}?" if hint else "")
    assert ("ARC112" in found) == bool(hint)


def test_a_misspelt_lifetime_of_a_variable():
    found = told("workflow: [{step: a, tool: {kind: noop}, set: {ctxx.total: 1}}]\n")

    assert "did you mean 'ctx.total'?" in found["ARC160"]
