"""A task that is tried again knows what came before, wherever it waited meanwhile."""

from __future__ import annotations

import pytest

from arcbook.outcome import ErrorKind, failed, ok
from arcbook.testing.local import play


@pytest.mark.parametrize("delay", ["0.2", "5"], ids=["in the worker", "parked"])
def test_a_try_knows_the_one_before_it_wherever_it_waited(delay):
    text = """\
apiVersion: noetl.io/v2
kind: Playbook
metadata: {name: one, path: tests/one}
workflow:
  - step: start
    tool:
      - name: again
        kind: say
        said: "{{ _attempt | default('none') }} {{ _task | default('none') }}"
        retry: {attempts: 3, delay: DELAY}
      - name: then
        kind: say
        said: "{{ _attempt | default('none') }} {{ _task | default('none') }}"
"""
    said = []

    def answer(call):
        said.append(call.config["said"])
        return failed(ErrorKind.SERVER_ERROR, "not yet") if len(said) < 3 else ok(1)

    ran = play(text.replace("DELAY", delay), {"say": answer})

    assert ran.status == "COMPLETED"
    assert said == ["none none", "1 again", "2 again", "3 again"]
