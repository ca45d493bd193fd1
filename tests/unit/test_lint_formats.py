"""The lint's findings for scripts, code scanners and GitHub."""

from __future__ import annotations

import json
import re

import jsonschema
import pytest

from arcbook.cli.reports import FORMATS
from arcbook.dsl.load import load_document
from unit.lint_cases import CASES, KINDS, marked, steps

#: What SARIF 2.1.0 requires of the parts that the lint writes, and their types.
SARIF = {
    "type": "object",
    "required": ["version", "runs"],
    "properties": {
        "$schema": {"type": "string", "format": "uri"},
        "version": {"const": "2.1.0"},
        "runs": {
            "type": "array",
            "minItems": 1,
            "items": {
                "type": "object",
                "required": ["tool"],
                "properties": {
                    "columnKind": {"enum": ["utf16CodeUnits", "unicodeCodePoints"]},
                    "tool": {
                        "type": "object",
                        "required": ["driver"],
                        "properties": {
                            "driver": {
                                "type": "object",
                                "required": ["name", "rules"],
                                "properties": {
                                    "name": {"type": "string"},
                                    "version": {"type": "string"},
                                    "rules": {"type": "array", "items": {"$ref": "#/$defs/rule"}},
                                },
                            }
                        },
                    },
                    "results": {"type": "array", "items": {"$ref": "#/$defs/result"}},
                },
            },
        },
    },
    "$defs": {
        "rule": {
            "type": "object",
            "required": ["id", "shortDescription"],
            "properties": {
                "id": {"type": "string", "pattern": "^ARC[0-9]{3}$"},
                "shortDescription": {"$ref": "#/$defs/message"},
            },
        },
        "message": {
            "type": "object",
            "required": ["text"],
            "properties": {"text": {"type": "string", "minLength": 1}},
        },
        "result": {
            "type": "object",
            "required": ["message", "ruleId", "locations"],
            "properties": {
                "ruleId": {"type": "string"},
                "level": {"enum": ["none", "note", "warning", "error"]},
                "message": {"$ref": "#/$defs/message"},
                "locations": {"type": "array", "items": {"$ref": "#/$defs/location"}},
            },
        },
        "location": {
            "type": "object",
            "required": ["physicalLocation"],
            "properties": {
                "physicalLocation": {
                    "type": "object",
                    "required": ["artifactLocation", "region"],
                    "properties": {
                        "artifactLocation": {
                            "type": "object",
                            "required": ["uri"],
                            "properties": {"uri": {"type": "string", "pattern": "^[^ ]+$"}},
                        },
                        "region": {
                            "type": "object",
                            "required": ["startLine", "startColumn"],
                            "properties": {
                                "startLine": {"type": "integer", "minimum": 1},
                                "startColumn": {"type": "integer", "minimum": 1},
                            },
                        },
                    },
                }
            },
        },
    },
}


@pytest.fixture(scope="module")
def checked():
    """Return every case, checked under a name of its own."""
    return [
        (f"books/a {i}.yaml", load_document(marked(case.content)[0], KINDS))
        for i, case in enumerate(CASES)
    ]


def count(checked) -> int:
    return sum(len(loaded.diagnostics) for _, loaded in checked)


def test_json_has_one_object_for_each_problem(checked):
    found = json.loads(FORMATS["json"](checked))

    assert len(found) == count(checked)
    assert all(
        set(entry) == {"file", "line", "column", "severity", "code", "message", "hint", "step"}
        for entry in found
    )


def test_json_of_nothing_wrong_is_an_empty_list():
    assert json.loads(FORMATS["json"]([])) == []


def test_sarif_has_what_the_standard_requires(checked):
    found = json.loads(FORMATS["sarif"](checked))

    jsonschema.Draft202012Validator(SARIF).validate(found)
    assert len(found["runs"][0]["results"]) == count(checked)


def test_every_result_of_sarif_names_a_rule_of_its_run(checked):
    run = json.loads(FORMATS["sarif"](checked))["runs"][0]
    rules = [rule["id"] for rule in run["tool"]["driver"]["rules"]]

    assert len(rules) == len(set(rules))
    assert {result["ruleId"] for result in run["results"]} == set(rules)


def test_sarif_counts_columns_as_the_lint_does(checked):
    (run,) = json.loads(FORMATS["sarif"](checked))["runs"]

    assert run["columnKind"] == "unicodeCodePoints"


def test_sarif_of_nothing_wrong_is_a_run_without_results():
    found = json.loads(FORMATS["sarif"]([]))

    jsonschema.Draft202012Validator(SARIF).validate(found)
    assert found["runs"][0]["results"] == []


def test_github_has_one_line_for_each_problem(checked):
    lines = FORMATS["github"](checked).splitlines()
    form = re.compile(r"::(error|warning) file=[^,:]+,line=\d+,col=\d+,title=ARC\d{3}::\S.*")

    assert len(lines) == count(checked)
    assert [line for line in lines if not form.fullmatch(line)] == []


def test_github_escapes_what_would_end_a_property():
    loaded = load_document("", KINDS)

    assert FORMATS["github"]([("a,b:c%.yaml", loaded)]).startswith(
        "::error file=a%2Cb%3Ac%25.yaml,line=1,"
    )


def test_text_says_how_many_problems_are_not_shown():
    text = steps("".join(f"- {{step: s{i}, tool: 7}}\n" for i in range(700)))

    shown = FORMATS["text"]([("a.yaml", load_document(text, KINDS))])

    # Each step's tool is a number; all but the first are out of reach, too.
    assert "a.yaml: 399 more are not shown" in shown


def test_text_sums_up(checked):
    last = FORMATS["text"](checked).splitlines()[-1]

    assert re.search(rf"{len(checked)} documents: \d+ errors, \d+ warnings", last)
