"""Documents, folders and disks that are no good: a sentence each, and nothing is lost."""

from __future__ import annotations

import os
import resource
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from acceptance.terminal import Terminal, files_below

HEAD = "apiVersion: noetl.io/v2\nkind: Playbook\nmetadata: {name: bad}\n"
STEP = "workflow:\n  - step: start\n    tool: {kind: noop}\n"


def bomb() -> str:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    for i in range(1, 10):
        again = ", ".join([f"*a{i - 1}"] * 10)
        lines.append(f"a{i}: &a{i} [{again}]")
    return HEAD + "\n".join(lines) + "\n" + STEP


DOCUMENTS: dict[str, tuple[str | bytes, str]] = {
    "an empty file": ("", ":1:1: error[ARC004]: the document is empty"),
    "a list": ("- 1\n- 2\n", ":1:1: error[ARC100]: a playbook is a mapping"),
    "a bracket left open": (HEAD + "workflow: [\n  a: {b\n", "error[ARC003]: invalid YAML"),
    "tabs": (HEAD + "workflow:\n\t- step: start\n", ":5:1: error[ARC003]: invalid YAML"),
    "text in another encoding": (HEAD.replace("bad", "café").encode("latin-1"), ":3:21: error[ARC002]"),
    "a picture": (bytes(range(256)) * 20, "error[ARC00"),
    "a null character": (HEAD + "x: a\0b\n", "not allowed"),
    "a list for a mapping": (HEAD.replace("{name: bad}", "[bad]") + STEP, ":3:11: error[ARC103]"),
    "a number for a list": (HEAD + "workflow: 7\n", ":4:1: error[ARC105]"),
    "a number for a tool": (HEAD + "workflow:\n  - step: start\n    tool: 7\n", ":6:11: error[ARC103]"),
    "no workflow": (HEAD, "error[ARC"),
    "another kind of document": (HEAD.replace("Playbook", "Frob") + STEP, ":2:7: error[ARC"),
    "an unknown tool": (HEAD + STEP.replace("noop", "pyhton"), "did you mean 'python'?"),
    "an arc to nowhere": (HEAD + STEP + "    next: {arcs: [{step: gone}]}\n", ":7:19: error[ARC203"),
    "a circle without a way out": (
        HEAD + STEP + "    next: {arcs: [{step: start}]}\n", "form an endless loop"
    ),
    "a template that does not end": (
        HEAD + "workflow:\n  - step: start\n    tool: {kind: python, code: x, input: {a: '{{ 1 + }}'}}\n",
        ":6:46: error[ARC301]: template syntax",
    ),
    "10 MB": (HEAD + STEP + "workload: {text: '" + "x" * 10_000_000 + "'}\n", "the limit is 8 MiB"),
    "a bomb of aliases": (bomb(), "once its aliases are expanded"),
    "a value in itself": (HEAD + "x: &x {y: *x}\n" + STEP, ":4:11: error[ARC007]"),
    "a deep nest": (HEAD + "x: " + "[" * 5000 + "]" * 5000 + "\n" + STEP, "error[ARC008]"),
    "a key twice": (HEAD + STEP + "workload: {}\nworkload: {}\n", ":8:1: error[ARC"),
}  # fmt: skip


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Terminal:
    return Terminal(tmp_path_factory.mktemp("bad"), forks=True)


@pytest.mark.parametrize("name", DOCUMENTS)
@pytest.mark.parametrize("verb", ["run", "lint"])
def test_a_wrong_document_is_told_with_its_place(bench: Terminal, verb: str, name: str) -> None:
    content, said = DOCUMENTS[name]
    bench.write("bad.yaml", content)
    ran = bench(verb, "bad.yaml")
    told = ran.err if verb == "run" else ran.out

    assert ran.code == (2 if verb == "run" else 1)
    assert told.startswith("bad.yaml:")
    assert said in told
    assert len(told) < 4000


def test_every_problem_is_told_at_once(bench: Terminal) -> None:
    bench.write("bad.yaml", HEAD + STEP.replace("noop", "frob") + "    next: {arcs: [{step: x}]}\n")
    ran = bench("run", "bad.yaml")

    assert ran.code == 2
    assert ran.err.count("error[ARC") == 2
    assert "1 document: 2 errors" in ran.err


def test_nothing_ran_and_nothing_was_stored_of_a_wrong_document(bench: Terminal) -> None:
    bench.write("bad.yaml", HEAD + STEP.replace("noop", "frob"))
    bench("run", "bad.yaml")

    assert bench.executions() == []
    assert "the catalog is empty" in bench("catalog", "list").out


@pytest.mark.parametrize("verb", ["graph", "catalog register"])
def test_the_other_verbs_refuse_a_wrong_document_as_well(bench: Terminal, verb: str) -> None:
    bench.write("bad.yaml", HEAD + STEP.replace("noop", "frob"))
    ran = bench(*verb.split(), "bad.yaml")

    assert ran.code in (1, 2)
    assert "bad.yaml:6:18: error[ARC401]" in ran.err


