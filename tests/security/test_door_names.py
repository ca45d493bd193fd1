"""Nobody who starts an execution says what the engine's own names mean."""

from __future__ import annotations

import pytest

from api_cluster import Api, cluster
from api_playbooks import HELLO
from arcbook.dsl.load import load_document
from arcbook.engine.scope import Context, ExecutionScope
from arcbook.tools.registry import Registry

OWN = ("env", "execution", "keychain")


@pytest.fixture
async def api(tmp_path):
    async with cluster(tmp_path) as (found,):
        await found.register(HELLO)
        yield found


def shadowing(name: str) -> str:
    return HELLO.replace("  colour: red", f"  {name}: {{KEY: forged}}\n  colour: red")


@pytest.mark.parametrize("name", OWN)
def test_a_workload_key_of_that_name_is_an_error(name: str):
    loaded = load_document(shadowing(name), Registry())

    assert [d.code for d in loaded.errors] == ["ARC311"]


@pytest.mark.parametrize("name", OWN)
async def test_no_such_document_is_registered(api: Api, name: str):
    status, found, _ = await api.call("POST", "/api/catalog/register", {"content": shadowing(name)})

    assert (status, found["code"]) == (422, "invalid_document")


@pytest.mark.parametrize("field", ["payload", "workload", "context"])
@pytest.mark.parametrize("name", OWN)
async def test_no_execution_starts_with_such_a_value(api: Api, name: str, field: str):
    body = {"path": "examples/hello", field: {name: {"KEY": "forged"}}}

    status, found, _ = await api.call("POST", "/api/execute", body)

    assert status == 422
    assert name in found["error"]
    assert await api.get("/api/executions") == []


@pytest.mark.parametrize("name", ["env", "keychain"])
def test_templates_see_the_engines_own_whatever_was_given(name: str):
    forged = {name: {"KEY": "forged"}}
    context = Context(execution_id=1, workload=forged, payload=forged, ctx=forged)
    known = {"env": {"KEY": "true"}, "keychain": {}}
    scope = ExecutionScope(context, data=forged, now=lambda: 0, loaded={}, **known)

    assert scope.lookup(name) is not forged[name]
