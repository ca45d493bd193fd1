"""What holds of loading and checking, whatever the document is."""

from __future__ import annotations

import json
from contextlib import suppress

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from arcbook.dsl import grammar
from arcbook.dsl.codes import CODES
from arcbook.dsl.composer import compose
from arcbook.dsl.diagnostics import Severity, excerpt, text
from arcbook.dsl.load import Loaded, load_document, load_playbook
from arcbook.dsl.source import SourceError
from arcbook.template import programs
from arcbook.template.quick import quick_names
from unit.kinds import every_kind
from unit.lint_cases import CASES, marked

KINDS = every_kind()
SLOW = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])

WHOLE = """\
apiVersion: noetl.io/v2
kind: Playbook
metadata: {name: whole, path: tests/whole}
executor: {spec: {entry_step: start, no_next_is_error: false}}
workload: {rows: [1, 2], url: &u "http://example.org", limit: 3}
keychain:
- {name: token, kind: static, value: "{{ workload.limit }}"}
workbook:
- {name: load, tool: {kind: noop}}
workflow:
- step: start
  when: "{{ limit > 1 }}"
  loop: {in: "{{ rows }}", iterator: row, spec: {mode: parallel, max_in_flight: 2}}
  tool:
  - name: fetch
    kind: http
    url: *u
    spec:
      policy:
        rules:
        - {when: "{{ output.status == 'error' }}", then: {do: retry, attempts: 3}}
        - else: {then: {do: continue, set: {ctx.n: "{{ row }}"}}}
  - kind: python
    retry: {max_attempts: 2, backoff: exponential}
    code: |
      result = {"a": "{{ row }}"}
  next:
    spec: {mode: inclusive}
    arcs: [{step: end, when: "{{ n | default(0) }}", set: {ctx.a: 1}}, {step: other}]
- {step: other, tool: {kind: workbook, name: load}, next: end}
- {step: end, tool: {kind: noop}}
"""
"""A playbook with something of everything."""

WORDS = sorted({key for table in grammar.TABLES.values() for key in table} | {
    "args", "case", "cond", "eval", "expr", "name", "next_mode", "type", "allow", "admit", "tasks",
    "output_select", "set_ctx", "x", "<<", "max_attempts", "retry_on", "credential",
    "vars", "sink", "save", "pagination", "call", "task", "collection", "element", "data", "with",
    "continue_while", "next_page", "next_call", "collect", "params", "table", "storage", "file",
    "retry_when", "mapping", "target", "cmds", "code_b64", "fail",
})  # fmt: skip
#: JSON writes other characters as two escapes, which YAML does not put together.
BASIC = st.characters(max_codepoint=0xFFFF, exclude_categories=["Cs"])
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from(
        ["start", "end", "a", "http", "python", "noop", "workbook", "task_sequence", "retry",
         "iterator", "shell", "postgres", "transfer", "file", "upsert", "append", "async",
         "{{ a }} == b", "{{ vars.a }}", "{{.ID}}", "{{ a }} b", "noetl.io/v1",
         "jump", "previous", "cursor", "parallel", "inclusive", "", "{{ a }}", "{{ a b }}",
         "{{", "{% if a %}", "{% set x = 1 %}{{ x }}", "{{ a | nothing }}", "ctx.a", "1", "many"]
    ),
    st.text(BASIC, max_size=12),
)  # fmt: skip
TREES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.dictionaries(st.sampled_from(WORDS), inner, max_size=5),
        st.dictionaries(st.text(BASIC, max_size=5), inner, max_size=2),
    ),
    max_leaves=25,
)
EDITS = st.lists(
    st.tuples(
        st.integers(0, len(WHOLE)),
        st.integers(0, 12),
        st.one_of(
            st.text(max_size=4),
            st.sampled_from(["\t", "{", "}", "[", "]", ": ", "- ", "'", '"', "|\n", "&a ", "*u",
                             "{{", "}}", "!!int ", "\n", "<<: ", "? ", "# ", "---\n"]),
        ),
    ),
    min_size=1,
    max_size=4,
)  # fmt: skip


def check(loaded: Loaded) -> None:
    """Check that what is said of a document is well-formed and points into it."""
    lines = loaded.lines or ("",)
    for diagnostic in loaded.diagnostics:
        assert diagnostic.code in CODES
        assert diagnostic.message
        assert diagnostic.hint
        assert 1 <= diagnostic.line <= len(lines) + 1, diagnostic
        line = lines[diagnostic.line - 1] if diagnostic.line <= len(lines) else ""
        assert 1 <= diagnostic.column <= len(line) + 1, diagnostic
        excerpt(loaded.lines, diagnostic)
        assert diagnostic.code in text("a.yaml", diagnostic, loaded.lines)
    has_errors = any(d.severity is Severity.ERROR for d in loaded.diagnostics)
    assert has_errors == bool(loaded.errors)
    if loaded.kind in ("Playbook", "Agent"):
        assert (loaded.playbook is None) == has_errors


