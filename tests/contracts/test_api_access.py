"""Who may call the API: stored tokens, JWTs, the internal token, limits, and who changed what."""

from __future__ import annotations

import asyncio
import hmac
import re
import time
from base64 import urlsafe_b64encode
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from joserfc import jwk, jws, jwt

from api_cluster import Api, cluster
from api_playbooks import HELLO
from arcbook.clock import SystemClock
from arcbook.secrets.tokens import SCOPES as TOKEN_SCOPES
from arcbook.secrets.tokens import TokenError, is_good, new_token, note_id, rotated
from arcbook.server.http.access import SCOPES, UnsafeBindingError, check_binding, hash_token
from arcbook.server.http.limits import RateLimit
from arcbook.server.http.oidc import AGAIN_SECONDS, FRESH_SECONDS, Oidc, OidcSettings
from arcbook.server.http.oidc import fetched as fetched_keys
from arcbook.server.http.route import Route
from arcbook.server.http.settings import HttpSettings
from arcbook.server.http.table import ROUTES
from arcbook.settings import SettingsError

PARENT = """apiVersion: noetl.io/v2
kind: Playbook
metadata: {name: parent, path: examples/parent}
workflow:
  - step: start
    tool: {kind: playbook, path: examples/hello}
"""


@pytest.fixture
async def api(tmp_path):
    async with cluster(tmp_path) as found:
        yield found[0]


def bearer(token: str) -> dict[str, Any]:
    return {"headers": {"Authorization": f"Bearer {token}"}}


async def made(api: Api, scope: str, token: str = "", **facts: object) -> dict[str, str]:
    """Make a token through the API."""
    body = {"name": scope, "scope": scope, **facts}
    return await api.post("/api/tokens", body, **(bearer(token) if token else {}))


# -- tokens of the store -------------------------------------------------------------------


async def test_the_first_token_closes_an_open_api(api: Api):
    assert (await api.get("/api/runtime/contract"))["authentication"] == "none"
    admin = await made(api, "admin")

    assert (await api.call("GET", "/api/executions"))[0] == 401
    assert (await api.get("/api/runtime/contract"))["authentication"] == "bearer"
    viewer = await made(api, "viewer", admin["token"])
    assert (await api.call("GET", "/api/executions", **bearer(viewer["token"])))[0] == 200
    assert (await api.call("POST", "/api/tokens", {}, **bearer(viewer["token"])))[0] == 403
    listed = await api.get("/api/tokens", **bearer(admin["token"]))
    assert {t["name"] for t in listed["tokens"]} == {"admin", "viewer"}
    assert "token" not in listed["tokens"][0]
    assert viewer["token"] not in repr(await api.server.store.tokens())


async def test_the_last_tokens_removal_opens_nothing(api: Api):
    admin = await made(api, "admin")
    where = f"/api/tokens/{admin['id']}"

    assert (await api.call("DELETE", where, **bearer(admin["token"])))[0] == 200
    assert (await api.call("GET", "/api/tokens", **bearer(admin["token"])))[0] == 401
    assert (await api.call("GET", "/api/tokens"))[0] == 401


async def test_a_rotated_token_is_good_for_its_grace(api: Api):
    admin = await made(api, "admin")
    where = f"/api/tokens/{admin['id']}/rotate"
    second = await api.post(where, {"grace_seconds": 60}, **bearer(admin["token"]))
    for token in (admin["token"], second["token"]):
        assert (await api.call("GET", "/api/tokens", **bearer(token)))[0] == 200

    third = await api.post(where, **bearer(second["token"]))
    for token in (admin["token"], second["token"]):
        assert (await api.call("GET", "/api/tokens", **bearer(token)))[0] == 401
    assert (await api.call("GET", "/api/tokens", **bearer(third["token"])))[0] == 200
    missing = await api.call("POST", "/api/tokens/none/rotate", **bearer(third["token"]))
    assert missing[0] == 404


