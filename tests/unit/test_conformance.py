"""The conformance cases of the language: each pins one choice of its semantics."""

from __future__ import annotations

import asyncio

import pytest
from playbooks import playbook

from arcbook.blobs.memory import MemoryBlobs
from arcbook.dsl.kinds import Kind, KindTable
from arcbook.dsl.load import load_playbook
from arcbook.outcome import ErrorKind, Outcome, failed, ok
from arcbook.testing.clock import run_virtually
from arcbook.testing.local import bench, play, run_on


def http_500(_call):
    outcome = failed(
        ErrorKind.SERVER_ERROR, "HTTP 500", code="HTTP_500", retryable=True, http_status=500
    )
    return Outcome(status="error", error=outcome.error, http={"status": 500}, data={"body": "no"})


def in_turn(*outcomes):
    """Answer calls with outcomes in turn; the last one stays."""
    left = list(outcomes)

    def answer(_call):
        return left.pop(0) if len(left) > 1 else left[0]

    return answer


def echo(call):
    return {**call.config, **call.input}


CALL = "tool: {kind: web}"


def test_01_a_failing_call_without_policy_fails_step_and_playbook():
    ran = play(playbook(f"- step: start\n  {CALL}"), {"web": http_500})

    assert ran.status == "FAILED"
    assert ran.state.error.message == "step 'start' failed: HTTP 500"


def test_02_a_failure_that_a_rule_lets_pass_is_data_for_the_arcs():
    text = playbook("""
        - step: start
          tool:
            kind: web
            spec: {policy: {rules: [{when: "{{ output.status == 'error' }}", then: {do: continue}}]}}
          next:
            arcs:
            - {step: bad, when: "{{ output.status == 'error' and output.http.status == 500 }}"}
            - {step: good}
        - {step: bad, tool: {kind: noop}}
        - {step: good, tool: {kind: noop}}
        """)
    ran = play(text, {"web": http_500})

    assert ran.status == "COMPLETED"
    assert ran.steps == ["start", "bad"]


def test_03_retry_runs_attempts_times_in_all_with_growing_delays():
    text = playbook("""
        - step: start
          tool:
            kind: web
            spec:
              policy:
                rules:
                - when: "{{ output.error.retryable }}"
                  then: {do: retry, attempts: 3, backoff: exponential, delay: 1}
        """)
    ran = play(text, {"web": http_500})

    assert ran.status == "FAILED"
    assert len(ran.calls) == 3
    assert pytest.approx(ran.seconds, abs=0.05) == 3.0
    assert [call.attempt for call in ran.calls] == [1, 2, 3]
    assert len({call.idempotency_key for call in ran.calls}) == 1


JUMP = """
- step: start
  tool:
  - {name: first, kind: count}
  - name: second
    kind: count
    spec:
      policy:
        rules:
        - when: "{{ second.n < 6 }}"
          then: {do: jump, to: TARGET}
"""


@pytest.mark.parametrize("target", ["first", "previous"])
def test_04_jump_goes_to_a_label_or_to_the_task_before(target):
    numbers = iter(range(1, 100))
    ran = play(playbook(JUMP.replace("TARGET", target)), {"count": lambda _: {"n": next(numbers)}})

    assert ran.status == "COMPLETED"
    assert [call.label for call in ran.calls] == ["first", "second"] * 3
    assert len({call.idempotency_key for call in ran.calls}) == 6


def test_04_jump_to_no_task_is_refused():
    codes = [d.code for d in lint(playbook(JUMP.replace("TARGET", "nowhere"))).errors]

    assert codes == ["ARC207"]


def test_05_break_keeps_results_and_succeeds():
    text = playbook("""
        - step: start
          tool:
          - {name: one, kind: echo, value: 1}
          - name: two
            kind: echo
            value: 2
            spec: {policy: {rules: [{else: {then: {do: break}}}]}}
          - {name: three, kind: echo, value: 3}
        """)
    ran = play(text, {"echo": echo})

    assert ran.status == "COMPLETED"
    assert list(ran.state.results["start"].tasks) == ["one", "two"]
    assert ran.state.result == {"one": {"value": 1}, "two": {"value": 2}, "value": 2}


