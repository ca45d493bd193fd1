"""A server as an operator starts it: tokens, addresses, certificates, keys of requests."""

from __future__ import annotations

import asyncio
import datetime as dt
import ipaddress
import json
import signal
import ssl
import subprocess
import urllib.error
import urllib.request

import aiohttp
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from api_playbooks import HELLO
from arcbook.compose.cluster import http_of, tls_of
from arcbook.server.http.serving import ListenError, Tls, listening, served
from arcbook.server.http.settings import HttpSettings
from arcbook.settings import SettingsError, load_settings
from arcbook.testing.cluster_processes import COMMAND, ClusterProcesses
from arcbook.testing.services import bare_environment

# -- certificates --------------------------------------------------------------------------


def certificate(folder, name, issuer=None):
    """Write a certificate and its key; return both, and the files."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    now = dt.datetime.now(dt.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer[0].subject if issuer else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=issuer is None, path_length=None), critical=True)
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]),
            critical=False,
        )
        .sign(issuer[1] if issuer else key, hashes.SHA256())
    )
    cert_file, key_file = folder / f"{name}.pem", folder / f"{name}.key"
    cert_file.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    key_file.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return made, key, str(cert_file), str(key_file)


async def answer(port, context):
    url = f"https://127.0.0.1:{port}/"
    async with aiohttp.ClientSession() as session, session.get(url, ssl=context) as got:
        return await got.text()


async def test_a_server_shows_its_certificate_and_asks_for_the_clients(tmp_path):
    root = certificate(tmp_path, "root")
    _, _, cert, key = certificate(tmp_path, "server", root)
    _, _, client_cert, client_key = certificate(tmp_path, "client", root)
    app = Starlette(routes=[Route("/", lambda _: PlainTextResponse("well"))])

    for client_ca in ("", root[2]):
        tls = Tls(cert=cert, key=key, client_ca=client_ca)
        tls.check()
        on = listening("127.0.0.1", 0, HttpSettings())
        port = on.getsockname()[1]
        async with served(app, on, tls):
            anybody = ssl.create_default_context(cafile=root[2])
            known = ssl.create_default_context(cafile=root[2])
            known.load_cert_chain(client_cert, client_key)
            assert await answer(port, known) == "well"
            if client_ca:
                with pytest.raises(aiohttp.ClientError):
                    await answer(port, anybody)
            else:
                assert await answer(port, anybody) == "well"


def test_certificates_that_cannot_be_used_are_told_at_start(tmp_path):
    (tmp_path / "no.pem").write_text("nothing")
    for given in (
        {"tls_cert": "a"},
        {"tls_client_ca": "a"},
        {"tls_cert": str(tmp_path / "no.pem"), "tls_key": str(tmp_path / "no.pem")},
    ):
        with pytest.raises(ListenError):
            tls_of(load_settings({}, **given))
    assert tls_of(load_settings({})) is None


def test_settings_become_those_of_the_api():
    digest = "ab" * 32
    made = http_of(
        load_settings(
            {
                "ARCBOOK_API_TOKENS": f"admin={digest.upper()}, viewer={'cd' * 32}",
                "ARCBOOK_OIDC_ISSUER": "https://id.example",
                "ARCBOOK_OIDC_AUDIENCE": "arcbook",
                "ARCBOOK_ORIGINS": "https://gui.example",
                "ARCBOOK_HOST": "10.0.0.1",
            }
        )
    )
    assert made.tokens == {digest: "admin", "cd" * 32: "viewer"}
    assert made.oidc is not None
    assert (made.origins, made.is_local) == (("https://gui.example",), False)
    for bad in ("admin", "king=" + digest, "admin=secret"):
        with pytest.raises(SettingsError, match="SCOPE=SHA256"):
            http_of(load_settings({"ARCBOOK_API_TOKENS": bad}))


# -- processes -----------------------------------------------------------------------------


def command(environment, folder, *arguments):
    """Run a command of ours to its end."""
    return subprocess.run(
        [*COMMAND, *arguments],
        env={**bare_environment(), **environment},
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def call(url, path, body=None, token="", **headers):
    """Send a request; return status and body."""
    data = None if body is None else json.dumps(body).encode()
    headers = {"Content-Type": "application/json", **headers}
    if token:
        headers["Authorization"] = f"Bearer {token}"
    request = urllib.request.Request(url + path, data, headers)
    try:
        with urllib.request.urlopen(request, timeout=20) as answered:
            return answered.status, json.load(answered)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


@pytest.fixture
def environment(dsn, tmp_path):
    return {"ARCBOOK_DSN": dsn, "ARCBOOK_HOME": str(tmp_path / "home")}


@pytest.mark.slow
@pytest.mark.services
def test_the_first_token_is_made_on_the_database(environment, tmp_path):
    refused = command(environment, tmp_path, "server", "--host", "0.0.0.0", "--port", "0")
    assert refused.returncode == 2
    assert "arcbook token add" in refused.stderr

    added = command(environment, tmp_path, "token", "add", "ops", "--scope", "admin")
    token = added.stdout.strip()
    token_id = token.split("_")[1]
    assert added.returncode == 0, added.stderr
    assert token not in command(environment, tmp_path, "token", "list", "--json").stdout
    assert "ops" in command(environment, tmp_path, "token", "list").stdout

    with ClusterProcesses({**environment, "ARCBOOK_HOST": "0.0.0.0"}, tmp_path) as processes:
        url = processes.start_server().replace("0.0.0.0", "127.0.0.1")
        assert call(url, "/api/tokens")[0] == 401
        assert call(url, "/api/tokens", token=token)[0] == 200
        rotated = command(environment, tmp_path, "token", "rotate", token_id, "--grace", "1h")
        fresh = rotated.stdout.strip()
        status, changes = call(url, "/api/audit/changes", token=token)
        assert [c["action"] for c in changes["changes"]] == ["token.rotate", "token.add"]
    assert command(environment, tmp_path, "token", "rm", token_id).returncode == 0
    assert command(environment, tmp_path, "token", "rm", token_id).returncode == 2
    bad = command(
        environment, tmp_path, "token", "add", "x", "--scope", "viewer", "--expires-in", "x"
    )
    assert (status, bad.returncode) == (200, 2)
    assert fresh != token


@pytest.mark.slow
@pytest.mark.services
async def test_a_key_holds_over_servers_and_after_a_restart(environment, tmp_path):
    with ClusterProcesses(environment, tmp_path) as processes:
        urls = [processes.start_server() for _ in range(2)]
        assert call(urls[0], "/api/catalog/register", {"content": HELLO})[0] == 200
        body = {"path": "examples/hello", "idempotency_key": "k1"}

        found = await asyncio.gather(
            *(asyncio.to_thread(call, urls[n % 2], "/api/execute", body) for n in range(8))
        )
        assert [status for status, _ in found] == [200] * 8
        assert len({one["execution_id"] for _, one in found}) == 1
        assert sorted(one["status"] for _, one in found) == ["duplicate"] * 7 + ["started"]

        for process in processes.servers:
            process.stop(signal.SIGKILL)
        again = processes.start_server()
        status, one = call(again, "/api/execute", body)
        assert (status, one["status"]) == (200, "duplicate")
        assert one["execution_id"] == found[0][1]["execution_id"]


async def test_whoever_serves_the_api_is_told_when_it_is_served_no_more(monkeypatch):
    async def ends(_self, _sockets):
        return None

    app = Starlette(routes=[Route("/", lambda _: PlainTextResponse("well"))])
    monkeypatch.setattr("uvicorn.Server.serve", ends)
    async with served(app, listening("127.0.0.1", 0, HttpSettings())) as api:
        await asyncio.wait_for(api.failed.wait(), 5)

    assert "stopped serving" in str(api.cause)


async def test_an_api_that_is_told_to_stop_has_not_failed():
    app = Starlette(routes=[Route("/", lambda _: PlainTextResponse("well"))])
    async with served(app, listening("127.0.0.1", 0, HttpSettings())) as api:
        assert api.is_running

    assert not api.failed.is_set()
