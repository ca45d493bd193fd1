"""Documents that ran green and were wrong: each is refused, or says so."""

from __future__ import annotations

import pytest

from acceptance.terminal import Terminal

HEAD = "apiVersion: noetl.io/v2\nkind: Playbook\nmetadata: {name: n}\n"

NEXXT = """workflow:
- step: start
  tool: {kind: noop}
  nexxt: {arcs: [{step: load}]}
- step: load
  tool: {kind: noop}
"""


def book(text: str) -> str:
    return HEAD + text


def step(text: str, tool: str = "{kind: python, code: result = 1}") -> str:
    return book(f"workflow:\n- step: start\n  tool: {tool}\n  {text}\n")


class TestKeysThatAskForSomething:
    @pytest.mark.parametrize(
        ("document", "place", "repair"),
        [
            (book(NEXXT), "n.yaml:7:3", "did you mean 'next'?"),
            (step("retrys: 3"), "n.yaml:7:3", "retry"),
            (step("if: '{{ false }}'"), "n.yaml:7:3", "write 'when:"),
            (step("timeout: 1"), "n.yaml:7:3", "spec: {timeout: 30}"),
            (step("inptu: {a: 1}"), "n.yaml:7:3", "did you mean 'input'?"),
            (step("foreach: [1, 2]"), "n.yaml:7:3", "write 'loop:"),
            (step("depends_on: [load]"), "n.yaml:7:3", "write 'next:"),
            (step("secrets: {token: t}"), "n.yaml:7:3", "keychain"),
            (book("secrets: {token: t}\nworkflow:\n- step: start\n  tool: {kind: noop}\n"), "n.yaml:4:1", "keychain"),
            (step("desc: d", "{kind: python, code: result = 1, timout: 5}"), "n.yaml:6:42", "'timeout'"),
        ],
        ids=lambda v: v[-30:].strip() if isinstance(v, str) else None,
    )  # fmt: skip
    def test_one_refuses_the_document_with_the_right_spelling(
        self, arcbook: Terminal, document: str, place: str, repair: str
    ):
        ran = arcbook("run", arcbook.write("n.yaml", document))

        assert ran.code == 2
        assert place in ran.err
        assert repair in ran.err
        assert arcbook.executions() == []

    def test_the_command_line_lets_one_pass_with_a_warning(self, arcbook: Terminal):
        ran = arcbook("run", arcbook.write("n.yaml", book(NEXXT)), "--allow", "nexxt")

        assert ran.code == 0
        assert "ARC113 7:3: key 'nexxt' is not known here" in ran.err

    def test_a_comment_lets_one_pass(self, arcbook: Terminal):
        document = book(NEXXT).replace("metadata:", "# arcbook: allow nexxt\nmetadata:")

        assert arcbook("run", arcbook.write("n.yaml", document)).code == 0

    def test_one_that_was_let_pass_runs_from_the_catalog(self, arcbook: Terminal):
        arcbook("catalog", "register", arcbook.write("n.yaml", book(NEXXT)), "--allow", "nexxt")

        assert arcbook("run", "n").code == 0


class TestWarnings:
    def test_a_run_shows_them_in_groups_with_place_and_repair(self, arcbook: Terminal):
        steps = "".join(f"- step: s{n}\n" for n in range(5))
        ran = arcbook("run", arcbook.write("n.yaml", book(f"workflow:\n{steps}")))

        assert ran.code == 0
        assert ran.err.count("ARC106 ") == 4
        assert "ARC106 5:3: step 's0' has no tool" in ran.err
        assert "ARC106 at 2 more places: arcbook lint n.yaml" in ran.err
        assert "write 'tool: {kind: noop}' if that is meant" in ran.err

    def test_a_registration_shows_them(self, arcbook: Terminal):
        ran = arcbook(
            "catalog", "register", arcbook.write("n.yaml", book("workflow:\n- step: s\n"))
        )

        assert ran.code == 0
        assert "ARC106 5:3" in ran.err

    def test_only_the_outcome_is_printed_where_only_that_is_asked_for(self, arcbook: Terminal):
        ran = arcbook("run", arcbook.write("n.yaml", book("workflow:\n- step: s\n")), "--json")

        assert ran.err == ""
