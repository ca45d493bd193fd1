"""What the corpus runner promises, on tiny documents."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest

from corpus.documents import load_corpus
from corpus.order import groups, names
from corpus.runner import Corpus, Options, main
from corpus.settings import DocumentRule, Settings, filled, load_settings

PLAYBOOK = """
apiVersion: noetl.io/v2
kind: Playbook
metadata: {{name: {name}, path: {path}}}
workload: {workload}
workflow:
  - step: start
    tool:
      kind: python
      input: {{given: "{{{{ workload }}}}"}}
      code: |
        {code}
"""


class Folder:
    """A corpus in the making."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.expectations: list[dict] = []

    def add(self, name: str, code: str = "result = given", workload=None, **expected) -> None:
        text = PLAYBOOK.format(
            name=name, path=f"tiny/{name}", code=code, workload=json.dumps(workload or {})
        )
        self.write(name, expected.pop("text", text), **expected)

    def write(self, name: str, text: str, **expected) -> None:
        (self.root / f"{name}.yaml").write_text(text)
        base = {"file": f"{name}.yaml", "catalog_path": f"tiny/{name}", "external_needs": ["none"]}
        self.expectations.append({**base, **expected})
        (self.root / "expectations.json").write_text(json.dumps(self.expectations))

    def run(self, settings: Settings | None = None, **options):
        corpus = Corpus(
            Options(folder=self.root, **options), lambda _: None, settings or load_settings()
        )
        return {(r.name, r.expected == "lint"): r for r in corpus.run()}


@pytest.fixture
def folder(tmp_path) -> Folder:
    return Folder(tmp_path)


def check(field, equals, step="start"):
    return [{"step": step, "field": field, "equals": equals}]


# -- running --------------------------------------------------------------------------


@pytest.mark.slow
def test_each_document_is_compared_with_what_is_expected_of_it(folder):
    folder.add("well", workload={"x": {"y": [1, 2]}}, checks=check("x.y.1", 2))
    folder.add("wrong", workload={"x": 1}, checks=check("x", equals=True))
    folder.add("absent", checks=check("x", 1))
    folder.add("fails", "raise ValueError('on purpose')", expected_outcome="FAILED")
    folder.add(
        "fails_otherwise",
        "raise ValueError('by accident')",
        expected_outcome="FAILED",
        expected_outcome_why="the error must match (on PURPOSE|at all), whatever its case",
    )
    folder.add("unexpected", "raise ValueError('on purpose')")
    folder.add("elsewhere", external_needs=["none", "snowflake"])
    folder.add("unheard", external_needs=["a time machine"])
    folder.add("cluster", needs_existing_tables=["noetl.frame"])
    folder.add("broken", text="apiVersion: noetl.io/v2\nkind: Playbook", expected_outcome="FAILED")
    sub = "apiVersion: noetl.io/v1\nkind: Subscription\nmetadata: {name: sub, path: tiny/sub}\n"
    sub += "spec: {source: nats, mode: pull, dispatch: {playbook: tiny/well}}\n"
    folder.write("sub", sub, kind="Subscription")
    folder.write("moved", sub.replace("tiny/", "elsewhere/"), kind="Subscription")
    folder.write("no_sub", "kind: Other\n", kind="Subscription")
    found = {name: r for (name, is_lint), r in folder.run().items() if not is_lint}

    def shown(name):
        result = found[f"{name}.yaml"]
        return result.got, result.is_well

    assert shown("well") == ("COMPLETED", True)
    assert shown("wrong") == ("COMPLETED", False)
    assert shown("absent") == ("COMPLETED", False)
    assert shown("fails") == ("FAILED", True)
    assert shown("fails_otherwise") == ("FAILED", False)
    assert shown("unexpected") == ("FAILED", False)
    assert shown("elsewhere") == ("not run", None)
    assert shown("unheard") == ("not run", None)
    assert shown("cluster") == ("not run", None)
    assert shown("broken") == ("REFUSED", True)
    assert shown("sub") == ("registered", True)
    assert shown("no_sub") == ("REFUSED", False)
    assert shown("moved") == ("REFUSED", False)
    assert "elsewhere/sub" in found["moved.yaml"].note
    assert "start.x is 1, not True" in found["wrong.yaml"].note
    assert "on purpose" in found["unexpected.yaml"].note
    assert "noetl.frame" in found["cluster.yaml"].note