def test_a_token_expires():
    text, row = new_token("n", "viewer", 1_000_000, seconds=2)
    assert is_good(row, text, 2_999_999)
    assert not is_good(row, text, 3_000_000)
    assert not is_good(row, text + "x", 1_000_000)
    _, again = rotated(row, 1_500_000, grace_seconds=1)
    assert is_good(again, text, 2_499_999)
    assert not is_good(again, text, 2_500_000)


@pytest.mark.parametrize(("name", "scope"), [("n", "king"), (" ", "admin"), ("n" * 201, "admin")])
def test_a_token_that_cannot_be_is_refused(name, scope):
    with pytest.raises(TokenError):
        new_token(name, scope, 0)


async def test_other_servers_refuse_a_token_that_was_never_made(tmp_path):
    async with cluster(tmp_path, servers=2) as (one, other):
        admin = await made(one, "admin")
        assert (await other.call("GET", "/api/tokens", **bearer(admin["token"])))[0] == 200
        wrong = admin["token"][:-3] + "xyz"
        assert (await other.call("GET", "/api/tokens", **bearer(wrong)))[0] == 401


def test_stored_tokens_and_a_provider_count_as_authentication():
    oidc = OidcSettings(issuer="https://id.example", audience="arcbook")
    check_binding("0.0.0.0", HttpSettings(has_stored_tokens=True))
    check_binding("0.0.0.0", HttpSettings(oidc=oidc))
    with pytest.raises(UnsafeBindingError, match="arcbook token add"):
        check_binding("0.0.0.0", HttpSettings(internal_token="x", origins=("https://a",)))


# -- who changed what ----------------------------------------------------------------------


async def test_every_change_is_in_the_audit(api: Api):
    await api.register(HELLO)
    await api.call("POST", "/api/catalog/register", {"content": "a: 1"})
    await api.post("/api/credentials", {"name": "gh", "type": "bearer", "data": {"token": "s3"}})
    await api.call("DELETE", "/api/schedules/none")
    started = await api.run("examples/hello")
    await api.ended(started)
    await api.post(f"/api/executions/{started}/cancel")
    admin = await made(api, "admin")

    found = await api.get("/api/audit/changes", **bearer(admin["token"]))
    rows = [(c["action"], c["subject"], c["status"]) for c in reversed(found["changes"])]
    assert rows == [
        ("catalog.register", "examples/hello", 200),
        ("catalog.register", "", 422),
        ("credential.put", "gh", 200),
        ("schedule.delete", "none", 404),
        ("execution.cancel", started, 200),
        ("token.add", f"{admin['id']} admin", 200),
    ]
    assert {c["actor"] for c in found["changes"]} == {"local"}
    assert {c["remote"] for c in found["changes"]} == {"127.0.0.1"}
    assert "s3" not in repr(found)
    one = await api.get("/api/audit/changes?limit=1", **bearer(admin["token"]))
    before = {"before": one["next_before"], "action": "catalog.register", "limit": "1"}
    page = await api.get("/api/audit/changes", params=before, **bearer(admin["token"]))
    assert [c["status"] for c in page["changes"]] == [422]


async def test_without_its_row_nothing_is_changed(api: Api, monkeypatch):
    from arcbook.store.api import StoreError

    async def full(_: object) -> None:
        raise StoreError("the disk is full")

    monkeypatch.setattr(api.server.store, "put_note", full)
    assert (await api.call("POST", "/api/catalog/register", {"content": HELLO}))[0] == 503
    assert await api.server.store.entries() == []


def test_ids_of_notes_grow_with_time():
    now = time.time_ns() // 1000
    assert note_id(now) < note_id(now + 1_000) < 2**63


# -- tenants -------------------------------------------------------------------------------


