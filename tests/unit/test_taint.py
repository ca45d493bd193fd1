"""Marks in the place of secrets."""

from __future__ import annotations

import pytest

from arcbook.secrets.taint import Secrets, secret_fields, shown

SECRET = "s3cret/with+more"


@pytest.fixture
def secrets() -> Secrets:
    known = Secrets()
    known.add({"api.token": SECRET})
    return known


@pytest.mark.parametrize("length", range(6, len(SECRET)))
def test_what_is_left_of_a_secret_in_a_text_that_was_cut_is_hidden_and_comes_back(
    secrets: Secrets, length: int
) -> None:
    for text in ("x" * 300 + SECRET[:length], SECRET[-length:] + "x" * 300):
        hidden = secrets.hide(text)

        assert shown(hidden).strip("x") == "***"
        assert secrets.reveal(hidden) == text


def test_a_text_without_a_secret_is_the_same_object(secrets: Secrets) -> None:
    text = "x" * 1000

    assert secrets.hide(text) is text


def test_fields_that_nobody_knows_are_taken_for_secrets() -> None:
    data = {
        "host": "db",
        "user": "me",
        "pin": 12345678,
        "frob": "abcdefgh",
        "more": {"dsn": "q" * 9},
    }

    assert set(secret_fields("c", data)) == {"c.pin", "c.frob", "c.more.dsn"}


def test_a_password_in_an_address_is_a_secret_as_it_stands_and_as_it_is_meant() -> None:
    found = secret_fields("c", {"url": "postgres://me:p%40ssword@db:5432/sales"})

    assert set(found.values()) == {"p%40ssword", "p@ssword"}


def test_secrets_are_hidden_wherever_a_value_nests() -> None:
    known = Secrets()
    known.add({"api.token": SECRET})
    value = {"writes": [(["a"], SECRET), ("b", {"c": (SECRET,)})]}
    hidden = known.hide(value)

    assert SECRET not in str(hidden)
    assert known.reveal(hidden) == value
