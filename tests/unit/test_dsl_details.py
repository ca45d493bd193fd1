"""Details of reading documents: what is kept, where it stands, and what is let be."""

from __future__ import annotations

from typing import Any

import pytest
from playbooks import playbook

from arcbook.dsl.composer import compose
from arcbook.dsl.diagnostics import DIAGNOSTICS_MAX, Report
from arcbook.dsl.kinds import Kind, KindTable, Param
from arcbook.dsl.load import Loaded, load_document, load_playbook
from arcbook.dsl.model import Playbook
from arcbook.dsl.source import Position
from unit.lint_cases import KINDS, PULL, marked, subscription


def read(text: str) -> Any:
    root, faults = compose(text)
    assert faults == ()
    return root.plain()


def loaded(text: str) -> Playbook:
    found = load_playbook(text, KINDS)
    assert found.errors == ()
    assert found.playbook is not None
    return found.playbook


def told(found: Loaded) -> list[tuple[str, int, int]]:
    return [(d.code, d.line, d.column) for d in found.diagnostics]


# -- YAML -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("!!str 5", "5"),
        ("! 5", "5"),
        ("!!str true", "true"),
        ("!!int 5", 5),
        ("!!float 5", 5.0),
        ("!!bool true", True),
        ("!!null null", None),
        ("'5'", "5"),
        ("5", 5),
        ("yes", "yes"),
        ("on", "on"),
        ("No", "No"),
        ("true", True),
        ("~", None),
        ("0o17", 15),
        ("017", 17),
        ("0x1f", 31),
        ("1_000", "1_000"),
        ("12:30", "12:30"),
        ("2024-02-29", "2024-02-29"),
        ("1e3", 1000.0),
    ],
)
def test_a_scalar_is_what_yaml_1_2_says(written, value):
    found = read(f"a: {written}\n")["a"]

    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("{<<: *b, x: 9}", {"x": 9, "y": 2}),
        ("{x: 9, <<: *b}", {"x": 9, "y": 2}),
        ("{<<: [*b, *c]}", {"x": 1, "y": 2, "z": 4}),
        ("{<<: [*c, *b]}", {"x": 1, "y": 3, "z": 4}),
        ("{<<: *b, <<: *c}", {"x": 1, "y": 2, "z": 4}),
        ("{<<: *b, x: null}", {"x": None, "y": 2}),
        ("{'<<': 5}", {"<<": 5}),
        ("*b", {"x": 1, "y": 2}),
        ("[*b, *s, *s]", [{"x": 1, "y": 2}, "t", "t"]),
        ("{*s : 1}", {"t": 1}),
    ],
)
def test_merge_keys_fill_in_what_is_not_written_the_first_source_first(text, value):
    head = "b: &b {x: 1, y: 2}\nc: &c {y: 3, z: 4}\ns: &s t\n"

    assert read(head + f"a: {text}\n")["a"] == value


@pytest.mark.parametrize(
    ("text", "code", "message"),
    [
        ("a:\n  ? ¶{b: 1}\n  : c\n", "ARC011", "a key must be text, not a mapping"),
        ("a: ¶{x: 1, {b: 1}: c}\n", "ARC011", "a key must be text, not a mapping"),
        ("a:\n  ? ¶[b]\n  : c\n", "ARC011", "a key must be text, not a list"),
        ("a: 1\nb: 2\n¶a: 3\n", "ARC009", "key 'a' is already written on line 1"),
        ("a:\n  b: 1\n  ¶b: 1\n", "ARC009", "key 'b' is already written on line 2"),
        ("a: {b: 1, ¶'b': 2}\n", "ARC009", "key 'b' is already written on line 1"),
        ("a:\n  <<: ¶5\n", "ARC010", "'<<' takes a mapping or a list of mappings"),
        ("a: {<<: ¶[{b: 1}, 2]}\n", "ARC010", "'<<' takes a mapping or a list of mappings"),
        ("a: ¶*b\n", "ARC003", "invalid YAML: alias '*b' has no anchor"),
        ("a: &a [¶*a]\n", "ARC007", "alias '*a' refers to a value that contains it"),
        ("a: ¶{{ b  .c }}\n", "ARC013", "the template {{ b .c }} is not quoted, so YAML reads its braces as a mapping"),
    ],
)  # fmt: skip
def test_a_fault_of_the_yaml_is_told_once_at_its_place(text, code, message):
    content, line, column = marked(text)
    _, faults = compose(str(content))
    found = [(f.code, f.reason, f.position.line, f.position.column) for f in faults]

    assert found == [(code, message, line, column)]


