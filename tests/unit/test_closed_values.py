"""Every field whose values are a closed set: a wrong one is found, with the right one beside it.

The fields are not listed here but looked for: in the grammar, in the parameters of tools,
and in the choices that tools declare for fields of mappings.
"""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from arcbook.dsl.grammar import TABLES
from arcbook.dsl.load import load_document
from arcbook.tools.registry import Registry

KINDS = Registry()

PLACES: dict[str, str] = {
    "executor": '{"executor": {KEY}}',
    "frame": '{"step": {"loop": {"iterator": "i", "cursor": {"claim": "x", "auth": "a"}, "spec": {"mode": "cursor", "frame": {KEY}}}}}',
    "keychain": '{"keychain": [{"name": "k", "map": {"a": "b"}, KEY}]}',
    "loop_spec": '{"step": {"loop": {"iterator": "i", "in": "{{ [1] }}", "spec": {KEY}}}}',
    "next_spec": '{"step": {"next": {"arcs": [], "spec": {KEY}}}}',
    "output": '{"step": {"output": {KEY}}}',
    "playbook": "{KEY}",
    "task": '{"step": {"tool": {"kind": "noop", KEY}}}',
    "then": '{"step": {"tool": {"kind": "noop", "spec": {"policy": {"rules": [{"when": "{{ true }}", "then": {KEY}}]}}}}}',
}  # fmt: skip
"""Where each mapping of the language stands in a document."""


def fields() -> list[tuple[str, str, list[str]]]:
    """Return the fields of the grammar whose values are known: table, key, values."""
    found = []
    for table, keys in TABLES.items():
        for key, schema in keys.items():
            values = schema.get("enum") or schema.get("examples")
            if values:
                found.append((table, key, values))
    return found


def parameters() -> list[tuple[str, str, list[str]]]:
    """Return the parameters of tools whose values are known: kind, path, values."""
    found = []
    for name in KINDS.names():
        kind = KINDS.kind(name)
        assert kind is not None
        for param in kind.params:
            values = [v for v in param.schema.get("enum", ()) if isinstance(v, str)]
            if values:
                found.append((name, param.name, values))
        found += [(name, path, list(values)) for path, values in kind.choices.items()]
    return found


def document(parts: dict[str, Any]) -> str:
    step = {"step": "start", "tool": {"kind": "noop"}, **parts.pop("step", {})}
    head = {"apiVersion": "noetl.io/v2", "kind": "Playbook", "metadata": {"name": "n"}}
    return msgspec.json.encode({**head, **parts, "workflow": [step]}).decode()


def misspelt(value: str) -> str:
    """Return a value with a slip in it."""
    return value + "x"


@pytest.mark.parametrize(("table", "key", "values"), fields(), ids=lambda v: str(v)[:20])
def test_a_wrong_value_of_the_language_is_an_error_that_names_the_right_ones(table, key, values):
    for value in values:
        written = msgspec.json.encode({key: misspelt(value)}).decode()[1:-1]
        parts = msgspec.json.decode(PLACES[table].replace("KEY", written).encode())
        loaded = load_document(document(parts), KINDS)

        said = [d for d in loaded.errors if misspelt(value) in d.message]
        assert said, (value, [d.message for d in loaded.diagnostics])
        assert any(str(v) in said[0].message + said[0].hint for v in values)


@pytest.mark.parametrize(("kind", "path", "values"), parameters(), ids=lambda v: str(v)[:30])
def test_a_wrong_value_of_a_tool_is_an_error_that_names_the_right_ones(kind, path, values):
    value = max(values, key=len)
    config: Any = misspelt(value)
    for name in reversed(path.split(".")):
        config = {name: config}
    loaded = load_document(document({"step": {"tool": {"kind": kind, **config}}}), KINDS)

    said = [d for d in loaded.errors if d.code == "ARC405"]
    assert [d.hint for d in said] == [f"did you mean {value!r}?"]


@pytest.mark.parametrize(("kind", "path", "values"), parameters(), ids=lambda v: str(v)[:30])
def test_a_right_value_of_a_tool_and_a_template_are_let_be(kind, path, values):
    for value in (*values, "{{ workload.it }}"):
        config: Any = value
        for name in reversed(path.split(".")):
            config = {name: config}
        loaded = load_document(document({"step": {"tool": {"kind": kind, **config}}}), KINDS)

        assert [d.code for d in loaded.diagnostics if d.code == "ARC405"] == []


def test_a_value_that_others_may_know_is_a_warning():
    entry = {"name": "k", "kind": "kerberos", "provider": "bitwarden", "scope": "planet"}
    loaded = load_document(document({"keychain": [entry]}), KINDS)

    assert loaded.errors == ()
    assert [d.code for d in loaded.diagnostics] == ["ARC112"] * 3


def test_a_misspelt_key_of_a_keychain_entry_is_found():
    entry = {"name": "k", "kind": "secrets", "provdier": "vault", "map": {"a": "b"}}
    loaded = load_document(document({"keychain": [entry]}), KINDS)

    assert [(d.code, d.hint) for d in loaded.diagnostics] == [
        ("ARC113", "did you mean 'provider'?")
    ]


def test_tools_that_nobody_has_are_found_where_a_playbook_requires_them():
    requires = {"requires": {"tools": ["python", "pyhton"]}}
    (found,) = load_document(document({"executor": requires}), KINDS).diagnostics

    assert (found.code, found.hint) == ("ARC401", "did you mean 'python'?")
