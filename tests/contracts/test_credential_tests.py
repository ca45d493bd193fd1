"""``arcbook credential test`` against real services."""

from __future__ import annotations

import urllib.request
from pathlib import Path
from typing import Any

import pytest
from moto.server import ThreadedMotoServer

from acceptance.service import Service
from acceptance.terminal import Terminal

pytestmark = pytest.mark.services


@pytest.fixture
def arcbook(tmp_path: Path):
    terminal = Terminal(tmp_path, forks=True)
    yield terminal
    terminal.close()


def add(arcbook: Terminal, kind: str, **fields: Any) -> None:
    given = [part for k, v in fields.items() for part in ("--set", f"{k}={v}")]
    assert arcbook("credential", "add", "c", "--type", kind, *given).code == 0


def test_a_database_says_its_version_and_user(arcbook, postgres_server, database):
    add(arcbook, "postgres", **postgres_server.fields(database))
    tested = arcbook("credential", "test", "c", "--json").json

    assert (tested["works"], tested["type"], tested["error"]) == (True, "postgres", None)
    assert "PostgreSQL" in tested["answer"]["rows"][0]["version"]
    assert postgres_server.password not in str(tested)


def test_a_wrong_password_is_said_and_not_shown(arcbook, postgres_server, database):
    add(arcbook, "postgres", **{**postgres_server.fields(database), "password": "wr0ng-passw0rd"})
    tested = arcbook("credential", "test", "c")

    assert tested.code == 1
    assert "does not work" in tested.err
    assert "kind auth" in tested.err
    assert "wr0ng-passw0rd" not in tested.all


def test_a_port_without_a_server_is_said(arcbook):
    add(arcbook, "postgres", host="127.0.0.1", port=9, user="u", password="p", database="d")
    tested = arcbook("credential", "test", "c", "--json")

    assert tested.code == 1
    assert tested.json["error"]["kind"] == "db_connection"


def test_nats_is_asked_what_it_is(arcbook, nats_server):
    add(arcbook, "nats", url=nats_server.url)

    assert arcbook("credential", "test", "c", "--json").json["answer"]["version"]


def test_a_token_is_sent_to_where_it_is_said(arcbook):
    add(arcbook, "bearer", token="t0ken-of-n0body")
    with Service().serving() as service:
        works = arcbook("credential", "test", "c", "--url", f"{service.url}/me")

    assert works.code == 0, works.all
    assert service.requests[0].headers["Authorization"] == "Bearer t0ken-of-n0body"


def test_a_credential_that_says_no_place_needs_one(arcbook):
    add(arcbook, "bearer", token="t0ken-of-n0body")
    tested = arcbook("credential", "test", "c")

    assert tested.code == 2
    assert "--url" in tested.err


def test_an_issuer_that_is_not_there_is_said(arcbook):
    add(
        arcbook, "oauth2", token_url="http://127.0.0.1:9/t", client_id="i", client_secret="s3cr3t-s"
    )
    tested = arcbook("credential", "test", "c", "--json")

    assert tested.code == 1
    assert "cannot reach its issuer" in tested.json["error"]["message"]


def test_a_credential_that_does_not_exist(arcbook):
    tested = arcbook("credential", "test", "nothing")

    assert tested.code == 2
    assert "nothing" in tested.err


def test_a_bucket_is_listed(arcbook):
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        endpoint = f"http://{host}:{port}"
        urllib.request.urlopen(urllib.request.Request(f"{endpoint}/bucket", method="PUT")).close()
        add(arcbook, "s3", access_key_id="AKIDX", secret_access_key="n0body", endpoint=endpoint)
        works = arcbook("credential", "test", "c", "--url", "s3://bucket", "--json")
        lacks = arcbook("credential", "test", "c", "--url", "s3://another", "--json")
    finally:
        server.stop()

    assert works.json["works"] is True
    assert lacks.json["error"]["kind"] == "not_found"
    assert arcbook("credential", "test", "c").code == 2