@SLOW
@given(st.text())
def test_any_text_is_loaded_or_explained(content):
    check(load_document(content, KINDS))


@SLOW
@given(st.binary())
def test_any_bytes_are_loaded_or_explained(content):
    check(load_document(content, KINDS))


@SLOW
@given(st.text(st.sampled_from("ab:-?[]{},&*!|>'\"%@`#\n\t 1~<=\r\u2028\x85é日")))
def test_any_text_of_the_characters_of_yaml_is_loaded_or_explained(content):
    check(load_document(content, KINDS))


@SLOW
@given(EDITS)
def test_a_damaged_playbook_is_loaded_or_explained(edits):
    content = WHOLE
    for at, length, put in edits:
        content = content[:at] + put + content[at + length :]

    check(load_playbook(content, KINDS))


@SLOW
@given(TREES)
def test_any_tree_is_checked_as_a_document(tree):
    check(load_document(json.dumps(tree), KINDS))


@SLOW
@given(
    st.dictionaries(st.sampled_from(sorted(grammar.PLAYBOOK)), TREES), st.lists(TREES, max_size=3)
)
def test_any_tree_is_checked_as_a_playbook(root, steps):
    root |= {"apiVersion": "noetl.io/v2", "kind": "Playbook"}

    check(load_playbook(json.dumps({"workflow": steps, **root}), KINDS))


@SLOW
@given(st.fixed_dictionaries({}, optional=dict.fromkeys(grammar.STEP, TREES)))
def test_any_tree_is_checked_as_a_step(step):
    root = {"apiVersion": "noetl.io/v2", "kind": "Playbook", "metadata": {"name": "n"}}

    check(load_playbook(json.dumps({**root, "workflow": [step, step]}), KINDS))


@SLOW
@given(
    st.fixed_dictionaries(
        {"kind": st.sampled_from(sorted(KINDS.names()))},
        optional={key: TREES for key in grammar.TASK if key != "kind"},
    )
)
def test_any_tree_is_checked_as_a_task(task):
    root = {"apiVersion": "noetl.io/v2", "kind": "Playbook", "metadata": {"name": "n"}}
    step = {"step": "start", "tool": [task]}

    check(load_playbook(json.dumps({**root, "workflow": [step]}), KINDS))


@SLOW
@given(TREES)
def test_any_tree_is_checked_as_a_subscription(spec):
    root = {"kind": "Subscription", "metadata": {"name": "n"}, "spec": spec}

    check(load_document(json.dumps(root), KINDS))


def test_the_places_of_every_case_point_into_its_document():
    for case in CASES:
        check(load_document(marked(case.content)[0], KINDS))


@SLOW
@given(TREES)
def test_a_document_is_read_as_the_values_that_were_written(tree):
    if tree is None or "<<" in json.dumps(tree):
        return

    assert compose(json.dumps(tree)).root.plain() == tree


NAMES = st.sampled_from(
    ["a", "b.c", "a['x']", "a[0].b", "f(a, b=c)", "none", "true", "'t'", "3", "x_1.y"]
)
EXPRESSIONS = st.one_of(
    st.recursive(
        NAMES,
        lambda inner: st.one_of(
            st.tuples(
                inner,
                st.sampled_from(
                    ["+", "==", "and", "not in", "<", "%", "//", "if a else", "is", "|", "~"]
                ),
                inner,
            ).map(" ".join),
            inner.map("not {}".format),
            inner.map("({})".format),
            inner.map("[{}, a]".format),
            inner.map("({}).y".format),
            inner.map("-{}".format),
        ),
        max_leaves=6,
    ),
    st.text(st.sampled_from("ab.'\"[]()=<>!+*/%- 01,rf_")),
)


@SLOW
@given(EXPRESSIONS)
def test_an_expression_reads_the_same_names_for_both_parsers(code):
    quick = quick_names(code)
    if quick is None:
        return

    assert quick == programs.parsed_names(code, code)
    assert programs.expression(code, code, is_result=True) is not None


@SLOW
@given(st.text(st.sampled_from("a: -[]{}&*b!\n#'\"|")))
def test_reading_yaml_raises_nothing_but_its_own_error(content):
    with suppress(SourceError):
        compose(content)


def test_a_loop_over_a_template_with_a_fault_is_explained():
    loaded = load_playbook(
        "apiVersion: noetl.io/v2\nkind: Playbook\nmetadata: {name: x, path: x}\nworkflow:\n"
        '  - step: s\n    loop: {in: "{{0 rows }}", iterator: i}\n    tool: {kind: noop}\n',
        KINDS,
    )

    assert [d.code for d in loaded.errors] == ["ARC301"]
