"""What repeating a call does, and what follows: redelivery, retries, dry runs."""

from __future__ import annotations

from typing import Any

import pytest

from arcbook.dsl.kinds import Effects, Kind
from arcbook.dsl.load import load_document
from arcbook.tools.registry import MODULES, Registry

NONE, IDEMPOTENT, KEYED, ONCE = Effects

REGISTRY = Registry()


def effects(kind: str, **config: Any) -> Effects:
    known = REGISTRY.kind(kind)
    assert known is not None
    return known.effects_for(config)


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("SELECT 1", NONE),
        ("-- why\nwith a as (select 1) select * from a", NONE),
        ("show search_path; values (1)", NONE),
        ("select 'insert into t'", NONE),
        ('select "update" from t', NONE),
        ("select * from {{ workload.table }} where a = '{{ a }}'", NONE),
        ("select * from t for update skip locked", IDEMPOTENT),
        ("select * into copy from t", ONCE),
        ("with d as (delete from t returning *) select * from d", ONCE),
        ("explain analyze insert into t values (1)", ONCE),
        ("insert into t values (1)", ONCE),
        ("insert into t values (1) on conflict do nothing", IDEMPOTENT),
        ("insert or replace into t values (1)", IDEMPOTENT),
        ("update t set a = a + 1", ONCE),
        ("delete from t", IDEMPOTENT),
        ("create table if not exists t (a int)", IDEMPOTENT),
        ("select 1; insert into t values (1); select 2", ONCE),
        ("copy t to '/tmp/t.csv'", IDEMPOTENT),
        ("copy t from '/tmp/t.csv'", ONCE),
        ("{{ workload.sql }}", ONCE),
        ("call refresh()", ONCE),
        ("", NONE),
    ],
)
@pytest.mark.parametrize("kind", ["postgres", "duckdb"])
def test_effects_of_sql(kind: str, sql: str, expected: Effects):
    assert effects(kind, query=sql) is expected


def test_sql_that_is_elsewhere_may_do_anything():
    assert effects("postgres", query={"uri": "load.sql"}) is ONCE


@pytest.mark.parametrize(
    ("method", "expected"),
    [
        ("GET", NONE),
        ("head", NONE),
        ("PUT", IDEMPOTENT),
        ("DELETE", IDEMPOTENT),
        ("POST", KEYED),
        ("{{ workload.method }}", KEYED),
    ],
)
def test_effects_of_requests(method: str, expected: Effects):
    assert effects("http", url="http://h/", method=method) is expected


def test_a_post_without_a_key_has_its_effect_each_time():
    assert effects("http", url="http://h/", method="POST", idempotency=False) is ONCE


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("result = sum(x for x in [1, 2])", NONE),
        ("import json\nresult = json.dumps({})", NONE),
        ("import requests\nrequests.post('http://h/')", KEYED),
        ("open('f', 'w')", KEYED),
        ("().__class__", KEYED),
    ],
)
def test_code_that_only_computes_has_no_effects(code: str, expected: Effects):
    assert effects("python", code=code) is expected


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ({"operation": "kv_get"}, NONE),
        ({"operation": "kv_put"}, IDEMPOTENT),
        ({"operation": "js_publish"}, KEYED),
        ({"operation": "js_consume"}, ONCE),
        ({"operation": "js_consume", "ack": False}, IDEMPOTENT),
    ],
)
def test_effects_of_nats(config: dict[str, Any], expected: Effects):
    assert effects("nats", **config) is expected


def test_a_statement_that_stores_the_idempotency_key_is_keyed():
    insert = {"query": "insert into t values (%s)", "params": ["{{ _idempotency_key }}"]}
    kind = REGISTRY.kind("postgres")
    assert kind is not None

    assert kind.effects_for(insert) is KEYED
    assert kind.effects_for({**insert, "params": ["7:s:1:t:1"]}, "7:s:1:t:1") is KEYED
    assert kind.effects_for({**insert, "params": ["other"]}, "7:s:1:t:1") is ONCE


@pytest.mark.parametrize("name", sorted(MODULES))
def test_every_kind_yields_only_effects_that_it_declares(name: str):
    kind = REGISTRY.kind(name)
    assert isinstance(kind, Kind)

    assert kind.effects_for({}) in kind.effects
    assert list(kind.effects) == [e for e in Effects if e in kind.effects]


def redelivery(task: str) -> str:
    document = (
        "apiVersion: noetl.io/v2\nkind: Playbook\nmetadata: {name: b, path: b}\n"
        f"workflow:\n- step: start\n  tool: {task}\n"
    )
    loaded = load_document(document, REGISTRY)
    assert loaded.playbook is not None, loaded.errors
    return loaded.playbook.steps[0].tasks[0].redelivery.value


@pytest.mark.parametrize(
    ("task", "expected"),
    [
        ("{kind: postgres, auth: a, command: select 1}", "allowed"),
        ("{kind: postgres, auth: a, command: insert into t values (1)}", "never"),
        (
            "{kind: postgres, auth: a, command: insert into t values (1), redelivery: allowed}",
            "allowed",
        ),
        ("{kind: http, method: POST, url: 'http://h/'}", "allowed"),
        ("{kind: http, method: POST, url: 'http://h/', idempotency: false}", "never"),
        ("{kind: python, code: result = 1}", "allowed"),
        ("{kind: noop, redelivery: never}", "never"),
    ],
)
def test_a_call_that_has_its_effect_each_time_is_not_redelivered_unless_the_task_says_so(
    task: str, expected: str
):
    assert redelivery(task) == expected
