"""Each verb of the command line, on one home in which something ran."""

from __future__ import annotations

import json
from typing import Any

import pytest

from acceptance.terminal import Terminal

WEATHER = """
apiVersion: noetl.io/v2
kind: Playbook
metadata: {name: weather, path: reports/weather}
workload: {city: Paris, limits: {rows: 3, days: 7}}
workflow:
  - step: start
    desc: Where
    tool: {kind: python, code: "print('looking'); result = {'city': c}", input: {c: "{{ workload.city }}"}}
    next:
      spec: {mode: exclusive}
      arcs:
        - {step: measure, when: "{{ start.city != 'Nowhere' }}"}
        - {step: end}
  - step: measure
    loop: {in: "{{ range(workload.limits.rows) | list }}", iterator: day, spec: {mode: sequential}}
    tool: {kind: python, code: "result = {'day': day}", input: {day: "{{ iter.day }}"}}
    next: {arcs: [{step: end}]}
  - step: end
    tool:
      kind: python
      input: {city: "{{ start.city }}", limits: "{{ workload.limits }}"}
      code: "result = {'city': city, 'limits': limits}"
"""

BROKEN = """
apiVersion: noetl.io/v2
kind: Playbook
metadata: {name: broken, path: reports/broken}
workload: {divisor: 0}
workflow:
  - step: start
    tool: {kind: noop}
    next: {arcs: [{step: divide}]}
  - step: divide
    tool:
      kind: python
      input: {by: "{{ workload.divisor }}"}
      code: |
        def halve(number):
            return number / by

        result = halve(10)
"""


class Home:
    """A home with one completed and one failed execution."""

    def __init__(self, terminal: Terminal) -> None:
        self.terminal = terminal
        self.weather_file = terminal.write("weather.yaml", WEATHER)
        self.broken_file = terminal.write("broken.yaml", BROKEN)
        self.first = terminal("run", self.weather_file)
        self.failure = terminal("run", self.broken_file)
        broken, weather = terminal.executions()
        self.weather = weather["execution_id"]
        self.broken = broken["execution_id"]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    return Home(Terminal(tmp_path_factory.mktemp("verbs"), forks=True))


@pytest.fixture(scope="module")
def arcbook(home: Home) -> Terminal:
    return home.terminal


# -- run --------------------------------------------------------------------------------


def test_a_run_prints_its_result_to_stdout_and_its_steps_to_stderr(home: Home) -> None:
    ran = home.first

    assert ran.code == 0
    assert ran.json == {"city": "Paris", "limits": {"rows": 3, "days": 7}}
    assert [line.split()[1] for line in ran.err.splitlines() if line.startswith("✓")] == [
        "start", "measure", "end",
    ]  # fmt: skip
    assert "3 of 3 items" in ran.err
    assert "looking" in ran.err
    assert "COMPLETED" in ran.err.splitlines()[-1]


def test_a_failure_names_its_step_its_cause_and_its_place_and_exits_with_1(home: Home) -> None:
    ran = home.failure

    assert ran.code == 1
    assert ran.out == ""
    assert "✗  divide" in ran.err
    assert "ZeroDivisionError: division by zero" in ran.err
    assert "in steps.divide.tool" in ran.err
    assert 'File "<playbook>", line 2, in halve' in ran.err
    assert "FAILED" in ran.err.splitlines()[-1]


def test_json_prints_one_outcome_and_nothing_else(arcbook: Terminal) -> None:
    ran = arcbook("run", "weather.yaml", "--json")

    assert ran.code == 0
    assert ran.err == ""
    assert ran.json["status"] == "COMPLETED"
    assert ran.json["path"] == "reports/weather"
    assert ran.json["result"]["city"] == "Paris"
    assert ran.json["error"] is None


def test_json_of_a_failure_says_what_failed(arcbook: Terminal) -> None:
    ran = arcbook("run", "broken.yaml", "--json")

    assert ran.code == 1
    assert ran.json["status"] == "FAILED"
    assert ran.json["failed_steps"] == ["divide"]
    assert "division by zero" in ran.json["error"]["message"]
    assert ran.json["error"]["code"] == "PY_ZeroDivisionError"


def test_quiet_prints_only_the_result(arcbook: Terminal) -> None:
    ran = arcbook("run", "weather.yaml", "--quiet")

    assert ran.json["city"] == "Paris"
    assert ran.err == ""