def test_a_mapping_as_a_key_does_not_hide_other_problems():
    text = playbook("- step: start\n  tool: {kind: noop, {b: 1}: c}\n  nxt: end")

    assert told(load_playbook(text, KINDS))[:1] == [("ARC011", 6, 11)]
    found = told(load_document("a: 1\nb: {x: 1, {y: 2}: 3}\n", KINDS))
    assert {("ARC011", 2, 4), ("ARC115", 1, 1)} <= {*found}


# -- playbooks ------------------------------------------------------------------------


def test_metadata_is_kept():
    found = loaded(
        "apiVersion: noetl.io/v2\nkind: Playbook\n"
        "metadata: {name: n, path: team/p, version: 1.20, description: d, labels: {a: b}}\n"
        "workflow:\n- step: first\n  tool: {kind: noop}\n- step: second\n  tool: {kind: noop}\n"
    )

    assert (found.name, found.path, found.description) == ("n", "team/p", "d")
    assert found.version == "1.2"
    assert found.labels == {"a": "b"}
    assert [step.name for step in found.steps] == ["first", "second"]
    assert found.entry == "first"


def test_metadata_that_is_not_written_is_empty():
    found = loaded(playbook("- step: start\n  tool: {kind: noop}"))

    assert (found.version, found.description, found.labels) == ("", "", {})


ODD = "- step: start\n  nxt: end\n  tool: {kind: noop}"


def test_an_unknown_key_is_an_error_unless_it_is_allowed():
    [error] = load_playbook(playbook(ODD), KINDS).errors
    assert (error.code, error.line, error.column) == ("ARC117", 6, 5)

    comment = "# arcbook: allow shade, nxt\n"
    assert load_playbook(comment + playbook(ODD), KINDS).errors == ()
    assert load_document(comment + playbook(ODD), KINDS).errors == ()
    assert load_playbook(playbook(ODD), KINDS, allow=frozenset({"nxt"})).errors == ()
    assert load_playbook(playbook(ODD), KINDS, allow=frozenset({"next"})).errors
    assert load_playbook("# arcbook: allow nxts\n" + playbook(ODD), KINDS).errors


def test_the_first_rule_of_admission_that_holds_decides_and_else_always_holds():
    rules = "[{when: '{{ n }}', then: {allow: false}}, {else: {then: {allow: false}}}, {else: {allow: true}}]"
    found = loaded(
        playbook(
            f"- step: start\n  tool: {{kind: noop}}\n  spec: {{policy: {{admit: {{rules: {rules}}}}}}}"
        )
    )
    [step] = found.steps

    assert [(rule.when, rule.allow) for rule in step.admit] == [
        ("{{ n }}", False),
        (True, False),
        (True, True),
    ]


def test_a_rule_without_a_guard_is_a_warning_of_a_document_that_was_accepted_before():
    text = playbook(
        "- step: start\n  tool: {kind: noop}\n"
        "  spec: {policy: {admit: {rules: [{then: {allow: true}}]}}}"
    )

    assert [e.code for e in load_playbook(text, KINDS).errors] == ["ARC110"]
    stored = load_playbook(text, KINDS, is_stored=True)
    assert stored.errors == ()
    assert stored.playbook is not None