def test_06_the_policy_of_a_single_tool_is_that_of_a_pipeline_of_one():
    rules = "spec: {policy: {rules: [{when: \"{{ output.status == 'error' }}\", then: {do: continue}}]}}"
    single = playbook(f"- step: start\n  tool:\n    kind: web\n    {rules}")
    listed = playbook(f"- step: start\n  tool:\n  - name: start_task\n    kind: web\n    {rules}")

    runs = [play(text, {"web": http_500}) for text in (single, listed)]

    assert [ran.status for ran in runs] == ["COMPLETED", "COMPLETED"]
    assert runs[0].state.results == runs[1].state.results


def test_07_a_tool_that_raises_is_an_outcome_for_the_rules():
    def broken(_call):
        raise ValueError("constraint violated")

    text = playbook("""
        - step: start
          tool:
            kind: sql
            spec:
              policy:
                rules:
                - when: "{{ output.status == 'error' }}"
                  then: {do: continue, set: {ctx.why: "{{ output.error.message }}"}}
        """)
    ran = play(text, {"sql": broken})

    assert ran.status == "COMPLETED"
    assert "constraint violated" in ran.state.ctx["why"]


def test_08_only_an_arc_that_mentions_the_error_catches_it():
    text = playbook("""
        - step: start
          tool: {kind: web}
          next:
            arcs:
            - {step: plain}
            - {step: rescue, when: "{{ event.name == 'call.error' }}"}
        - {step: plain, tool: {kind: noop}}
        - {step: rescue, tool: {kind: noop, result: "{{ start.error.code }}"}}
        """)
    ran = play(text, {"web": http_500})

    assert ran.status == "COMPLETED"
    assert ran.steps == ["start", "rescue"]
    assert ran.state.result == "HTTP_500"
    assert ran.events[-1].event.recovered == ["start"]


DIAMOND = """
- step: start
  tool: {kind: noop}
  next:
    spec: {mode: MODE}
    arcs: [{step: left, when: "{{ workload.left }}"}, {step: right, when: "{{ workload.right }}"}]
- {step: left, tool: {kind: slow}, next: {arcs: [{step: after}]}}
- {step: after, tool: {kind: noop}, next: {arcs: [{step: join}]}}
- {step: right, tool: {kind: noop}, next: {arcs: [{step: join}]}}
- {step: join, tool: {kind: noop}}
"""


async def slow(_call):
    await asyncio.sleep(5)
    return {}


def diamond(mode, left, right):
    text = playbook(DIAMOND.replace("MODE", mode), f"workload: {{left: {left}, right: {right}}}\n")
    return play(text, {"slow": slow})


def test_09_a_join_after_an_inclusive_split_fires_once_for_all_branches():
    ran = diamond("inclusive", "true", "true")

    assert ran.steps == ["start", "left", "right", "after", "join"]
    joined = next(
        e.event for e in ran.events if e.event.type == "step.enter" and e.event.step == "join"
    )
    assert joined.came_from == ["right", "after"]


def test_10_a_merge_of_alternatives_fires_once_and_what_is_out_of_reach_is_skipped():
    ran = diamond("exclusive", "false", "true")

    assert ran.status == "COMPLETED"
    assert ran.steps == ["start", "right", "join"]
    assert ran.state.skipped == ["left", "after"]


def test_11_a_step_that_one_branch_reaches_later_waits_for_it():
    text = playbook("""
        - step: start
          tool: {kind: noop}
          next: {spec: {mode: inclusive}, arcs: [{step: a}, {step: c}]}
        - {step: a, tool: {kind: slow}, next: {arcs: [{step: b}]}}
        - {step: b, tool: {kind: noop}, next: {arcs: [{step: c}]}}
        - {step: c, tool: {kind: noop}}
        """)
    ran = play(text, {"slow": slow})

    assert ran.steps == ["start", "a", "b", "c"]


