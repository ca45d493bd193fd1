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
