"""What templates read of results: in all spellings, inline and by reference."""

from __future__ import annotations

from typing import Any

import pytest

from arcbook.engine.scope import Context, CtxView, ExecutionScope, StepsView, everything
from arcbook.engine.views import (
    DataView,
    MissingResult,
    NeedsData,
    OutputView,
    RefView,
    StepView,
    failed_data,
    outcome_view,
    result_view,
)
from arcbook.events.types import LoopResult, ResultRef, StepResult, Value
from arcbook.outcome import ErrorInfo, ErrorKind, failed, ok
from arcbook.template.errors import TemplateError
from arcbook.template.render import compile_value
from arcbook.template.scope import DictScope

BROKEN = ErrorInfo(kind=ErrorKind.SERVER_ERROR, message="no route", code="NET")
FULL = {"kind": "server_error", "message": "no route", "code": "NET", "retryable": False}


def render(source: str, **names: Any) -> Any:
    return compile_value("{{ " + source + " }}").render(DictScope(names))


def reference(**summary: Any) -> ResultRef:
    return ResultRef(ref="noetl://execution/1/result/s/1", store="kv", bytes=9, summary=summary)


def of(data: Any, **facts: Any) -> StepView:
    return StepView(StepResult(tasks={"t": Value(data)}, last="t", status="ok", **facts), {})


# -- by reference ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("big._ref", "noetl://execution/1/result/s/1"),
        ("big._uri", "noetl://execution/1/result/s/1"),
        ("big._store", "kv"),
        ("big.total", 3),
        ("big.rows | length", 7),
        ("big | length", 12),
        ("'some' if big else 'none'", "some"),
        ("'some' if big.rows else 'none'", "some"),
        ("'some' if big.empty else 'none'", "none"),
        ("big.other is defined", False),
    ],
)
def test_what_a_summary_says_is_read_without_the_data(source, expected):
    ref = reference(fields={"total": 3}, sizes={"rows": 7, "empty": 0}, complete=True, count=12)

    assert render(source, big=RefView(ref, {})) == expected


def test_a_reference_to_nothing_is_false():
    assert render("'some' if big else 'none'", big=RefView(reference(count=0), {})) == "none"


@pytest.mark.parametrize("source", ["big.other", "big.rows[0]", "big.rows.first", "big | length"])
def test_what_a_summary_does_not_say_needs_the_data(source):
    with pytest.raises(NeedsData) as needs:
        render(source, big=RefView(reference(sizes={"rows": 7}), {}))

    assert needs.value.ref == reference(sizes={"rows": 7})


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("big.other", 5),
        ("big.rows.first", 1),
        ("big | length", 2),
        ("big.nothing is defined", False),
        ("step", {"rows": {"first": 1}, "other": 5}),
    ],
)
def test_fetched_data_is_read_as_if_it_stood_inline(source, expected):
    ref = reference(sizes={"rows": 7}, count=12)
    loaded = {ref.ref: {"rows": {"first": 1}, "other": 5}}
    step = StepView(StepResult(tasks={"t": Value(ref=ref)}, last="t", status="ok"), loaded)

    assert render(source, big=RefView(ref, loaded), step=step) == expected


def test_data_that_is_gone_says_why():
    ref = reference()

    with pytest.raises(TemplateError, match="was deleted"):
        render("big.other", big=RefView(ref, {ref.ref: MissingResult("the result was deleted")}))


# -- steps ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("two.data", {"n": 2}),
        ("two.result.n", 2),
        ("two.n", 2),
        ("two.first.word", "a"),
        ("two.first.data.word", "a"),
        ("two.first.result.word", "a"),
        ("two.first", {"word": "a"}),
        ("two.results.first.word", "a"),
        ("two.tasks.last.n", 2),
        ("two['n']", 2),
        ("two.status == 'success'", True),
        ("two.status == 'error'", False),
        ("two.http.status", 204),
        ("two.pg is defined", False),
        ("two.error is defined", False),
        ("two is none", False),
        ("two", {"first": {"word": "a"}, "last": {"n": 2}, "n": 2}),
    ],
)
def test_a_step_of_two_tasks_is_the_last_ones_data_with_that_of_each_by_label(source, expected):
    tasks = {"first": Value({"word": "a"}), "last": Value({"n": 2})}
    result = StepResult(tasks=tasks, last="last", status="ok", helpers={"http": {"status": 204}})

    assert render(source, two=result_view(result, {})) == expected


def test_a_step_that_failed_without_data_is_its_error():
    result = StepResult(tasks={"t": Value(None)}, last="t", status="error", error=BROKEN)
    step = result_view(result, {})

    assert render("s.error", s=step) == FULL
    assert render("s is none", s=step) is False
    assert render("s", s=step) == {"status": "error", "error": FULL}


def test_a_step_of_two_tasks_of_which_the_last_returned_a_list_is_both_by_label():
    tasks = {"first": Value({"word": "a"}), "last": Value([1, 2])}
    step = result_view(StepResult(tasks=tasks, last="last", status="ok"), {})

    assert render("s", s=step) == {"first": {"word": "a"}, "last": [1, 2]}
    assert render("s[1]", s=step) == 2


