"""Values of SQL as JSON."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arcbook.tools.sql.values import decimal, integer, iso_interval, iso_timestamp


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("5.00", 5),
        ("1.10", 1.1),
        ("-0.5", -0.5),
        ("9007199254740993", 9007199254740993),
        ("66.6666666666666667", "66.6666666666666667"),
        ("99999999999999999999", "99999999999999999999"),
        ("1E+30", "1E+30"),
        ("NaN", "NaN"),
        ("-Infinity", "-Infinity"),
    ],
)
def test_a_decimal_is_a_number_where_that_is_exact(text, expected):
    value = decimal(Decimal(text))

    assert expected == value
    assert type(expected) is type(value)


@given(st.decimals(allow_nan=False, allow_infinity=False))
def test_a_decimal_is_never_another_number(value):
    assert Decimal(str(decimal(value))) == value


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
