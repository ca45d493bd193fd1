"""Durations: one form everywhere."""

from __future__ import annotations

import pytest
from playbooks import playbook

from arcbook.dsl.durations import seconds_of
from arcbook.dsl.load import load_playbook
from arcbook.testing.local import play
from arcbook.tools.registry import Registry


@pytest.mark.parametrize(
    ("written", "seconds"),
    [
        (5, 5), (0.5, 0.5), ("5", 5), ("0.5", 0.5), ("500ms", 0.5), ("10s", 10), ("5m", 300),
        ("2 h", 7200), ("90d", 90 * 86400), ("1h 30m", 5400), ("1h30m", 5400), ("1.5h", 5400),
    ],
)  # fmt: skip
def test_a_duration_is_a_number_of_seconds_or_numbers_with_units(written, seconds):
    assert seconds_of(written) == seconds


@pytest.mark.parametrize(
    "written", ["", "soon", "5x", "5 m 3", "1m-", True, None, [], "inf", 1e999]
)
def test_anything_else_is_none(written):
    assert seconds_of(written) is None


@pytest.mark.parametrize("written", ["'3s'", "'{{ pause }}'", "3", "3000ms"])
def test_a_delay_takes_each_form_also_from_a_template(written):
    rule = f"{{when: '{{{{ output.status == \"error\" }}}}', then: {{do: retry, attempts: 2, delay: {written}}}}}"
    text = playbook(
        f"- step: start\n  tool: {{kind: web, url: '{{{{ x.y + 1 }}}}', spec: {{policy: {{rules: [{rule}]}}}}}}",
        head="workload: {pause: 3s}\n",
    )

    ran = play(text, {"web": lambda _: None})

    assert ran.seconds == pytest.approx(3, abs=0.1)


@pytest.mark.parametrize(
    "part",
    [
        "spec: {timeout: 90d}", "loop: {in: [1], iterator: n, spec: {frame: {lease_seconds: 2m}}}",
        "output: {ttl: 90d}", "output: {ttl: forever}", "output: {ttl: 60}",
    ],
)  # fmt: skip
def test_every_key_that_is_a_duration_takes_units(part):
    loaded = load_playbook(playbook(f"- step: start\n  {part}\n  tool: {{kind: noop}}"), Registry())

    assert loaded.diagnostics == ()


def test_the_default_of_the_executor_limits_calls_that_say_nothing_themselves():
    head = "executor: {spec: {policy: {defaults: {timeout_s: 2m}}}}\n"
    text = playbook(
        "- {step: start, tool: [{kind: noop}, {name: b, kind: noop, timeout: 5}]}", head
    )

    tasks = load_playbook(text, Registry()).playbook.steps[0].tasks

    assert [task.timeout for task in tasks] == [120, 5]
