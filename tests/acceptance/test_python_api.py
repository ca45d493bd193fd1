"""Running playbooks from Python."""

from __future__ import annotations

import asyncio
import datetime as dt
import re
from pathlib import Path
from typing import Any

import pytest

import arcbook

DOCUMENT: dict[str, Any] = {
    "apiVersion": "noetl.io/v2",
    "kind": "Playbook",
    "metadata": {"name": "greet", "path": "tests/greet"},
    "workload": {"name": "world", "times": 2},
    "workflow": [
        {
            "step": "start",
            "loop": {"in": "{{ range(workload.times) | list }}", "iterator": "i", "spec": {"mode": "sequential"}},
            "tool": {"kind": "python", "input": {"i": "{{ iter.i }}"}, "code": "result = i * i"},
            "next": {"arcs": [{"step": "end"}]},
        },
        {
            "step": "end",
            "tool": {
                "kind": "python",
                "input": {"name": "{{ workload.name }}"},
                "code": "result = {'text': f'hello {name}'}",
            },
        },
    ],
}  # fmt: skip


def test_a_document_runs_to_a_typed_execution(tmp_path: Path) -> None:
    execution = arcbook.run(DOCUMENT, workload={"name": "Ada"}, home=tmp_path)

    assert isinstance(execution, arcbook.Execution)
    assert execution
    assert execution.status == "COMPLETED"
    assert execution.path == "tests/greet"
    assert execution.result == {"text": "hello Ada"}
    assert list(execution.steps) == ["start", "end"]
    assert execution.steps["start"].total == execution.steps["start"].done == 2
    assert execution.steps["end"].duration_us > 0
    assert execution.data["end"] == {"text": "hello Ada"}
    assert execution.events[0].event.type == "playbook.started"
    assert execution.events[-1].event.type == "playbook.completed"
    assert execution.error is None


async def test_its_async_twin_runs_in_a_loop_and_beside_others(tmp_path: Path) -> None:
    names = ["Ada", "Grace", "Joan"]
    runs = [arcbook.run_async(DOCUMENT, {"name": name}, home=tmp_path) for name in names]
    executions = await asyncio.gather(*runs)

    assert [e.result["text"] for e in executions] == [f"hello {name}" for name in names]
    assert len({e.execution_id for e in executions}) == 3
    assert all(len(e.events) == len(executions[0].events) for e in executions)


async def test_the_plain_call_works_where_a_loop_is_running_as_in_a_notebook(
    tmp_path: Path,
) -> None:
    execution = arcbook.run(DOCUMENT, home=tmp_path)

    assert execution.result == {"text": "hello world"}


def test_a_file_and_a_text_run_as_well(tmp_path: Path) -> None:
    text = "apiVersion: noetl.io/v2\nkind: Playbook\nmetadata: {name: tiny}\nworkflow:\n  - {step: start, tool: {kind: noop}}\n"
    file = tmp_path / "tiny.yaml"
    file.write_text(text)

    assert arcbook.run(file, home=tmp_path / "home")
    assert arcbook.run(str(file), home=tmp_path / "home")
    assert arcbook.run(text, home=tmp_path / "home")


def test_a_failed_execution_is_false_and_tells_the_cause(tmp_path: Path) -> None:
    document = {
        **DOCUMENT,
        "workflow": [{"step": "start", "tool": {"kind": "python", "code": "[][1]"}}],
    }
    execution = arcbook.run(document, home=tmp_path)

    assert not execution
    assert execution.status == "FAILED"
    assert execution.error is not None
    assert "IndexError" in execution.error.message
    assert execution.steps["start"].status == "failed"
    assert execution.steps["start"].error is not None
    assert execution.steps["start"].error.exception == "IndexError"


def test_a_wrong_document_is_refused_with_every_problem_and_its_place(tmp_path: Path) -> None:
    steps = [{"step": "start", "tool": {}, "next": {"arcs": [{"step": "gone"}]}}]

    with pytest.raises(arcbook.InvalidPlaybookError) as caught:
        arcbook.run({**DOCUMENT, "workflow": steps}, home=tmp_path)

    assert "line 1, column " in str(caught.value)
    assert "task 'start_task' has no 'kind'" in str(caught.value)
    assert "'gone', which does not exist" in str(caught.value)


