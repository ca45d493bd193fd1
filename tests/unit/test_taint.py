"""Marks in the place of secrets."""

from __future__ import annotations

import base64
import html
import json
import shlex
from urllib.parse import quote, quote_plus

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given
from hypothesis import strategies as st
from yarl import URL

from arcbook.secrets import taint
from arcbook.secrets.fields import secret_fields
from arcbook.secrets.forms import forms
from arcbook.secrets.taint import Secrets, shown

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


@pytest.mark.parametrize(
    ("address", "secret"),
    [
        ("nats://0a1b2c3d4e5f6a7b@bus:4222", "0a1b2c3d4e5f6a7b"),
        ("https://ghp%5F0a1b2c3d4e5f@git.example/x", "ghp_0a1b2c3d4e5f"),
        ("https://blob.example/c?sv=2024&sig=0a1B2c3D4e5F%2Bx&se=1", "0a1B2c3D4e5F+x"),
    ],
)
def test_a_token_in_an_address_is_a_secret(address, secret):
    known = Secrets()
    known.add(secret_fields("c", {"url": address}))

    assert shown(known.hide(f"it is {secret}.")) == "it is ***."
    assert shown(known.hide(address)) != address


def test_who_an_address_names_and_what_its_query_says_is_no_secret_by_itself():
    known = Secrets()
    known.add(
        secret_fields(
            "c",
            {"url": "postgres://postgres@db1.internal:5432/sales?sslmode=verify-full&options=x"},
        )
    )

    assert not known


def test_secrets_are_hidden_wherever_a_value_nests() -> None:
    known = Secrets()
    known.add({"api.token": SECRET})
    value = {"writes": [(["a"], SECRET), ("b", {"c": (SECRET,)})]}
    hidden = known.hide(value)

    assert SECRET not in str(hidden)
    assert known.reveal(hidden) == value


AWKWARD = "s3cret \"with\"/more+of='it'&<é%~>"


def b64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def b64url(text: str) -> str:
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


SPELLINGS = {
    "json": json.dumps,
    "json in json": lambda s: json.dumps(json.dumps({"a": s})),
    "json for pages": lambda s: (
        json.dumps(s)
        .replace("&", "\\u0026")
        .replace("<", "\\u003c")
        .replace(">", "\\u003e")
        .replace("'", "\\u0027")
    ),
    "base64 of json": lambda s: b64(json.dumps({"auth": s})),
    "base64 in base64": lambda s: b64(json.dumps({"auth": b64("user:" + s)})),
    "url of base64": lambda s: quote(b64("x" + s), safe=""),
    "url of json": lambda s: quote(json.dumps([s])),
    "url twice": lambda s: quote(quote(s, safe=""), safe=""),
    "form": quote_plus,
    "a query of yarl": lambda s: str(URL("http://h/").with_query(q=s)),
    "a path of yarl": lambda s: str(URL("http://h/").with_path("/" + s)),
    "userinfo": lambda s: str(URL.build(scheme="http", host="h", user="u", password=s)),
    "encodeURIComponent": lambda s: quote(s, safe="!'()*"),
    "a token's payload": lambda s: f"a.{b64url(json.dumps({'k': s}))}.c",
    "html": html.escape,
    "repr": lambda s: repr(KeyError(s)),
    "hex": lambda s: s.encode().hex(),
    "title": str.title,
    "capital": str.capitalize,
    "swapped": str.swapcase,
    "a key of a mapping": lambda s: {s: 1},
    "deep in a mapping": lambda s: [{"a": ({s: [s]},)}],
}


@pytest.mark.parametrize("spelling", SPELLINGS)
@pytest.mark.parametrize("around", ["", "a", "ab"])
def test_a_secret_is_hidden_however_it_is_spelled_and_comes_back(spelling, around):
    known = Secrets()
    known.add({"api.token": AWKWARD})
    text = SPELLINGS[spelling](around + AWKWARD + around)
    hidden = known.hide(text)
    seen = json.dumps(shown(hidden)).lower()

    assert "***" in seen
    assert "cret" not in seen
    assert "more" not in seen
    assert known.reveal(hidden) == text


@pytest.mark.parametrize("length", range(10, 28))
def test_the_beginning_of_a_secret_is_hidden_wherever_it_was_cut(length):
    known = Secrets()
    secret = "sk-live-9f8e7d6c5b4a3f2e1d0c"
    known.add(secret_fields("api", {"token": secret}))
    text = f"it is {secret[:length]}... or {b64(secret)[:length]}"
    hidden = known.hide(text)

    assert known.reveal(hidden) == text
    assert shown(hidden) == "it is ***... or ***"


def test_a_beginning_that_says_nothing_is_none():
    known = Secrets()
    known.add(secret_fields("db", {"dsn": "postgresql://me:0a1b2c3d4e@db/sales"}))

    assert known.hide("write postgresql:// before it") == "write postgresql:// before it"


def test_shells_quote_a_secret_as_it_is():
    known = Secrets()
    known.add({"api.token": SECRET})

    assert SECRET not in known.hide(shlex.quote(SECRET))


def test_each_line_of_a_key_is_a_secret():
    key = ec.generate_private_key(ec.SECP256R1())
    pem = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    ).decode()
    known = Secrets()
    known.add(
        secret_fields(
            "k",
            {
                "service_account_json": json.dumps(
                    {"private_key": pem, "client_email": "me@example.org"}, indent=2
                )
            },
        )
    )
    first, second = pem.splitlines()[1:3]

    for text in (f"one {first} two", second, json.dumps(pem), b64(first), pem.replace("\n", "\\n")):
        hidden = known.hide(text)
        assert first not in hidden
        assert second not in hidden
        assert "***" in shown(hidden)
        assert known.reveal(hidden) == text
    assert known.hide("-----BEGIN PRIVATE KEY-----") == "-----BEGIN PRIVATE KEY-----"
    assert known.hide("me@example.org") == "me@example.org"


