"""Schedules tick when their owner means them to, whatever clocks do."""

from __future__ import annotations

import datetime as dt
from zoneinfo import ZoneInfo

import pytest

from arcbook.schedules import ScheduleError, due, next_after, upcoming, validated
from arcbook.store.api import ScheduleRow

US = 1_000_000
BERLIN = ZoneInfo("Europe/Berlin")


def row(**facts):
    return ScheduleRow(**{"name": "nightly", "path": "a/b", **facts})


def at(text, zone=dt.UTC):
    return int(dt.datetime.fromisoformat(text).replace(tzinfo=zone).timestamp()) * US


def test_a_cron_schedule_ticks_by_the_clock_of_its_time_zone():
    daily = row(cron="30 6 * * *", timezone="Europe/Berlin")

    assert upcoming(daily, at("2026-01-01T00:00:00"), 2) == [
        at("2026-01-01T06:30:00", BERLIN),
        at("2026-01-02T06:30:00", BERLIN),
    ]


def test_a_daily_tick_stays_daily_over_both_changes_of_the_clock():
    daily = row(cron="30 2 * * *", timezone="Europe/Berlin")
    spring = upcoming(daily, at("2026-03-28T00:00:00"), 3)
    autumn = upcoming(daily, at("2026-10-24T00:00:00"), 3)

    assert [dt.datetime.fromtimestamp(t / US, BERLIN).day for t in spring] == [28, 29, 30]
    assert [dt.datetime.fromtimestamp(t / US, BERLIN).day for t in autumn] == [24, 25, 26]


@pytest.mark.parametrize(
    ("word", "first"),
    [
        ("@daily", "2026-01-16T00:00:00"),
        ("@hourly", "2026-01-15T11:00:00"),
        ("@monthly", "2026-02-01T00:00:00"),
        ("@weekly", "2026-01-18T00:00:00"),
    ],
)
def test_a_word_stands_for_a_cron_expression(word, first):
    assert upcoming(row(cron=word), at("2026-01-15T10:20:30"), 1) == [at(first)]


@pytest.mark.parametrize("cron", ["* * * * * *", "0 0 3 * * *", "* * * *", "@never", "@"])
def test_an_expression_of_other_than_five_fields_is_refused(cron):
    with pytest.raises(ScheduleError, match="minute, hour, day of month"):
        validated(row(cron=cron))


def test_an_interval_counts_from_the_beginning_of_its_schedule():
    each = row(every_seconds=10, created_at=5 * US)

    assert next_after(each, 5 * US) == 15 * US
    assert next_after(each, 15 * US) == 25 * US
    assert next_after(each, 99 * US) == 105 * US


@pytest.mark.parametrize(
    ("catch_up", "expected"),
    [("all", (10 * US, 20 * US)), ("latest", (10 * US, 510 * US)), ("skip", (0, 510 * US))],
)
def test_missed_ticks_are_caught_up_with_as_the_schedule_says(catch_up, expected):
    each = row(every_seconds=10, next_at=10 * US, catch_up=catch_up)

    assert due(each, 501 * US) == expected


@pytest.mark.parametrize("catch_up", ["all", "latest", "skip"])
def test_a_tick_in_time_starts_whatever_becomes_of_missed_ones(catch_up):
    each = row(every_seconds=10, next_at=10 * US, catch_up=catch_up)

    assert due(each, 11 * US) == (10 * US, 20 * US)


@pytest.mark.parametrize(
    ("facts", "said"),
    [
        ({}, "either 'cron' or 'every_seconds'"),
        ({"cron": "* * * * *", "every_seconds": 5}, "either 'cron' or 'every_seconds'"),
        ({"cron": "61 * * * *"}, "cron expression '61 \\* \\* \\* \\*' is invalid"),
        ({"cron": "* * * * *", "timezone": "Mars/Base"}, "no time zone 'Mars/Base'"),
        ({"every_seconds": 0.1}, "at least 1"),
        ({"every_seconds": 5, "catch_up": "some"}, "latest, all, skip"),
        ({"every_seconds": 5, "path": ""}, "path of a playbook"),
    ],
)
def test_a_schedule_that_cannot_be_is_refused_with_advice(facts, said):
    with pytest.raises(ScheduleError, match=said):
        validated(row(**facts))
