"""The result of SQL tools, apart from any database."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arcbook.tools.sql.rowsets import RowLimits, SqlStatement, result, unique


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["a", "b"], ["a", "b"]),
        (["a", "a", "a"], ["a", "a_2", "a_3"]),
        (["a", "a", "a_2"], ["a", "a_3", "a_2"]),
        (["?column?", "?column?"], ["?column?", "?column?_2"]),
    ],
)
def test_repeated_names_get_numbers(names, expected):
    assert expected == unique(names)


@given(st.lists(st.sampled_from(["a", "a_2", "a_3", "a_2_2", "b"])))
def test_no_name_is_lost_or_there_twice(names):
    made = unique(names)

    assert len(set(made)) == len(names)
    assert all(new.startswith(old) for old, new in zip(names, made, strict=True))


def test_the_rows_are_those_of_the_last_statement_that_has_any():
    commands = [
        SqlStatement(columns=["n"], rows=[{"n": 1}], message="SELECT 1"),
        SqlStatement(affected=3, message="INSERT 0 3"),
    ]
    data = result(commands)

    assert data["rows"] == [{"n": 1}]
    assert data["row_count"] == 1
    assert data["affected_rows"] == 3
    assert data["command_0"]["rows"] == [{"n": 1}]
    assert data["command_1"] == {
        "status": "success",
        "columns": [],
        "rows": [],
        "row_count": 3,
        "message": "INSERT 0 3",
    }


def test_rows_past_a_limit_are_left_out_and_it_says_so():
    limits = RowLimits(rows_max=2)
    command = SqlStatement(columns=["n"], rows=[])
    kept = [limits.keep(command, [n]) for n in range(4)]

    assert kept == [True, True, False, False]
    assert result([command])["truncated"]


def test_bytes_have_a_limit_over_all_statements():
    limits = RowLimits(bytes_max=30)
    first, second = SqlStatement(columns=["n"], rows=[]), SqlStatement(columns=["n"], rows=[])

    assert limits.keep(first, ["x" * 10])
    assert not limits.keep(second, ["x" * 10])
    assert not limits.keep(second, ["x"])
    assert second.truncated


@pytest.mark.parametrize("rows_max", [0, 1, 99, 100, 101, 250, 1000])
@pytest.mark.parametrize("bytes_max", [1, 500, 2_800, 10_000])
def test_rows_that_come_together_are_kept_as_if_one_by_one(rows_max, bytes_max):
    rows = [(n, "x" * (n % 7), None) for n in range(250)]
    together, one_by_one = (
        SqlStatement(columns=["a", "b", "c"]),
        SqlStatement(columns=["a", "b", "c"]),
    )
    limits, others = RowLimits(rows_max, bytes_max), RowLimits(rows_max, bytes_max)

    went_on = limits.keep_batch(together, rows)
    expected = all(others.keep(one_by_one, row) for row in rows)

    assert went_on == expected
    assert together == one_by_one
    assert limits.bytes_kept == others.bytes_kept