async def test_executions_carry_the_tenant_of_their_caller(api: Api):
    admin = (await made(api, "admin"))["token"]
    sales = await made(api, "operator", admin, tenant="sales", organization="emea")
    for content in (HELLO, PARENT):
        await api.post("/api/catalog/register", {"content": content}, **bearer(admin))

    execute = {"path": "examples/parent"}
    parent = await api.post("/api/execute", execute, **bearer(sales["token"]))
    await api.post("/api/execute", {"path": "examples/hello"}, **bearer(admin))
    where = f"/api/executions/{parent['execution_id']}"

    async def ended(where: str) -> None:
        async with asyncio.timeout(20):
            while not (await api.get(f"{where}/status", **bearer(admin)))["completed"]:
                await asyncio.sleep(0.02)

    await ended(where)

    async def paths(**query: str) -> list[str]:
        found = await api.get("/api/executions", params=query, **bearer(admin))
        assert all(one["tenant"] == "sales" for one in found)
        return sorted(one["path"] for one in found)

    mine = ["examples/hello", "examples/parent"]
    assert await paths(tenant="sales") == mine
    assert await paths(tenant="sales", organization="emea") == mine
    assert await paths(tenant="nobody") == []
    detail = await api.get(where, **bearer(admin))
    assert (detail["tenant"], detail["organization"]) == ("sales", "emea")
    again = await api.post(f"{where}/rerun", **bearer(admin))
    assert (await paths(tenant="sales")).count("examples/parent") == 2
    await ended(f"/api/executions/{again['execution_id']}")


async def test_documents_credentials_and_the_audit_carry_the_tenant_of_their_caller(api: Api):
    admin = (await made(api, "admin"))["token"]
    sales = (await made(api, "editor", admin, tenant="sales", organization="emea"))["token"]
    await api.post("/api/catalog/register", {"content": PARENT}, **bearer(admin))
    await api.post("/api/catalog/register", {"content": HELLO}, **bearer(sales))
    for token, name in ((admin, "ours"), (sales, "theirs")):
        body = {"name": name, "type": "bearer", "data": {"token": "s3cret-of-somebody"}}
        await api.post("/api/credentials", body, **bearer(token))

        schedule = {"path": "examples/parent", "cron": "0 3 * * *"}
        await api.call("PUT", f"/api/schedules/{name}", schedule, **bearer(token))

    mine = ["examples/hello", "theirs", "theirs", "theirs"]
    for labels, expected in (
        ({"tenant": "sales"}, mine),
        ({"organization": "emea"}, mine),
        ({"tenant": "nobody"}, []),
    ):
        documents = await api.post("/api/catalog/list", labels, **bearer(admin))
        kept = await api.get("/api/credentials", params=labels, **bearer(admin))
        notes = await api.get("/api/audit", params=labels, **bearer(admin))
        changes = await api.get("/api/audit/changes", params=labels, **bearer(admin))
        made_by = {one["actor"].partition(" ")[2] for one in changes["changes"]}
        assert made_by == ({"editor"} if expected else set())
        ticking = await api.get("/api/schedules", params=labels, **bearer(admin))
        found = [*documents["entries"], *kept["items"], *notes["items"], *ticking["schedules"]]
        names = [one.get("name") or one.get("alias") or one["path"] for one in found]
        assert names == expected
        assert all(one["tenant"] == "sales" for one in found)


async def test_an_execution_says_who_started_it(api: Api):
    admin = await made(api, "admin")
    token = admin["token"]
    await api.post("/api/catalog/register", {"content": HELLO}, **bearer(token))
    started = await api.post("/api/execute", {"path": "examples/hello"}, **bearer(token))
    found = await api.get(f"/api/executions/{started['execution_id']}", **bearer(token))

    assert found["labels"]["started_by"] == f"token:{admin['id']} admin"


# -- every route ---------------------------------------------------------------------------

OPEN = {"/health", "/api/health", "/api/runtime/contract", "/api/auth/validate"}

UNAUDITED = {
    # Looks only.
    "POST /api/catalog/list", "POST /api/catalog/resource", "POST /api/db/init",
    "POST /api/auth/validate", "POST /api/catalog/agents/list",
    "POST /api/catalog/playbooks/validate", "POST /api/executions/{execution_id}/analyze",
    # Refused, whatever they ask.
    "POST /api/executions/{execution_id}/analyze/ai", "POST /api/catalog/playbooks/explain/ai",
    "POST /api/catalog/playbooks/generate/ai",
    # The first event of an execution says who started it.
    "POST /api/execute", "POST /api/execute/batch",
    "POST /api/executions/{execution_id}/rerun", "POST /api/executions/{execution_id}/retry-from",
    # The execution's events are the record.
    "POST /api/events", "POST /api/events/batch", "PUT /api/result/{execution_id}",
    "POST /api/internal/container-callback/{execution_id}/{step}",
    # What workers say of themselves, again and again.
    "POST /api/worker/pool/register", "POST /api/worker/pool/heartbeat",
    "DELETE /api/worker/pool/deregister",
    # What workers ask, as over the bus: executions and the audit of secrets have it.
    "POST /api/internal/worker/messages", "POST /api/internal/worker/notices",
    "POST /api/internal/worker/requests", "POST /api/commands/{command_id}/claim",
}  # fmt: skip
"""Routes beside GET that leave no row in the audit of changes."""


