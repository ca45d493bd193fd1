"""Values of SQL as JSON."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arcbook.tools.sql.values import decimal, integer, iso_interval, iso_timestamp, nearest


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("5.00", "5.00"),
        ("1.10", "1.10"),
        ("-0.5", "-0.5"),
        ("9007199254740993", "9007199254740993"),
        ("66.6666666666666667", "66.6666666666666667"),
        ("99999999999999999999", "99999999999999999999"),
        ("1E+3", "1000"),
        ("0E-3", "0.000"),
        ("NaN", "NaN"),
        ("-Infinity", "-Infinity"),
    ],
)
def test_a_decimal_is_its_digits_however_many_there_are(text, expected):
    value = decimal(Decimal(text))

    assert expected == value


@given(st.decimals(allow_nan=False, allow_infinity=False, places=6))
def test_a_decimal_is_never_another_number(value):
    assert Decimal(decimal(value)) == value


def test_the_nearest_float_is_a_float_whatever_the_digits():
    found = nearest(["10.00", "10.10", "12345678901234567.89", None, "NaN"])

    assert found == [10.0, 10.1, 12345678901234568.0, None, "NaN"]
    assert {type(value) for value in found[:3]} == {float}


def test_an_integer_that_readers_refuse_is_text():
    assert integer(2**64 - 1) == 2**64 - 1
    assert integer(2**64) == "18446744073709551616"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2024-02-29 12:34:56", "2024-02-29T12:34:56"),
        ("2024-02-29 12:34:56.789+00", "2024-02-29T12:34:56.789+00:00"),
        ("12024-02-29 12:34:56-05:30", "12024-02-29T12:34:56-05:30"),
        ("infinity", "infinity"),
        ("0044-03-15 12:00:00 BC", "0044-03-15 12:00:00 BC"),
    ],
)
def test_a_timestamp_is_iso_text(text, expected):
    assert expected == iso_timestamp(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1 year 2 mons 3 days 04:05:06.7", "P1Y2M3DT4H5M6.7S"),
        ("-10 months -3 days 04:05:06.7", "P-10M-3DT4H5M6.7S"),
        ("1 day -00:00:01", "P1DT-1S"),
        ("100:00:00", "PT100H"),
        ("00:00:00", "PT0S"),
        ("00:00:00.5", "PT0.5S"),
        ("@ 1 day", "@ 1 day"),
        ("", ""),
    ],
)
def test_an_interval_is_iso_text(text, expected):
    assert expected == iso_interval(text)
