"""What each type of credential must hold."""

from __future__ import annotations

import pytest

from arcbook.secrets.types import FORMS, CredentialInvalidError, checked

GOOD = {
    "api_key": {"key": 12345678},
    "aws": {"aws_access_key_id": "a", "aws_secret_access_key": "b"},
    "basic": {"user": "me", "password": "p"},
    "bearer": {"access_token": "t"},
    "bearer_token": {"token": "t"},
    "gcs": {"service_account_json": "{}"},
    "gcs_hmac": {"key_id": "a", "secret": "b"},
    "generic": {"anything": {"goes": 1}},
    "google_oauth": {"refresh_token": "r"},
    "google_service_account": {"client_email": "a@b", "private_key": "k"},
    "http": {"headers": {"X-Key": "v"}},
    "kafka": {"bootstrap_servers": "h:9092"},
    "nats": {"nats_url": "nats://h:4222"},
    "oauth2": {"token_url": "https://t", "client_id": "i", "client_secret": "s"},
    "oauth2_client_credentials": {"endpoint": "https://t", "client_id": "i", "client_secret": "s"},
    "postgres": {"db_host": "db", "db_port": "5432", "db_user": "me", "extra": [1]},
    "pubsub": {"project_id": "p"},
    "s3": {"access_key_id": "a", "secret_access_key": "b"},
    "secret": {"anything": "x"},
    "service_account": {"service_account": {"client_email": "a"}},
    "snowflake": {"sf_account": "a", "sf_user": "u", "sf_password": "p"},
}


def test_each_type_has_an_example():
    assert set(GOOD) == set(FORMS)


@pytest.mark.parametrize("kind", sorted(GOOD))
def test_what_a_type_needs_is_enough(kind):
    assert checked(kind, GOOD[kind]) == kind


@pytest.mark.parametrize("kind", sorted(set(GOOD) - {"generic", "google_oauth", "http", "secret"}))
def test_what_a_type_needs_is_missed_by_name(kind):
    with pytest.raises(CredentialInvalidError) as caught:
        checked(kind, {"frob": "s3cret-value"})

    assert all(f"type {kind!r} needs" in problem for problem in caught.value.problems)
    assert "s3cret-value" not in str(caught.value)


@pytest.mark.parametrize(
    ("written", "meant"),
    [("PostgreSQL", "postgres"), ("api-key", "api_key"), ("httpBearerAuth", "bearer")],
)
def test_types_have_other_names(written, meant):
    assert checked(written, GOOD[meant]) == meant


def test_all_problems_are_told_at_once():
    with pytest.raises(CredentialInvalidError) as caught:
        checked("snowflake", {"port": 1})

    assert len(caught.value.problems) == 3


@pytest.mark.parametrize("port", ["ssh", 0, 70000, True, [1], -1])
def test_a_port_is_a_port(port):
    with pytest.raises(CredentialInvalidError, match="'port' must be"):
        checked("postgres", {"host": "db", "port": port})