def test_a_missing_file_is_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"there is no file gone\.yaml"):
        arcbook.run("gone.yaml", home=tmp_path)


def test_the_public_names_are_there_and_no_others() -> None:
    assert arcbook.__all__ == sorted(arcbook.__all__)
    assert all(getattr(arcbook, name) is not None for name in arcbook.__all__)
    with pytest.raises(AttributeError, match="no attribute 'frob'"):
        _ = arcbook.frob


def test_a_name_without_a_value_is_a_warning_of_the_execution_or_an_error(tmp_path: Path) -> None:
    document = {**DOCUMENT, "output": "{{ end.txet }}"}

    execution = arcbook.run(document, home=tmp_path)
    strict = arcbook.run(document, home=tmp_path, strict=True)

    assert execution.is_completed
    assert execution.warnings == ["output: 'end.txet' has no value"]
    assert not strict.is_completed


def test_a_value_that_nothing_can_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(arcbook.UnknownInputError, match="no 'nmae': did you mean 'name'"):
        arcbook.run(DOCUMENT, workload={"nmae": "Ada"}, home=tmp_path)


def test_the_package_tells_what_it_has() -> None:
    assert {"run", "run_async", "Execution"} <= set(dir(arcbook))


def test_an_execution_is_one_line_as_text_and_a_table_in_a_notebook(tmp_path: Path) -> None:
    good = arcbook.run(DOCUMENT, {"name": "<b>Ada</b>" * 1000}, home=tmp_path)
    failing = {
        **DOCUMENT,
        "workflow": [{"step": "start", "tool": {"kind": "python", "code": "1/0"}}],
    }
    bad = arcbook.run(failing, home=tmp_path)

    assert "\n" not in repr(good) + repr(bad)
    assert repr(good).startswith(f"<Execution {good.execution_id} tests/greet COMPLETED in ")
    assert "division by zero" in repr(bad)
    assert max(len(repr(good)), len(repr(bad))) < 300
    page = good._repr_html_()
    assert "<td>start</td><td>done</td><td>2 of 2</td>" in page
    assert "<b>Ada</b>" not in page
    assert len(page) < 20_000
    assert "division by zero" in bad._repr_html_()


async def test_it_runs_where_a_loop_runs_already_as_in_a_notebook(tmp_path: Path) -> None:
    assert arcbook.run(DOCUMENT, home=tmp_path).result == {"text": "hello world"}


ECHO: dict[str, Any] = {
    "apiVersion": "noetl.io/v2",
    "kind": "Playbook",
    "metadata": {"name": "echo"},
    "workload": {"x": None},
    "workflow": [{"step": "start", "tool": {"kind": "noop", "result": "{{ workload.x }}"}}],
}


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("a\ud800", "a\ufffd"),
        ({"k\udfff": 1, 2: 3}, {"k\ufffd": 1, "2": 3}),
        ([float("nan"), float("-inf")], [None, None]),
        ([b"\xff", Path("a"), (1, 2), dt.date(2024, 2, 29)], ["/w==", "a", [1, 2], "2024-02-29"]),
        (2**200, 2**200),
    ],
)
def test_values_that_a_program_passes_are_data_as_everywhere(
    value: object, expected: object, tmp_path: Path
) -> None:
    execution = arcbook.run(ECHO, {"x": value}, home=tmp_path)

    assert execution.result == expected, execution.error


@pytest.mark.parametrize(
    ("workload", "text"),
    [
        ({"x": [object()]}, "workload['x'][0]"),
        ({"x": 10**5000}, "4,300 digits"),
        ({"x": {1: 1, "1": 2}}, "two keys"),
        ([1], "must be a mapping"),
        ("text", "must be a mapping"),
    ],
)
def test_values_that_are_not_data_are_refused_before_anything_runs(
    workload: Any, text: str, tmp_path: Path
) -> None:
    with pytest.raises(arcbook.InvalidInputError, match=re.escape(text)):
        arcbook.run(ECHO, workload, home=tmp_path)
