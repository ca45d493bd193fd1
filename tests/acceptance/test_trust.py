"""Documents that ran green and were wrong: each is refused, or says so."""

from __future__ import annotations

import pytest

from acceptance.terminal import Terminal

HEAD = "apiVersion: noetl.io/v2\nkind: Playbook\nmetadata: {name: n}\n"

NEXXT = """workflow:
- step: start
  tool: {kind: noop}
  nexxt: {arcs: [{step: load}]}
- step: load
  tool: {kind: noop}
"""


def book(text: str) -> str:
    return HEAD + text


def step(text: str, tool: str = "{kind: python, code: result = 1}") -> str:
    return book(f"workflow:\n- step: start\n  tool: {tool}\n  {text}\n")


class TestKeysThatAskForSomething:
    @pytest.mark.parametrize(
        ("document", "place", "repair"),
        [
            (book(NEXXT), "n.yaml:7:3", "did you mean 'next'?"),
            (step("retrys: 3"), "n.yaml:7:3", "retry"),
            (step("if: '{{ false }}'"), "n.yaml:7:3", "write 'when:"),
            (step("timeout: 1"), "n.yaml:7:3", "spec: {timeout: 30}"),
            (step("inptu: {a: 1}"), "n.yaml:7:3", "did you mean 'input'?"),
            (step("foreach: [1, 2]"), "n.yaml:7:3", "write 'loop:"),
            (step("depends_on: [load]"), "n.yaml:7:3", "write 'next:"),
            (step("secrets: {token: t}"), "n.yaml:7:3", "keychain"),
            (book("secrets: {token: t}\nworkflow:\n- step: start\n  tool: {kind: noop}\n"), "n.yaml:4:1", "keychain"),
            (step("desc: d", "{kind: python, code: result = 1, timout: 5}"), "n.yaml:6:42", "'timeout'"),
        ],
        ids=lambda v: v[-30:].strip() if isinstance(v, str) else None,
    )  # fmt: skip
    def test_one_refuses_the_document_with_the_right_spelling(
        self, arcbook: Terminal, document: str, place: str, repair: str
    ):
        ran = arcbook("run", arcbook.write("n.yaml", document))

        assert ran.code == 2
        assert place in ran.err
        assert repair in ran.err
        assert arcbook.executions() == []

    def test_the_command_line_lets_one_pass_with_a_warning(self, arcbook: Terminal):
        ran = arcbook("run", arcbook.write("n.yaml", book(NEXXT)), "--allow", "nexxt")

        assert ran.code == 0
        assert "ARC113 7:3: key 'nexxt' is not known here" in ran.err

    def test_a_comment_lets_one_pass(self, arcbook: Terminal):
        document = book(NEXXT).replace("metadata:", "# arcbook: allow nexxt\nmetadata:")

        assert arcbook("run", arcbook.write("n.yaml", document)).code == 0

    def test_one_that_was_let_pass_runs_from_the_catalog(self, arcbook: Terminal):
        arcbook("catalog", "register", arcbook.write("n.yaml", book(NEXXT)), "--allow", "nexxt")

        assert arcbook("run", "n").code == 0


class TestWarnings:
    def test_a_run_shows_them_in_groups_with_place_and_repair(self, arcbook: Terminal):
        steps = "".join(f"- step: s{n}\n" for n in range(5))
        ran = arcbook("run", arcbook.write("n.yaml", book(f"workflow:\n{steps}")))

        assert ran.code == 0
        assert ran.err.count("ARC106 ") == 4
        assert "ARC106 5:3: step 's0' has no tool" in ran.err
        assert "ARC106 at 2 more places: arcbook lint n.yaml" in ran.err
        assert "write 'tool: {kind: noop}' if that is meant" in ran.err

    def test_a_registration_shows_them(self, arcbook: Terminal):
        ran = arcbook(
            "catalog", "register", arcbook.write("n.yaml", book("workflow:\n- step: s\n"))
        )

        assert ran.code == 0
        assert "ARC106 5:3" in ran.err

    def test_only_the_outcome_is_printed_where_only_that_is_asked_for(self, arcbook: Terminal):
        ran = arcbook("run", arcbook.write("n.yaml", book("workflow:\n- step: s\n")), "--json")

        assert ran.err == ""


PRICES = book(
    """workload: {price: 1, limits: {rows: 5}}
workflow:
- step: start
  tool: {kind: python, code: "result = {'price': 3}"}
  set:
    ctx.a: "{{ workload.missing }}"
    ctx.b: "{{ start.data.prise }}"
    ctx.c: "at {{ scheduled_at }}"
  next:
    arcs:
    - step: cheap
      when: "{{ workload.prise < 3 }}"
    - step: end
- step: cheap
  tool: {kind: noop}
- step: end
  tool: {kind: noop}
"""
)


