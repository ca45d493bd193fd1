"""What results have: declared once by each kind of tool, and known to lint, schema and docs."""

from __future__ import annotations

from pathlib import Path

import pytest

from arcbook.dsl.load import load_playbook
from arcbook.dsl.python_code import read_code
from arcbook.dsl.reference import result_rows
from arcbook.dsl.schema import json_schema
from arcbook.tools.registry import Registry

DOCS = Path(__file__).parents[2] / "docs/tools"
KINDS = Registry()
#: Kinds of whose results nothing is known but by what a task says.
UNKNOWN = {"python", "task_sequence"}


def told(step: str, reads: str) -> list[str]:
    """Return what the lint says of an expression that reads the result of a step 'a'."""
    text = f"""\
apiVersion: noetl.io/v2
kind: Playbook
metadata: {{name: n}}
workflow:
  - step: a
    {step}
    next: {{arcs: [{{step: b}}]}}
  - step: b
    tool: {{kind: noop, result: "{{{{ {reads} }}}}"}}
"""
    found = load_playbook(text, KINDS).diagnostics
    return [f"{d.message}: {d.hint}" for d in found if d.code == "ARC309"]


@pytest.mark.parametrize("name", sorted(KINDS.names()))
def test_every_kind_says_what_its_results_have(name):
    kind = KINDS.kind(name)
    assert kind is not None
    if kind.absence or kind.name in UNKNOWN:
        return
    assert kind.result or kind.results or kind.echoes
    if kind.result or kind.results:
        page = (DOCS / f"{kind.name}.md").read_text()
        if kind.name != "duckdb":  # refers to postgres
            assert f"<!-- result: {kind.name} -->\n{result_rows(kind)}<!-- /result -->" in page


def test_editors_are_told_what_a_result_has():
    about = json_schema(KINDS)["$defs"]["tool_http"]["description"]

    assert "Its result has status_code, headers, url, elapsed, data, body." in about


HTTP = "tool: {kind: http, url: 'http://x'}"
ROWS = "tool: {kind: postgres, auth: p, query: 'select 1 as n'}"
LOOP = "loop: {in: '{{ [1] }}', iterator: i}\n    tool: {kind: http, url: 'http://x'}"
TWO = "tool: [{name: one, kind: shell, command: ls}, {name: uno, kind: duckdb, query: 'select 1'}]"


@pytest.mark.parametrize(
    ("step", "reads", "hint"),
    [
        (HTTP, "a.stauts_code", "did you mean 'status_code'?"),
        (HTTP, "a.hedaers['x']", "did you mean 'headers'?"),
        (HTTP, "steps.a.bodi", "did you mean 'body'?"),
        (HTTP, "ctx.a.urll", "did you mean 'url'?"),
        (ROWS, "a.row[0].n", "did you mean 'rows'?"),
        (ROWS, "a.data.rowz", "did you mean 'rows'?"),
        (ROWS, "a.command_3.row_cuont", "did you mean 'row_count'?"),
        ("tool: {kind: duckdb, query: 'select 1'}", "a.colums", "did you mean 'columns'?"),
        ("tool: {kind: shell, command: ls}", "a.stdotu", "did you mean 'stdout'?"),
        ("tool: {kind: noop, result: {price: {net: 1}}}", "a.prise", "did you mean 'price'?"),
        ("tool: {kind: noop, result: {price: {net: 1}}}", "a.price.nett", "did you mean 'net'?"),
        ("tool: {kind: noop, message: hi}", "a.mesage", "did you mean 'message'?"),
        ("tool: {kind: noop, input: {price: 1}}", "a.prise", "did you mean 'price'?"),
        ("tool: {kind: playbook, path: x/y}", "a.exection_id", "did you mean 'execution_id'?"),
        ("tool: {kind: nats, auth: n, operation: kv_get, bucket: b, key: k}", "a.vaule", "did you mean 'value'?"),
        ("tool: {kind: nats, auth: n, operation: js_consume, stream: s}", "a.mesages", "did you mean 'messages'?"),
        ("tool: {kind: artifact, result_ref: x}", "a.counts", "did you mean 'count'?"),
        ("tool: {kind: transfer, source: {type: http, url: 'http://x'}, target: {type: duckdb, table: t}}", "a.rows_transfered", "did you mean 'rows_transferred'?"),
        ("tool: {kind: python, code: 'def main(): return {\"price\": 1}'}", "a.prise", "did you mean 'price'?"),
        (LOOP, "a.stats.sucess", "did you mean 'success'?"),
        (LOOP, "a.reslts", "did you mean 'results'?"),
        (LOOP, "a.status_code", "did you mean 'status'?"),
        (TWO, "a.one.stdotu", "did you mean 'stdout'?"),
        (TWO, "a.tasks.uno.rowz", "did you mean 'rows'?"),
        (TWO, "a.rowz", "did you mean 'rows'?"),
        (HTTP, "a.error.mesage", "did you mean 'message'?"),
    ],
)  # fmt: skip
def test_a_mistyped_field_of_a_result_is_found(step, reads, hint):
    (said,) = told(step, reads)

    assert said.endswith(hint), said


