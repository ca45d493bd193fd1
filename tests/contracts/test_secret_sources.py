"""Where secrets come from: secret managers, issuers of tokens, services that keep keys."""

from __future__ import annotations

import base64
import contextlib
import json
import sys
import threading
import types
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs

import boto3
import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from moto import mock_aws

from arcbook.clock import SystemClock
from arcbook.egress import Egress
from arcbook.secrets.api import Credential, CredentialError
from arcbook.secrets.envelope import SealError, key_of_record, rewrap, seal, unseal
from arcbook.secrets.key_services import AwsKey, AzureKey, GcpKey, VaultKey
from arcbook.secrets.keychain import Keychain, RenderedEntry, token_of
from arcbook.secrets.providers import gcp
from arcbook.testing.clock import START_US, FakeClock

SECRET = "s3cret-from-far-away"


class Known:
    """Credentials by alias."""

    def __init__(self, **known):
        self.known = known

    async def credential(self, alias, execution_id):
        if alias not in self.known:
            raise CredentialError(alias, "is not known")
        return Credential(name=alias, type="secret", data=self.known[alias])


async def opened(kind, config, **known):
    found = await Keychain(Known(**known), SystemClock()).open(
        RenderedEntry("entry", kind, config, 1)
    )
    return found.data


async def refused(kind, config, **known):
    with pytest.raises(CredentialError) as caught:
        await opened(kind, config, **known)
    assert SECRET not in str(caught.value)
    return caught.value


class Issuer:
    """A web service that answers from a table, and remembers what it was asked."""

    def __init__(self):
        self.answers = {}
        self.asked = []
        issuer = self

        class Handler(BaseHTTPRequestHandler):
            def answer(self):
                size = int(self.headers.get("Content-Length") or 0)
                issuer.asked.append(
                    (self.command, self.path, dict(self.headers), self.rfile.read(size))
                )
                status, body = issuer.answers.get(self.path, (404, {}))
                data = body if isinstance(body, bytes) else json.dumps(body).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                if 300 <= status < 400:
                    self.send_header("Location", "/elsewhere")
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            do_GET = do_POST = do_PUT = answer  # noqa: N815  # as the base class calls them

            def log_message(self, *_):
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    @contextlib.contextmanager
    def serving(self):
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        try:
            yield self
        finally:
            self._server.shutdown()
            self._server.server_close()


@pytest.fixture
def issuer():
    with Issuer().serving() as found:
        yield found


# -- tokens --------------------------------------------------------------------------------


async def test_oauth2_sends_a_form_and_takes_the_whole_answer(issuer):
    issuer.answers["/token"] = (200, {"access_token": SECRET, "expires_in": 60, "scope": "a"})
    form = {"grant_type": "client_credentials", "client_id": "me", "client_secret": "x&y"}
    found = await opened("oauth2", {"endpoint": issuer.url + "/token", "data": form})

    assert found == {"access_token": SECRET, "token": SECRET, "expires_in": 60, "scope": "a"}
    assert parse_qs(issuer.asked[0][3].decode()) == {key: [value] for key, value in form.items()}


@pytest.mark.parametrize(
    ("expires_in", "ttl_seconds", "kept_until"),
    [(600, None, 570), (60, None, 54), (600, 3600, 570), (600, 100, 100), (None, 100, 100)],
)
async def test_a_token_is_kept_until_shortly_before_its_issuer_or_its_entry_ends_it(
    issuer, expires_in, ttl_seconds, kept_until
):
    told = {} if expires_in is None else {"expires_in": expires_in}
    issuer.answers["/token"] = (200, {"access_token": SECRET, **told})
    config = {"endpoint": issuer.url + "/token", "ttl_seconds": ttl_seconds}
    clock = FakeClock()
    keychain = Keychain(Known(), clock)

    async def asked(seconds):
        clock.at_us = START_US + int(seconds * 1_000_000)
        await keychain.open(RenderedEntry("entry", "oauth2", config, 1))
        return len(issuer.asked)

    assert [await asked(s) for s in (0, kept_until * 0.98, kept_until * 1.02)] == [1, 1, 2]