# -- while it runs ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("template", "said"),
    [
        ("{{ 1 / 0 }}", "division by zero"),
        ("{{ 'a' + 1 }}", "has no meaning for text and an integer"),
        ("{{ workload.gone | int / 0 }}", "division by zero"),
        ("{{ 'x' * 10 ** 12 }}", ""),
        ("{% for i in range(10 ** 9) %}{{ i }}{% endfor %}", ""),
    ],
)
def test_a_template_that_fails_is_told_with_its_step(
    arcbook: Terminal, template: str, said: str
) -> None:
    tool = f'{{kind: python, code: "result = a", input: {{a: "{template}"}}}}'
    arcbook.write("late.yaml", HEAD + f"workflow:\n  - step: start\n    tool: {tool}\n")
    ran = arcbook("run", "late.yaml")

    assert ran.code == 1
    assert "Error: step 'start' failed" in ran.err
    assert "in steps.start.tool" in ran.err
    assert "kind template" in ran.err
    assert said in ran.err


# -- folders ----------------------------------------------------------------------------


def test_a_home_below_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    arcbook = Terminal(tmp_path, tmp_path / "file" / "home", forks=True)
    arcbook.write("good.yaml", HEAD + STEP)
    for arguments in (["run", "good.yaml"], ["executions", "list"], ["resume"]):
        ran = arcbook(*arguments)

        assert ran.code == 1
        assert ran.err.startswith("Error: ")
        assert str(tmp_path / "file" / "home") in ran.err


def test_a_home_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    ran = Terminal(tmp_path, tmp_path / "file", forks=True)("executions", "list")

    assert ran.code == 1
    assert ran.err.startswith("Error: ")


def test_a_store_that_is_something_else_is_left_alone(tmp_path: Path) -> None:
    arcbook = Terminal(tmp_path, forks=True)
    arcbook.write("home/arcbook.db", "these are notes, and no store " * 100)
    arcbook.write("good.yaml", HEAD + STEP)
    ran = arcbook("run", "good.yaml")

    assert ran.code == 1
    assert "not a store of Arcbook" in ran.err
    assert (tmp_path / "home" / "arcbook.db").read_text().startswith("these are notes")


@pytest.fixture
def frozen(tmp_path: Path) -> Iterator[Terminal]:
    """A home whose folder and files nobody can write, not even root."""
    arcbook = Terminal(tmp_path, forks=True)
    arcbook.write("good.yaml", HEAD + STEP)
    arcbook("run", "good.yaml")
    home = str(arcbook.home)
    bound = subprocess.run(
        ["mount", "--bind", "-o", "ro", home, home], capture_output=True, check=False
    )
    if bound.returncode:
        for path in [*files_below(arcbook.home), arcbook.home]:
            path.chmod(0o500 if path.is_dir() else 0o400)
        if os.geteuid() == 0:
            pytest.skip("root writes everywhere here, and may not mount")
    yield arcbook
    if not bound.returncode:
        subprocess.run(["umount", home], check=True)
    arcbook.home.chmod(0o700)


def test_a_home_that_cannot_be_written_is_told(frozen: Terminal) -> None:
    ran = frozen("run", "good.yaml")

    assert ran.code == 1
    assert ran.err.startswith("Error: ")
    assert "another --home" in ran.err


# -- disks ------------------------------------------------------------------------------

STEPS = 30
"""Steps of the long playbook; each leaves 30 kB in the log."""


def long() -> str:
    steps = [
        f"""
  - step: s{number}
    tool: {{kind: shell, command: "head -c 30000 /dev/zero | tr '\\\\0' x"}}
    next: {{arcs: [{{step: s{number + 1}}}]}}"""
        for number in range(STEPS)
    ]
    return HEAD + "workflow:" + "".join(steps) + f"\n  - step: s{STEPS}\n    tool: {{kind: noop}}\n"


def test_a_disk_that_fills_up_stops_the_run_and_resuming_finishes_it(arcbook: Terminal) -> None:
    arcbook.write("long.yaml", long())

    def fill() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, resource.RLIM_INFINITY))

    full = arcbook("run", "long.yaml", preexec_fn=fill)
    (row,) = arcbook.executions()
    resumed = arcbook("resume")
    (ended,) = arcbook.executions()

    assert full.code == 1
    assert "free some space, then run: arcbook resume" in full.err
    assert row["status"] == "RUNNING"
    assert resumed.code == 0
    assert ended["status"] == "COMPLETED"
    exits = [e["step"] for e in arcbook.events(ended["execution_id"]) if e["type"] == "step.exit"]

    assert exits == [f"s{number}" for number in range(STEPS + 1)]


LARGE = f"""{HEAD}workflow:
  - step: small
    tool: {{kind: shell, command: "echo once >> performed"}}
    next: {{arcs: [{{step: large}}]}}
  - step: large
    tool: {{kind: shell, command: "head -c 600000 /dev/zero | tr '\\\\0' x"}}
    next: {{arcs: [{{step: last}}]}}
  - step: last
    tool: {{kind: python, input: {{text: "{{{{ large.stdout }}}}"}}, code: "result = len(text)"}}
"""


def test_a_disk_too_full_for_a_large_result_stops_the_run_and_resuming_finishes_it(
    arcbook: Terminal,
) -> None:
    arcbook.write("large.yaml", LARGE)

    def fill() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (500_000, resource.RLIM_INFINITY))

    full = arcbook("run", "large.yaml", preexec_fn=fill)
    (row,) = arcbook.executions()
    resumed = arcbook("resume")
    (ended,) = arcbook.executions()
    exits = [e["step"] for e in arcbook.events(ended["execution_id"]) if e["type"] == "step.exit"]

    assert full.code == 1
    assert "free some space, then run: arcbook resume" in full.err
    assert row["status"] == "RUNNING"
    assert resumed.code == 0
    assert ended["status"] == "COMPLETED"
    assert exits == ["small", "large", "last"]