def test_11_a_join_that_started_early_absorbs_an_arrival_from_the_only_step_left():
    text = playbook("""
        - step: start
          tool: {kind: noop}
          next: {spec: {mode: inclusive}, arcs: [{step: late}, {step: join}]}
        - {step: late, tool: {kind: slow}, next: {arcs: [{step: join}]}}
        - {step: join, spec: {join: 1}, tool: {kind: noop}}
        """)
    ran = play(text, {"slow": slow})

    assert ran.status == "COMPLETED"
    assert sorted(ran.steps) == ["join", "late", "start"]


def test_12_a_step_may_route_to_itself_until_its_guard_is_false():
    text = playbook(
        """
        - step: start
          tool: {kind: noop, result: "{{ ctx.page | default(0) }}"}
          set: {ctx.page: "{{ (ctx.page | default(0)) + 1 }}"}
          next: {arcs: [{step: start, when: "{{ ctx.page < 3 }}"}, {step: end}]}
        - {step: end, tool: {kind: noop, result: "{{ ctx.page }}"}}
        """
    )
    ran = play(text)

    assert ran.steps == ["start"] * 3 + ["end"]
    assert ran.state.result == 3


def test_13_a_cycle_of_two_steps_sees_the_results_of_the_latest_visit():
    numbers = iter(range(1, 10))
    text = playbook("""
        - {step: start, tool: {kind: count}, next: {arcs: [{step: check}]}}
        - step: check
          tool: {kind: noop, result: "{{ start.n }}"}
          next: {arcs: [{step: start, when: "{{ start.n < 3 }}"}, {step: end}]}
        - {step: end, tool: {kind: noop, result: "{{ check }}"}}
        """)
    ran = play(text, {"count": lambda _: {"n": next(numbers)}})

    assert ran.state.result == 3
    assert ran.state.visits == {"start": 3, "check": 3, "end": 1}


LOOP = """
- step: start
  loop:
    in: ITEMS
    iterator: item
    spec: SPEC
  tool: {kind: work, item: "{{ item }}"}
  next: {arcs: [{step: end, when: "{{ event.name == 'loop.done' }}"}]}
- {step: end, tool: {kind: noop, result: "{{ start.results }}"}}
"""


def loop(items, spec, work, head=""):
    return play(playbook(LOOP.replace("ITEMS", items).replace("SPEC", spec), head), {"work": work})


def test_14_an_empty_loop_completes_at_once():
    ran = loop("[]", "{mode: parallel}", echo)

    assert ran.status == "COMPLETED"
    assert ran.state.result == []
    assert ran.seconds == 0.0


def test_15_a_loop_over_nothing_fails_with_the_name_of_its_step():
    ran = loop('"{{ workload.absent }}"', "{mode: sequential}", echo)

    assert ran.status == "FAILED"
    assert "'start'" in ran.state.error.message
    assert "must yield a list, not nothing" in ran.state.error.message


def test_16_max_in_flight_holds_and_results_come_in_order_of_index():
    busy = {"now": 0, "most": 0}

    async def work(call):
        busy["now"] += 1
        busy["most"] = max(busy["most"], busy["now"])
        await asyncio.sleep(10 - call.config["item"])
        busy["now"] -= 1
        return {"item": call.config["item"]}

    ran = loop(str(list(range(8))), "{mode: parallel, max_in_flight: 3}", work)

    assert busy["most"] == 3
    assert [{"item": i} for i in range(8)] == ran.state.result


def test_17_a_sequential_loop_keeps_order_and_ends_at_a_failed_iteration():
    seen = []

    def work(call):
        seen.append(call.config["item"])
        return failed(ErrorKind.UNKNOWN, "bad item") if call.config["item"] == 3 else ok({})

    ran = loop("[1, 2, 3, 4]", "{mode: sequential}", work)

    assert ran.status == "FAILED"
    assert seen == [1, 2, 3]
    assert "iteration 2 failed: bad item" in ran.state.error.message


def test_17_a_loop_may_go_on_past_failures_and_counts_them():
    def work(call):
        return failed(ErrorKind.UNKNOWN, "bad item") if call.config["item"] == 2 else {"ok": 1}

    ran = loop("[1, 2, 3]", "{mode: sequential, on_error: continue}", work)

    assert ran.status == "COMPLETED"
    result = ran.state.results["start"]
    assert (result.total, result.success, result.failed) == (3, 2, 1)


