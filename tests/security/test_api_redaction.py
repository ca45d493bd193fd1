"""Secrets in every writing that programs have for bytes; and words that only look like one."""

from __future__ import annotations

import base64
import binascii
import quopri
from collections.abc import Callable
from email.header import Header

import pytest

from arcbook.secrets.taint import Secrets, shown
from arcbook.store.postgres.connect import Address

WRITINGS: dict[str, Callable[[bytes], str]] = {
    "repr": repr,
    "repr of more": lambda b: repr(b'"' + b + b"'"),
    "str": str,
    "percents": lambda b: "".join(f"%{x:02X}" for x in b),
    "percents in lower case": lambda b: "".join(f"%{x:02x}" for x in b),
    "hex": bytes.hex,
    "hex with colons": lambda b: b.hex(":"),
    "hex with colons in upper case": lambda b: b.hex(":").upper(),
    "hex with spaces": lambda b: b.hex(" "),
    "hex with dashes": lambda b: b.hex("-"),
    "hex with underscores": lambda b: b.hex("_"),
    "escapes": lambda b: "".join(f"\\x{x:02x}" for x in b),
    "numbers": lambda b: ", ".join(hex(x) for x in b if x > 15),
    "a dump": lambda b: binascii.hexlify(b, " ").decode(),
    "base64 backwards": lambda b: base64.b64encode(b).decode()[::-1],
    "base64 backwards with more": lambda b: base64.b64encode(b"xy" + b + b"z").decode()[::-1],
    "base64 for addresses backwards": lambda b: base64.urlsafe_b64encode(b).decode()[::-1],
    "base64 of it backwards": lambda b: base64.b64encode(b.decode()[::-1].encode()).decode(),
    "hex backwards": lambda b: b.hex()[::-1],
    "quoted-printable": lambda b: quopri.encodestring(b).decode(),
    "quoted-printable of every character": lambda b: "".join(f"={x:02X}" for x in b),
    "quoted-printable with tabs": lambda b: quopri.encodestring(b, quotetabs=True).decode(),
    "a header": lambda b: Header(b.decode(), "utf-8").encode(),
}

SECRETS = {
    "letters and digits": "s3cretTok3nValue",
    "signs": "p@ss/w+rd=&?9",
    "accents": "gehéim-ß-4711",
    "quotes": 'it\'s-"9x"-\\z',
}


@pytest.mark.parametrize("secret", SECRETS.values(), ids=SECRETS)
@pytest.mark.parametrize("writing", WRITINGS)
def test_a_secret_is_found_in_every_writing(writing: str, secret: str):
    known = Secrets()
    known.add({"a.token": secret})
    text = f"before {WRITINGS[writing](secret.encode())} after"

    hidden = known.hide(text)

    assert "***" in shown(hidden), text
    assert hidden != text
    assert known.reveal(hidden) == text


@pytest.mark.parametrize("secret", ["x", "e", "te", "abc", "tend", "s3cr"])
def test_a_short_secret_takes_no_letters_out_of_words(secret: str):
    known = Secrets()
    known.add({"a.pin": secret})

    assert known.hide("we extend the text") == "we extend the text"


@pytest.mark.parametrize(
    "text",
    [
        "%73%33%63 is the beginning of many",
        "73:33:63:11:22:33:44:55:66:77",
        "\\x73\\x33\\x63 and no more",
        "=73=33=63",
        "73 33 63",
    ],
)
def test_three_characters_of_a_long_writing_are_not_it(text: str):
    known = Secrets()
    known.add({"a.token": "s3cretTok3nValue"})

    assert known.hide(text) == text


@pytest.mark.parametrize(
    ("password", "reason", "said"),
    [
        ("x", "cannot extend the file", "cannot extend the file"),
        ("e", "the end", "the end"),
        ("x", "password x is wrong", "password *** is wrong"),
        ("abc", "abc: abcdef", "***: abcdef"),
        ("secret-1", "xsecret-1x", "x***x"),
    ],
)
def test_a_short_password_of_the_database_takes_no_letters_either(password, reason, said):
    address = Address(f"postgresql://me:{password}@db/x")

    assert f"({said})" in str(address._error("it refuses", reason))
