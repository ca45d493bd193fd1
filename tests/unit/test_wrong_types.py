"""A value of the wrong type is an error at its place, wherever a document has it."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

import arcbook
from arcbook.dsl.load import load_playbook
from arcbook.tools.registry import Registry

KINDS = Registry()

DOCUMENT = yaml.safe_load("""
apiVersion: noetl.io/v2
kind: Playbook
metadata: {name: n, path: t/n, labels: {team: x}, tags: [a]}
executor:
  requires: {tools: [http]}
  spec: {policy: {defaults: {timeout_s: 5}}}
workload: {n: 3, rows: [1, 2]}
keychain: [{name: api, kind: static, map: {token: abc}}]
workbook: [{name: double, tool: {kind: python, input: {n: 1}, code: "result = n * 2"}}]
workflow:
  - step: start
    input: {k: 1}
    tool:
      - name: fetch
        kind: http
        url: http://127.0.0.1:1/x
        retry: {attempts: 2}
        spec:
          policy:
            rules:
              - when: "{{ output.status == 'error' }}"
                then: {do: continue, set: {ctx.err: 1}}
      - {name: calc, kind: python, libs: {json: json}, code: "result = {'v': 1}"}
    set: {ctx.v: "{{ output.data.v }}"}
    spec:
      policy: {admit: {rules: [{when: "{{ n > 1 }}", then: {allow: true}}, {else: {then: {allow: false}}}]}}
    output: {select: [v], store: {kind: auto}}
    next:
      spec: {mode: inclusive}
      arcs: [{step: each, set: {ctx.arc: 5}}, {step: shared}]
  - step: each
    loop: {in: "{{ workload.rows }}", iterator: row, spec: {mode: parallel}}
    tool: {kind: python, input: {r: "{{ row }}"}, code: "result = r"}
    next: {arcs: [{step: claimed}]}
  - step: shared
    tool: {kind: workbook, name: double, input: {n: 4}}
    next: {arcs: [{step: claimed}]}
  - step: claimed
    loop:
      iterator: it
      cursor: {kind: postgres, auth: pg, claim: "update t set a = 1 returning *"}
      spec: {mode: cursor, frame: {max_rows: 5}}
    tool: {kind: shell, command: "echo 1", env: {A: b}}
""")

#: Mappings whose keys and values are the author's own.
FREE = {"input", "labels", "map", "set", "workload", "requires", "env", "libs"}


def containers(node: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the path of every mapping and list, except the author's own."""
    if at and isinstance(node, (dict, list)):
        yield at
    if at and at[-1] in FREE:
        return
    for key in (
        node if isinstance(node, dict) else range(len(node) if isinstance(node, list) else 0)
    ):
        yield from containers(node[key], (*at, key))


def with_value(path: tuple[Any, ...], value: object) -> str:
    changed = copy.deepcopy(DOCUMENT)
    place = changed
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    return yaml.safe_dump(changed, sort_keys=False)


def test_the_document_has_no_errors_as_it_is() -> None:
    assert load_playbook(yaml.safe_dump(DOCUMENT, sort_keys=False), KINDS).errors == ()


@pytest.mark.parametrize(
    "path", list(containers(DOCUMENT)), ids=lambda path: ".".join(map(str, path))
)
@pytest.mark.parametrize("value", [True, 7.5])
def test_a_scalar_in_place_of_a_mapping_or_list_is_an_error(
    path: tuple[Any, ...], value: object
) -> None:
    if (path[-1], value) in {("retry", True), ("tags", 7.5)}:
        return  # both are short forms

    loaded = load_playbook(with_value(path, value), KINDS)
    # No run depends on the metadata.
    assert loaded.diagnostics if path[0] == "metadata" else loaded.errors


HEAD = "apiVersion: noetl.io/v2\nkind: Playbook\nmetadata: {name: n}\n"
TASK = "{kind: python, code: 'result = 1'"