def test_an_older_key_of_inputs_is_kept_where_the_kind_has_a_parameter_of_the_name():
    kinds = KindTable(
        {
            "named": Kind(name="named", params=(Param(name="data"),)),
            "alias": Kind(name="alias", params=(Param(name="payload", aliases=("data",)),)),
            "other": Kind(name="other", params=(Param(name="date"),)),
        }
    )
    steps = [f"- step: {k}\n  tool: {k}\n  data: {{a: 1}}\n" for k in ("named", "alias", "other")]
    given = {}
    for step in steps:
        found = load_playbook(playbook(step), kinds).playbook
        assert found is not None
        [task] = found.steps[0].tasks
        given[task.kind] = (task.config, task.input)

    assert given == {
        "named": ({"data": {"a": 1}}, {}),
        "alias": ({"payload": {"a": 1}}, {}),
        "other": ({}, {"a": 1}),
    }


def test_a_parameter_in_base64_is_decoded_by_its_name_and_by_its_alias():
    kinds = KindTable({"k": Kind(name="k", params=(Param(name="code", aliases=("script",)),))})
    for key in ("code_b64", "script_base64"):
        text = playbook(f"- step: start\n  tool: {{kind: k, {key}: YSA9IDE=}}\n")
        found = load_playbook(text, kinds).playbook
        assert found is not None
        assert found.steps[0].tasks[0].config == {"code": "a = 1"}


def test_a_set_that_is_text_is_an_error_at_its_place():
    text = playbook("- step: start\n  set: ctx.a\n  tool: {kind: noop}")

    assert [(e.code, e.message, e.line, e.column) for e in load_playbook(text, KINDS).errors] == [
        ("ARC103", "'set' must be a mapping, not text", 6, 10)
    ]


def test_a_playbook_finds_its_steps_by_name():
    found = loaded(playbook("- step: a\n  tool: {kind: noop}\n- step: b\n  tool: {kind: noop}"))

    assert [found.step(name).name for name in ("a", "b")] == ["a", "b"]
    with pytest.raises(KeyError):
        found.step("c")


# -- subscriptions --------------------------------------------------------------------

PUSH = "source: webhook, mode: push, dispatch: {playbook: p, batch_dispatch: true, batch_max: 1000}"


@pytest.mark.parametrize(
    "spec",
    [
        f"{{{PULL}}}",
        f"{{{PULL}, activation: continuous}}",
        f"{{{PULL}, activation: scheduled, limits: {{max_in_flight: 1, max_dispatch_per_sec: 0.5}}}}",
        f"{{{PULL}, dedup: {{window_secs: 1}}, headers: {{directives: [{{header: h, controls: c}}]}}}}",
        f"{{{PULL}, spool: {{mode: 'off'}}}}",
        f"{{{PULL}, spool: {{mode: hybrid, backend: s3, bucket: b, ordering: per_key, drain: {{on_recovery: interleave}}}}}}",
        f"{{{PULL}, spool: {{mode: buffer_and_ack, backend: local_disk, path: /s, ordering: global}}}}",
        f"{{{PUSH}, ingress: {{gateway_path: /x, verify: {{type: bearer, secret: s}}}}}}",
        f"{{{PUSH}, ingress: {{gateway_path: /x, verify: {{type: hmac_sha256, secret: s, header: h}}}}}}",
        f"{{{PUSH}, ingress: {{gateway_path: /x, verify: {{type: pubsub_oidc, audience: a, service_account: b}}}}}}",
    ],
)
def test_a_right_subscription_is_let_be(spec):
    assert told(load_document(subscription(spec), KINDS)) == []