CURSOR = """
- step: start
  loop:
    cursor: {kind: queue, claim: "take {{ __frame_max_rows }}"}
    iterator: row
    spec: {mode: cursor, max_in_flight: FRAMES, frame: {max_rows: 2}}
  tool: {kind: work, id: "{{ iter.row.id }}"}
  next: {arcs: [{step: end, when: "{{ event.name == 'loop.done' }}"}]}
- {step: end, tool: {kind: noop, result: "{{ start.stats.total }}"}}
"""


@pytest.mark.parametrize(("rows", "frames"), [(0, 1), (4, 1), (7, 3)])
def test_18_a_cursor_drains_its_rows_each_once(rows, frames):
    left = [{"id": i} for i in range(rows)]
    done = []

    def claim(call):
        count = int(call.config["command"].removeprefix("take "))
        taken, left[:] = left[:count], left[count:]
        return {"rows": taken, "row_count": len(taken)}

    def work(call):
        done.append(call.config["id"])
        return {}

    ran = play(playbook(CURSOR.replace("FRAMES", str(frames))), {"queue": claim, "work": work})

    assert ran.status == "COMPLETED"
    assert list(range(rows)) == sorted(done)
    assert rows == ran.state.result


def test_19_a_lone_expression_keeps_its_type_and_text_stays_text():
    text = playbook(
        """
        - step: start
          tool:
            kind: echo
            list: "{{ values.list }}"
            map: "{{ values.map }}"
            int: "{{ values.int }}"
            bool: "{{ values.int > 1 }}"
            none: "{{ values.none }}"
            text: "007"
            mixed: "{{ values.int }}!"
        """,
        "workload: {values: {list: [1, {a: b}], map: {x: 1}, int: 7, none: null}}\n",
    )
    ran = play(text, {"echo": echo})

    expected = {"list": [1, {"a": "b"}], "map": {"x": 1}, "int": 7, "bool": True, "none": None}
    assert {**expected, "text": "007", "mixed": "7!"} == ran.state.result


def test_20_default_replaces_what_is_undefined_and_what_is_null():
    text = playbook(
        """
        - step: start
          tool: {kind: echo, a: "{{ nothing | default(1) }}", b: "{{ null_value | default(2) }}"}
        """,
        "workload: {null_value: null}\n",
    )
    ran = play(text, {"echo": echo})

    assert ran.state.result == {"a": 1, "b": 2}


def test_22_a_result_over_budget_is_a_reference_that_answers_truly():
    text = playbook("""
        - step: start
          tool: {kind: big}
          next: {arcs: [{step: end, when: "{{ start.rows | length == 2000 and start.count == 2000 }}"}]}
        - step: end
          tool:
            kind: echo
            has_ref: "{{ start._ref is defined }}"
            count: "{{ start.count }}"
            length: "{{ start.rows | length }}"
            last: "{{ start.rows[1999].id }}"
        """)
    rows = [{"id": i, "text": "x" * 100} for i in range(2000)]
    ran = play(text, {"big": lambda _: {"rows": rows, "count": 2000}, "echo": echo})

    assert ran.state.result == {"has_ref": True, "count": 2000, "length": 2000, "last": 1999}
    assert max(len(row.body) for row in ran.bench.store.log[ran.state.execution_id]) < 10_000


def test_23_what_a_step_sets_survives_a_restart():
    text = playbook("""
        - step: start
          tool: {kind: noop}
          set: {ctx.kept: {deep: "{{ 1 + 1 }}"}}
          next: {arcs: [{step: wait}]}
        - {step: wait, tool: {kind: hang}, next: {arcs: [{step: end}]}}
        - {step: end, tool: {kind: noop, result: "{{ ctx.kept.deep }}"}}
        """)

    async def work():
        async with bench({"hang": lambda _: asyncio.sleep(1000)}) as first:
            planned = await first.register(text)
            execution_id = await first.runtime.start(planned, {})
            await asyncio.sleep(1)
        async with bench({"hang": lambda _: {}}, store=first.store) as second:
            return await (await second.runtime.resume(execution_id))

    assert run_virtually(work()).result == 2


