"""A token is good from when it is made until it expires or is replaced."""

from __future__ import annotations

import pytest

from arcbook.secrets.tokens import is_good, new_token, rotated

SECOND = 1_000_000
NOW = 1_000 * SECOND


@pytest.mark.parametrize(
    ("seconds", "at", "good"),
    [(0, NOW * 100, True), (10, NOW + 10 * SECOND - 1, True), (10, NOW + 10 * SECOND, False)],
)
def test_a_token_is_good_until_the_moment_that_it_expires(seconds, at, good):
    text, row = new_token("ci", "viewer", NOW, seconds=seconds)

    assert is_good(row, text, at) is good
    assert not is_good(row, text + "x", at)


@pytest.mark.parametrize(
    ("grace", "after", "good"),
    [(0, 0, False), (10, 10 * SECOND - 1, True), (10, 10 * SECOND, False)],
)
def test_a_text_that_was_replaced_is_good_for_as_long_as_it_was_granted(grace, after, good):
    old, row = new_token("ci", "viewer", NOW)
    new, row = rotated(row, NOW, grace)

    assert is_good(row, old, NOW + after) is good
    assert is_good(row, new, NOW + after)


def test_no_grace_outlasts_the_token():
    old, row = new_token("ci", "viewer", NOW, seconds=5)
    _, row = rotated(row, NOW, 10)

    assert not is_good(row, old, NOW + 6 * SECOND)