@pytest.mark.parametrize(
    ("spec", "code", "message"),
    [
        (f"{{{PULL}, activation: ¶always}}", "ARC112", "'activation' must be one of continuous, scheduled, not 'always'"),
        (f"{{{PULL}, headers: {{directives: [¶text]}}}}", "ARC606", "a header directive needs 'controls'"),
        (f"{{{PULL}, headers: {{directives: [¶{{controls: c}}]}}}}", "ARC606", "a header directive needs 'header'"),
        (f"{{{PULL}, headers: {{directives: [{{header: h, controls: c}}, ¶{{header: h}}]}}}}", "ARC606", "a header directive needs 'controls'"),
        ("{source: nats, mode: pull, dispatch: {playbook: p, batch_max: ¶1001}}", "ARC605", "'batch_max' must be 1 to 1000"),
        ("{source: nats, mode: pull, dispatch: {playbook: p, batch_max: ¶true}}", "ARC605", "'batch_max' must be 1 to 1000"),
        ("{source: nats, mode: pull, dispatch: {playbook: p, batch_max: ¶ten}}", "ARC605", "'batch_max' must be 1 to 1000"),
        ("{source: nats, mode: pull, dispatch: ¶{playbook: ' '}}", "ARC602", "'dispatch.playbook' must name the playbook to start"),
        (f"{{{PULL}, limits: {{max_dispatch_per_sec: ¶0}}}}", "ARC605", "'limits.max_dispatch_per_sec' must be a positive number"),
        (f"{{{PULL}, dedup: {{window_secs: ¶true}}}}", "ARC605", "'dedup.window_secs' must be a positive number"),
        (f"{{{PULL}, spool: {{mode: ¶on}}}}", "ARC604", "'mode' must be one of buffer_and_ack, hybrid, off, not 'on'"),
        (f"{{{PULL}, spool: ¶{{mode: hybrid}}}}", "ARC604", "a spool on nats_object needs 'bucket'"),
        (f"{{{PULL}, spool: ¶{{mode: hybrid, backend: local_disk, bucket: b}}}}", "ARC604", "a spool on local_disk needs 'path'"),
        (f"{{{PULL}, spool: {{mode: hybrid, bucket: b, ordering: ¶random}}}}", "ARC604", "'ordering' must be one of global, none, per_key, not 'random'"),
        (f"{{{PUSH}, ingress: {{gateway_path: /x, verify: ¶{{type: bearer}}}}}}", "ARC603", "verification by bearer needs 'secret'"),
        (f"{{{PUSH}, ingress: {{gateway_path: /x, verify: ¶{{type: hmac_sha256, secret: s}}}}}}", "ARC603", "verification by hmac_sha256 needs 'header'"),
        (f"{{{PUSH}, ingress: ¶{{verify: {{type: bearer, secret: s}}}}}}", "ARC603", "'ingress.gateway_path' must begin with '/'"),
        ("¶{mode: pull, dispatch: {playbook: p}}", "ARC601", "'source' is required: one of kafka, nats, pubsub, webhook"),
        ("¶{source: nats, dispatch: {playbook: p}}", "ARC601", "'mode' is required: one of pull, push"),
    ],
)  # fmt: skip
def test_a_fault_of_a_subscription_is_told_at_its_place(spec, code, message):
    content, line, column = marked(subscription(spec))
    first = load_document(content, KINDS).diagnostics[0]

    assert (first.code, first.message, first.line, first.column) == (code, message, line, column)


# -- reports --------------------------------------------------------------------------


def test_diagnostics_over_the_limit_are_counted_and_not_kept():
    report = Report()
    for line in range(DIAGNOSTICS_MAX):
        assert report.is_full is False
        report.error("ARC110", "m", Position(line + 1, 1))
    assert (report.is_full, report.left_out) == (True, 0)
    report.error("ARC110", "m", Position(1, 2))

    assert (report.errors, report.left_out) == (DIAGNOSTICS_MAX, 1)
    assert len(report.sorted()) == DIAGNOSTICS_MAX


def test_diagnostics_are_sorted_by_place_and_told_once():
    report = Report()
    for line, column, message in ((2, 1, "c"), (1, 5, "b"), (1, 2, "a"), (1, 5, "b")):
        report.error("ARC110", message, Position(line, column))

    assert [(d.line, d.column, d.message) for d in report.sorted()] == [
        (1, 2, "a"),
        (1, 5, "b"),
        (2, 1, "c"),
    ]
    assert report.has_error_at(Position(1, 5))
    assert not report.has_error_at(Position(1, 1))
    assert not report.has_error_at(Position(5, 1))