def test_24_what_an_arc_sets_is_seen_two_steps_later():
    text = playbook("""
        - {step: start, tool: {kind: noop}, next: {arcs: [{step: mid, set: {ctx.x: 7, y: "{{ 8 }}"}}]}}
        - {step: mid, tool: {kind: noop}, next: {arcs: [{step: end}]}}
        - {step: end, tool: {kind: noop, result: ["{{ ctx.x }}", "{{ x }}", "{{ ctx.y }}"]}}
        """)

    assert play(text).state.result == [7, 7, 8]


def test_25_variables_that_parallel_iterations_write_take_the_last_completion():
    async def work(call):
        await asyncio.sleep({1: 3, 2: 1, 3: 2}[call.config["item"]])
        return {"item": call.config["item"]}

    text = playbook("""
        - step: start
          loop: {in: [1, 2, 3], iterator: item, spec: {mode: parallel}}
          tool:
          - name: work
            kind: work
            item: "{{ item }}"
            set: {ctx.last: "{{ output.item }}"}
          next: {arcs: [{step: end}]}
        - {step: end, tool: {kind: noop, result: "{{ ctx.last }}"}}
        """)

    assert play(text, {"work": work}).state.result == 1


def test_26_a_step_s_input_wins_over_that_of_its_workbook_entry():
    text = playbook(
        """
        - step: start
          tool: {kind: workbook, name: add, input: {a: 10}}
        """,
        """
        workbook:
        - {name: add, tool: {kind: echo, input: {a: 1, b: 2}}}
        """,
    )
    ran = play(text, {"echo": echo})

    assert ran.state.result == {"a": 10, "b": 2}


PARENT = """
- step: start
  tool: {kind: playbook, path: tests/child, return_step: end, TIMEOUT input: {n: 4}}
"""


def test_27_a_child_s_result_is_its_caller_s():
    child = playbook(
        '- {step: end, tool: {kind: noop, result: {m: "{{ n + 1 }}"}}}', path="tests/child"
    )
    ran = play(playbook(PARENT.replace("TIMEOUT", "")), others=[child])

    assert ran.status == "COMPLETED"
    assert ran.state.result["m"] == 5
    assert ran.state.result["result"] == {"m": 5}
    assert ran.state.result["status"] == "COMPLETED"


def test_27_a_child_s_failure_is_its_caller_s():
    child = playbook(f"- step: start\n  {CALL}", path="tests/child")
    ran = play(playbook(PARENT.replace("TIMEOUT", "")), {"web": http_500}, others=[child])

    assert ran.status == "FAILED"
    assert ran.state.error.kind == ErrorKind.CHILD_FAILED
    assert "HTTP 500" in ran.state.error.message


def test_27_a_child_that_takes_too_long_is_cancelled():
    child = playbook("- {step: start, tool: {kind: hang}}", path="tests/child")

    async def work():
        async with bench({"hang": lambda _: asyncio.sleep(1000)}) as made:
            await made.register(child)
            ran = await run_on(made, playbook(PARENT.replace("TIMEOUT", "timeout: 3,")))
            await asyncio.sleep(1)
            return ran, [row.status for row in made.store.rows.values()]

    ran, statuses = run_virtually(work())
    assert ran.state.error.kind == ErrorKind.TIMEOUT
    assert sorted(statuses) == ["CANCELLED", "FAILED"]


@pytest.mark.parametrize(
    ("on_no_match", "expected"),
    [("complete", "COMPLETED"), ("quiet", "COMPLETED"), ("error", "FAILED")],
)
def test_28_no_matching_arc_completes_or_is_an_error(on_no_match, expected):
    text = playbook(f"""
        - step: start
          tool: {{kind: noop}}
          next: {{spec: {{on_no_match: {on_no_match}}}, arcs: [{{step: end, when: "{{{{ false }}}}"}}]}}
        - {{step: end, tool: {{kind: noop}}}}
        """)

    assert expected == play(text).status


def lint(text):
    kinds = ("noop", "count", "web")
    return load_playbook(text, KindTable({k: Kind(name=k, open=True) for k in kinds}))