# -- loops ----------------------------------------------------------------------------------


LOOPED = LoopResult(
    total=3, success=2, failed=1, items=["x", None, "z"], errors=[(1, BROKEN)], frames=2, status="error"
)  # fmt: skip


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("each.results", ["x", None, "z"]),
        ("each.data[2]", "z"),
        ("each.items[0]", "x"),
        ("each.result | length", 3),
        ("each[2]", "z"),
        ("each['count']", 3),
        ("each.stats", {"total": 3, "success": 2, "failed": 1, "frames": 2}),
        ("each.failed", 1),
        ("each.other is defined", False),
        ("each.count", 3),
        ("each.errors", [{"index": 1, **FULL}]),
        ("each.error", FULL),
        ("each.status == 'failed'", True),
        ("each._ref is defined", False),
        ("'some' if each else 'none'", "some"),
    ],
)
def test_a_loop_is_its_iterations_results_counts_and_errors(source, expected):
    assert render(source, each=result_view(LOOPED, {})) == expected


def test_a_loop_as_a_value_has_its_errors_only_if_there_are_any():
    stats = {"total": 1, "success": 1, "failed": 0}
    whole = result_view(LoopResult(total=1, success=1, failed=0, items=[5]), {})

    assert render("l", l=whole) == {"results": [5], "stats": stats, "count": 1}
    assert render("l", l=result_view(LOOPED, {}))["errors"] == [{"index": 1, **FULL}]
    assert render("l.error is defined", l=whole) is False


def test_a_loop_over_nothing_is_false_and_has_no_results():
    empty = result_view(LoopResult(total=0, success=0, failed=0), {})

    assert render("'some' if l else 'none'", l=empty) == "none"
    assert render("l.results", l=empty) == []


def test_the_results_of_a_loop_may_be_stored_by_reference():
    loop = LoopResult(total=12, success=12, failed=0, ref=reference(count=12))
    fetched = {reference().ref: ["a", "b"]}

    assert render("l._ref", l=result_view(loop, {})) == "noetl://execution/1/result/s/1"
    assert render("l._store", l=result_view(loop, {})) == "kv"
    assert render("l.results | length", l=result_view(loop, {})) == 12
    assert render("l[1]", l=result_view(loop, fetched)) == "b"
    assert render("l", l=result_view(loop, fetched))["results"] == ["a", "b"]


def test_errors_that_were_cut_short_are_found_among_the_results():
    failures = [failed_data(StepResult(status="error", error=BROKEN)) for _ in range(2)]
    looks_failed: list[Any] = [{"__failed__": "yes"}, "text", {"__failed__": 1, "error": {}}]
    loop = LoopResult(
        total=5, success=3, failed=2, items=[*looks_failed, *failures], errors=[(3, BROKEN)], truncated=True
    )  # fmt: skip

    errors = render("l.errors", l=result_view(loop, {}))

    assert errors == [{"index": 3, **FULL}, {"index": 4, **FULL}]


@pytest.mark.parametrize(
    ("tasks", "data"),
    [
        ({}, None),
        ({"a": Value(5)}, 5),
        ({"a": Value(5), "b": Value(6)}, {"a": 5, "b": 6}),
        ({"a": Value(ref=reference())}, {"_ref": reference().ref, "_store": "kv"}),
    ],
)
def test_a_failed_iterations_entry_has_its_error_and_what_data_there_is(tasks, data):
    result = StepResult(tasks=tasks, last="a", status="error", error=BROKEN)

    assert failed_data(result) == {
        "__failed__": True, "status": "error", "error": FULL, "data": data,
    }  # fmt: skip


# -- the envelope of a call ------------------------------------------------------------------


def call(data: Any, **facts: Any) -> OutputView:
    return outcome_view(ok(data, **facts), data, {"attempt": 2})


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("output.data", {"n": 1}),
        ("output.data.n", 1),
        ("output.data.data.n", 1),
        ("output.data.body.n", 1),
        ("output.data.data", {"n": 1}),
        ("output.data.status_code", 200),
        ("output.data.headers.etag", "x"),
        ("output.data['headers'].etag", "x"),
        ("output.body.n", 1),
        ("output['body'].n", 1),
        ("output.result.status_code", 200),
        ("output.response.status_code", 200),
        ("output.other is defined", False),
        ("output.ref is none", True),
        ("output.meta.attempt", 2),
        ("output.http", {}),
        ("output.error is defined", False),
        ("output is none", False),
        ("output.status_code", 200),
    ],
)
def test_the_data_of_a_call_with_a_body_is_the_body_and_what_stands_beside_it(source, expected):
    data = {"body": {"n": 1}, "status_code": 200, "headers": {"etag": "x"}}
    output = OutputView("ok", data, None, {}, "body", {"attempt": 2})

    assert render(source, output=output) == expected


def test_a_body_that_has_a_field_data_lends_it_its_own_fields():
    output = OutputView("ok", {"body": {"data": {"n": 1}, "page": 3}}, None, {}, "body")

    assert render("output.data.data.page", output=output) == 3
    assert render("output.data.data.n", output=output) == 1


