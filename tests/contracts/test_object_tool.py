"""What the object tool promises, against a server that speaks S3, and stand-ins of the others."""

from __future__ import annotations

import asyncio
import contextlib
import urllib.request
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from moto.server import ThreadedMotoServer

from arcbook.egress import Egress
from arcbook.outcome import ErrorKind, Outcome
from arcbook.testing.tools import FakeContext, call_tool
from arcbook.tools import values
from arcbook.tools.api import Credential
from arcbook.tools.artifact import Artifact
from arcbook.tools.confinement import Confinement
from arcbook.tools.object import ObjectTool

pytestmark = pytest.mark.services


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    request = urllib.request.Request(f"http://{host}:{port}/reports", method="PUT")
    urllib.request.urlopen(request).close()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def auth(endpoint: str) -> Credential:
    keys = {"access_key_id": "AKIDEXAMPLE", "secret_access_key": "s3cret-of-n0body"}
    return Credential(name="archive", type="s3", data={**keys, "endpoint": endpoint})


async def do(auth: Any, context: FakeContext | None = None, **config: Any) -> Outcome:
    outcome = await call_tool(
        ObjectTool(), "object", config, auth=auth, context=context, timeout_seconds=20
    )
    assert isinstance(outcome, Outcome)
    return outcome


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ({"a": [1, None], "b": "ü"}, {"a": [1, None], "b": "ü"}),
        ("plain text", "plain text"),
        ("{not json", "{not json"),
        ("", ""),
    ],
)
async def test_what_is_put_is_what_is_got(auth, data, expected):
    put = await do(auth, url="s3://reports/a/b c.json", data=data, metadata={"by": "me"})
    got = await do(auth, operation="get", url="s3://reports/a/b c.json")

    assert put.is_ok, put.error
    assert got.is_ok, got.error
    assert got.data["data"] == expected
    assert (got.data["bucket"], got.data["key"]) == ("reports", "a/b c.json")
    assert got.data["metadata"] == {"by": "me"}


async def test_bytes_are_base64(auth):
    await do(auth, bucket="reports", key="bytes", data="AP/+", encoding="base64")
    got = await do(auth, operation="get", bucket="reports", key="bytes")

    assert (got.data["data"], got.data["encoding"], got.data["size"]) == ("AP/+", "base64", 3)


async def test_files_are_put_and_got_without_passing_through_the_result(auth, tmp_path):
    source, target = tmp_path / "in", tmp_path / "out"
    source.write_bytes(bytes(range(256)) * 40_000)
    put = await do(auth, url="s3://reports/large", operation="put", file=str(source))
    got = await do(auth, url="s3://reports/large", operation="get", file=str(target))

    assert put.data["size"] == 10_240_000
    assert "data" not in got.data
    assert target.read_bytes() == source.read_bytes()
    assert {p.name for p in tmp_path.iterdir()} == {"in", "out"}


async def test_objects_are_listed_by_prefix_up_to_the_limit(auth):
    for number in range(3):
        await do(auth, url=f"s3://reports/list/{number}", data="x")
    listed = await do(auth, operation="list", url="s3://reports", prefix="list")
    some = await do(auth, operation="list", bucket="reports", prefix="list", limit=2)

    assert [o["key"] for o in listed.data["objects"]] == ["list/0", "list/1", "list/2"]
    assert (some.data["count"], some.data["truncated"]) == (2, True)


async def test_info_delete_and_what_is_not_there(auth):
    await do(auth, url="s3://reports/gone", data="x")
    info = await do(auth, operation="info", url="s3://reports/gone")
    first = await do(auth, operation="delete", url="s3://reports/gone")
    second = await do(auth, operation="delete", url="s3://reports/gone")
    got = await do(auth, operation="get", url="s3://reports/gone")

    assert info.data["size"] == 1
    assert (first.data["deleted"], second.data["deleted"]) == (True, False)
    assert got.error is not None
    assert (got.error.kind, got.error.retryable) == (ErrorKind.NOT_FOUND, False)


