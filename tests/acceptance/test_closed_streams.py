"""Standard streams that are closed, and readers that are gone before the end."""

from __future__ import annotations

import os
import subprocess

import pytest

from acceptance.terminal import Terminal

WELL = """\
apiVersion: noetl.io/v2
kind: Playbook
metadata: {name: well, path: tests/well}
workload: {text: x}
workflow:
  - step: start
    tool: {kind: python, input: {text: "{{ workload.text }}"}, code: "print('out')\\nresult = text"}
"""
BADLY = WELL.replace("result = text", "raise ValueError(text)")
WRONG = WELL.replace("kind: python", "kind: pyhton")

AS_LITTLE = subprocess.DEVNULL


def run(arcbook: Terminal, arguments: str, closed: str = "") -> subprocess.CompletedProcess[str]:
    """Run a command with some of its standard streams closed, as a shell does it by ``>&-``."""
    closing = " ".join(f"{descriptor}>&-" for descriptor in closed)
    line = " ".join(arcbook.command(*arguments.split()))
    return subprocess.run(
        ["sh", "-c", f"exec {line} {closing}"],
        cwd=arcbook.folder,
        env=arcbook.environment,
        stdin=AS_LITTLE,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def written(arcbook: Terminal) -> Terminal:
    for name, text in (("well", WELL), ("badly", BADLY), ("wrong", WRONG)):
        arcbook.write(f"{name}.yaml", text)
    return arcbook


@pytest.mark.parametrize("closed", ["0", "1", "2", "01", "12", "012"])
def test_a_run_ends_well_whatever_streams_are_closed(written: Terminal, closed: str) -> None:
    ran = run(written, "run well.yaml --json", closed)

    assert ran.returncode == 0, ran.stderr
    assert ("COMPLETED" in ran.stdout) == ("1" not in closed)
    assert "fault" not in ran.stderr
    assert [row["status"] for row in written.executions()] == ["COMPLETED"]


@pytest.mark.parametrize(
    ("arguments", "code"),
    [("run well.yaml", 0), ("run badly.yaml --json", 1), ("run badly.yaml", 1), ("lint wrong.yaml", 1), ("executions list", 0)],
)  # fmt: skip
def test_the_exit_code_is_that_of_the_work_if_nobody_reads_the_output(
    written: Terminal, arguments: str, code: int
) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    try:
        process = written.start(*arguments.split(), stdout=writer, stderr=writer)
    finally:
        os.close(writer)

    assert process.wait() == code


def test_bytes_of_an_argument_that_are_not_text_are_replaced(written: Terminal) -> None:
    process = subprocess.run(
        [*written.command("run", "well.yaml", "--json", "--set"), b"text=a\xff"],
        env=written.environment,
        cwd=written.folder,
        capture_output=True,
        check=False,
    )

    assert process.returncode == 0, process.stderr
    assert '"result": "a\ufffd"' in process.stdout.decode()