def test_set_replaces_one_value_deep_in_the_workload_and_keeps_its_neighbours(
    arcbook: Terminal,
) -> None:
    ran = arcbook("run", "weather.yaml", "--quiet", "--set", "city=Rome", "--set", "limits.rows=1")

    assert ran.json == {"city": "Rome", "limits": {"rows": 1, "days": 7}}


def test_set_comes_over_the_payload(arcbook: Terminal) -> None:
    payload = json.dumps({"city": "Oslo", "limits": {"rows": 1}})
    ran = arcbook("run", "weather.yaml", "--quiet", "--payload", payload, "--set", "city=Bergen")

    assert ran.json["city"] == "Bergen"
    assert ran.json["limits"]["rows"] == 1


def test_a_payload_may_come_from_a_file(arcbook: Terminal) -> None:
    arcbook.write("request.json", '{"city": "Kyōto"}')
    ran = arcbook("run", "weather.yaml", "--quiet", "--payload", "@request.json")

    assert ran.json["city"] == "Kyōto"


def test_a_run_may_begin_at_a_target(arcbook: Terminal) -> None:
    ran = arcbook("run", "weather.yaml", "--target", "measure")

    assert ran.code == 0
    assert "✓  start" not in ran.err
    assert "✓  measure" in ran.err


