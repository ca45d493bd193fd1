"""The pages on the terminal and on Python, held against what they describe."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from acceptance.terminal import Terminal

DOCS = Path(__file__).parents[2] / "docs"
HELLO = re.findall(
    r"^```yaml\n(.*?)^```", (DOCS.parent / "README.md").read_text("utf-8"), re.DOTALL | re.MULTILINE
)[0]
BLOCKS = re.findall(
    r"^```python\n(.*?)^```", (DOCS / "python.md").read_text("utf-8"), re.DOTALL | re.MULTILINE
)


@pytest.mark.parametrize("block", BLOCKS, ids=range(len(BLOCKS)))
def test_the_examples_of_the_page_on_python_run(arcbook: Terminal, block: str) -> None:
    arcbook.write("hello.yaml", HELLO)
    environment = {**arcbook.environment, "ARCBOOK_HOME": str(arcbook.home)}
    ran = subprocess.run(
        [sys.executable, "-c", block],
        check=False,
        cwd=arcbook.folder,
        env=environment,
        capture_output=True,
        text=True,
    )

    assert ran.returncode == 0, ran.stderr


def keys_of(answer: str) -> set[str]:
    """Return the keys that the page says an answer has."""
    page = (DOCS / "terminal.md").read_text("utf-8")
    (cells,) = re.findall(rf"^\| [^|]*`{answer}`[^|]* \|([^|]*)\|$", page, re.MULTILINE)
    return set(re.findall(r"`(\w+)`", cells))


def test_answers_in_json_have_the_keys_that_the_page_lists(arcbook: Terminal) -> None:
    arcbook.write("hello.yaml", HELLO)
    ran = arcbook("run", "hello.yaml", "--json").json
    (row,) = arcbook.executions()
    shown = arcbook("executions", "show", row["execution_id"], "--json").json
    arcbook("credential", "add", "web", "--type", "bearer", "--set", "token=t1t1t1")

    assert set(ran) == keys_of("run")
    assert set(row) == keys_of("executions list")
    assert set(shown) == keys_of("executions list") | keys_of("executions show")
    assert set(arcbook("catalog", "list", "--json").json[0]) == keys_of("catalog list")
    assert set(arcbook("credential", "list", "--json").json[0]) == keys_of("credential list")