def test_a_call_with_a_body_that_returned_nothing_has_no_data():
    assert render("output.data is none", output=OutputView("ok", None, None, {}, "body")) is True
    empty = OutputView("ok", {"status_code": 204}, None, {}, "body")
    assert render("output.data", output=empty) is None
    assert render("output.data.status_code", output=empty) == 204


def test_data_that_has_a_field_data_may_be_read_with_and_without_naming_it():
    output = call({"data": {"n": 1}, "m": 2})

    assert render("output.data.n", output=output) == 1
    assert render("output.data.m", output=output) == 2
    assert render("output.data.data.n", output=output) == 1
    assert render("output.data", output=output) == {"data": {"n": 1}, "m": 2}


def test_beside_a_list_an_index_finds_what_the_first_value_has_not():
    view = DataView([1], {"k": 5})

    assert render("v[0]", v=view) == 1
    assert render("v['k']", v=view) == 5
    assert render("v.k", v=view) == 5
    assert render("v[7] is defined", v=view) is False
    assert render("v", v=DataView(of({"a": 1}), {})) == {"a": 1}


def test_the_envelope_of_data_by_reference_names_it():
    view = RefView(reference(), {})

    assert render("output.ref", output=OutputView("ok", view, None, {}, "")) == reference().ref


def test_an_envelope_is_null_if_its_call_succeeded_without_data():
    assert render("output is none", output=call(None)) is True
    assert render("output is none", output=call(0)) is False
    assert render("output is none", output=OutputView("ok", of(None), None, {}, "")) is True
    assert render("output is none", output=OutputView("ok", of(5), None, {}, "")) is False


def test_a_failed_call_without_data_is_its_error():
    outcome = failed(ErrorKind.SERVER_ERROR, "no route", code="NET")
    output = outcome_view(outcome, None, {})

    assert render("output is none", output=output) is False
    assert render("output.error", output=output) == FULL
    assert render("output", output=output) == {"status": "error", "error": FULL}
    assert render("output.status == 'failed'", output=output) is True


# -- the names of an execution ----------------------------------------------------------------


def scope(**facts: Any) -> ExecutionScope:
    context = Context(
        execution_id=77,
        path="a/b",
        version=4,
        catalog_id=9,
        workload={"w": 1, "both": "workload"},
        ctx={"c": 2, "both": "ctx"},
        payload={"p": 3},
        steps={"load": StepResult(tasks={"t": Value({"n": 5})}, last="t", status="ok")},
    )
    return ExecutionScope(
        context, data={"d": 6, "w": "data"}, now=lambda: 1_000_000, loaded={}, **facts
    )


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("w", 1),
        ("c", 2),
        ("d", 6),
        ("both", "ctx"),
        ("load.n", 5),
        ("ctx.both", "ctx"),
        ("ctx.w", 1),
        ("ctx.load.n", 5),
        ("ctx.execution_id", "77"),
        ("ctx.job.id", "77"),
        ("ctx.workload is defined", False),
        ("ctx.d is defined", False),
        ("ctx", {"w": 1, "both": "ctx", "c": 2}),
        ("steps.load.n", 5),
        ("steps.other is defined", False),
        ("steps", {"load": {"n": 5}}),
        ("workload.both", "workload"),
        ("execution_id", "77"),
        ("job", {"uuid": "77", "execution_id": "77", "id": "77"}),
        ("payload", {"p": 3}),
        ("input.p", 3),
        ("catalog_id ~ path ~ version", "9a/b4"),
        ("env", {"HOME": "/"}),
        ("other is defined", False),
        ("now().year", 1970),
        ("now().second", 1),
    ],
)
def test_the_names_of_an_execution(source, expected):
    given = scope(env={"HOME": "/"})

    assert compile_value("{{ " + source + " }}").render(given) == expected


def test_a_layer_hides_what_is_below_it():
    given = scope(layers=({"c": "near"}, {"c": "far", "w": "far"}))

    assert compile_value("{{ c ~ w }}").render(given) == "nearfar"
    assert everything(given)["c"] == "near"


def test_everything_is_all_names_as_plain_data():
    assert everything(scope()) == {
        "w": 1,
        "both": "ctx",
        "c": 2,
        "d": 6,
        "load": {"n": 5},
        "execution_id": "77",
        "catalog_id": "9",
        "workload": {"w": 1, "both": "workload"},
        "ctx": {"c": 2, "both": "ctx"},
    }


def test_a_view_of_all_names_is_made_once():
    ctx, steps = CtxView(scope()), StepsView(scope())

    assert ctx.plain() is ctx.plain()
    assert steps.plain() is steps.plain()


def test_chance_in_templates_depends_on_the_execution_and_the_time():
    assert scope().seed() == "77:1000000"


def test_secrets_are_only_for_tasks():
    with pytest.raises(TemplateError, match="only tasks can read secrets"):
        compile_value("{{ keychain.api.token }}").render(scope())