@pytest.mark.parametrize(
    ("body", "code", "text"),
    [
        (f"step: a, tool: {TASK}, retry: 2, spec: text}}", "ARC103", "'spec' must be a mapping"),
        (f"step: a, tool: {TASK}, retry: 2, spec: {{policy: {{rules: no}}}}}}", "ARC103", "'rules' must be a list"),
        (f"step: a, tool: {TASK}, spec: {{policy: {{rules: [{{else: 5}}]}}}}}}", "ARC103", "'then' must be a mapping"),
        ("step: a, tool: [{name: [b], kind: noop}]", "ARC103", "'name' must be text"),
        ("step: a, tool: {kind: noop}, next: {arcs: [{step: ''}]}", "ARC110", "'step' is empty"),
        ("step: a, tool: {kind: python, code: ' '}", "ARC402", "requires 'code'"),
        ("step: a, tool: {kind: duckdb, query: 5}", "ARC404", "'query' must be"),
        ("step: a, tool: {kind: transfer, source: {type: http, url: x, chunk_size: 5}, target: {type: duckdb, table: t}}", "ARC114", "'chunk_size' is a parameter of the tool"),
    ],
)  # fmt: skip
def test_what_was_dropped_without_a_word_is_an_error(body: str, code: str, text: str) -> None:
    errors = load_playbook(f"{HEAD}workflow: [{{{body}}}]\n", KINDS).errors

    assert text in {e.code: e.message for e in errors}[code]


@pytest.mark.parametrize(
    "rule", ["{whn: '{{ false }}', then: {allow: false}}", "{then: {allow: false}}", "text"]
)
def test_an_admission_rule_that_would_always_apply_is_an_error(rule: str) -> None:
    spec = f"spec: {{policy: {{admit: {{rules: [{rule}]}}}}}}"

    assert load_playbook(f"{HEAD}workflow: [{{step: a, tool: {TASK}}}, {spec}}}]\n", KINDS).errors


@pytest.mark.parametrize("keys", ["inputs: {n: 5}", "input: text", "sett: {ctx.a: 1}"])
def test_a_mistake_in_a_task_that_names_a_workbook_entry_is_an_error(keys: str) -> None:
    document = (
        f"{HEAD}workbook: [{{name: d, tool: {TASK}}}}}]\n"
        f"workflow: [{{step: a, tool: {{kind: workbook, name: d, {keys}}}}}]\n"
    )

    assert load_playbook(document, KINDS).errors


@pytest.mark.parametrize("key", ["next: {arcs: [{step: b}]}", "tool: {kind: noop}", "loop: {in: [1]}", "spec: {timeout: 5}"])  # fmt: skip
def test_a_key_of_a_step_that_slipped_to_the_root_is_an_error(key: str) -> None:
    steps = "workflow: [{step: a, tool: {kind: noop}}]\n"

    (error,) = load_playbook(f"{HEAD}{steps}{key}\n", KINDS).errors

    assert error.code == "ARC117"
    assert "indent it below '- step: <name>'" in error.hint


def test_a_mapping_at_the_root_that_a_template_reads_is_data() -> None:
    document = f"{HEAD}spec: {{n: 5}}\nworkflow: [{{step: a, tool: {{kind: noop}}}}]\noutput: '{{{{ spec.n }}}}'\n"

    assert arcbook.run(document).result == 5


def test_else_takes_the_directive_as_text_as_then_does() -> None:
    task = "{kind: python, code: '1 / 0', spec: {policy: {rules: [{else: continue}]}}}"

    run = arcbook.run(f"{HEAD}workflow: [{{step: a, tool: {task}}}]\noutput: done\n")

    assert (run.status, run.result) == ("COMPLETED", "done")


@pytest.mark.parametrize(
    "key",
    [
        "disabled: true", "enabled: false", "skip: true", "continue_on_error: true", "cache: 5m",
        "finally: [{step: b}]", "trigger_rule: all_done", "delay: 5s", "arcs: [{step: a}]",
        "tool\u00a0: {kind: noop}", "to\u200bol: {kind: noop}", "tool\uff1a{kind: noop}",
    ],
)  # fmt: skip
def test_a_key_that_asks_for_something_is_never_only_ignored(key: str) -> None:
    loaded = load_playbook(f"{HEAD}workflow:\n  - step: a\n    {key}\n", KINDS)

    assert [e for e in loaded.errors if e.hint]