async def test_an_object_is_put_only_where_there_is_none(auth):
    first = await do(auth, url="s3://reports/once", data="a", if_absent=True)
    second = await do(auth, url="s3://reports/once", data="b", if_absent=True)

    assert first.is_ok, first.error
    assert second.error is not None
    assert second.error.code == "OBJECT_EXISTS"


async def test_a_signed_address_needs_no_credential(auth):
    await do(auth, url="s3://reports/signed", data="for you")
    signed = (await do(auth, operation="sign", url="s3://reports/signed", expires="10m")).data

    assert signed["expires_in"] == 600
    assert "s3cret" not in signed["signed_url"]
    body = await asyncio.to_thread(lambda: urllib.request.urlopen(signed["signed_url"]).read())
    assert body == b"for you"


async def test_an_object_that_is_too_large_for_a_result(auth, monkeypatch):
    monkeypatch.setattr(values, "CONTENT_BYTES_MAX", 10)
    await do(auth, url="s3://reports/much", data="x" * 11)
    got = await do(auth, operation="get", url="s3://reports/much")

    assert got.error is not None
    assert (got.error.kind, got.error.code) == (ErrorKind.LIMIT, "OBJECT_TOO_LARGE")


# -- artifacts ----------------------------------------------------------------------------


async def test_an_artifact_is_put_and_got_as_an_object(auth):
    uri = "s3://reports/artifact.json"
    config = {"action": "put", "result_ref": uri, "data": {"n": 1}}
    put = await call_tool(Artifact(), "artifact", config, auth=auth)
    got = await call_tool(Artifact(), "artifact", {"result_ref": uri}, auth=auth)

    assert isinstance(put, Outcome)
    assert isinstance(got, Outcome)
    assert put.is_ok, put.error
    assert (got.data["data"], got.data["uri"]) == ({"n": 1}, uri)


# -- who asks -----------------------------------------------------------------------------


@contextlib.asynccontextmanager
async def listening(status: str = "200 OK") -> AsyncIterator[tuple[str, list[str]]]:
    """A service that keeps the heads of requests."""
    heads: list[str] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError):
            heads.append((await reader.readuntil(b"\r\n\r\n")).decode())
            head = f'HTTP/1.1 {status}\r\nETag: "e"\r\nContent-Length: 0\r\n'
            writer.write(f"{head}Last-Modified: Mon, 02 Nov 2026 10:00:00 GMT\r\n\r\n".encode())
            await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", heads


@pytest.fixture
def rich_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    """An environment with an identity of the worker's own."""
    for name, value in {
        "AWS_ACCESS_KEY_ID": "AKIDWORKER",
        "AWS_SECRET_ACCESS_KEY": "w0rker",
        "AWS_SESSION_TOKEN": "TOKENOFWORKER",
        "AWS_ENDPOINT_URL": "http://127.0.0.1:9",
        "AZURE_STORAGE_ACCOUNT_KEY": "dzBya2Vy",
        "GOOGLE_SERVICE_ACCOUNT": "/worker.json",
    }.items():
        monkeypatch.setenv(name, value)


CREDENTIALS = {
    "s3": {"type": "s3", "access_key_id": "AKIDTASK", "secret_access_key": "t"},
    "gcs_hmac": {"type": "gcs_hmac", "access_key_id": "AKIDTASK", "secret_access_key": "t"},
    "azure": {"type": "azure", "account_name": "acc", "account_key": "dA=="},
    "gcs": {"type": "gcs", "token": "t0ken-of-task"},
}
URLS = {"s3": "s3://b/k", "gcs_hmac": "gs://b/k", "azure": "az://b/k", "gcs": "gs://b/k"}
SIGNS = {
    "s3": "AKIDTASK",
    "gcs_hmac": "AKIDTASK",
    "azure": "SharedKey acc:",
    "gcs": "Bearer t0ken-of-task",
}


