"""Every code of the lint: what causes it, where it is shown, what is suggested."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from arcbook.dsl.codes import CODES
from arcbook.dsl.diagnostics import Severity, excerpt
from arcbook.dsl.load import load_document
from arcbook.tools.registry import Registry
from unit.lint_cases import CASES, KINDS, Case, book, marked, steps

ROOT = Path(__file__).parents[2]
IDS = [f"{case.code}-{i}" for i, case in enumerate(CASES)]


@pytest.mark.parametrize("case", CASES, ids=IDS)
def test_a_problem_is_shown_at_its_place_with_a_suggestion(case: Case):
    content, line, column = marked(case.content)
    found = [d for d in load_document(content, KINDS).diagnostics if d.code == case.code]

    assert found
    assert case.hint in found[0].hint
    if line is not None:
        assert (found[0].line, found[0].column) == (line, column)


@pytest.mark.parametrize("case", CASES, ids=IDS)
def test_every_problem_of_every_document_has_a_suggestion_and_a_known_code(case: Case):
    for diagnostic in load_document(marked(case.content)[0], KINDS).diagnostics:
        assert diagnostic.code in CODES
        assert diagnostic.hint


def test_every_code_of_the_source_is_explained_and_has_a_case():
    written = set()
    for path in (ROOT / "src/arcbook/dsl").rglob("*.py"):
        if path.name != "codes.py":
            written |= set(re.findall(r'"(ARC\d{3})"', path.read_text("utf-8")))

    assert written == set(CODES)
    assert written == {case.code for case in CASES}


def test_every_code_is_in_the_documentation_with_its_title():
    documented = (ROOT / "docs/lint.md").read_text("utf-8")
    listed = re.findall(
        r"^\| (ARC\d{3}) \| (error|warning) \| ([^|]+?) \|", documented, re.MULTILINE
    )

    assert [(code, title) for code, _, title in listed] == list(CODES.items())


def test_the_documentation_names_each_code_with_its_severity():
    documented = (ROOT / "docs/lint.md").read_text("utf-8")
    listed = dict(re.findall(r"^\| (ARC\d{3}) \| (error|warning) \|", documented, re.MULTILINE))
    for case in CASES:
        loaded = load_document(marked(case.content)[0], KINDS)
        severity = next(d.severity for d in loaded.diagnostics if d.code == case.code)
        assert listed[case.code] == str(severity), case.code


def test_all_problems_of_a_document_are_reported_in_one_pass():
    text = book(
        """
        workload: text
        workflow:
        - step: start
          tool: {kind: htpp}
          next: {arcs: [{step: nowhere, when: "{{ a b }}"}]}
        - step: start
          loop: {in: rows}
          tool: {kind: http, method: PSOT, colour: red}
        """
    )

    codes = {d.code for d in load_document(text, KINDS).diagnostics}

    assert codes >= {
        "ARC103", "ARC140", "ARC201", "ARC203", "ARC209", "ARC301", "ARC401", "ARC402", "ARC403",
        "ARC405",
    }  # fmt: skip


def test_a_fault_of_the_yaml_does_not_hide_the_problems_of_the_playbook():
    text = book("workload: {a: 1, a: 2}\nworkflow:\n- step: start\n")

    codes = [d.code for d in load_document(text, KINDS).diagnostics]

    assert codes == ["ARC009", "ARC106"]


def test_a_document_with_warnings_alone_is_a_playbook():
    loaded = load_document(steps("- step: start\n  tool: {kind: wasm}\n"), KINDS)

    assert [d.severity for d in loaded.diagnostics] == [Severity.WARNING]
    assert loaded.playbook is not None


def test_an_excerpt_puts_a_caret_below_the_place():
    loaded = load_document(steps("- step: start\n  tool: {kind: htpp}\n"), KINDS)

    assert excerpt(loaded.lines, loaded.diagnostics[0]).splitlines() == [
        "    6 |   tool: {kind: htpp}",
        "                       ^",
    ]


def test_a_caret_stands_right_behind_wide_characters():
    loaded = load_document(
        steps("- step: start\n  desc: 日本\n  tool: {desc: 日本, kind: x}\n"), KINDS
    )

    line, caret = excerpt(loaded.lines, loaded.diagnostics[0]).splitlines()

    # Each of the two wide characters takes two columns.
    assert caret.index("^") == line.index("x") + 2


def test_a_kind_whose_module_cannot_be_imported_is_a_warning():
    registry = Registry({"broken": "arcbook.tools.no_such_module"})

    loaded = load_document(steps("- step: start\n  tool: {kind: broken, colour: red}\n"), registry)

    assert [d.code for d in loaded.diagnostics] == ["ARC406"]


def test_a_function_of_templates_is_not_taken_for_a_misspelt_name():
    text = book(
        """
        workload: {ranges: 1, names: 2, dicts: 3}
        workflow:
        - step: start
          tool: {kind: noop}
          set:
            ctx.a: "{{ range(3) | list + [dict(a=1)] }}"
        """
    )

    assert load_document(text, KINDS).diagnostics == ()


@pytest.mark.parametrize(
    "template",
    ["{{ " + "1" * 6000 + " }}", "{{ " + "(" * 5000 + " }}", "{{ " + "not " * 5000 + "a }}",
     "{{ " + "a + " * 5000 + "a }}", "{% if a %}" * 3000 + "{% endif %}" * 3000],
    ids=["digits", "brackets", "words", "sums", "blocks"],
)  # fmt: skip
def test_a_template_that_no_parser_can_read_is_an_error_of_the_template(template: str):
    text = steps(f"- step: start\n  tool: {{kind: noop}}\n  set: {{ctx.a: '{template}'}}\n")

    assert [d.code for d in load_document(text, KINDS).diagnostics] == ["ARC301"]