@pytest.mark.slow
def test_a_document_that_hangs_does_not_stop_the_others(folder):
    folder.add("hangs", "import time; time.sleep(60)")
    folder.add("well")
    rules = [DocumentRule(match="hangs", timeout_seconds=0.5)]
    found = folder.run(msgspec.structs.replace(load_settings(), documents=rules))

    assert (found["hangs.yaml", False].got, found["hangs.yaml", False].is_well) == (
        "RUNNING",
        False,
    )
    assert found["well.yaml", False].is_well


@pytest.mark.slow
def test_documents_call_each_other_and_find_the_stand_in_and_their_files(folder):
    folder.add("child", "result = given", workload={"answer": 42})
    parent = """
apiVersion: noetl.io/v2
kind: Playbook
metadata: {name: parent, path: tiny/parent}
workload: {api: "https://httpbin.org/get"}
workflow:
  - step: start
    tool: {kind: playbook, path: tiny/child, return_step: start}
    next: {arcs: [{step: ask}]}
  - step: ask
    tool:
      kind: python
      input: {url: "{{ api }}"}
      code: |
        import urllib.request
        result = json.loads(urllib.request.urlopen(url).read())
    next: {arcs: [{step: script}]}
  - step: script
    tool:
      kind: python
      script: {uri: ./fixtures/playbooks/script_execution/scripts/hello_world.py, source: file}
      input: {name: you, count: 2}
"""
    checks = [
        *check("answer", 42),
        *check("method", "GET", "ask"),
        *check("total_greetings", 2, "script"),
    ]
    folder.write("parent", parent, checks=checks)
    found = folder.run()

    assert found["parent.yaml", False].is_well, found["parent.yaml", False].note


@pytest.mark.slow
def test_the_last_line_counts_and_the_exit_status_says_whether_all_is_well(folder, capsys):
    folder.add("well")
    assert main([str(folder.root)]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "corpus: 1 as expected of 1"

    folder.add("unexpected", "raise ValueError")
    assert main([str(folder.root), "--only", "tiny/"]) == 1
    assert capsys.readouterr().out.splitlines()[-1] == "corpus: 1 as expected of 2"


@pytest.mark.slow
def test_a_document_that_cannot_be_had_or_looked_up_is_a_row_and_no_traceback(folder):
    folder.add("gone")
    (folder.root / "gone.yaml").unlink()
    folder.add(
        "moved", text=PLAYBOOK.format(name="x", path="tiny/x", code="result = 1", workload="{}")
    )
    folder.add("well")
    found = folder.run()

    assert (found["gone.yaml", False].got, found["gone.yaml", False].is_well) == ("MISSING", False)
    assert "FileNotFoundError" in found["gone.yaml", False].note
    assert (found["moved.yaml", False].got, found["moved.yaml", False].is_well) == (
        "MISSING",
        False,
    )
    assert "tiny/moved" in found["moved.yaml", False].note
    assert found["well.yaml", False].is_well


@pytest.mark.slow
def test_documents_of_one_path_are_run_each_in_its_own_version(folder):
    for name in ("one", "two"):
        text = PLAYBOOK.format(
            name=name, path="tiny/same", code=f"result = '{name}'", workload="{}"
        )
        folder.add(name, text=text, catalog_path="/tiny/same/", checks=check("data", name))
    found = folder.run()

    assert found["one.yaml", False].is_well, found["one.yaml", False].note
    assert found["two.yaml", False].is_well, found["two.yaml", False].note


@pytest.mark.slow
def test_documents_of_which_nothing_is_expected_are_registered_for_those_that_call_them(folder):
    below = folder.root / "below"
    below.mkdir()
    child = PLAYBOOK.format(name="c", path="/tiny/child/", code="result = given", workload="{}")
    (below / "child.yaml").write_text(child)
    (below / "credential.yaml").write_text("kind: Credential\nmetadata: {name: c}\n")
    (below / "broken.yaml").write_text("a: [")
    parent = PLAYBOOK.format(name="parent", path="tiny/parent", code="", workload="{}")
    parent = parent[: parent.index("    tool:")]
    steps = "    tool: {kind: playbook, path: tiny/child, input: {a: 1}}\n    next: file\n"
    steps += "  - step: file\n    tool: {kind: playbook, path: ./below/child.yaml, input: {a: 2}}\n"
    checks = [*check("a", 1), *check("a", 2, "file")]
    folder.write("parent", parent + steps, checks=checks)
    found = folder.run()

    assert found["parent.yaml", False].is_well, found["parent.yaml", False].note


def test_what_is_expected_of_a_folder_may_stand_here():
    from corpus.documents import HERE, expectations_of

    assert expectations_of(Path("/elsewhere/noetl-docs")) == HERE / "noetl-docs/expectations.json"


def test_a_folder_without_expectations_is_refused(tmp_path, capsys):
    with pytest.raises(SystemExit):
        main([str(tmp_path)])

    assert "expectations.json" in capsys.readouterr().err


# -- order ----------------------------------------------------------------------------


def grouped(folder):
    return [names(members) for members in groups(load_corpus(folder.root), load_settings())]


def test_who_wants_a_table_runs_after_its_maker_in_the_same_database(folder):
    pg = {"external_needs": ["postgres"]}
    folder.add("user", needs_existing_tables=["things", "other"], **pg)
    folder.add("alone", needs_existing_tables=["nobody_makes_it"], **pg)
    folder.add("maker", text="# create table IF NOT EXISTS public.things (x int)", **pg)
    folder.add("plain")
    folder.add("plain_too")

    assert grouped(folder) == [
        ["maker.yaml", "user.yaml"],
        ["alone.yaml"],
        ["plain.yaml", "plain_too.yaml"],
    ]


def test_two_that_want_each_others_tables_still_run(folder):
    pg = {"external_needs": ["postgres"]}
    folder.add("a", text="# create table x", needs_existing_tables=["y"], **pg)
    folder.add("b", text="# create table y", needs_existing_tables=["x"], **pg)

    assert [sorted(members) for members in grouped(folder)] == [["a.yaml", "b.yaml"]]


# -- settings -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("http://paginated-api.test-server.svc.cluster.local:5555/api", "S/api"),
        ("https://api.open-meteo.com/v1/forecast", "S/host/api.open-meteo.com/v1/forecast"),
        ("http://gateway.gateway.svc.cluster.local/x", "S/host/gateway/x"),
        ("https://example.com/x", "https://example.com/x"),
        ("apiVersion: noetl.io/v2", "apiVersion: noetl.io/v2"),
    ],
)
def test_hosts_that_the_stand_in_plays_are_rewritten(text, expected):
    assert load_settings().rewritten(text, "S") == expected


