"""The logs of servers that tests start."""

from __future__ import annotations

import sys

from arcbook.testing.processes import LINES_KEPT, Process


def test_the_address_at_the_beginning_of_a_log_is_found_after_many_lines():
    code = f"print('listens on 5'); [print('line', n) for n in range({4 * LINES_KEPT})]"
    process = Process([sys.executable, "-c", code], ready=f"line {4 * LINES_KEPT - 1}")
    process.wait_ready()
    process.stop()

    assert process.find(r"listens on (\S+)") == "5"
    assert process.find(rf"line ({4 * LINES_KEPT - 1})") == str(4 * LINES_KEPT - 1)