class TestNamesThatNothingBrings:
    def test_the_lint_finds_each_at_its_place(self, arcbook: Terminal):
        ran = arcbook("lint", arcbook.write("n.yaml", PRICES), "--format", "json")

        assert [(d["line"], d["column"], d["code"], d["hint"][:20]) for d in ran.json] == [
            (9, 12, "ARC309", "give it a default: '"),
            (10, 12, "ARC309", "did you mean 'price'"),
            (11, 12, "ARC306", "give it a default: '"),
            (15, 13, "ARC309", "did you mean 'price'"),
        ]

    @pytest.mark.parametrize("template", ["{{ nofunc(1) }}", "{{ 1 | nofilter }}"])
    def test_a_function_or_filter_that_is_not_there_refuses_the_document(
        self, arcbook: Terminal, template: str
    ):
        ran = arcbook("run", arcbook.write("n.yaml", step(f"set: {{ctx.a: '{template}'}}")))

        assert ran.code == 2
        assert "n.yaml:7:16: error[ARC301]" in ran.err

    def test_the_run_ends_with_what_had_no_value(self, arcbook: Terminal):
        ran = arcbook("run", arcbook.write("n.yaml", PRICES))

        assert ran.code == 0
        assert "4 warnings\n" in ran.err[ran.err.index("start  ") :]
        for name in ("workload.missing", "start.data.prise", "scheduled_at", "workload.prise"):
            assert f"steps.start: {name!r} has no value" in ran.err

    def test_what_had_no_value_is_in_the_outcome_as_json(self, arcbook: Terminal):
        outcome = arcbook("run", arcbook.write("n.yaml", PRICES), "--json").json

        assert "steps.start: 'workload.missing' has no value" in outcome["warnings"]

    def test_a_strict_run_refuses_the_document(self, arcbook: Terminal):
        ran = arcbook("run", arcbook.write("n.yaml", PRICES), "--strict")

        assert ran.code == 2
        assert arcbook.executions() == []

    @pytest.mark.parametrize(
        "part",
        [
            "set: {ctx.a: '{{ ctx.b[0] }}'}",
            'next: {arcs: [{step: start, when: "{{ workload.b.c == 1 }}"}]}',
            "input: {a: '{{ workload.b.c }}'}",
        ],
    )
    def test_a_strict_run_fails_where_a_name_has_no_value(self, arcbook: Terminal, part: str):
        text = step(part).replace("workflow:", "workload: {b: {d: 1}}\nworkflow:")
        text = text.replace("  set:", "  input: {x: 1}\n  set:").replace("b[0]", "a")

        ran = arcbook("run", arcbook.write("n.yaml", text), "--strict", "--json")

        assert ran.code == 1
        assert ran.json["error"]["kind"] == "template"
        assert "has no value, and the run is strict" in ran.json["error"]["message"]

    def test_a_name_with_a_default_is_no_warning(self, arcbook: Terminal):
        text = step("set: {ctx.a: '{{ workload.b | default(2) }}', ctx.c: '{{ d or 1 }}'}")

        ran = arcbook("run", arcbook.write("n.yaml", text.replace("workflow:", "workload: {a: 1}\nworkflow:")), "--strict")  # fmt: skip

        assert ran.code == 0

    def test_a_value_for_a_name_that_the_workload_lacks_is_refused(self, arcbook: Terminal):
        name = arcbook.write("n.yaml", PRICES.replace("prise", "price"))

        for given in (["--set", "prise=2"], ["--payload", '{"prise": 2}']):
            ran = arcbook("run", name, *given)
            assert ran.code == 2
            assert "the workload has no 'prise': did you mean 'price'?" in ran.err
        assert "no 'limits.rowz'" in arcbook("run", name, "--set", "limits.rowz=2").err
        assert arcbook("run", name, "--set", "prise=2", "--allow", "prise").code == 0

    def test_it_is_a_warning_where_no_workload_is_declared(self, arcbook: Terminal):
        ran = arcbook("run", arcbook.write("n.yaml", step("desc: d")), "--set", "prise=2")

        assert ran.code == 0
        assert "warning: the workload has no 'prise'" in ran.err


class TestPythonCode:
    def test_code_that_is_not_python_refuses_the_document_at_its_line(self, arcbook: Terminal):
        text = book(
            "workflow:\n- step: start\n  tool:\n    kind: python\n"
            "    code: |\n      a = 1\n      if a\n        b = 2\n"
        )

        ran = arcbook("run", arcbook.write("n.yaml", text))

        assert ran.code == 2
        assert "n.yaml:10:11: error[ARC310]: the code is not Python: expected ':'" in ran.err
        assert "   10 |       if a\n                  ^" in ran.err


LOOP = """workflow:
- step: start
  loop: {in: "{{ range(60) | list }}", iterator: n, spec: {mode: parallel, on_error: continue}}
  tool:
  - {name: first, kind: python, input: {n: "{{ n }}"}, code: "result = {'n': n, 'pad': 'x' * SIZE}"}
  - {name: second, kind: python, input: {n: "{{ n }}"}, code: "result = 1 // (n % 2)"}
output:
  failed: "{{ start.stats.failed }}"
  errors: "{{ start.errors | map(attribute='index') | list }}"
  marked: "{{ start.results | selectattr('__failed__') | map(attribute='error.exception') | list }}"
  ran: "{{ start.results | rejectattr('__failed__') | list | length }}"
"""