async def test_oauth2_sends_json_where_its_header_says_so(issuer):
    issuer.answers["/token"] = (200, {"access_token": SECRET})
    config = {
        "endpoint": issuer.url + "/token",
        "headers": {"Content-Type": "application/json", "X-A": "b"},
        "data": {"client_id": "me"},
    }
    await opened("oauth2", config)

    assert json.loads(issuer.asked[0][3]) == {"client_id": "me"}
    assert issuer.asked[0][2]["X-A"] == "b"


async def test_oauth2_uses_a_stored_client(issuer):
    issuer.answers["/token"] = (200, {"access_token": SECRET})
    stored = {"token_url": issuer.url + "/token", "client_id": "me", "client_secret": "pw-of-me"}
    await opened("oauth2", {"credential": "client", "scope": "all"}, client=stored)

    assert parse_qs(issuer.asked[0][3].decode()) == {
        "grant_type": ["client_credentials"],
        "client_id": ["me"],
        "client_secret": ["pw-of-me"],
        "scope": ["all"],
    }


@pytest.mark.parametrize(
    ("status", "body", "reason", "retryable"),
    [
        (401, {"error": SECRET}, "HTTP 401", False),
        (429, {}, "HTTP 429", True),
        (503, {}, "HTTP 503", True),
        (200, b"<html>" + SECRET.encode(), "not a JSON object", False),
        (200, {"tokn": SECRET}, "without an access_token", False),
    ],
)
async def test_an_issuer_that_refuses_is_told_without_its_words(
    issuer, status, body, reason, retryable
):
    issuer.answers["/token"] = (status, body)
    error = await refused("oauth2", {"endpoint": issuer.url + "/token"})

    assert reason in str(error)
    assert error.retryable is retryable


@pytest.mark.parametrize(
    ("status", "body", "said"),
    [
        (307, {}, "is redirected by its issuer"),
        (200, b'{"access_token": "' + b"x" * 2_000_000 + b'"}', "longer than 1,048,576 bytes"),
    ],
)
async def test_what_is_sent_is_for_the_issuer_alone_and_its_answer_has_a_limit(
    issuer, status, body, said
):
    issuer.answers["/token"] = (status, body)
    config = {"endpoint": issuer.url + "/token", "data": {"client_secret": SECRET}}
    error = await refused("oauth2", config)

    assert said in str(error)
    assert len(issuer.asked) == 1


async def test_no_issuer_is_asked_where_tools_do_not_connect(issuer):
    keychain = Keychain(Known(), SystemClock(), Egress(private=False))
    config = {"endpoint": issuer.url + "/token", "data": {"client_secret": SECRET}}

    with pytest.raises(CredentialError, match="cannot reach its issuer"):
        await keychain.open(RenderedEntry("entry", "oauth2", config, 1))
    assert issuer.asked == []


async def test_a_client_that_can_refresh_does_and_says_the_scope_of_its_token(issuer):
    issuer.answers["/token"] = (200, {"access_token": SECRET})
    stored = {"token_url": issuer.url + "/token", "client_id": "me", "client_secret": "x",
              "refresh_token": "again", "scope": "read"}  # fmt: skip
    await opened("oauth2", {"credential": "c", "scope": "execution"}, c=stored)
    await opened("oauth2", {"credential": "c", "scope": "write"}, c=stored)
    sent = [parse_qs(asked[3].decode()) for asked in issuer.asked]

    assert [one["scope"] for one in sent] == [["read"], ["write"]]
    assert {one["grant_type"][0] for one in sent} == {"refresh_token"}
    assert sent[0]["refresh_token"] == ["again"]


async def test_an_issuer_that_is_away_may_be_asked_again():
    error = await refused("oauth2", {"endpoint": f"http://127.0.0.1:9/{SECRET}"})

    assert error.retryable