@pytest.mark.parametrize("key", ["enabled: true", "disabled: false", "skip: false"])
def test_a_switch_set_to_what_happens_anyway_is_only_ignored(key: str) -> None:
    loaded = load_playbook(f"{HEAD}workflow: [{{step: a, tool: {{kind: noop}}, {key}}}]\n", KINDS)

    assert [d.code for d in loaded.diagnostics] == ["ARC113"]


@pytest.mark.parametrize(
    "line", ["\u00a0\u00a0tool: {kind: noop}", "concurrency: {limit: 5}", "triggers: [{cron: x}]", "errors: [{step: a}]"]
)  # fmt: skip
def test_so_it_is_at_the_root(line: str) -> None:
    (error,) = load_playbook(f"{HEAD}workflow: [{{step: a}}]\n{line}\n", KINDS).errors

    assert error.code == "ARC117"


def codes(body: str) -> set[str]:
    return {d.code for d in load_playbook(HEAD + body, KINDS).diagnostics}


@pytest.mark.parametrize(
    ("code", "is_doubtful"),
    [
        ("reslt = 1", True),
        ("x = 1\ndef mian():\n    return x", True),
        ("results = [1]\nresult = results", False),
        ("reslt = 1\nprint(reslt)", False),
        ("reslts = load()\nsave(reslts)", False),
        ("total = 1", False),
    ],
)
def test_code_that_yields_nothing_since_its_result_is_misspelt(
    code: str, *, is_doubtful: bool
) -> None:
    steps = [{"step": "a", "tool": {"kind": "python", "code": code}}]

    assert ("ARC313" in codes(yaml.safe_dump({"workflow": steps}))) == is_doubtful


def test_the_end_of_a_template_without_its_beginning() -> None:
    tool = "{kind: noop, result: 'workload.n }}'}"

    assert "ARC312" in codes(f"workload: {{n: 1}}\nworkflow: [{{step: a, tool: {tool}}}]\n")


@pytest.mark.parametrize(
    ("word", "meant"),
    [("owrkload", "workload"), ("orkload", "workload"), ("xeecutor", "executor"), ("eychain", "keychain")],
)  # fmt: skip
def test_a_typo_in_the_first_letter_of_a_key_of_the_root(word: str, meant: str) -> None:
    steps = "workflow: [{step: a, tool: {kind: noop}}]\n"

    (error,) = load_playbook(f"{HEAD}{steps}{word}: {{a: 1}}\n", KINDS).errors

    assert error.hint == f"did you mean {meant!r}?"


@pytest.mark.parametrize(
    ("tool", "meant"),
    [
        ("{kind: postgres, auth: {type: postgres, crdential: x}, query: select 1}", "credential"),
        ("{kind: duckdb, auth: {ytpe: postgres, credential: x}, query: select 1}", "type"),
        ("{kind: noop, retry: [{when: '{{ true }}', then: {max_attepts: 5}}]}", "max_attempts"),
    ],
)
def test_a_typo_in_a_part_of_a_task_that_other_keys_may_join(tool: str, meant: str) -> None:
    found = load_playbook(f"{HEAD}workflow: [{{step: a, tool: {tool}}}]\n", KINDS).diagnostics

    assert f"did you mean {meant!r}?" in [d.hint for d in found]


def test_an_auth_of_several_aliases_is_no_misspelt_one() -> None:
    tool = "{kind: duckdb, auth: {typed: {type: postgres, credential: x}}, query: select 1}"

    assert not codes(f"workflow: [{{step: a, tool: {tool}}}]\n")


@pytest.mark.parametrize(
    "entry", ["labels: [a]", "agent: perhaps", "capabilities: read", "exposes_as_mcp: 1"]
)
def test_metadata_of_a_wrong_type_is_a_warning_as_no_run_depends_on_it(entry: str):
    text = f"{HEAD[:-2]}, {entry}}}\nworkflow:\n  - step: start\n    tool: {{kind: noop}}\n"
    loaded = load_playbook(text, KINDS)
    assert loaded.errors == ()
    assert [d.code for d in loaded.diagnostics] == ["ARC103"]