class TestLoops:
    @pytest.mark.parametrize("size", [1, 20_000], ids=["small", "by reference"])
    def test_a_summary_counts_every_error(self, arcbook: Terminal, size: int):
        text = book(LOOP.replace("SIZE", str(size)))

        result = arcbook("run", arcbook.write("n.yaml", text), "--json").json["result"]

        assert result == {
            "failed": 30,
            "errors": list(range(0, 60, 2)),
            "marked": ["ZeroDivisionError"] * 30,
            "ran": 30,
        }

    def test_where_errors_are_cut_it_says_so_beside_the_count(self, arcbook: Terminal):
        text = book(LOOP.replace("SIZE", "20000").partition("output:")[0])

        result = arcbook("run", arcbook.write("n.yaml", text), "--json").json["result"]

        assert result["stats"] == {"total": 60, "success": 30, "failed": 30}
        assert len(result["errors"]) < 30
        assert result["truncated"] is True

    def test_a_failed_item_keeps_what_its_tasks_left(self, arcbook: Terminal):
        text = book(LOOP.replace("SIZE", "1").partition("output:")[0] + 'output: "{{ start.results[0] }}"\n')  # fmt: skip

        result = arcbook("run", arcbook.write("n.yaml", text), "--json").json["result"]

        assert result["__failed__"] is True
        assert result["error"]["exception"] == "ZeroDivisionError"
        assert result["data"]["first"] == {"n": 0, "pad": "x"}


class TestNoop:
    @pytest.mark.parametrize(
        ("tool", "data"),
        [("input: {a: 1}", {"a": 1}), ("result: [2]", [2]), ("message: hi", {"status": "ok", "message": "hi"}), ("desc: d", None)],
    )  # fmt: skip
    def test_it_yields_what_its_page_says(self, arcbook: Terminal, tool: str, data: object):
        text = step("desc: d", f"{{kind: noop, {tool}}}")

        assert arcbook("run", arcbook.write("n.yaml", text), "--json").json["result"] == data


TALKING = """import logging, sys
print(f"printed {n}")
logging.warning("logged %s", n)
print(f"told {n}", file=sys.stderr)
result = n
"""


class TestWhatRunsSay:
    def test_iterations_keep_what_they_print_log_and_write_to_stderr(self, arcbook: Terminal):
        code = "".join(f"        {line}\n" for line in TALKING.splitlines())
        text = book(
            "workflow:\n- step: start\n  loop: {in: [7, 8], iterator: n}\n  tool:\n    kind: python\n"
            f"    input: {{n: '{{{{ n }}}}'}}\n    code: |\n{code}"
        )

        ran = arcbook("run", arcbook.write("n.yaml", text))

        for index, n in enumerate((7, 8)):
            for words in (f"printed {n}", f"WARNING:root:logged {n}", f"told {n}"):
                assert f"│ [{index}] {words}" in ran.err
        (one,) = arcbook.executions()
        assert "[1] told 8" in arcbook("executions", "show", one["execution_id"]).out

    @pytest.mark.parametrize("loop", ["", "loop: {in: [1], iterator: n}"])
    def test_each_try_leaves_its_outcome_and_its_pause(self, arcbook: Terminal, loop: str):
        text = step(loop, "{kind: python, code: 1/0, retry: {attempts: 3, delay: 0.01, backoff: linear}}")  # fmt: skip

        arcbook("run", arcbook.write("n.yaml", text))

        (one,) = arcbook.executions()
        shown = arcbook("executions", "show", one["execution_id"]).out
        where = "start_task of item 0" if loop else "start_task"
        assert (
            f"try 1 of {where}: unknown: ZeroDivisionError: division by zero; then 0.01 s" in shown
        )
        assert (
            f"try 2 of {where}: unknown: ZeroDivisionError: division by zero; then 0.02 s" in shown
        )
        assert "try 3" not in shown


class TestFailures:
    def test_one_names_file_line_and_column_of_its_task_with_the_line(self, arcbook: Terminal):
        text = step("desc: d", "{kind: shell, command: exit 3}")

        ran = arcbook("run", arcbook.write("n.yaml", text))

        assert (
            "  at n.yaml:6:9\n    6 |   tool: {kind: shell, command: exit 3}\n                ^"
            in ran.err
        )
        (one,) = arcbook.executions()
        assert "  at n:6:9\n" in arcbook("executions", "show", one["execution_id"]).out
        assert arcbook("run", "n.yaml", "--json").json["error"]["line"] == 6

    def test_one_of_code_names_the_line_of_the_code(self, arcbook: Terminal):
        text = book(
            "workflow:\n- step: start\n  tool:\n    kind: python\n"
            "    code: |\n      a = 0\n      def f():\n        return 1 / a\n      f()\n"
        )

        ran = arcbook("run", arcbook.write("n.yaml", text))

        assert "  at n.yaml:11:9\n   11 |         return 1 / a\n" in ran.err

    def test_one_of_a_guard_names_the_router(self, arcbook: Terminal):
        text = step("next: {arcs: [{step: start, when: '{{ 1 / 0 > 1 }}'}]}")

        assert "  at n.yaml:7:9\n" in arcbook("run", arcbook.write("n.yaml", text)).err