def service_account(url):
    key = rsa.generate_private_key(65537, 2048)
    pem = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    ).decode()
    return key, {
        "client_email": "me@p.iam",
        "private_key": pem,
        "token_uri": url,
        "private_key_id": "k1",
    }


async def minted_by(data):
    """Return the token that a credential of the type ``google_oauth`` stands for, if it does."""
    wanted = token_of(Credential(name="g", type="google_oauth", data=data), 1)
    return wanted and (await Keychain(Known(), SystemClock()).open(wanted)).data["token"]


async def test_googles_tokens_come_of_an_account_or_a_client_that_refreshes(issuer):
    issuer.answers["/token"] = (200, {"access_token": SECRET})
    _, account = service_account(issuer.url + "/token")
    client = {"token_uri": issuer.url + "/token", "client_id": "me", "refresh_token": "again"}

    for data in (account, {"service_account_json": json.dumps(account)}, client):
        assert await minted_by(data) == SECRET
    grants = [parse_qs(asked[3].decode())["grant_type"][0] for asked in issuer.asked]
    assert [grant.rpartition(":")[2] for grant in grants] == ["jwt-bearer"] * 2 + ["refresh_token"]
    # A token that is there is taken as it is; a client asks Google, where it names nobody else.
    assert token_of(Credential(name="g", type="google_oauth", data={"token": "t"}), 1) is None
    del client["token_uri"]
    wanted = token_of(Credential(name="g", type="google_oauth", data=client), 1)
    assert wanted.config["client"]["token_uri"] == "https://oauth2.googleapis.com/token"


def claims_of(issuer, key):
    form = parse_qs(issuer.asked[-1][3].decode())
    head, body, signature = form["assertion"][0].split(".")
    padded = [part + "=" * (-len(part) % 4) for part in (head, body, signature)]
    plain = [base64.urlsafe_b64decode(part) for part in padded]
    signed = f"{head}.{body}".encode()
    key.public_key().verify(plain[2], signed, padding.PKCS1v15(), hashes.SHA256())
    assert form["grant_type"] == ["urn:ietf:params:oauth:grant-type:jwt-bearer"]
    return json.loads(plain[0]), json.loads(plain[1])


async def test_google_mints_an_identity_for_a_signed_assertion(issuer):
    issuer.answers["/google"] = (200, {"id_token": SECRET})
    key, account = service_account(issuer.url + "/google")
    config = {"service_account_credential": "sa", "target_audience": "https://run"}
    found = await opened(
        "google_id_token", config, sa={"service_account_json": json.dumps(account)}
    )
    head, claims = claims_of(issuer, key)

    assert found["token"] == found["id_token"] == SECRET
    assert (head["alg"], head["kid"]) == ("RS256", "k1")
    assert claims["target_audience"] == "https://run"
    assert claims["iss"] == "me@p.iam"
    assert claims["aud"] == issuer.url + "/google"
    assert claims["exp"] - claims["iat"] == 3600


async def test_google_mints_access_for_scopes(issuer):
    issuer.answers["/google"] = (200, {"access_token": SECRET, "expires_in": 3599})
    key, account = service_account(issuer.url + "/google")
    found = await opened("google_oauth", {"ref": "sa", "scopes": ["a", "b"]}, sa=account)

    assert found["token"] == SECRET
    assert claims_of(issuer, key)[1]["scope"] == "a b"


