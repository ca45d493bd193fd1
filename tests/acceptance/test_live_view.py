"""What a run shows on a terminal while it goes, and what it leaves there."""

from __future__ import annotations

import pytest

from acceptance.service import Service
from acceptance.terminal import Screen, Terminal

TOUR = """
apiVersion: noetl.io/v2
kind: Playbook
metadata: {name: tour, path: shop/tour}
workload: {url: "", cities: [Oslo, Paris, Rome, Wien]}
workflow:
  - step: start
    tool: {kind: python, code: "print('hello there'); result = 1"}
    next: {arcs: [{step: visit}]}
  - step: visit
    loop: {in: "{{ workload.cities }}", iterator: city, spec: {mode: parallel, max_in_flight: 1}}
    tool: {kind: http, method: POST, url: "{{ workload.url }}/visit/{{ iter.city }}"}
    next: {arcs: [{step: flaky}]}
  - step: flaky
    tool:
      kind: http
      method: POST
      url: "{{ workload.url }}/flaky"
      spec:
        policy:
          rules:
            - when: "{{ output.status == 'error' }}"
              then: {do: retry, attempts: 3, delay: 0.01}
            - else: {then: {do: continue}}
    next:
      spec: {mode: exclusive}
      arcs:
        - {step: aside, when: "{{ false }}"}
        - {step: last}
  - step: aside
    tool: {kind: noop}
  - step: last
    tool:
      kind: python
      code: |
        def settle(bill):
            return bill["tip"]

        result = settle({})
"""


@pytest.fixture(scope="module")
def tour(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str, int]:
    """Return what was on screen in the middle of a tour, at its end, and its exit code."""
    arcbook = Terminal(tmp_path_factory.mktemp("tour"))
    arcbook.write("tour.yaml", TOUR)
    with Service().serving() as service:
        service.held.add("/visit/Wien")
        service.broken["/flaky"] = 2
        screen = Screen(arcbook, "run", "tour.yaml", "--set", f"url={service.url}")
        service.wait_for("/visit/Wien")
        middle = screen.wait_for(r"3 of 4 items\s+\S+ m?s")
        service.release("/visit/Wien")
        code = screen.end()
    return middle, screen.text, code


def test_the_steps_appear_as_they_go_with_their_durations(tour: tuple[str, str, int]) -> None:
    middle, _, _ = tour

    assert "✓  start" in middle
    assert "hello there" in middle
    assert "flaky" not in middle


def test_a_loop_has_a_bar_and_counts(tour: tuple[str, str, int]) -> None:
    middle, _, _ = tour

    assert "━" in middle
    assert "visit  3 of 4 items" in middle


def test_retries_are_counted(tour: tuple[str, str, int]) -> None:
    _, end, _ = tour

    assert "✓  flaky  2 retries" in end


def test_the_failure_stands_at_its_step_and_again_at_the_end(tour: tuple[str, str, int]) -> None:
    _, end, code = tour
    last = end[end.rindex("✗  last") :]

    assert code == 1
    assert "KeyError: 'tip'" in last
    assert 'File "<playbook>", line 2, in settle' in last
    assert "Error: step 'last' failed: KeyError: 'tip'" in last
    assert "in steps.last.tool" in last
    assert "FAILED  execution" in last


def test_the_last_picture_has_every_step_once(tour: tuple[str, str, int]) -> None:
    _, end, _ = tour
    picture = end[end.rindex("✓  start") :]

    assert [picture.count(f"✓  {step}") for step in ("start", "visit", "flaky")] == [1, 1, 1]
    assert "4 of 4 items" in picture


def test_ctrl_c_on_a_terminal_cancels(arcbook: Terminal, service: Service) -> None:
    arcbook.write("tour.yaml", TOUR)
    service.held.add("/visit/Oslo")
    screen = Screen(arcbook, "run", "tour.yaml", "--set", f"url={service.url}")
    service.wait_for("/visit/Oslo")
    screen.press(b"\x03")
    code = screen.end()

    assert code == 130
    assert "cancelling" in screen.text
    assert "CANCELLED" in screen.text


def test_a_live_view_can_be_asked_for_where_there_is_no_terminal(arcbook: Terminal) -> None:
    arcbook.write("short.yaml", SHORT)
    watched = arcbook("run", "short.yaml", "--watch")
    plain = Screen(arcbook, "run", "short.yaml", "--no-watch")
    code = plain.end()

    assert (watched.code, code) == (0, 0)
    assert "✓  start" in watched.err
    assert plain.text.count("✓  start") == 1


SHORT = """
apiVersion: noetl.io/v2
kind: Playbook
metadata: {name: short}
workflow:
  - step: start
    tool: {kind: noop}
"""
