"""The JSON Schema of playbooks."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from arcbook.dsl.composer import compose
from arcbook.dsl.load import load_document
from arcbook.dsl.schema import DIALECT, json_schema
from arcbook.tools.registry import ABSENT, NAMES
from corpus.documents import EXPECTATIONS, load_corpus
from corpus.runner import DEFAULT_FOLDER
from unit.kinds import every_kind
from unit.lint_cases import HEAD, KINDS
from unit.test_upgrade import PAIRS, Pair

FOLDER = Path(os.environ.get("CORPUS") or DEFAULT_FOLDER)
IS_THERE = (FOLDER / EXPECTATIONS).is_file()
PLAYBOOKS = [d for d in load_corpus(FOLDER) if d.is_playbook] if IS_THERE else []
REGISTRY = every_kind()
SCHEMA = json_schema(REGISTRY, ABSENT.keys() | NAMES.keys())
SMALL = jsonschema.Draft202012Validator(json_schema(KINDS))

#: The upgrade reads these, and an editor asks for the normal form instead.
NOT_FOR_EDITORS = {
    "a call", "a sink", "a task below its label", "a task_sequence",
    "a timeout in parts", "a tool as text", "a type of a step", "a workbook of the first version",
    "an iterator", "auth beside the tool", "data of a step", "text in Base64", "then in arcs",
    "the kind of the executor", "mode: async below spec", "one value as the input of code", "type of a task", "collection of a loop",
}  # fmt: skip


def problems(text: str, validator: Any = SMALL) -> list[str]:
    return [error.message for error in validator.iter_errors(compose(text).root.plain())]


def test_it_is_a_schema_of_its_dialect():
    assert SCHEMA["$schema"] == DIALECT == "https://json-schema.org/draft/2020-12/schema"
    jsonschema.Draft202012Validator.check_schema(SCHEMA)


def test_every_reference_leads_to_a_definition():
    def references(value: Any) -> set[str]:
        if isinstance(value, dict):
            own = {value["$ref"]} if isinstance(value.get("$ref"), str) else set()
            return own.union(*map(references, value.values()))
        return set().union(*map(references, value)) if isinstance(value, list) else set()

    assert {r.removeprefix("#/$defs/") for r in references(SCHEMA)} <= SCHEMA["$defs"].keys()


@pytest.mark.skipif(not IS_THERE, reason="the corpus is not beside the project")
def test_the_corpus_has_its_77_playbooks():
    assert len(PLAYBOOKS) == 77


@pytest.mark.parametrize("document", PLAYBOOKS, ids=[d.name for d in PLAYBOOKS])
def test_it_accepts_a_playbook_of_the_corpus_that_the_lint_accepts(document):
    is_right = not load_document(document.text, REGISTRY).errors
    found = problems(document.text, jsonschema.Draft202012Validator(SCHEMA))

    assert (not found) == is_right, found


@pytest.mark.parametrize("pair", PAIRS, ids=[pair.name for pair in PAIRS])
def test_it_accepts_the_normal_form_and_the_older_spellings(pair: Pair):
    assert problems(HEAD + pair.new) == []
    if pair.name not in NOT_FOR_EDITORS:
        assert problems(HEAD + pair.old) == []


WRONG = {
    "no header": "workflow: [{step: start, tool: {kind: noop}}]\n",
    "no workflow": HEAD,
    "no steps": HEAD + "workflow: []\n",
    "no tool": HEAD + "workflow: [{step: start}]\n",
    "no tasks": HEAD + "workflow: [{step: start, tool: []}]\n",
    "no kind": HEAD + "workflow: [{step: start, tool: {url: x}}]\n",
    "an unknown kind": HEAD + "workflow: [{step: start, tool: {kind: htpp}}]\n",
    "a missing parameter": HEAD + "workflow: [{step: start, tool: {kind: http}}]\n",
    "a parameter of the wrong type": HEAD
    + "workflow: [{step: start, tool: {kind: http, url: x, headers: [1]}}]\n",
    "an unknown key": HEAD + "workflow: [{step: start, tool: {kind: noop}, nexxt: {}}]\n",
    "a loop without iterator": HEAD + "workflow: [{step: s, loop: {in: x}, tool: {kind: noop}}]\n",
    "an unknown mode": HEAD
    + "workflow: [{step: s, tool: {kind: noop}, next: {spec: {mode: some}, arcs: []}}]\n",
    "an arc to nowhere": HEAD
    + "workflow: [{step: s, tool: {kind: noop}, next: {arcs: [{when: a}]}}]\n",
    "an unknown directive": HEAD
    + "workflow: [{step: s, tool: {kind: noop, spec: {policy: {rules: [{then: {do: x}}]}}}}]\n",
}


@pytest.mark.parametrize("text", WRONG.values(), ids=WRONG)
def test_it_rejects_what_the_lint_complains_of(text: str):
    assert problems(text)
    assert load_document(text, KINDS).diagnostics
