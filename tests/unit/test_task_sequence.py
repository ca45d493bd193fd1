"""A ``task_sequence`` is its tasks."""

from __future__ import annotations

import pytest

from arcbook.dsl.load import load_playbook
from arcbook.tools.registry import Registry

HEAD = """
apiVersion: noetl.io/v2
kind: Playbook
metadata: {name: p}
workflow:
  - step: start
"""
NESTED = """
    tool:
      kind: task_sequence
      input: {a: 1}
      tasks:
        - first: {kind: noop, message: one}
        - {name: second, kind: python, code: "result = a"}
"""
LISTED = """
    tool:
      - kind: task_sequence
        spec:
          tasks:
            - {name: first, kind: noop, message: one}
            - {name: second, kind: python, code: "result = a"}
"""
PLAIN = """
    tool:
      - {name: first, kind: noop, message: one}
      - {name: second, kind: python, code: "result = a"}
"""


def load(step: str):
    return load_playbook(HEAD + step.lstrip("\n"), Registry())


@pytest.mark.parametrize("step", [NESTED, LISTED])
def test_its_tasks_are_the_tasks_of_its_step(step):
    expected = load(PLAIN).playbook.steps[0]
    loaded = load(step)

    assert not loaded.errors
    (made,) = loaded.playbook.steps
    assert made.is_pipeline
    assert [(t.label, t.kind, t.config) for t in expected.tasks] == [
        (t.label, t.kind, t.config) for t in made.tasks
    ]


def test_its_input_is_its_steps():
    step = "    input: {a: 0, b: 2}\n" + NESTED.lstrip("\n")

    assert load(step).playbook.steps[0].input == {"a": 1, "b": 2}


@pytest.mark.parametrize(
    ("step", "said"),
    [
        ("    tool: {kind: task_sequence, tasks: []}", "at least one task"),
        ("    tool: {kind: task_sequence}", "'tasks'"),
        ("    tool: {kind: task_sequence, set: {x: 1}, tasks: [{kind: noop}]}", "'set'"),
        (
            "    tool: [{kind: noop}, {kind: task_sequence, tasks: [{kind: noop}]}]",
            "the only tool",
        ),
    ],
)
def test_what_it_cannot_mean_is_an_error(step, said):
    messages = [d.message for d in load(step).errors]

    assert any(said in message for message in messages), messages
