"""JSON bodies of requests: the same rules for values as everywhere else."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from arcbook.server.http.errors import ApiError
from arcbook.server.http.route import decoded


class Body(msgspec.Struct):
    """A body of a route."""

    workload: dict[str, Any] = {}
    count: int = 0


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (r'{"workload": {"x": "a\ud800"}}', {"x": "a\ufffd"}),
        (r'{"workload": {"x\udfff": "\ud83d\ude00"}}', {"x\ufffd": "\U0001f600"}),
        ('{"workload": {"x": [1e999, -1E+400]}}', {"x": [None, None]}),
        ('{"workload": {"x": ' + "9" * 400 + ".5}}", {"x": None}),
        ('{"workload": {"x": 9007199254740993, "y": 1e308}}', {"x": 9007199254740993, "y": 1e308}),
        (r'{"workload": {"x": 1e999, "y": 18446744073709551617}}', {"x": None, "y": 2**64 + 1}),
    ],
)
def test_a_value_of_a_body_is_what_it_is_elsewhere(text: str, expected: dict[str, Any]) -> None:
    assert decoded(text.encode(), msgspec.json.Decoder(Body)).workload == expected


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (rb'{"workload": {"x": "\ud800}', 400),
        (b'{"workload": {"x": 1e999', 422),
        (b'{"workload": "\xff"}', 400),
        (rb'{"workload": "\ud800"}', 422),
        (rb'{"count": 1e999, "workload": {}}', 422),
        (b"{", 400),
    ],
)
def test_a_body_that_is_not_valid_is_refused_all_the_same(data: bytes, status: int) -> None:
    with pytest.raises(ApiError) as refused:
        decoded(data, msgspec.json.Decoder(Body))

    assert refused.value.status == status