@pytest.mark.parametrize(
    ("alias", "kind", "field"),
    [
        ("pg_k8s", "postgres", "database"),
        ("pg_anything", "postgres", "host"),
        ("test_postgres", "postgres", "port"),
        ("nats_credential", "nats", "nats_url"),
        ("nats_e2e", "nats", "url"),
        ("webhook_hmac_secret", "secret", "secret"),
    ],
)
def test_credentials_are_known_by_their_alias(alias, kind, field):
    facts = {"postgres_host": "h", "postgres_port": 1, "postgres_database": "d", "nats_url": "n"}
    found_kind, data = load_settings().credential(alias, facts)

    assert found_kind == kind
    assert data[field]


def test_an_alias_that_nobody_knows_is_no_credential():
    assert load_settings().credential("sf_test", {}) is None


def test_a_workload_is_pointed_at_the_database_and_reduced(folder):
    workload = {"db_host": "far", "pg_port": 5432, "total_items": 3000, "seed_rows": 4, "x": 1}
    folder.add("hard", workload=workload, external_needs=["postgres"], hardness=5)
    folder.add("easy", workload=workload, external_needs=["none"])
    hard, easy = load_corpus(folder.root)
    facts = {"postgres_host": "near", "postgres_port": 5}
    settings = load_settings()
    near = {"db_host": "near", "pg_port": 5}

    def payload(document, full):
        return settings.payload(document, facts, full=full, real_time=False)

    assert payload(hard, full=False) == {**near, "total_items": 60}
    assert payload(hard, full=True) == near
    assert payload(easy, full=False) == {}


def test_a_place_that_stands_alone_keeps_its_type():
    assert filled({"a": ["{n}", "at {n}"]}, {"n": 5}) == {"a": [5, "at 5"]}


def test_a_host_that_nothing_plays_is_an_obstacle(folder):
    folder.add("far", text="url: http://far.example.net/x", standins={"far.example.net": "own"})
    (document,) = load_corpus(folder.root)

    assert "far.example.net" in load_settings().obstacle(document)
