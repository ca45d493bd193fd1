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


def reading(name: str, what: str) -> str:
    return shadowing(name).replace("{{ workload.name }}", what)


def test_a_workload_has_no_keychain():
    loaded = load_document(shadowing("keychain"), Registry())

    assert [(d.code, d.line) for d in loaded.errors] == [("ARC311", 10)]


@pytest.mark.parametrize("name", ["env", "execution"])
def test_a_workload_key_of_that_name_is_read_as_the_workloads_alone(name: str):
    whole, bare = f"{{{{ workload.{name}.KEY }}}}", f"{{{{ {name}.KEY }}}}"
    told = load_document(reading(name, whole), Registry())
    refused = load_document(reading(name, bare), Registry())

    assert [(d.code, d.line, d.severity) for d in told.diagnostics] == [("ARC311", 10, "warning")]
    assert [(d.code, d.hint) for d in refused.errors] == [
        ("ARC311", f"write 'workload.{name}.KEY'")
    ]


async def test_no_such_document_is_registered(api: Api):
    for text in (shadowing("keychain"), reading("env", "{{ env.KEY }}")):
        status, found, _ = await api.call("POST", "/api/catalog/register", {"content": text})

        assert (status, found["code"]) == (422, "invalid_document")


async def test_a_declared_key_takes_a_value_and_the_environment_stays(api: Api):
    text = reading("env", "{{ workload.env }}")
    await api.register(text)

    body = {"path": "examples/hello", "payload": {"env": "production"}}
    found = await api.ended((await api.post("/api/execute", body))["execution_id"])

    assert found["variables"] == {"greeting": "hello production"}


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
    scope = ExecutionScope(
        context, data=forged, now=lambda: 0, loaded={}, env={"KEY": "true"}, keychain={}
    )

    assert scope.lookup(name) is not forged[name]
