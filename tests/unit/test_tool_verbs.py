"""``arcbook tool list`` and ``show``: what the registry declares, for people and programs."""

from __future__ import annotations

import json

import pytest
import yaml
from click.testing import CliRunner

from arcbook.cli.main import cli
from arcbook.dsl.load import load_document
from arcbook.tools.registry import MODULES, Registry

REGISTRY = Registry()
HEAD = {"apiVersion": "noetl.io/v2", "kind": "Playbook", "metadata": {"name": "b", "path": "b"}}


def test_the_list_has_every_kind_with_its_effects():
    listed = json.loads(CliRunner().invoke(cli, ["tool", "list", "--json"]).output)

    assert {kind["kind"] for kind in listed} >= set(MODULES)
    assert {k["kind"]: k["effects"] for k in listed}["noop"] == ["none"]


def test_a_kind_is_shown_with_types_defaults_other_names_and_an_example():
    shown = CliRunner().invoke(cli, ["tool", "show", "http"]).output

    assert "url" in shown
    assert "required" in shown
    assert "(also endpoint)" in shown
    assert "effects of a call: none or idempotent or keyed or once" in shown
    assert "kind: http" in shown


def test_a_kind_that_does_not_exist_is_refused_with_the_one_that_was_meant():
    refused = CliRunner().invoke(cli, ["tool", "show", "htpp"], standalone_mode=False)

    assert refused.exit_code != 0
    assert "did you mean 'http'?" in str(refused.exception)


@pytest.mark.parametrize("name", sorted(MODULES))
def test_the_example_of_every_kind_is_a_task_without_a_problem(name: str):
    kind = REGISTRY.kind(name)
    assert kind is not None
    step = {"step": "example", **yaml.safe_load(kind.example)}
    before = {"step": "report", "tool": {"kind": "noop"}, "next": {"arcs": [{"step": "example"}]}}
    workload = {"day": "", "city": ""}
    document = {**HEAD, "workload": workload, "workflow": [before, step]}

    loaded = load_document(yaml.safe_dump(document, sort_keys=False), REGISTRY)

    assert step["tool"]["kind"] == name
    assert [d for d in loaded.diagnostics if d.code not in ("ARC306", "ARC309", "ARC502")] == []