def test_whatever_changes_something_is_audited():
    left = {f"{r.method} {r.path}" for r in ROUTES if r.method != "GET" and not r.change}

    assert left == UNAUDITED


async def test_every_route_is_for_its_scope_and_those_above(tmp_path, monkeypatch):
    monkeypatch.setattr("arcbook.server.http.access.FAILURES_PER_SECOND", 0.0)
    tokens = {hash_token(scope): scope for scope in TOKEN_SCOPES}
    settings = HttpSettings(tokens=tokens, internal_token="inner")
    wrong: list[str] = []
    async with cluster(tmp_path, settings=settings) as (api,):
        for route in ROUTES:
            path = re.sub(r"\{[^}]*\}", "1", route.path)

            async def status_of(token: str, route: Route = route, path: str = path) -> int:
                shown = bearer(token) if token else {}
                body = {} if route.body is not None else None
                return (await api.call(route.method, path, body, **shown))[0]

            is_inner = route.scope == "internal"
            refused = 403 if is_inner else 401
            expected = {"": refused, "wrong": refused, "inner": None if is_inner else 403}
            for rank, scope in enumerate(TOKEN_SCOPES):
                may = not is_inner and (route.path in OPEN or rank >= SCOPES.index(route.scope) - 1)
                expected[scope] = None if may else 403
            if route.path in OPEN:
                expected |= {"": None, "wrong": None, "inner": None}
            for token, status in expected.items():
                found = await status_of(token)
                is_right = found not in (401, 403) if status is None else found == status
                if not is_right:
                    wrong.append(f"{route.method} {route.path} as {token!r}: {found}")

    assert not wrong, "\n".join(wrong)


# -- the internal token --------------------------------------------------------------------


async def test_internal_routes_want_the_internal_token(tmp_path):
    where = "/api/internal/outbox/pending-count"
    async with cluster(tmp_path) as (api,):
        assert (await api.call("GET", where))[0] == 503
    settings = HttpSettings(internal_token="inner")
    async with cluster(tmp_path, settings=settings) as (api,):
        assert (await api.call("GET", where))[0] == 403
        assert (await api.call("GET", where, **bearer("wrong")))[0] == 403
        assert await api.get(where, **bearer("inner")) == {"pending": 0, "pools": {}}
        # It opens nothing else.
        assert (await api.call("GET", "/api/executions", **bearer("inner")))[0] == 403
        body = {"status": "completed"}
        callback = "/api/internal/container-callback/123/step"
        assert (await api.call("POST", callback, body))[0] == 403
        assert (await api.call("POST", callback, body, **bearer("inner")))[0] == 202


# -- limits --------------------------------------------------------------------------------


async def test_a_caller_that_asks_too_often_waits(tmp_path):
    async with cluster(tmp_path, settings=HttpSettings(requests_per_second=5)) as (api,):
        statuses = [(await api.call("GET", "/api/executions"))[0] for _ in range(40)]
        assert statuses[0] == 200
        status, _, headers = await api.call("GET", "/api/executions")
        assert 429 in statuses
        assert status == 200 or headers["Retry-After"] == "1"


async def test_wrong_tokens_are_not_tried_for_ever(api: Api):
    admin = await made(api, "admin")
    statuses = [
        (await api.call("GET", "/api/executions", **bearer(f"arcbook_x_{n}")))[0] for n in range(30)
    ]
    assert statuses[0] == 401
    assert 429 in statuses
    assert admin["token"]