@pytest.mark.parametrize("path", ["reports/weather", "/reports/weather", "reports//weather/"])
def test_a_playbook_that_ran_once_runs_again_by_its_path(arcbook: Terminal, path: str) -> None:
    ran = arcbook("run", path, "--quiet", "--set", "city=Rome")

    assert ran.json["city"] == "Rome"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["run", "gone.yaml"], "there is no file gone.yaml"),
        (["run", "reports/gone"], "there is no playbook 'reports/gone'"),
        (["run", "."], "is a folder"),
        (["run", "weather.yaml", "--target", "gone"], "no step 'gone'"),
        (["run", "weather.yaml", "--payload", "{"], "--payload is not JSON"),
        (["run", "weather.yaml", "--payload", "[1]"], "must be a JSON object"),
        (["run", "weather.yaml", "--payload", "@gone.json"], "there is no file gone.json"),
        (["run", "weather.yaml", "--set", "city"], "--set takes name=value"),
        (["run", "weather.yaml", "--set", "=x"], "--set takes name=value"),
        (["run", "weather.yaml", "--frob"], "--frob"),
        (["run"], "FILE|PATH"),
        (["runn", "weather.yaml"], "Did you mean 'run'"),
        (["executions", "show", "frob"], "is not an execution id"),
        (["executions", "show", "5"], "there is no execution 5"),
        (["executions", "show", "9" * 30], "is not an execution id"),
        (["executions", "list", "--status", "frob"], "frob"),
        (["events", "5"], "there is no execution 5"),
        (["result", "5"], "there is no execution 5"),
        (["result", "noetl://frob"], "is not a reference"),
        (["cancel", "5"], "there is no execution 5"),
        (["resume", "5"], "there is no execution 5"),
        (["retry-from", "5", "start"], "there is no execution 5"),
        (["graph", "gone.yaml"], "there is no file gone.yaml"),
        (["lint", "gone.yaml"], "there is no file gone.yaml"),
        (["credential", "rm", "gone"], "there is no credential 'gone'"),
        (["credential", "add", "x", "--type", "frob", "--set", "a=b"], "'frob' is not known"),
        (["credential", "add", "x", "--type", "bearer", "--set", "token"], "field=value"),
        (["credential", "add", "x", "--type", "bearer"], "--set field=value"),
        (["completion", "frob"], "frob"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_bad_input_is_a_sentence_and_exit_code_2(
    arcbook: Terminal, arguments: list[str], said: str
) -> None:
    ran = arcbook(*arguments)

    assert ran.code == 2
    assert ran.out == ""
    assert said in ran.err


# -- looking at executions --------------------------------------------------------------


def test_the_list_shows_each_execution_with_its_status_and_cause(home: Home) -> None:
    ran = home.terminal("executions", "list", "--limit", "100")
    rows = {line.split()[0]: line for line in ran.out.splitlines()}

    assert "COMPLETED" in rows[home.weather]
    assert "reports/weather" in rows[home.weather]
    assert "FAILED" in rows[home.broken]
    assert "division by zero" in rows[home.broken]


def test_the_list_can_be_narrowed_and_read_in_pages(home: Home) -> None:
    failed = home.terminal("executions", "list", "--status", "failed", "--json").json
    older = home.terminal("executions", "list", "--before", home.broken, "--json").json

    assert {row["path"] for row in failed} == {"reports/broken"}
    assert [row["execution_id"] for row in older] == [home.weather]


def test_show_tells_the_steps_the_failure_and_where_it_was(home: Home) -> None:
    ran = home.terminal("executions", "show", home.broken)

    assert ran.code == 0
    assert "reports/broken version 1  FAILED" in ran.out
    assert "✓  start" in ran.out
    assert "✗  divide" in ran.out
    assert "ZeroDivisionError: division by zero" in ran.out


def test_events_are_told_in_order_as_lines_and_as_json(home: Home) -> None:
    lines = home.terminal("events", home.weather).out.splitlines()
    events = home.terminal.events(home.weather)

    assert len(lines) == len(events)
    assert [event["seq"] for event in events] == sorted(event["seq"] for event in events)
    assert events[0]["type"] == "playbook.started"
    assert events[-1]["type"] == "playbook.completed"


def test_events_may_begin_after_a_number(home: Home) -> None:
    last = home.terminal.events(home.weather)[-1]
    ran = home.terminal("events", home.weather, "--json", "--after", last["seq"] - 1)

    assert [json.loads(line)["seq"] for line in ran.out.splitlines()] == [last["seq"]]


def test_the_result_of_an_execution_and_of_each_step_can_be_printed(home: Home) -> None:
    whole = home.terminal("result", home.weather).json
    start = home.terminal("result", home.weather, "start").json
    gone = home.terminal("result", home.weather, "gone")

    assert whole["city"] == "Paris"
    assert start["city"] == "Paris"
    assert gone.code == 2
    assert "start, measure, end" in gone.err


def test_cancelling_what_has_ended_changes_nothing(home: Home) -> None:
    ran = home.terminal("cancel", home.weather)

    assert ran.code == 1
    assert "has already ended: COMPLETED" in ran.out
    assert home.terminal.executions()[-1]["status"] == "COMPLETED"


def test_resuming_when_nothing_was_cut_off_says_so(arcbook: Terminal) -> None:
    ran = arcbook("resume")

    assert (ran.code, ran.out) == (0, "there is nothing to resume\n")


def test_retry_from_runs_the_step_again_with_the_results_before_it(home: Home) -> None:
    ran = home.terminal("retry-from", home.weather, "end")
    never = home.terminal("retry-from", home.weather, "gone")

    assert ran.code == 0
    assert ran.json == {"city": "Paris", "limits": {"rows": 3, "days": 7}}
    assert "start" not in ran.err
    assert never.code == 2
    assert "never entered step 'gone'" in never.err


def test_retry_from_may_use_a_repaired_playbook(home: Home) -> None:
    home.terminal.write("repaired.yaml", BROKEN.replace("number / by", "number / 2"))
    home.terminal("catalog", "register", "repaired.yaml")
    again = home.terminal("retry-from", home.broken, "divide")
    latest = home.terminal("retry-from", home.broken, "divide", "--latest")

    assert again.code == 1
    assert latest.code == 0
    assert latest.json == 5


# -- looking at playbooks ---------------------------------------------------------------


def test_a_graph_is_drawn_as_mermaid_and_as_dot(arcbook: Terminal) -> None:
    mermaid = arcbook("graph", "weather.yaml").out
    dot = arcbook("graph", "weather.yaml", "--format", "dot").out

    assert mermaid.startswith("flowchart TD\n")
    assert "s0 -->|\"start.city != 'Nowhere'\"| s1" in mermaid
    assert "s1 --> s2" in mermaid
    assert dot.startswith('digraph "weather" {')
    assert '"start" -> "measure" [label="start.city != \'Nowhere\'"];' in dot
    assert dot.rstrip().endswith("}")


WRONG = """\
apiVersion: noetl.io/v2
kind: Playbook
metadata: {name: wrong}
workflow:
  - step: start
    tool: {kind: pyhton, code: "result = 1"}
    next: {arcs: [{step: gone}]}
"""

ODD = """\
apiVersion: noetl.io/v2
kind: Playbook
metadata: {name: odd}
workflow:
  - step: start
    frobnicate: true
    tool: {kind: noop}
"""


def test_lint_points_at_each_problem_and_exits_with_1(arcbook: Terminal) -> None:
    arcbook.write("wrong/wrong.yaml", WRONG)
    ran = arcbook("lint", "wrong")

    assert ran.code == 1
    assert "wrong/wrong.yaml:6:18: error[ARC401]" in ran.out
    assert "did you mean 'python'?" in ran.out
    assert "wrong/wrong.yaml:7:" in ran.out
    assert "1 document: 2 errors, 0 warnings" in ran.out


def test_lint_writes_json_sarif_and_annotations(arcbook: Terminal) -> None:
    arcbook.write("wrong/wrong.yaml", WRONG)
    plain: Any = arcbook("lint", "wrong/wrong.yaml", "--format", "json").json
    sarif: Any = arcbook("lint", "wrong/wrong.yaml", "--format", "sarif").json
    github = arcbook("lint", "wrong/wrong.yaml", "--format", "github").out

    assert (plain[0]["line"], plain[0]["code"]) == (6, "ARC401")
    assert sarif["version"] == "2.1.0"
    assert sarif["runs"][0]["results"][0]["ruleId"] == "ARC401"
    region = sarif["runs"][0]["results"][0]["locations"][0]["physicalLocation"]["region"]
    assert region == {"startLine": 6, "startColumn": 18}
    assert github.startswith("::error file=wrong/wrong.yaml,line=6,col=18,title=ARC401::")


def test_warnings_fail_only_a_strict_lint(arcbook: Terminal) -> None:
    arcbook.write("odd/odd.yaml", ODD)
    lenient = arcbook("lint", "odd")
    strict = arcbook("lint", "odd", "--strict")

    assert "warning[" in lenient.out
    assert lenient.code == 0
    assert strict.code == 1


def test_lint_of_a_folder_without_playbooks_says_so(arcbook: Terminal) -> None:
    arcbook.write("empty/notes.txt", "nothing")
    ran = arcbook("lint", "empty")

    assert ran.code == 2
    assert "there are no playbooks in empty" in ran.err


def test_the_schema_is_json_schema_that_knows_every_tool(arcbook: Terminal) -> None:
    ran = arcbook("schema")

    assert ran.json["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    for kind in ("http", "python", "shell", "nats", "playbook"):
        assert f'"{kind}"' in ran.out


# -- credentials ------------------------------------------------------------------------


def test_credentials_are_listed_without_what_is_in_them(arcbook: Terminal) -> None:
    added = arcbook("credential", "add", "github", "--type", "bearer", "--set", "token=abracadabra")
    listed = arcbook("credential", "list")
    as_json = arcbook("credential", "list", "--json")
    removed = arcbook("credential", "rm", "github")
    empty = arcbook("credential", "list")

    assert (added.code, removed.code) == (0, 0)
    assert "github" in listed.out
    assert "bearer" in listed.out
    assert as_json.json[0]["name"] == "github"
    assert "abracadabra" not in added.all + listed.all + as_json.all
    assert "there are no credentials" in empty.out


def test_a_credential_may_come_from_a_file_as_noetl_has_it(arcbook: Terminal) -> None:
    whole = {"name": "other", "type": "postgres", "data": {"host": "db", "password": "p4ssw0rd"}}
    arcbook.write("warehouse.json", json.dumps(whole))
    added = arcbook("credential", "add", "warehouse", "--file", "warehouse.json")
    arcbook("credential", "rm", "warehouse")

    assert added.out == "credential 'warehouse' (postgres) is stored: host, password\n"


# -- the rest ---------------------------------------------------------------------------


def test_the_version_is_that_of_the_package(arcbook: Terminal) -> None:
    assert arcbook("version").out.startswith("arcbook 0.")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_prints_a_script(arcbook: Terminal, shell: str) -> None:
    assert "_ARCBOOK_COMPLETE" in arcbook("completion", shell).out


def test_the_completion_script_is_answered_with_verbs_and_options(arcbook: Terminal) -> None:
    asked = {"_ARCBOOK_COMPLETE": "bash_complete", "COMP_WORDS": "arcbook re", "COMP_CWORD": "1"}
    ran = arcbook(env={**arcbook.environment, **asked})

    assert "plain,resume" in ran.out
    assert "plain,retry-from" in ran.out


VERBS = (
    "run", "lint", "graph", "executions list", "executions show", "events", "result", "cancel",
    "resume", "retry-from", "catalog register", "credential add", "tool show", "schema", "completion",
)  # fmt: skip


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_explains_itself_with_an_example(arcbook: Terminal, verb: str) -> None:
    ran = arcbook(*verb.split(), "--help")

    assert ran.code == 0
    assert "Example" in ran.out
    assert f"arcbook {verb}" in ran.out


def test_all_state_is_in_the_home(home: Home) -> None:
    beside = {path.name for path in home.terminal.folder.iterdir()}

    assert {name for name in beside if name.startswith(".")} == set()
    assert "arcbook.db" in {path.name for path in home.terminal.home.iterdir()}