@pytest.mark.parametrize(
    ("step", "reads"),
    [
        (HTTP, "a.data.anything.at.all"),
        (HTTP, "a.body.title"),
        (HTTP, "a.http.status"),
        (HTTP, "a.headers['x-y']"),
        (HTTP, "a.error.kind"),
        (HTTP, "a.stauts_code | default(0)"),
        (ROWS, "a.rows[0].n"),
        (ROWS, "a[0].n"),
        (ROWS, "a.data.rows | length"),
        (ROWS, "a.command_0.rows[0].n"),
        (ROWS, "a.pg.sqlstate"),
        (ROWS, "a.items()"),
        ("tool: {kind: playbook, path: x/y}", "a.whatever_the_child_has"),
        ("tool: {kind: nats, auth: n, operation: '{{ x }}', bucket: b, key: k}", "a.vaule"),
        ("tool: {kind: noop, result: '{{ x }}'}", "a.anything"),
        (LOOP, "a.results[0].status_code"),
        (LOOP, "a.failed"),
        (TWO, "a.stdout"),
        (TWO, "a.one.data.stdout"),
        (TWO, "a.rows"),
    ],
)
def test_what_a_result_may_have_is_left_alone(step, reads):
    assert told(step, reads) == []


@pytest.mark.parametrize(
    ("reads", "hint"),
    [
        ("output.staus", "did you mean 'status'?"),
        ("output.stdotu", "did you mean 'stdout'?"),
        ("output.data.stdotu", "did you mean 'stdout'?"),
        ("output.error.mesage", "did you mean 'message'?"),
        ("output.data.stdout", ""),
        ("output.error.details.anything", ""),
        ("output.meta.attempt", ""),
    ],
)
def test_a_mistyped_field_of_the_output_is_found(reads, hint):
    step = "tool: {kind: shell, command: ls}\n    set: {ctx.b: '{{ READS }}'}"
    found = told(step.replace("READS", reads), "1")

    assert [text.endswith(hint) for text in found] == [True] * bool(hint)


@pytest.mark.parametrize(
    ("code", "fields"),
    [
        ("if x:\n  result = {'a': 1}\nelse:\n  result = dict(b=2)\nresult['c'] = 3", {"a", "b", "c"}),
        ("def main(x):\n  if x:\n    return {'a': 1}\n  return {'b': 1}", {"a", "b"}),
        ("return {'a': 1}", {"a"}),
        ("result = {}\nresult.update(a=1)", None),
        ("result = {'a': 1}\nchange(result)", None),
        ("result = {**other, 'a': 1}", None),
        ("def main():\n  return other()", None),
        ("def f():\n  global result\n  result = 1\nresult = {'a': 1}", None),
    ],
)  # fmt: skip
def test_what_code_yields_is_known_where_it_says_so(code, fields):
    assert read_code(code).fields == fields