def test_a_number_that_is_a_secret_stays_a_number_for_the_next_step():
    known = Secrets()
    known.add(secret_fields("c", {"pin": 4711081547, "limit": 5}))
    value = {"pin": 4711081547, "others": [5, 4711081548, True], "text": "4711081547!"}
    hidden = known.hide(value)

    assert "4711081547" not in json.dumps(hidden)
    assert hidden["others"] == [5, 4711081548, True]
    assert known.reveal(hidden) == value


def test_a_short_value_is_no_secret_that_could_be_recognised():
    known = Secrets()
    known.add({"c.pin": "12345"})

    assert known.hide("12345") == "12345"
    assert not known


def test_a_token_that_was_minted_again_is_still_hidden_and_its_mark_is_the_present_one():
    known = Secrets()
    known.add({"c.token": "the-first-token"}, "the client's secret")
    hidden = known.hide("it is the-first-token")
    known.add({"c.token": "the-second-token"}, "the client's secret")
    elsewhere = Secrets()
    elsewhere.add({"c.token": "the-third-token"}, "the client's secret")

    assert known.hide("it is the-first-token") == hidden
    assert known.reveal(hidden) == "it is the-second-token"
    assert elsewhere.reveal(hidden) == "it is the-third-token"


def test_nobody_makes_a_mark_who_has_not_got_the_secret():
    known, other = Secrets(), Secrets()
    known.add({"c.token": SECRET, "c.pin": 4711081547})
    other.add({"c.token": "another-secret"})
    real = known.hide([SECRET, 4711081547])

    for forged in (
        other.hide("another-secret"),
        "⟦secret:c.token:raw⟧",
        "⟦secret:c.token:raw:0011223344556677⟧",
        real[0][:-2] + "x⟧",
        real[0].replace("c.token", "c.pin"),
        real[1].replace("c.pin", "c.token"),
    ):
        assert known.reveal(forged) == forged
    assert known.reveal(known.hide(real)) == [SECRET, 4711081547]


def test_secrets_that_were_not_used_for_long_are_forgotten_and_no_others(monkeypatch):
    monkeypatch.setattr(taint, "KNOWN_CHARACTERS_MAX", 60_000)
    known = Secrets()
    known.add({"always": "a-secret-that-is-in-use", "shared": "the-same-under-two-names"})
    for number in range(200):
        known.add({f"k{number}": f"{number:04}-a-secret-of-one-time"})
        known.add({"always": "a-secret-that-is-in-use"})
    known.add({"again": "the-same-under-two-names"})

    assert known.hide("0000-a-secret-of-one-time") == "0000-a-secret-of-one-time"
    assert shown(known.hide("0199-a-secret-of-one-time")) == "***"
    assert shown(known.hide("a-secret-that-is-in-use")) == "***"
    assert shown(known.hide("the-same-under-two-names")) == "***"


def test_where_two_secrets_overlap_the_longer_one_of_a_place_is_hidden():
    known = Secrets()
    known.add({"a": "shared-part", "b": "shared-part-and-more", "c": "part-and-more"})
    text = "x shared-part-and-more y shared-part z part-and-more"

    assert shown(known.hide(text)) == "x *** y *** z ***"
    assert known.reveal(known.hide(text)) == text


def test_what_looks_like_a_secret_in_the_middle_of_one_is_hidden_where_it_stands_alone():
    known = Secrets()
    known.add(secret_fields("c", {"dsn": "postgresql://me@db:5432/sales?token=abc123def456&x=1"}))
    known.add(
        secret_fields("c", {"jwt": "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.c2lnbmF0dXJlMTI"})
    )

    assert shown(known.hide(["abc123def456", "c2lnbmF0dXJlMTI"])) == ["***", "***"]
    assert known.hide("postgresql") == "postgresql"


TRICKY = {
    "a.token": AWKWARD,
    "b.token": "abcabcabcabc",
    "c.token": "abcabcx1y2z3",
    "d.token": "secret:d.token",
    "h.token": "secret",
    "e.token": "⟦secret:e1⟧x",
    "f.pin": 4711081547,
    "g.token": "sk-live-9f8e7d6c5b4a3f2e1d0c",
}


@st.composite
def texts(draw):
    known = [str(value) for value in TRICKY.values()]
    known += [text for value in known for _, text in forms(value)]
    parts = st.one_of(
        st.sampled_from(known),
        st.tuples(st.sampled_from(known), st.integers(1, 30), st.integers(0, 12)).map(
            lambda cut: cut[0][cut[2] : cut[1]]
        ),
        st.text(alphabet='abc⟦⟧:secrt.01"\\/%+ é', max_size=12),
        st.just("x" * 220),
    )
    return "".join(draw(st.lists(parts, max_size=8)))


def test_a_text_may_hold_many_marks():
    known = Secrets()
    known.add({"a.token": SECRET})
    hidden = known.hide(f"{SECRET}, " * 5000)

    assert known.reveal(known.hide(hidden)) == f"{SECRET}, " * 5000


@given(texts())
def test_whatever_is_hidden_comes_back_as_it_was_once_or_twice_hidden(text):
    known = Secrets()
    for name, value in TRICKY.items():
        known.add({name: value})
    once = known.hide(text)
    twice = known.hide({"again": once})["again"]

    assert known.reveal(once) == text
    assert known.reveal(twice) == text
    assert all(str(value) not in once for name, value in TRICKY.items() if name[0] in "abcfg")