def test_a_bucket_fills_by_the_clock():
    class Clock(SystemClock):
        us = 0

        def monotonic_us(self) -> int:
            return self.us

    clock = Clock()
    limit = RateLimit(clock, 2.0)
    assert [limit.take("a") for _ in range(5)] == [True] * 4 + [False]
    assert limit.take("b")
    clock.us = 500_000
    assert [limit.take("a") for _ in range(2)] == [True, False]
    assert not limit.has_room("a")
    assert RateLimit(clock, 0).take("a")


# -- JWTs ----------------------------------------------------------------------------------

KEYS: dict[str, Any] = {
    "RS256": jwk.RSAKey.generate_key(2048, {"kid": "rsa"}),
    "ES256": jwk.ECKey.generate_key("P-256", {"kid": "ec"}),
}
PROVIDER = OidcSettings(issuer="https://id.example", audience="arcbook")


class Provider:
    """Answers as an identity provider would."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.keys = list(KEYS.values())
        self.is_away = False

    async def __call__(self, url: str) -> object:
        self.asked.append(url)
        if self.is_away:
            raise OSError("nobody answers")
        if url.endswith("openid-configuration"):
            return {"jwks_uri": "https://id.example/keys"}
        return {"keys": [key.as_dict(private=False) for key in self.keys]}


class Clock(SystemClock):
    """A clock that a test sets on."""

    us = 0

    def monotonic_us(self) -> int:
        return self.us


def signed(algorithm: str = "RS256", key: Any = None, **claims: object) -> str:
    made = {
        "iss": "https://id.example",
        "aud": ["other", "arcbook"],
        "sub": "ann",
        "exp": int(time.time()) + 60,
        "scope": "openid arcbook:viewer arcbook:editor",
        "tenant": "sales",
    } | claims
    signer = key or KEYS[algorithm]
    header = {"alg": algorithm, "kid": signer.kid}
    return jwt.encode(header, {k: v for k, v in made.items() if v is not None}, signer)


@pytest.mark.parametrize("algorithm", ["RS256", "ES256"])
async def test_a_good_jwt_says_who_calls(algorithm):
    provider = Provider()
    found = await Oidc(PROVIDER, Clock(), provider).identity(signed(algorithm))
    assert found is not None
    assert (found.subject, found.scope, found.tenant) == ("ann", "editor", "sales")
    assert provider.asked == [
        "https://id.example/.well-known/openid-configuration",
        "https://id.example/keys",
    ]


async def test_bad_jwts_are_refused():
    oidc = Oidc(PROVIDER, Clock(), Provider())
    stranger = jwk.RSAKey.generate_key(2048, {"kid": "rsa"})
    secret = jwk.OctKey.import_key("x" * 32, {"kid": "rsa"})
    good = signed()
    bad = [
        signed(key=stranger),
        signed("HS256", key=secret),
        signed(iss="https://evil.example"),
        signed(iss=None),
        signed(aud="other"),
        signed(aud=None),
        signed(exp=int(time.time()) - 120),
        signed(exp=None),
        signed(sub=None),
        signed(nbf=int(time.time()) + 600),
        good[:-4] + "AAAA",
        good + "x" * 20_000,
        "eyJhbGciOiJub25lIn0.e30.",
        "a.b.c",
        "..",
    ]
    assert [await oidc.identity(token) for token in bad] == [None] * len(bad)
    assert await oidc.identity(good) is not None
    none = await oidc.identity(signed(scope="arcbook:king"))
    assert none is not None
    assert none.scope == ""
    listed = await oidc.identity(signed(scope=["arcbook:admin"]))
    assert listed is not None
    assert listed.scope == "admin"


async def test_keys_are_kept_fetched_again_and_survive_the_provider():
    provider, clock = Provider(), Clock()
    oidc = Oidc(PROVIDER, clock, provider)
    for _ in range(3):
        assert await oidc.identity(signed()) is not None
    assert len(provider.asked) == 2

    fresh = jwk.RSAKey.generate_key(2048, {"kid": "new"})
    provider.keys.append(fresh)
    assert await oidc.identity(signed(key=fresh)) is None  # asked for a moment ago
    clock.us += int((AGAIN_SECONDS + 1) * 1_000_000)
    assert await oidc.identity(signed(key=fresh)) is not None
    assert len(provider.asked) == 4

    provider.is_away = True
    clock.us += int((FRESH_SECONDS + 1) * 1_000_000)
    for _ in range(3):
        assert await oidc.identity(signed(key=fresh)) is not None
    assert len(provider.asked) == 5


def embedded(**header: object) -> str:
    """Return a JWT that is signed by a key which it brings, or names, itself."""
    stranger = jwk.RSAKey.generate_key(2048, {"kid": "rsa"})
    claims = {"iss": "https://id.example", "aud": "arcbook", "sub": "eve", "exp": 2**40}
    registry = jws.JWSRegistry(strict_check_header=False)
    made = {"alg": "RS256", **header, "jwk": stranger.as_dict(private=False)}
    return jwt.encode(made, claims, stranger, registry=registry)


async def test_a_jwt_cannot_bring_its_own_key_nor_sign_by_a_public_one():
    oidc = Oidc(PROVIDER, Clock(), Provider())
    public = KEYS["RS256"].as_pem(private=False)
    head, body, _ = signed().split(".")
    confused = urlsafe_b64encode(b'{"alg":"HS256","kid":"rsa"}').rstrip(b"=") + b"." + body.encode()
    made = urlsafe_b64encode(hmac.digest(public, confused, "sha256")).rstrip(b"=")
    evil = "https://evil.example/keys"
    tried = [
        embedded(kid="rsa"),
        embedded(kid="rsa", jku=evil),
        embedded(kid="../../dev/null"),
        (confused + b"." + made).decode(),
        f"{head}.{body}.",
        signed(nbf=int(time.time()) + 3600),
        signed(iss="https://id.example.evil.example"),
    ]

    assert [await oidc.identity(token) for token in tried] == [None] * len(tried)


async def test_keys_that_nobody_knows_do_not_make_the_server_ask_again_and_again():
    provider, clock = Provider(), Clock()
    oidc = Oidc(PROVIDER, clock, provider)
    assert await oidc.identity(signed()) is not None
    strangers = [
        signed(key=jwk.ECKey.generate_key("P-256", {"kid": str(n)}), algorithm="ES256")
        for n in range(50)
    ]
    await asyncio.gather(*(oidc.identity(token) for token in strangers))
    assert len(provider.asked) == 2
    clock.us += int((AGAIN_SECONDS + 1) * 1_000_000)
    await asyncio.gather(*(oidc.identity(token) for token in strangers))
    assert len(provider.asked) == 4


async def test_keys_that_come_in_parts_are_read_to_their_end():
    async def answer(_: web.Request) -> web.Response:
        return web.Response(body=b'{"keys": [' + b" " * 900_000 + b"]}")

    app = web.Application()
    app.router.add_get("/keys", answer)
    async with TestServer(app, host="127.0.0.1") as server:
        assert await fetched_keys(str(server.make_url("/keys"))) == {"keys": []}


def test_a_provider_without_an_audience_is_refused():
    with pytest.raises(SettingsError, match="AUDIENCE"):
        Oidc(OidcSettings(issuer="https://id.example", audience=""), SystemClock())


async def test_a_jwt_opens_the_api_as_far_as_its_scope(tmp_path, monkeypatch):
    monkeypatch.setattr("arcbook.server.http.oidc.fetched", Provider())
    async with cluster(tmp_path, settings=HttpSettings(oidc=PROVIDER)) as (api,):
        assert (await api.call("GET", "/api/executions"))[0] == 401
        editor = bearer(signed())
        await api.post("/api/catalog/register", {"content": HELLO}, **editor)
        started = await api.post("/api/execute", {"path": "examples/hello"}, **editor)
        found = await api.get(f"/api/executions/{started['execution_id']}", **editor)
        assert found["tenant"] == "sales"
        assert (await api.call("GET", "/api/tokens", **editor))[0] == 403
        nothing = bearer(signed(scope=None))
        assert (await api.call("GET", "/api/executions", **nothing))[0] == 403
