"""Text for a shell: templates of the playbook are rendered, those of other programs stay."""

from __future__ import annotations

import time

import msgspec
import pytest

from arcbook.dsl.load import load_playbook
from arcbook.template.errors import TemplateError
from arcbook.template.scope import DictScope
from arcbook.template.script import compile_script, foreign_in
from unit.lint_cases import HEAD, KINDS

VALUES = {
    "workload": {"name": "Ada", "items": [1, 2]},
    "env": {"HOME": "/home"},
    "end": {"x": 1},
    "brought": "by a request",
}
KNOWN = frozenset({"workload", "env", "steps", "job", "ctx", "end", "range", "later"})


def rendered(text, known=KNOWN):
    return compile_script(text, known).render(DictScope(VALUES))


STAYS = [
    "docker images --format '{{.ID}}'",
    "docker ps --format '{{ .Names }}: {{ .Status }}'",
    "kubectl get po -o go-template='{{range .items}}{{.metadata.name}}{{\"\\n\"}}{{end}}'",
    "{{- range $i, $e := .items }}{{ $e.name }}{{- end }}",
    '{{ if eq .Status "up" }}y{{ else }}n{{ end }}',
    "{{ with .x }}{{ . }}{{ end }}",
    '{{ .Values.image.tag | default "latest" | quote }}',
    '{{ include "chart.name" . | nindent 4 }}',
    "{{ index .items 0 }}",
    "{{ $labels.instance }}",
    '{{ printf "%s" .x }}',
    "${{ github.sha }} ${{ secrets.TOKEN }} ${{ matrix.os }}",
    "${{ env.HOME }} ${{ steps.build.outputs.x }} ${{ job.status }}",
    "{{ ansible_host }} {{ item.name }}",
    "{% if is_incremental() %} where x {% endif %}",
    "echo ${#array[@]} ${name%%.*} ${name%/*}",
    "awk '{printf \"{%s}\\n\", $1}'",
    "curl -w '%{http_code}' x",
    "echo {a,{b,c}}",
    "{{}} {{ }}",
    "{{ nobody }}",
    "sed 's/{{#x}}/{{/x}}/'",
]


@pytest.mark.parametrize("text", STAYS)
def test_what_is_of_another_program_stays_as_it_is_written(text):
    assert rendered(text) == text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("hello {{ workload.name }}", "hello Ada"),
        ("'{{.ID}}' {{ workload.name }}", "'{{.ID}}' Ada"),
        ("{{range .x}}{{.y}}{{end}} {{ end.x }}", "{{range .x}}{{.y}}{{end}} 1"),
        ("${{ env.HOME }} {{ env.HOME }}", "${{ env.HOME }} /home"),
        ("${{ workload.name }}", "$Ada"),
        ("{{ brought }} {{ nobody }}", "by a request {{ nobody }}"),
        ("{{ later.x | default('none yet') }}", "none yet"),
        ("[{{ later }}]", "[]"),
        ("{% for i in workload.items %}{{ i }},{% endfor %} {{.ID}} ${#a}", "1,2, {{.ID}} ${#a}"),
        ("{% if dbt() %}x{% endif %} {{ workload.name }}", "{% if dbt() %}x{% endif %} Ada"),
        ("{# a comment #}{{ workload.name }}", "Ada"),
        ("{% raw %}{{ workload.name }}{% endraw %}", "{{ workload.name }}"),
        ("{{ workload.x | default('.env') }}", ".env"),
        ("{{ workload['items'] }}", [1, 2]),
        ("{{ brought }}", "by a request"),
        ("printf '{%s}' {{ workload.name }}", "printf '{%s}' Ada"),
        (["{{ workload.name }}", "{{.ID}}"], ["Ada", "{{.ID}}"]),
        ({"content": "{{.ID}} {{ workload.name }}"}, {"content": "{{.ID}} Ada"}),
        (7, 7),
    ],
)
def test_templates_of_the_playbook_are_rendered_beside_them(text, expected):
    assert rendered(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "{{ workload.name | nope }}",
        "{{ workload.name | }}",
        "{{ workload.name }",
        "{{.ID}} {{ workload.name",
        "{% for i in workload.items %}{{ i }}",
    ],
)
def test_a_broken_template_of_the_playbook_is_an_error_and_not_taken_for_anothers(text):
    with pytest.raises(TemplateError):
        rendered(text)


def test_each_brace_that_stays_is_known_with_its_place():
    text = "one\n{{.ID}} {{ nobody }} {{ workload.name }}"

    assert foreign_in(text, KNOWN) == [("{{.ID}}", 4, ""), ("{{ nobody }}", 12, "nobody")]


def test_a_name_that_a_step_or_a_request_brings_is_asked_for():
    assert {("workload", "name"), ("brought",)} <= compile_script(
        "{{ workload.name }} {{ brought }} {{.ID}}", KNOWN
    ).names


@pytest.mark.parametrize("read", [foreign_in, compile_script])
def test_text_may_not_have_more_templates_than_a_person_writes(read):
    with pytest.raises(TemplateError, match="more than 4,096 templates"):
        read("{{.ID}}" * 5_000, KNOWN)


@pytest.mark.parametrize(
    "text", ["{{ {a" * 20_000, "{#" * 40_000, "{% if" * 20_000, "$ {{" * 20_000]
)
def test_braces_that_are_never_closed_cost_no_more_than_their_length(text):
    begin = time.process_time()

    assert rendered(text) == text
    assert time.process_time() - begin < 1


@pytest.mark.parametrize(
    ("place", "name"),
    [("workload: {mine: 1}\n", "mine"), ("data: {a: 1}\n", "data"), ("", "output")],
)
def test_names_of_the_playbook_are_known_without_a_word(place, name):
    text = f"{place}workflow:\n- step: start\n  tool: {{kind: shell, command: 'echo {{{{ {name} }}}}'}}\n"
    loaded = load_playbook(HEAD + text, KINDS)

    assert loaded.diagnostics == ()


def test_a_plan_renders_the_text_of_a_shell_so():
    from arcbook.engine.plan import Plan

    text = "workload: {a: 1}\nworkflow:\n- step: start\n  tool: {kind: shell, command: '{{.ID}} {{ workload.a }}'}\n"
    loaded = load_playbook(HEAD + text, KINDS)
    assert loaded.playbook is not None
    config = Plan(loaded.playbook, KINDS).steps[0].tasks[0].config

    assert config.render(DictScope({"workload": {"a": 1}})) == {"command": "{{.ID}} 1"}


def test_lint_shows_the_line_of_the_text_on_which_braces_stay():
    text = "workflow:\n- step: start\n  tool:\n    kind: shell\n    command: |\n      one\n      two {{.ID}} {{.Tag}}\n"
    loaded = load_playbook(HEAD + text, KINDS)

    (found,) = loaded.diagnostics
    assert (found.line, found.code) == (10, "ARC308")
    assert found.message == "{{.ID}}, {{.Tag}} are left unchanged: they are not expressions"
    assert msgspec.structs.asdict(found)["severity"] == "warning"