@pytest.mark.parametrize("name", CREDENTIALS)
@pytest.mark.usefixtures("rich_worker")
async def test_the_credential_of_the_task_is_sent_and_nothing_of_the_worker(name):
    fields = CREDENTIALS[name]
    async with listening() as (url, heads):
        data = {**fields, "endpoint": url}
        auth = Credential(name=name, type=fields["type"], data=data)
        await do(auth, operation="info", url=URLS[name])

    assert len(heads) == 1
    assert SIGNS[name] in heads[0]
    assert "WORKER" not in heads[0]


@pytest.mark.parametrize("url", ["s3://b/k", "gs://b/k"])
@pytest.mark.usefixtures("rich_worker")
async def test_without_a_credential_nobody_is_named(url):
    async with listening() as (endpoint, heads):
        outcome = await do(None, operation="info", url=url, endpoint=endpoint)

    assert outcome.is_ok, outcome.error
    assert "authorization" not in heads[0].lower()


# -- failures -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "kind", "retryable"),
    [
        ("403 Forbidden", ErrorKind.AUTH, False),
        ("401 Unauthorized", ErrorKind.AUTH, False),
        ("404 Not Found", ErrorKind.NOT_FOUND, False),
        ("503 Slow Down", ErrorKind.SERVER_ERROR, True),
    ],
)
async def test_refusals_have_their_kinds(auth, status, kind, retryable):
    async with listening(status) as (url, _):
        outcome = await do(auth, operation="get", url="s3://b/k", endpoint=url)

    assert outcome.error is not None
    assert (outcome.error.kind, outcome.error.retryable) == (kind, retryable), outcome.error
    assert "s3cret" not in outcome.error.message


async def test_nobody_answers(auth):
    outcome = await do(auth, operation="get", url="s3://b/k", endpoint="http://127.0.0.1:9")

    assert outcome.error is not None
    assert (outcome.error.kind, outcome.error.retryable) == (ErrorKind.CONNECTION, True)


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"url": "ftp://b/k"}, "begins with none of"),
        ({"bucket": "b", "operation": "get"}, "no key"),
        ({"url": "s3://b/k", "operation": "sign", "expires": "8d"}, "at most 7 days"),
        ({"url": "s3://b/k", "data": "?", "encoding": "base64"}, "not Base64"),
    ],
)
async def test_what_makes_no_sense(auth, config, said):
    outcome = await do(auth, **config)

    assert outcome.error is not None
    assert outcome.error.kind is ErrorKind.CONFIG
    assert said in outcome.error.message


async def test_a_credential_of_another_type():
    auth = Credential(name="pg", type="postgres", data={"host": "h"})
    outcome = await do(auth, operation="get", url="s3://b/k")

    assert outcome.error is not None
    assert outcome.error.kind is ErrorKind.AUTH


async def test_objects_and_files_are_where_the_call_may_reach(auth, tmp_path):
    confinement = Confinement(
        folders=(), workspaces=str(tmp_path / "w"), egress=Egress(private=False)
    )
    (tmp_path / "w").mkdir()
    workspace = confinement.make_workspace(1)
    inside = FakeContext(workspace=workspace, confinement=confinement)
    refused = await do(auth, inside, operation="get", url="s3://reports/a")
    metadata = await do(None, None, url="s3://b/k", endpoint="http://169.254.169.254")
    open_net = FakeContext(
        workspace=workspace, confinement=Confinement(folders=(), workspaces=str(tmp_path / "w"))
    )
    outside = await do(auth, open_net, operation="put", url="s3://reports/x", file="/etc/passwd")

    assert refused.error is not None
    assert metadata.error is not None
    assert outside.error is not None
    assert (refused.error.code, metadata.error.code) == ("EGRESS", "EGRESS")
    assert "leads to" in outside.error.message