def test_29_a_step_without_a_tool_routes_and_a_warning_names_it():
    text = playbook("- {step: start, next: {arcs: [{step: end}]}}\n- {step: end}")

    assert [d.code for d in lint(text).diagnostics] == ["ARC106", "ARC106"]
    assert lint(text).diagnostics[0].message == "step 'start' has no tool: it only routes"
    assert play(text).status == "COMPLETED"


def test_a_step_that_only_routes_does_not_hide_the_result_of_the_work():
    text = playbook("""
        - {step: start, next: [{step: first}]}
        - {step: first, tool: {kind: count}, next: [{step: second}]}
        - step: second
          tool: {kind: count}
          next: [{step: first, when: "{{ second.n < 5 }}"}, {step: end}]
        - {step: end}
        """)
    numbers = iter(range(1, 100))
    ran = play(text, {"count": lambda _: {"n": next(numbers)}})

    assert ran.status == "COMPLETED"
    assert ran.state.result == {"n": 6}
    assert list(ran.state.results) == ["start", "first", "second", "end"]


def test_input_is_what_the_request_brought_and_what_step_and_task_are_given():
    text = playbook("""
        - step: start
          input: {of_step: 1}
          tool:
            kind: echo
            input: {of_task: "{{ input.of_step + 1 }}"}
            sum: "{{ input.brought }} {{ input.of_step }} {{ input.of_task }}"
        """)
    ran = play(text, {"echo": echo}, payload={"brought": 0})

    assert ran.state.result["sum"] == "0 1 2"


def test_a_playbook_of_routing_steps_alone_has_their_result():
    ran = play(playbook("- {step: start, next: [{step: end}]}\n- {step: end}"))

    assert ran.state.result is None


@pytest.mark.parametrize(
    "guard", ["start.status == 200", "start.status == 'ok'", "output.status == 200"]
)
def test_the_status_of_an_http_call_equals_its_number_too(guard):
    text = playbook(f"""
        - step: start
          tool: {{kind: web}}
          next: {{arcs: [{{step: good, when: "{{{{ {guard} }}}}"}}, {{step: bad}}]}}
        - {{step: good, tool: {{kind: noop}}}}
        - {{step: bad, tool: {{kind: noop}}}}
        """)
    ran = play(text, {"web": lambda _: Outcome(status="ok", data={}, http={"status": 200})})

    assert ran.steps == ["start", "good"]


def test_30_duplicates_and_unknown_targets_are_refused_together():
    loaded = lint(
        playbook("""
        - step: start
          tool: [{name: a, kind: noop}, {name: a, kind: noop}]
          next: {arcs: [{step: nowhere}]}
        - {step: start, tool: {kind: noop}}
        """)
    )

    assert {"ARC201", "ARC203", "ARC206"} == {d.code for d in loaded.errors}


def test_a_call_does_not_go_out_without_the_credential_that_it_names():
    text = playbook("""
        - {step: start, tool: {kind: noop, auth: "{{ workload.nowhere }}"}}
        """)
    ran = play(text)

    assert ran.status == "FAILED"
    assert "'auth' has no value" in ran.state.error.message


def test_a_result_that_is_gone_fails_the_step_that_reads_it_and_its_rules_may_catch_that():
    text = playbook("""
        - step: start
          tool: {kind: big}
          next: {arcs: [{step: read}]}
        - step: read
          tool:
            kind: noop
            result: "{{ start.rows[0] }}"
            spec: {policy: {rules: [{when: "{{ output.status == 'error' }}", then: {do: continue}}]}}
          next: {arcs: [{step: bare}]}
        - {step: bare, tool: {kind: noop}, set: {ctx.x: "{{ start.rows[0] }}"}}
        """)
    ran = play(text, {"big": lambda _: {"rows": ["x" * 200_000]}}, blobs=ForgetfulBlobs())

    assert ran.status == "FAILED"
    assert "is gone" in ran.state.results["read"].error.message
    assert ran.steps == ["start", "read", "bare"]
    assert "is gone" in ran.state.error.message


class ForgetfulBlobs(MemoryBlobs):
    """A blob store that loses what it is given."""

    async def put(self, key, data):
        pass