@pytest.mark.parametrize(
    "key", ["no key", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----"]
)
async def test_a_service_account_without_a_usable_key_is_refused(key):
    account = {"client_email": "a", "private_key": key}
    error = await refused("google_oauth", {"ref": "sa"}, sa=account)

    assert "not a PEM key" in str(error)


# -- secret managers -----------------------------------------------------------------------

AWS = {"access_key_id": "testing", "secret_access_key": "testing", "region": "eu-west-1"}


@pytest.fixture
def aws(monkeypatch):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
    with mock_aws():
        yield


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
async def test_aws_reads_texts_fields_and_other_regions(aws):
    for region, text in (("eu-west-1", SECRET), ("us-east-1", json.dumps({"db": {"pw": SECRET}}))):
        boto3.client("secretsmanager", region_name=region).create_secret(
            Name="app/x", SecretString=text
        )
    config = {"provider": "aws", "auth": "acc", "map": {"a": "app/x", "b": "us-east-1:app/x#db.pw"}}

    assert await opened("secrets", config, acc=AWS) == {"a": SECRET, "b": SECRET}
    for path in ("none", "us-east-1:app/x#nope"):
        error = await refused("secrets", {**config, "map": {"a": path}}, acc=AWS)
        assert not error.retryable


def vault_answer(data):
    return 200, {"data": {"data": data, "metadata": {"version": 1}}}


async def test_vault_reads_fields_below_a_mount(issuer):
    issuer.answers["/v1/kv/data/app/db"] = vault_answer({"pw": SECRET})
    issuer.answers["/v1/secret/data/top"] = vault_answer({"pw": SECRET})
    auth = {"vault_url": issuer.url, "token": "vault-token"}
    config = {
        "provider": "vault",
        "auth": "v",
        "map": {"a": "kv/app/db#pw", "b": "top#pw", "c": "kv/app/db"},
    }
    found = await opened("secrets", config, v=auth)

    assert found == {
        "a": SECRET,
        "b": SECRET,
        "c": json.dumps({"pw": SECRET}, separators=(",", ":")),
    }
    assert issuer.asked[0][2]["X-Vault-Token"] == "vault-token"
    assert "not at vault" in str(
        await refused("secrets", {**config, "map": {"a": "top#no"}}, v=auth)
    )
    issuer.answers["/v1/secret/data/top"] = (403, {"errors": [SECRET]})
    error = await refused("secrets", {**config, "map": {"a": "top#pw"}}, v=auth)
    assert "from vault: Forbidden" in str(error)


def module(monkeypatch, name, **members):
    """Put a recorded library in the place of one that is not installed."""
    parts = name.split(".")
    for n in range(1, len(parts) + 1):
        part = ".".join(parts[:n])
        known = sys.modules.get(part) or types.ModuleType(part)
        monkeypatch.setitem(sys.modules, part, known)
        if n > 1:
            monkeypatch.setattr(
                sys.modules[".".join(parts[: n - 1])], parts[n - 1], known, raising=False
            )
    for key, value in members.items():
        monkeypatch.setattr(sys.modules[name], key, value, raising=False)


class Plain:
    """An object with the attributes that it is given."""

    def __init__(self, **members):
        self.__dict__.update(members)


async def test_google_reads_the_version_that_a_path_means(monkeypatch):
    asked = []

    class Client:
        @classmethod
        def from_service_account_info(cls, info):
            asked.append(info["client_email"])
            return cls()

        def access_secret_version(self, request):
            asked.append(request["name"])
            return Plain(payload=Plain(data=json.dumps({"pw": SECRET}).encode()))

    module(monkeypatch, "google.cloud.secretmanager", SecretManagerServiceClient=Client)
    account = {"client_email": "me", "private_key": "k", "project_id": "p"}
    config = {"provider": "gcp", "auth": "sa", "map": {"a": "db#pw"}}

    assert await opened("secrets", config, sa=account) == {"a": SECRET}
    assert asked == ["me", "projects/p/secrets/db/versions/latest"]


@pytest.mark.parametrize(
    ("place", "name"),
    [
        ("s", "projects/p/secrets/s/versions/latest"),
        ("s/3", "projects/p/secrets/s/versions/3"),
        ("projects/q/secrets/s", "projects/q/secrets/s/versions/latest"),
        ("projects/q/secrets/s/versions/2", "projects/q/secrets/s/versions/2"),
    ],
)
def test_google_names_of_versions(place, name):
    assert gcp.full_name(place, "p") == name


async def test_azure_reads_a_version_of_a_vault(monkeypatch):
    asked = []

    class Client:
        def __init__(self, vault_url, credential):
            asked.append((vault_url, credential))

        def __enter__(self):
            return self

        def __exit__(self, *_):
            return None

        def get_secret(self, name, version):
            asked.append((name, version))
            return Plain(value=SECRET)

    module(
        monkeypatch,
        "azure.identity",
        ClientSecretCredential=lambda *a: a,
        DefaultAzureCredential=lambda: "default",
    )
    module(monkeypatch, "azure.keyvault.secrets", SecretClient=Client)
    auth = {"tenant_id": "t", "client_id": "c", "client_secret": "s"}
    config = {"provider": "azure", "vault": "mine", "map": {"a": "pw#7"}}

    assert await opened("secrets", {**config, "auth": "az"}, az=auth) == {"a": SECRET}
    assert await opened("secrets", {"provider": "azure", "map": {"a": "other/pw"}}) == {"a": SECRET}
    assert asked == [
        ("https://mine.vault.azure.net", ("t", "c", "s")),
        ("pw", "7"),
        ("https://other.vault.azure.net", "default"),
        ("pw", None),
    ]


async def test_kubernetes_reads_a_key_of_a_secret(monkeypatch):
    asked = []

    class Core:
        def __init__(self, api):
            pass

        def read_namespaced_secret(self, name, namespace):
            asked.append((namespace, name))
            return Plain(data={"pw": base64.b64encode(SECRET.encode()).decode()})

    configuration = Plain(ConfigException=RuntimeError, load_incluster_config=lambda **_: None)
    client = Plain(ApiClient=contextlib.nullcontext, Configuration=lambda **_: None, CoreV1Api=Core)
    module(monkeypatch, "kubernetes", client=client, config=configuration)
    config = {"provider": "k8s", "map": {"a": "app/pw", "b": "prod/app/pw"}}

    assert await opened("secrets", config) == {"a": SECRET, "b": SECRET}
    assert sorted(asked) == [("default", "app"), ("prod", "app")]
    assert "not at k8s" in str(await refused("secrets", {**config, "map": {"a": "app/none"}}))


# -- what all of them promise --------------------------------------------------------------


class Backend:
    """Secrets of one provider, and how it fails."""

    def __init__(self, config, auth=None):
        self.texts = {}
        #: What it answers with instead, if anything.
        self.fault = None
        self.config = config
        self.auth = auth or {"token": "t"}

    def text(self, name, missing):
        if self.fault is not None:
            raise self.fault
        if name not in self.texts:
            raise missing
        return self.texts[name]


def fault(name, **members):
    """Return an error as a library would raise it; its message quotes a secret."""
    return type(name, (Exception,), members)(f"it quotes {SECRET}")


@pytest.fixture
def gcp_backend(monkeypatch):
    made = Backend({"provider": "gcp", "project": "p"})

    class Client:
        def access_secret_version(self, request):
            text = made.text(request["name"].split("/")[3], fault("NotFound", code=404))
            return Plain(payload=Plain(data=text.encode()))

    module(monkeypatch, "google.cloud.secretmanager", SecretManagerServiceClient=Client)
    made.denied, made.away = (
        fault("PermissionDenied", code=403),
        fault("ServiceUnavailable", code=503),
    )
    return made


@pytest.fixture
def azure_backend(monkeypatch):
    made = Backend({"provider": "azure", "vault": "mine"})

    class Client:
        def __init__(self, vault_url, credential):
            pass

        def __enter__(self):
            return self

        def __exit__(self, *_):
            return None

        def get_secret(self, name, version):
            return Plain(value=made.text(name, fault("ResourceNotFoundError", status_code=404)))

    module(monkeypatch, "azure.identity", ClientSecretCredential=None, DefaultAzureCredential=str)
    module(monkeypatch, "azure.keyvault.secrets", SecretClient=Client)
    made.denied, made.away = fault("ClientAuthenticationError"), fault("ServiceRequestError")
    return made


@pytest.fixture
def k8s_backend(monkeypatch):
    made = Backend({"provider": "k8s"})

    class Core:
        def __init__(self, api):
            pass

        def read_namespaced_secret(self, name, namespace):
            text = made.text(name, fault("ApiException", status=404))
            return Plain(data={"value": base64.b64encode(text.encode()).decode()})

    configuration = Plain(ConfigException=RuntimeError, load_incluster_config=lambda **_: None)
    client = Plain(ApiClient=contextlib.nullcontext, Configuration=lambda **_: None, CoreV1Api=Core)
    module(monkeypatch, "kubernetes", client=client, config=configuration)
    made.path = "{}/value"
    made.denied, made.away = fault("ApiException", status=403), fault("MaxRetryError")
    return made


@pytest.fixture
def vault_backend(issuer):
    class Vault(Backend):
        path = "{}#value"

        def answer(self):
            issuer.answers = {
                f"/v1/secret/data/{name}": self.fault or vault_answer({"value": text})
                for name, text in self.texts.items()
            }

    made = Vault({"provider": "vault"}, {"vault_url": issuer.url, "token": "t"})
    made.denied, made.away = (403, {"errors": [SECRET]}), (503, {"errors": [SECRET]})
    return made


@pytest.fixture
def aws_backend(aws, monkeypatch):
    made = Backend({"provider": "aws"}, AWS)
    real = boto3.client

    class Client:
        def __init__(self, *given, **more):
            self.inner = real(*given, **more)

        def get_secret_value(self, SecretId):  # noqa: N803  # as the library has it
            if made.fault is not None:
                raise made.fault
            return self.inner.get_secret_value(SecretId=SecretId)

    def put():
        for name, text in made.texts.items():
            real("secretsmanager", region_name="eu-west-1").create_secret(
                Name=name, SecretString=text
            )

    monkeypatch.setattr(boto3, "client", Client)
    made.answer = put
    made.denied = fault("ClientError", response={"Error": {"Code": "AccessDeniedException"}})
    made.away = fault("EndpointConnectionError")
    return made


@pytest.fixture(params=["aws", "azure", "gcp", "k8s", "vault"])
def backend(request):
    return request.getfixturevalue(f"{request.param}_backend")


def entry_of(backend, **names):
    """Put texts there, and return an entry that reads some names."""
    path = getattr(backend, "path", "{}")
    getattr(backend, "answer", lambda: None)()
    return {**backend.config, "auth": "a", "map": {k: path.format(n) for k, n in names.items()}}


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
async def test_each_provider_reads_texts_as_they_are(backend):
    backend.texts = {"one": SECRET, "two": "é line\nand another"}
    config = entry_of(backend, a="one", b="two")

    assert await opened("secrets", config, a=backend.auth) == {
        "a": SECRET,
        "b": "é line\nand another",
    }


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize(
    ("reason", "again"), [("missing", False), ("denied", False), ("away", True)]
)
async def test_each_provider_says_whether_it_may_be_asked_again_and_never_what_it_was_told(
    backend, reason, again
):
    backend.texts = {"one": SECRET}
    if reason != "missing":
        backend.fault = getattr(backend, reason)
    config = entry_of(backend, a="one" if reason != "missing" else "two")
    error = await refused("secrets", config, a=backend.auth)

    assert "keychain entry 'entry'" in str(error)
    assert backend.config["provider"] in str(error)
    assert error.retryable == again


@pytest.mark.parametrize(
    ("provider", "extra"), [("gcp", "gcp"), ("azure", "azure"), ("k8s", "kubernetes")]
)
async def test_a_library_that_is_not_installed_is_named(monkeypatch, provider, extra):
    for name in ("google.cloud", "azure.identity", "kubernetes"):
        monkeypatch.setitem(sys.modules, name, None)
    error = await refused("secrets", {"provider": provider, "map": {"a": "b/c"}})

    assert f"pip install 'arcbook[{extra}]'" in str(error)


# -- keys of services ----------------------------------------------------------------------


def sealed_and_opened(keys):
    sealed = seal("a", {"token": SECRET}, keys)
    assert json.loads(sealed)["dek"]["provider"] == keys.provider
    assert unseal("a", rewrap(sealed, keys), keys) == {"token": SECRET}
    return key_of_record(sealed)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_key_of_aws_seals_and_refuses_what_it_did_not_seal(aws):
    client = boto3.client("kms")
    key = client.create_key()["KeyMetadata"]["KeyId"]
    client.create_alias(AliasName="alias/arcbook", TargetKeyId=key)

    assert sealed_and_opened(AwsKey("alias/arcbook")) == f"aws:alias/arcbook:{key}"
    with pytest.raises(SealError, match="aws refuses key alias/none: NotFoundException"):
        seal("a", {}, AwsKey("alias/none"))
    with pytest.raises(SealError, match="use the key that sealed it"):
        unseal("a", seal("a", {}, AwsKey("alias/arcbook")), AwsKey("alias/other"))


def test_a_key_of_vault_seals_and_says_its_version(issuer, monkeypatch):
    monkeypatch.setenv("VAULT_ADDR", issuer.url)
    monkeypatch.setenv("VAULT_TOKEN", "vault-token")
    plain = base64.b64encode(bytes(range(32))).decode()
    monkeypatch.setattr("os.urandom", lambda n: bytes(range(n)))
    issuer.answers["/v1/transit/encrypt/arcbook"] = (200, {"data": {"ciphertext": "vault:v3:abc"}})
    issuer.answers["/v1/transit/decrypt/arcbook"] = (200, {"data": {"plaintext": plain}})

    assert sealed_and_opened(VaultKey("arcbook")) == "vault:arcbook:v3"
    assert json.loads(issuer.asked[0][3])["plaintext"] == plain
    issuer.answers["/v1/transit/encrypt/arcbook"] = (403, {"errors": [SECRET]})
    with pytest.raises(SealError, match=r"vault refuses key arcbook: Forbidden$"):
        seal("a", {}, VaultKey("arcbook"))


def test_a_key_of_google_seals(monkeypatch):
    class Client:
        def encrypt(self, request):
            return Plain(
                name=request["name"] + "/cryptoKeyVersions/4", ciphertext=request["plaintext"][::-1]
            )

        def decrypt(self, request):
            return Plain(plaintext=request["ciphertext"][::-1])

    module(monkeypatch, "google.api_core.exceptions", GoogleAPIError=OSError)
    module(monkeypatch, "google.auth.exceptions", GoogleAuthError=OSError)
    module(monkeypatch, "google.cloud.kms", KeyManagementServiceClient=Client)
    monkeypatch.setattr("arcbook.secrets.key_services._require", lambda *_: None)

    assert sealed_and_opened(GcpKey("projects/p/k")) == "gcp:projects/p/k:4"


def test_a_key_of_azure_wraps(monkeypatch):
    places = []

    class Client:
        def __init__(self, place, _):
            places.append(place)

        def wrap_key(self, algorithm, key):
            return Plain(key_id="https://v/keys/k/ver1", encrypted_key=key[::-1])

        def unwrap_key(self, algorithm, sealed):
            return Plain(key=sealed[::-1])

    module(monkeypatch, "azure.core.exceptions", AzureError=OSError)
    module(monkeypatch, "azure.identity", DefaultAzureCredential=lambda: None)
    module(
        monkeypatch,
        "azure.keyvault.keys.crypto",
        CryptographyClient=Client,
        KeyWrapAlgorithm=Plain(rsa_oaep_256="RSA-OAEP-256"),
    )
    monkeypatch.setattr("arcbook.secrets.key_services._require", lambda *_: None)

    assert sealed_and_opened(AzureKey("https://v/keys/k")) == "azure:https://v/keys/k:ver1"
    assert places[-1] == "https://v/keys/k/ver1"


def test_a_service_whose_library_is_not_installed_is_named(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)

    with pytest.raises(SealError, match=r"pip install 'arcbook\[gcp\]'"):
        seal("a", {}, GcpKey("k"))
