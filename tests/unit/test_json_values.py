"""JSON that comes in and goes out keeps its values, and none of it is a fault inside."""

from __future__ import annotations

import json

import pytest

from arcbook.cli.context import parse_workload
from arcbook.cli.errors import UserError
from arcbook.jsons import INTEGER_DIGITS_MAX, JsonError, TooDeepError, read, write
from arcbook.outcome import MESSAGE_CHARACTERS_MAX, ErrorKind, failed

HUGE = 123456789012345678901234567890


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (str(HUGE), HUGE),
        (f'{{"a": [-{HUGE}]}}', {"a": [-HUGE]}),
        (str(2**64), 2**64),
        ("1.5", 1.5),
        ("[NaN, Infinity, -Infinity, 1e999, -1e999, 1]", [None, None, None, None, None, 1]),
        ('{"a": NaN, "b": "\\ud83d", "c": 2}', {"a": None, "b": "\ufffd", "c": 2}),
        ('"\\ud83d\\ude00"', "\U0001f600"),
        ('"\\u0000"', "\x00"),
    ],
)
def test_a_json_text_is_read_with_its_values(text, value):
    assert read(text) == value
    assert read(text.encode()) == value


def test_bytes_that_are_no_text_are_marked_and_the_rest_stays():
    assert read(b'{"a": "x\xffy", "b": 1}') == {"a": "x\ufffdy", "b": 1}


def test_a_mark_at_the_beginning_is_no_part_of_the_text():
    assert read(b"\xef\xbb\xbf[1]") == [1]


@pytest.mark.parametrize("text", ["", "{", "nope", "[1,]", "9" * (INTEGER_DIGITS_MAX + 1)])
def test_what_is_no_json_is_an_error(text):
    with pytest.raises(JsonError):
        read(text)


def test_the_largest_integer_is_read_and_written():
    digits = "9" * INTEGER_DIGITS_MAX

    assert write(read(digits)) == digits.encode()


def test_a_text_that_nests_without_end_is_an_error_of_its_own():
    with pytest.raises(TooDeepError):
        read("[" * 100_000 + "]" * 100_000)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({"a": HUGE, 1: [True, None]}, {"a": HUGE, "1": [True, None]}),
        ([HUGE, float("nan"), float("-inf")], [HUGE, None, None]),
        (["\ud83d", "x"], ["\ufffd", "x"]),
        (["\ud83d\ude00"], ["\U0001f600"]),
    ],
)
def test_data_is_written_with_its_values(value, expected):
    assert json.loads(write(value)) == expected
    assert json.loads(write(value, indented=True)) == expected


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1.10", "1.10"),
        ("1.0", 1.0),
        ("1.5", 1.5),
        ("1e3", 1000.0),
        ("-2.50", "-2.50"),
        ("0.12345678901234567890", "0.12345678901234567890"),
        ("1e999", "1e999"),
        ("NaN", "NaN"),
        ("null", None),
        ("true", True),
        ("007", "007"),
        (str(HUGE), HUGE),
        ('[1.10, "1.10"]', [1.1, "1.10"]),
        ("plain", "plain"),
    ],
)
def test_the_command_line_takes_a_number_only_where_it_keeps_its_digits(text, value):
    assert parse_workload(None, (f"n={text}",)).over({})["n"] == value


def test_a_payload_keeps_its_numbers():
    assert parse_workload(f'{{"n": {HUGE}}}', ()).payload == {"n": HUGE}


@pytest.mark.parametrize("levels", [150, 500, 50_000])
def test_a_value_of_the_command_line_that_nests_too_deeply_is_refused(levels):
    deep = "[" * levels + "]" * levels

    with pytest.raises(UserError, match="100 levels"):
        parse_workload(None, (f"n={deep}",))
    with pytest.raises(UserError, match="100 levels"):
        parse_workload(f'{{"n": {deep}}}', ())


def test_a_value_that_nests_without_end_is_not_written():
    deep = []
    for _ in range(100_000):
        deep = [deep]

    with pytest.raises(TooDeepError):
        write(deep)


def test_a_long_message_keeps_its_beginning_and_its_end():
    error = failed(
        ErrorKind.UNKNOWN, f"begins {'x' * 20_000_000} ends", traceback="y" * 10**6
    ).error

    assert error is not None
    assert len(error.message) <= MESSAGE_CHARACTERS_MAX
    assert error.message.startswith("begins")
    assert error.message.endswith("ends")
    assert "characters left out" in error.message
    assert len(error.traceback) < 50_000
